"""Bad input on both edges: refused alike, in words that help, counted once, at a bounded cost, and the next one is served."""

import orjson
import pytest
from bad_bodies import BODIES, MAX_BODY_BYTES, MAX_IMAGE_PIXELS, OCTETS, SERVED
from edges import HOST, PIXELS, Connection, chunked, pixels, post, two_edges


@pytest.fixture(scope="module")
def _edges():
    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        two_edges(
            monkeypatch,
            max_body_bytes=MAX_BODY_BYTES,
            max_image_pixels=MAX_IMAGE_PIXELS,
        ) as edges,
    ):
        yield edges


@pytest.fixture
def edges(_edges):
    """Both edges; after each test nothing is in flight."""
    yield _edges
    _edges.rest()
    assert _edges.service.pipeline.dispatcher.waiting == len(_edges.service.pipeline.decoders.unfinished) == 0


def counted(edges, act):
    """Return what ``act`` returns, and by which outcomes it was counted."""
    before = edges.outcomes()
    result = act()
    edges.rest()
    after = edges.outcomes()
    return result, {
        name: after[name] - before.get(name, 0) for name in after if after[name] != before.get(name)
    }


def ask(address, request, then=PIXELS):
    """Send a request and, on the same connection, one that is served."""
    with Connection(address) as connection:
        connection.send(request)
        answer = connection.answer()
        connection.send(then)
        assert connection.answer()[0] == 200
    return answer


@pytest.mark.parametrize(("kind", "body", "status", "words"), BODIES.values(), ids=BODIES)
def test_a_bad_body_is_refused_alike_on_both_edges_in_words_that_tell_nothing_of_the_inside_and_counted(
    edges, kind, body, status, words
):
    asked = [counted(edges, lambda each=each: ask(each, post(body, kind))) for each in edges.both()]
    (got, headers, text), outcomes = asked[0]
    assert asked[0] == asked[1]
    assert got == status
    ((name, error),) = orjson.loads(text).items()
    assert name == "error"
    assert words in error
    assert any(b"total;dur=N" in header for header in headers)
    assert outcomes == {"bad_input": 1, "ok": 1}
    assert not any(
        inside in text for inside in (b"Traceback", b".py", b"0x", b"/site-packages", b"object at")
    )
    assert len(text.decode()) < 500


@pytest.mark.parametrize(("kind", "body"), SERVED.values(), ids=SERVED)
def test_an_odd_body_is_served_alike_on_both_edges(edges, kind, body):
    first, second = [ask(each, post(body, kind)) for each in edges.both()]
    assert first == second
    assert first[0] == 200, first[2]


BEYOND = MAX_BODY_BYTES + 1


def coded(codings):
    return chunked(pixels()).replace(b"chunked", codings)


