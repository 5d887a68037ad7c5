"""The hot path against uvicorn's own way: the same bytes, the same answers; and what only the hot path has to look after."""

import asyncio
import contextlib

import pytest
from edges import (
    GET_LIVE,
    HOST,
    MAX_BODY_BYTES,
    PIXELS,
    POISON_PIXEL,
    QUEUE_CAPACITY,
    Connection,
    chunked,
    form,
    picture,
    pixels,
    post,
    two_edges,
)
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from service import hot_path
from service.lifecycle import Phase

JSON, PNG, OCTETS = b"application/json", b"image/png", b"application/octet-stream"
TENSOR = b'{"inputs": %b}' % str([[[200, 100, 0]] * 8] * 8).encode()
LATE = b"X-Request-Timeout-Ms: 0.001"


@pytest.fixture(scope="module")
def _edges():
    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        two_edges(monkeypatch, max_body_bytes=MAX_BODY_BYTES, queue_capacity=QUEUE_CAPACITY) as edges,
    ):
        yield edges


@pytest.fixture
def edges(_edges):
    """Both edges; after each test nothing is in flight, and every request that began has been counted once."""
    _edges.ways.clear()
    begun, ended = _edges.begun, _edges.ended()
    yield _edges
    _edges.model.opened.set()
    _edges.until(lambda: _edges.service.in_flight == 0)
    assert _edges.ended() - ended == _edges.begun - begun
    assert _edges.service._batcher.waiting == _edges.service._decoding == 0


def same(edges, converse):
    """Have the same conversation at both edges, and return what was answered."""
    answers = []
    for address in edges.both():
        with Connection(address) as connection:
            answers.append(converse(connection))
    assert answers[0] == answers[1]
    return answers[0]


# The same answers.

# What is sent, the status of its answer, and whether the hot path answers it.
REQUESTS = {
    "pixels": (PIXELS, 200, True),
    "a PNG": (post(picture("PNG"), PNG), 200, True),
    "a JPEG": (post(picture("JPEG"), b"image/jpeg"), 200, True),
    "a WebP": (post(picture("WEBP"), b"image/webp"), 200, True),
    "a tensor": (post(TENSOR, JSON), 200, True),
    "a batched tensor": (post(TENSOR.replace(b"[[[", b"[[[[").replace(b"]]]", b"]]]]"), JSON), 200, True),
    "a form": (form(picture()), 200, False),
    "a form of another type": (form(b"x", b"text/plain"), 415, False),
    "a type with a parameter": (post(TENSOR, b"Application/JSON; charset=utf-8"), 200, True),
    "a query": (post(pixels(), OCTETS, path=b"/predict?a=b&c"), 200, True),
    "an empty query": (post(pixels(), OCTETS, path=b"/predict?"), 200, True),
    "a whole URL": (post(pixels(), OCTETS, path=b"http://x/predict"), 200, False),
    "an escaped path": (post(pixels(), OCTETS, path=b"/%70redict"), 200, False),
    "a longer path": (post(pixels(), OCTETS, path=b"/predicted"), 404, False),
    "a path with a slash": (post(pixels(), OCTETS, path=b"/predict/"), 404, False),
    "headers in capitals": (PIXELS.upper(), 200, True),
    "headers in small letters": (PIXELS.replace(b"Content", b"content").replace(b"Length", b"length"), 200, True),
    "spaces around values": (PIXELS.replace(b": ", b":   ").replace(b"\r\n", b"  \r\n", 1), None, None),
    "the last of two types counts": (post(pixels(), b"text/plain", b"Content-Type: " + OCTETS), 200, True),
    "the last of two types, a form": (post(b"x", PNG, b"Content-Type: multipart/form-data"), 400, False),
    "the last of two types, no form": (post(b"x", b"multipart/form-data", b"Content-Type: " + PNG), 415, False),
    "the last of two timeouts counts": (post(pixels(), OCTETS, LATE, b"X-Request-Timeout-Ms: 60000"), 200, True),
    "chunks": (chunked(pixels()[:1], pixels()[1:100], pixels()[100:]), 200, True),
    "chunks of one byte": (chunked(*(bytes([byte]) for byte in pixels())), 200, True),
    "chunks and a trailer": (chunked(pixels(), trailer=b"X-Sum: 1\r\n"), 200, True),
    "no chunk": (chunked(), 400, True),
    "no body": (post(b""), 400, True),
    "no length": (b"POST /predict HTTP/1.1\r\n" + HOST + b"\r\n", 415, True),
    "no type": (post(b"x", b""), 415, True),
    "a type that is not served": (post(b"x", b"text/plain"), 415, True),
    "no image": (post(b"x", PNG), 415, True),
    "a damaged image": (post(picture()[:50], PNG), 400, True),
    "an image that is too large": (post(picture(size=(200, 200)), PNG), 413, True),
    "no JSON": (post(b"{", JSON), 400, True),
    "a wrong shape": (post(b'{"inputs": [1]}', JSON), 422, True),
    "too few pixels": (post(pixels()[1:]), 422, True),
    "a compressed body": (post(pixels(), OCTETS, b"Content-Encoding: gzip"), 400, True),
    "a timeout that means nothing": (post(pixels(), OCTETS, b"X-Request-Timeout-Ms: soon"), 400, True),
    "a body that is announced too large": (post(bytes(MAX_BODY_BYTES + 1)), 413, True),
    "a body that turns out too large": (chunked(bytes(MAX_BODY_BYTES), b"x"), 413, True),
    "the largest body": (post(bytes(MAX_BODY_BYTES)), 422, True),
    "an input that makes the model fail": (post(pixels(first=POISON_PIXEL)), 500, True),
    "a wrong method": (b"GET /predict HTTP/1.1\r\n" + HOST + b"\r\n", 405, False),
    "another path": (GET_LIVE, 200, False),
    "an upgrade of something else": (
        post(pixels(), OCTETS, b"Connection: x", b"Upgrade: websocket"),
        200,
        True,
    ),
}
del REQUESTS["spaces around values"], REQUESTS["headers in capitals"]
REQUESTS["a type in capitals"] = (PIXELS.replace(OCTETS, OCTETS.upper()), 200, True)
REQUESTS["header names in capitals"] = (
    PIXELS.replace(b"Content-Type", b"CONTENT-TYPE").replace(b"Content-Length", b"CONTENT-LENGTH"),
    200,
    True,
)


@pytest.mark.parametrize(("request_", "status", "hot"), REQUESTS.values(), ids=REQUESTS)
def test_a_request_is_answered_alike_on_both_ways_and_the_connection_serves_the_next(edges, request_, status, hot):
    def converse(connection):
        connection.send(request_)
        first = connection.answer()
        connection.send(request_)
        again = connection.answer()
        connection.send(PIXELS)
        return first, again, connection.answer()

    first, again, last = same(edges, converse)
    assert first == again
    assert (first[0], last[0]) == (status, 200)
    assert edges.ways == [hot, hot, True]


def test_the_answer_has_the_servers_own_headers_first(edges):
    def converse(connection):
        connection.send(PIXELS)
        return connection.answer()

    _, headers, body = same(edges, converse)
    assert headers == (
        b"date: today",
        b"content-type: application/json",
        b"content-length: %d" % len(body),
        b'server-timing: queue;dur=N, decode;dur=N, compute;dur=N, encode;dur=N, batch;desc="1", total;dur=N',
    )
