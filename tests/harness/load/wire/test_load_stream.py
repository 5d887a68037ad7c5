"""Events of streamed answers: by the specification of server-sent events, whatever the pieces are cut into."""

import orjson
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tailgate.harness.load.wire.stream import UNKNOWN_LAG, Chunks, Lines, ServerSentEvents, stream_of

SSE = b"text/event-stream"


def fed(stream, *pieces):
    """Feed pieces, each read a microsecond after the one before."""
    for index, piece in enumerate(pieces):
        stream.read_at((index + 1) * 1_000)
        stream.feed(piece)
    stream.end()
    return stream


@pytest.mark.parametrize(
    ("text", "events"),
    [
        (b"data: a\n\n", 1),
        (b"data: a\n\ndata: b\n\n", 2),
        (b"data:a\r\rdata:b\r\r", 2),
        (b"data: a\r\n\r\ndata: b\r\n\r\n", 2),
        (b"data: a\ndata: b\n\n", 1),
        (b"data: a\n", 0),  # no blank line: a browser drops it at the end of the stream
        (b": heartbeat\n\n: heartbeat\n\n", 0),
        (b"event: ping\n\n", 0),
        (b"id: 7\nretry: 100\n\n", 0),
        (b"data\n\n", 1),
        (b"data:\n\n", 1),
        (b"\n\n\n", 0),
        (b"DATA: a\n\n", 0),
        (b" data: a\n\n", 0),
        (b"data: a\n\ndata: [DONE]\n\n", 1),
        (b"data:[DONE] \n\n", 0),
        (b"\xef\xbb\xbfdata: a\n\n", 1),
        (b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\n", 0),
        (b"data: a\n\n\xef\xbb\xbfdata: b\n\n", 1),
        (b"event: token\nid: 1\ndata: a\n\n", 1),
        ("data: Übung\x0b\x0c\x1c\x85\u2028\n\n".encode(), 1),  # str.splitlines would end lines there
        (b'data: {"error": null, "token": "a"}\n\n', 1),
        (b'data: {"error": false}\n\ndata: {"choices": [{"error": "nested"}]}\n\n', 2),
        (b'data: "error"\n\ndata: error\n\ndata: ["error"]\n\n', 3),
        (b'data: {"error": \n\n', 1),
    ],
)
def test_an_event_counts_where_a_browser_would_dispatch_it(text, events):
    found = fed(ServerSentEvents(), text)
    assert len(found.read_ns) == events
    assert found.error is None
    assert len(fed(ServerSentEvents(), *(text[at : at + 1] for at in range(len(text)))).read_ns) == events


@given(
    st.lists(
        st.sampled_from([b"data: a", b"data", b": x", b"event: e", "data: ü€".encode(), b"", b"data: [DONE]"])
    ),
    st.data(),
)
def test_neither_the_ends_of_lines_nor_the_cuts_between_pieces_change_the_events(lines, data):
    plain = b"".join(line + b"\n" for line in lines)
    text = b"".join(line + data.draw(st.sampled_from([b"\n", b"\r", b"\r\n"])) for line in lines)
    # A CR and then an empty line's LF are one end of line, and so another text.
    assume(text.splitlines() == lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    pieces = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    whole, cut = fed(ServerSentEvents(), plain), fed(ServerSentEvents(), *pieces)
    assert len(whole.read_ns) == len(cut.read_ns)


def test_an_event_is_read_when_its_blank_line_is():
    found = fed(ServerSentEvents(), b"data: a", b"\n", b"\ndata: b\n", b"\n")
    assert list(found.read_ns) == [3_000, 4_000]
    crlf = fed(ServerSentEvents(), b"data: a\r\n\r", b"\n", b"data: b\r\n\r\n")
    assert list(crlf.read_ns) == [1_000, 3_000]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"event: error\ndata: out of memory\n\n", b"out of memory"),
        (b"event: error\n\n", b"error"),
        (b'data: {"error": "overloaded"}\n\n', b'{"error": "overloaded"}'),
        (b'data: {"error": {"message": "m"}}\n\n', b'{"error": {"message": "m"}}'),
        (b'data: {\ndata:  "error": 1}\n\n', b'{\n "error": 1}'),
        (b"data: a\n\nevent: error\ndata: first\n\nevent: error\ndata: second\n\n", b"first"),
    ],
)
def test_an_event_that_tells_of_a_failure_is_no_token_and_its_words_are_kept(text, said):
    found = fed(ServerSentEvents(), text)
    assert found.error == said
    assert len(found.read_ns) == text.count(b"data: a\n\n")


def test_each_line_of_json_is_an_event_and_the_last_needs_no_end():
    found = fed(Lines(), b'{"a": 1}\n\n  \r\n{"b"', b": 2}\n", b'{"c": 3}')
    assert list(found.read_ns) == [1_000, 2_000, 3_000]
    assert fed(Lines(), b'{"a": 1}\n{"error": "no"}\n').error == b'{"error": "no"}'
    assert not fed(Lines()).read_ns


def test_each_chunk_of_text_with_a_body_is_an_event():
    stream = Chunks()
    for at, (pieces, ends) in enumerate(
        [((b"to", b"ken"), True), ((b"half",), False), ((b"",), True), ((), True)]
    ):
        stream.read_at(at)
        for piece in pieces:
            stream.feed(piece)
        if ends:
            stream.end_chunk()
    assert list(stream.read_ns) == [0, 2]


@pytest.mark.parametrize(
    ("content_type", "chunked", "kind"),
    [
        (b"text/event-stream", False, ServerSentEvents),
        (b"Text/Event-Stream; charset=utf-8", True, ServerSentEvents),
        (b"application/x-ndjson", True, Lines),
        (b"application/jsonl", False, Lines),
        (b"application/stream+json;charset=utf-8", True, Lines),
        (b"text/plain; charset=utf-8", True, Chunks),
        (b"text/plain", False, type(None)),
        (b"application/json", True, type(None)),
        (b"text/html", True, type(None)),
        (b"", True, type(None)),
    ],
)
def test_the_headers_tell_what_a_stream_is(content_type, chunked, kind):
    assert type(stream_of(content_type, chunked=chunked)) is kind


def test_the_memory_of_a_stream_without_end_is_bounded():
    stream = ServerSentEvents()
    for piece in (b"data: ", *[b"x" * 65_536] * 20, b"\n", *[b"data: " + b"y" * 60_000 + b"\n"] * 20):
        stream.feed(piece)
        kept = len(stream._rest) + len(stream._data or b"")
        assert kept <= 2 * 65_536
    stream.feed(b"\n")
    assert len(stream.read_ns) == 1


def test_how_long_the_kernel_held_an_event_stands_beside_it():
    stream = Lines()
    stream.read_at(10, 7)
    stream.feed(b"a\n")
    stream.read_at(20)
    stream.feed(b"b\n")
    stream.read_at(30, 2**40)
    stream.feed(b"c\n")
    assert list(stream.lags_ns) == [7, UNKNOWN_LAG, UNKNOWN_LAG - 1]


@given(st.dictionaries(st.text(), st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.text())))
def test_json_tells_of_a_failure_by_a_top_level_error_that_says_something(document):
    line = orjson.dumps(document) + b"\n"
    assert (fed(Lines(), line).error is not None) == bool(document.get("error"))