@pytest.mark.parametrize(
    ("request_", "status"),
    {
        "announced": (post(bytes(BEYOND), b"image/png"), 413),
        "announced far beyond": (post(bytes(BEYOND)).replace(b"%d" % BEYOND, b"9223372036854775807"), 413),
        "in one chunk": (chunked(bytes(BEYOND)), 413),
        "in small chunks": (chunked(*[bytes(100)] * (BEYOND // 100 + 1)), 413),
        "compressed": (post(bytes(50), OCTETS, b"Content-Encoding: gzip"), 415),
        "compressed twice": (post(bytes(50), OCTETS, b"Content-Encoding: deflate, gzip"), 415),
        "compressed in chunks": (coded(b"gzip, chunked"), 501),
        "compressed in chunks, by two headers": (coded(b"gzip\r\nTransfer-Encoding: chunked"), 501),
    }.values(),
)
def test_a_body_beyond_the_limit_or_compressed_is_refused_before_it_is_looked_at(edges, request_, status):
    def refused(address):
        with Connection(address) as connection:
            connection.send(request_)
            return connection.answer()

    asked = [counted(edges, lambda each=each: refused(each)) for each in edges.both()]
    assert asked[0] == asked[1]
    (got, _, text), outcomes = asked[0]
    assert got == status
    assert (b"at most %d are taken" % MAX_BODY_BYTES in text) == (status == 413)
    assert outcomes == {"bad_input": 1}


def bare(*headers, body=b"", line=b"POST /predict HTTP/1.1"):
    lines = (line, HOST.rstrip(), b"Content-Type: " + OCTETS, *headers)
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


GET_10 = b"GET /health/live HTTP/1.0\r\n\r\n"
LENGTH, CHUNKED = b"Content-Length: 192", b"Transfer-Encoding: chunked"
IN_CHUNKS = b"c0\r\n" + pixels() + b"\r\n0\r\n\r\n"
# Two readers could take these for requests of different lengths (RFC 9112, sections 6.3 and 11.2), or for no requests.
AMBIGUOUS = {
    "two lengths": bare(LENGTH, b"Content-Length: 5", body=pixels()),
    "one length twice": bare(LENGTH, LENGTH, body=pixels()),
    "a list of lengths": bare(b"Content-Length: 192, 192", body=pixels()),
    "a length and chunks": bare(LENGTH, CHUNKED, body=IN_CHUNKS),
    "chunks and a length": bare(CHUNKED, LENGTH, body=IN_CHUNKS),
    "a coding behind chunks": bare(b"Transfer-Encoding: chunked, gzip", body=IN_CHUNKS),
    "chunks in chunks": bare(b"Transfer-Encoding: chunked, chunked", body=IN_CHUNKS),
    "no chunks": bare(b"Transfer-Encoding: identity", body=pixels()),
    "nearly chunks": bare(b"Transfer-Encoding: xchunked", body=IN_CHUNKS),
    "a hidden coding": bare(b"Transfer-Encoding: \x0bchunked", body=IN_CHUNKS),
    "no host": bare(LENGTH, body=pixels()).replace(HOST, b""),
    "two hosts": bare(LENGTH, HOST.replace(b"x", b"y").rstrip(), body=pixels()),
    "one host twice": bare(LENGTH, HOST.rstrip(), body=pixels()),
    "a space before the colon": bare(b"Content-Length : 192", body=pixels()),
    "a length below nothing": bare(b"Content-Length: -1", body=pixels()),
    "a length with a sign": bare(b"Content-Length: +192", body=pixels()),
    "a length in hexadecimal": bare(b"Content-Length: 0xc0", body=pixels()),
    "an empty length": bare(b"Content-Length:", body=pixels()),
    "a length beyond 64 bits": bare(b"Content-Length: 18446744073709551616", body=pixels()),
    "a chunk beyond 64 bits": bare(CHUNKED, body=b"10000000000000000\r\n"),
    "a chunk below nothing": bare(CHUNKED, body=b"-1\r\n"),
    "a chunk with a prefix": bare(CHUNKED, body=b"0xc0\r\n" + pixels()),
    "a chunk without its end": bare(CHUNKED, body=b"c0\r\n" + pixels() + b"XX0\r\n\r\n"),
    "line feeds alone": bare(CHUNKED, body=IN_CHUNKS.replace(b"\r\n", b"\n")),
    "a length in the trailer": bare(CHUNKED, body=IN_CHUNKS[:-2] + b"Content-Length: 5\r\n\r\n"),
    "a folded header": bare(b"A: b\r\n c", LENGTH, body=pixels()),
    "a null byte": bare(b"A: \0", LENGTH, body=pixels()),
    "a carriage return inside": bare(b"A: b\rc", LENGTH, body=pixels()),
    "a header without a colon": bare(b"Abc", LENGTH, body=pixels()),
    "a header without a name": bare(b": b", LENGTH, body=pixels()),
    "chunks of HTTP/1.0": bare(CHUNKED, body=IN_CHUNKS, line=b"POST /predict HTTP/1.0"),
    "a fragment": bare(LENGTH, body=pixels(), line=b"POST /predict#a HTTP/1.1"),
    "a URL with a fragment": bare(LENGTH, body=pixels(), line=b"POST http://x/predict#a HTTP/1.1"),
    "a URL with a user": bare(LENGTH, body=pixels(), line=b"POST http://u:p@x/predict HTTP/1.1"),
    "a URL of another scheme": bare(LENGTH, body=pixels(), line=b"POST ftp://x/predict HTTP/1.1"),
    "a URL without a host": bare(LENGTH, body=pixels(), line=b"POST http:///predict HTTP/1.1"),
    "a path without a slash": bare(LENGTH, body=pixels(), line=b"POST predict HTTP/1.1"),
    "the whole server": bare(LENGTH, body=pixels(), line=b"POST * HTTP/1.1"),
    "the whole server, by GET": bare(line=b"GET * HTTP/1.1"),
    "a name with a space": bare(LENGTH, body=pixels()).replace(HOST, b"Host: a b\r\n"),
    "a name with a user": bare(LENGTH, body=pixels()).replace(HOST, b"Host: u@x\r\n"),
    "a name of HTTP/1.0 with a user": GET_10.replace(b"\r\n\r\n", b"\r\nHost: u@x\r\n\r\n"),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/9": bare(LENGTH, body=pixels(), line=b"POST /predict HTTP/9.9"),
    "a method in small letters": bare(LENGTH, body=pixels(), line=b"post /predict HTTP/1.1"),
}


@pytest.mark.parametrize("request_", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_what_two_readers_could_read_differently_is_refused_and_ends_the_connection(edges, request_):
    def converse():
        with Connection(edges.hot) as connection:
            connection.send(request_)
            status = connection.answer()[0]
            return status, connection.is_closed()

    answered, outcomes = counted(edges, converse)
    assert answered == (400, True)
    assert sum(outcomes.values()) == 1
    assert set(outcomes) <= {"bad_input", "cancelled"}


@pytest.mark.parametrize(
    "line",
    [b"POST /predict HTTP/0.9", b"POST /predict HTTP/2.0", b"POST /predict", b"GET /health/live HTTP/2.0"],
)
def test_another_version_of_http_is_refused_and_ends_the_connection(edges, line):
    def converse():
        with Connection(edges.hot) as connection:
            connection.send(bare(LENGTH, body=pixels(), line=line))
            return connection.answer()[0], connection.is_closed()

    assert counted(edges, converse) == ((505, True), {"bad_input": 1})


def test_a_body_that_is_longer_than_announced_is_another_request_and_refused_as_one(edges):
    def converse():
        with Connection(edges.hot) as connection:
            connection.send(PIXELS)
            first = connection.answer()[0]
            connection.send(b"\0\0\0\0")
            return first, connection.answer()[0], connection.is_closed()

    answered, outcomes = counted(edges, converse)
    assert answered == (200, 400, True)
    assert outcomes == {"ok": 1, "bad_input": 1}


@pytest.mark.parametrize("request_", [PIXELS[:-1], chunked(pixels())[:-1], chunked(pixels())[:-5]])
def test_a_body_that_is_shorter_than_announced_is_a_client_that_has_gone(edges, request_):
    begun = edges.begun

    def converse():
        with Connection(edges.hot) as connection:
            connection.send(request_)
            edges.until(lambda: edges.begun == begun + 1)

    _, outcomes = counted(edges, converse)
    assert outcomes == {"cancelled": 1}
