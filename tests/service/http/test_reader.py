"""Heads and bodies out of bytes, in any pieces, and never a byte beyond."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailgate.service.errors import BadInput, HeadTooLarge, RequestError, UrlTooLong
from tailgate.service.http.reader import (
    MAX_FRAME_BYTES,
    MAX_HEAD_BYTES,
    MAX_HEADERS,
    MAX_URL_BYTES,
    ChunkedBody,
    HeadReader,
    Incoming,
    SizedBody,
    body_of,
)

BEHIND = b"GET /next HTTP/1.1\r\n"


def head(*lines, first=b"POST /predict HTTP/1.1", host=b"Host: x"):
    return b"".join(line + b"\r\n" for line in (first, *([host] if host else []), *lines)) + b"\r\n"


def pieces(data, cuts):
    """Cut bytes at some places."""
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    return [data[one:two] for one, two in itertools.pairwise(places)]


def read_head(data, cuts=()):
    """Return the head, and the bytes that it left."""
    reader, incoming, given = HeadReader(), Incoming(), pieces(data, cuts)
    for number, piece in enumerate(given):
        incoming.add(piece)
        while incoming.size:
            found = reader.read(incoming)
            if found is not None:
                return found[0], incoming.peek(len(data)) + b"".join(given[number + 1 :])
    return None, b""


def read_body(reader, data, cuts=()):
    """Return the body, and the bytes that it left."""
    body, incoming, given = b"", Incoming(), pieces(data, cuts)
    for number, piece in enumerate(given):
        incoming.add(piece)
        while incoming.size:
            body += reader.read(incoming)
            if reader.complete:
                return body, incoming.peek(len(data)) + b"".join(given[number + 1 :])
    return body, b""


CUTS = st.lists(st.integers(0, 300), max_size=8)
HEADS = [
    head(b"Content-Length: 5"),
    head(b"Content-Type:  image/png \t", b"X-Empty:"),
    head(first=b"GET /health/live?x=1 HTTP/1.1"),
    head(first=b"GET / HTTP/1.0", host=b""),
    head(b"Transfer-Encoding: chunked", b"Expect: 100-continue"),
    head(b"Connection: Upgrade", b"Upgrade: h2c", b"Content-Length: 5"),
    head(b"Connection: close"),
]


@pytest.mark.parametrize("raw", HEADS)
@given(cuts=CUTS)
def test_a_head_means_the_same_in_any_pieces_and_leaves_what_is_behind_it(raw, cuts):
    whole, _ = read_head(raw)
    assert whole is not None
    assert read_head(raw + BEHIND, cuts) == (whole, BEHIND)


def test_a_head_says_all_that_the_connection_asks_for():
    raw = head(
        b"Content-Length: 0005", b"EXPECT: 100-Continue", b"X: a \t", first=b"POST /predict?a=b HTTP/1.1"
    )
    read, _ = read_head(raw)
    assert (read.method, read.target, read.version) == (b"POST", b"/predict?a=b", "1.1")
    assert (read.length, read.keep_alive, read.expects) == (5, True, True)
    assert read.headers[-1] == (b"x", b"a")


@pytest.mark.parametrize(
    ("raw", "keeps"),
    [
        (head(), True),
        (head(b"Connection: close"), False),
        (head(b"Connection: keep-alive, close"), False),
        (head(first=b"GET / HTTP/1.0", host=b""), False),
        (head(b"Connection: keep-alive", first=b"GET / HTTP/1.0", host=b""), False),
    ],
)
def test_a_connection_goes_on_unless_the_client_says_otherwise_or_speaks_http_1_0(raw, keeps):
    assert read_head(raw)[0].keep_alive is keeps


@pytest.mark.parametrize(
    ("target", "read"),
    [
        (b"/a/b?c", b"/a/b?c"),
        (b"http://x", b"/"),
        (b"http://x:1?a=b", b"/?a=b"),
        (b"http://x/p?q", b"/p?q"),
        (b"*", b"*"),
    ],
)
def test_a_target_is_a_path_whatever_form_it_was_sent_in(target, read):
    assert read_head(head(first=b"OPTIONS %b HTTP/1.1" % target))[0].target == read


@pytest.mark.parametrize(
    "raw",
    [
        b"nonsense\r\n\r\n",
        b"\x16\x03\x01\x02",
        b"get / HTTP/1.1\r\n\r\n",
        head(host=b""),
        head(b"Host: y"),
        head(first=b"CONNECT x:1 HTTP/1.1"),
        head(first=b"GET / HTTP/2.0"),
        head(first=b"GET / HTTP/0.9"),
        head(b"Content-Length: 5", b"Content-Length: 5"),
        head(b"Content-Length: +5"),
        head(b"Content-Length: 5, 5"),
        head(b"Content-Length: 99999999999999999999"),
        head(b"Content-Length: 5", b"Transfer-Encoding: chunked"),
        head(b"Transfer-Encoding: chunked, gzip"),
        head(b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip"),
        head(b" folded: x"),
        head(b"A : b"),
        head(b"A: b\nC: d"),
        head(b"A: b\0c"),
    ],
)
@given(cuts=CUTS)
def test_what_is_no_request_is_refused_in_any_pieces(raw, cuts):
    with pytest.raises(BadInput):
        read_head(raw, cuts)


def test_garbage_is_refused_at_its_first_byte_not_at_an_empty_line():
    incoming = Incoming()
    incoming.add(b"\x16\x03\x01")
    with pytest.raises(BadInput):
        HeadReader().read(incoming)


@pytest.mark.parametrize("zeros", [1, 4_300, 20_000])
def test_a_length_of_many_digits_is_read_or_refused_and_never_a_fault(zeros):
    assert read_head(head(b"Content-Length: " + b"0" * zeros + b"5"))[0].length == 5


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (head(first=b"GET /" + b"a" * MAX_URL_BYTES + b" HTTP/1.1"), UrlTooLong),
        (head(b"A: " + b"b" * MAX_HEAD_BYTES), HeadTooLarge),
        (head(*[b"A: b"] * MAX_HEADERS), HeadTooLarge),
        (b"GET /" + b"a" * MAX_HEAD_BYTES, UrlTooLong),
        (b"GET / HTTP/1.1\r\nA: " + b"b" * MAX_HEAD_BYTES, HeadTooLarge),
    ],
)
def test_a_head_that_is_too_large_is_refused_by_what_is_too_large(raw, error):
    with pytest.raises(error):
        read_head(raw)
    with pytest.raises(error):
        read_head(raw, range(0, len(raw), 1_000))


@given(st.binary(max_size=50), CUTS)
def test_a_body_of_announced_length_is_cut_out_exactly(body, cuts):
    reader = SizedBody(len(body))
    if body:
        assert read_body(reader, body + BEHIND, cuts) == (body, BEHIND)
    assert reader.complete


def in_chunks(body, cuts, extension=b"", trailer=b""):
    parts = [b"%x%b\r\n%b\r\n" % (len(piece), extension, piece) for piece in pieces(body, cuts) if piece]
    return b"".join((*parts, b"0\r\n", trailer, b"\r\n"))


@given(
    st.binary(max_size=60),
    CUTS,
    CUTS,
    st.sampled_from([b"", b";a", b";a=b;c", b';a="b c"']),
    st.sampled_from([b"", b"X-A: b\r\n", b"A:\r\nB: c\r\n"]),
)
def test_a_body_in_chunks_is_cut_out_exactly(body, chunks, cuts, extension, trailer):
    reader = ChunkedBody()
    raw = in_chunks(body, chunks, extension, trailer)
    assert read_body(reader, raw + BEHIND, cuts) == (body, BEHIND)
    assert reader.complete


@pytest.mark.parametrize(
    "raw",
    [
        *(
            b"zz\r\n",
            b"nonsense",
            b"0x5\r\n",
            b"-1\r\n",
            b"+1\r\n",
            b"5 \r\n",
            b"5;\r\n",
            b"1_0\r\n",
            b"\r\n",
        ),
        *(
            b"5\nhello\r\n",
            b"5\r\nhelloX",
            b"5\r\nhello\n",
            b"10000000000000000\r\n",
            b'5;a="\n"\r\n',
            b"5;\0\r\n",
        ),
        *(
            b"0\r\nContent-Length: 5\r\n\r\n",
            b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"0\r\nbad line\r\n\r\n",
        ),
    ],
)
@given(cuts=CUTS)
def test_chunks_that_are_none_are_refused_in_any_pieces(raw, cuts):
    with pytest.raises(BadInput):
        read_body(ChunkedBody(), raw, cuts)


@pytest.mark.parametrize(
    "raw", [b"5;" + b"a" * MAX_FRAME_BYTES, b"0\r\n" + b"A: b\r\n" * (MAX_FRAME_BYTES // 6)]
)
def test_a_frame_without_a_body_in_it_has_an_end(raw):
    with pytest.raises(HeadTooLarge):
        read_body(ChunkedBody(), raw)


def test_many_small_chunks_are_no_large_frame():
    raw = b"1\r\nx\r\n" * MAX_FRAME_BYTES + b"0\r\n\r\n"
    assert read_body(ChunkedBody(), raw) == (b"x" * MAX_FRAME_BYTES, b"")


def test_the_head_decides_how_its_body_is_read():
    assert body_of(read_head(head())[0]).complete
    assert isinstance(body_of(read_head(head(b"Content-Length: 5"))[0]), SizedBody)
    assert isinstance(body_of(read_head(head(b"Transfer-Encoding: chunked"))[0]), ChunkedBody)


@given(st.binary(max_size=200), CUTS)
def test_any_bytes_are_a_request_or_a_refusal(raw, cuts):
    try:
        found, _ = read_head(raw, cuts)
        if found is not None:
            read_body(body_of(found), raw, cuts)
    except RequestError:
        pass


def test_small_requests_are_read_out_of_a_large_piece_without_copying_the_rest():
    incoming, request = Incoming(), b"\r\n" + head(first=b"GET / HTTP/1.1")
    incoming.add(request * 3 + b"GE")
    for _ in range(3):
        incoming.skip_line_ends()
        _, raw = HeadReader().read(incoming)
        assert raw == request[2:]
    incoming.add(b"T / ")
    assert (incoming.size, incoming.peek(2)) == (6, b"GE")
    assert incoming.clear() == 6
    assert not incoming.size
    piece = bytes(1000)
    incoming.add(piece)
    assert incoming.peek(1000) is piece
