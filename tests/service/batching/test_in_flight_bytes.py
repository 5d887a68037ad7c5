"""The bytes of all bodies in flight: bounded together , and given back whatever becomes of their request."""

import orjson
import pytest
from edges import PIXELS, POISON_PIXEL, Connection, chunked, form, picture, pixels, post, two_edges
from hypothesis import given
from hypothesis import strategies as st

from tailgate.service.batching.requests.journal import Journal
from tailgate.service.batching.requests.request import Request
from tailgate.service.batching.service import Service
from tailgate.service.codec.inputs import Kind
from tailgate.service.codec.intent import Intent
from tailgate.service.errors import BadInput, Cut
from tailgate.service.settings import load_settings

MAX_BODY_BYTES, MAX_IN_FLIGHT_BYTES = 20_000, 30_000
JSON, PNG, OCTETS = b"application/json", b"image/png", b"application/octet-stream"
FORM = b"multipart/form-data; boundary=x"
TENSOR = b'{"inputs": %b}' % str([[[200, 100, 0]] * 8] * 8).encode()


@pytest.fixture(scope="module")
def _edges():
    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        two_edges(
            monkeypatch,
            max_body_bytes=MAX_BODY_BYTES,
            max_in_flight_bytes=MAX_IN_FLIGHT_BYTES,
            queue_capacity=1,
        ) as edges,
    ):
        yield edges


@pytest.fixture
def edges(_edges):
    """Both edges; after each test no byte is held."""
    yield _edges
    _edges.model.opened.set()
    _edges.rest()
    assert _edges.service.in_flight.bytes == 0


def held(edges, count):
    """Wait until so many bytes are held."""
    edges.until(lambda: edges.service.in_flight.bytes == count)


# Given back at every end.

ENDINGS = {
    "pixels": (PIXELS, 200),
    "pixels in chunks": (chunked(*(bytes([byte]) for byte in pixels())), 200),
    "an image": (post(picture(), PNG), 200),
    "a tensor": (post(TENSOR, JSON), 200),
    "a form": (form(picture()), 200),
    "no image": (post(b"x", PNG), 415),
    "a damaged form": (post(b"x" * 50, FORM), 400),
    "an empty body": (post(b""), 400),
    "a body that turns out too large": (chunked(bytes(MAX_BODY_BYTES), b"x"), 413),
    "a form that turns out too large": (chunked(bytes(MAX_BODY_BYTES), b"x", kind=FORM), 413),
    "a wrong length": (post(bytes(191)), 422),
    "a wrong length in chunks": (chunked(bytes(191)), 422),
    "a model that fails": (post(pixels(first=POISON_PIXEL)), 500),
    "a deadline": (post(pixels(), OCTETS, b"X-Request-Timeout-Ms: 0.001"), 504),
}


@pytest.mark.parametrize(("request_", "status"), ENDINGS.values(), ids=ENDINGS)
def test_what_an_answered_request_held_is_given_back(edges, request_, status):
    with Connection(edges.hot) as connection:
        for _ in range(2):  # the second has a known head
            connection.send(request_)
            assert connection.answer()[0] == status
            assert edges.service.in_flight.bytes == 0


@pytest.mark.parametrize("kind", [OCTETS, FORM])
def test_a_client_that_leaves_in_the_middle_of_its_body_gives_it_back(edges, kind):
    with Connection(edges.hot) as connection:
        connection.send(post(pixels(), kind)[:-1])
        held(edges, 191)
    held(edges, 0)


def test_a_body_is_held_until_its_answer_or_until_its_client_leaves(edges):
    with edges.hold(edges.hot) as first:
        with Connection(edges.hot) as second:
            second.send(PIXELS)
            held(edges, 2 * 192)
        held(edges, 192)
        edges.model.opened.set()
        assert first.answer()[0] == 200
    held(edges, 0)


def test_a_request_that_the_full_queue_refuses_holds_nothing(edges):
    with edges.hold(edges.hot) as first, Connection(edges.hot) as second:
        second.send(PIXELS)
        edges.waiting(1)
        with Connection(edges.hot) as refused:
            refused.send(PIXELS)
            assert refused.answer()[0] == 429
        assert edges.service.in_flight.bytes == 2 * 192
        edges.model.opened.set()
        assert first.answer()[0] == second.answer()[0] == 200


@pytest.mark.parametrize(("reason", "status"), [(Cut.SLOW_BODY, 408), (Cut.DRAIN, 503)])
def test_a_request_that_the_guard_cuts_off_gives_its_body_back(edges, reason, status):
    with Connection(edges.hot) as connection:
        connection.send(PIXELS[:-1])
        held(edges, 191)
        edges.loop.call_soon_threadsafe(edges.protocol(connection).cut, reason)
        assert connection.answer()[0] == status
        held(edges, 0)


# Refused beyond it.


@pytest.mark.parametrize("kind", [PNG, FORM])
def test_what_would_be_more_bytes_than_may_be_in_flight_is_refused_by_its_head_or_as_it_comes(edges, kind):
    full = edges.outcomes().get("full", 0)
    large = post(bytes(MAX_BODY_BYTES), kind)
    with Connection(edges.hot) as first:
        first.send(large[:-1])
        held(edges, MAX_BODY_BYTES - 1)
        with Connection(edges.hot) as announced:
            announced.send(large[:-MAX_BODY_BYTES])
            status, headers, body = announced.answer()
        assert status == 429
        assert b"retry-after: 1" in headers
        assert "TAILGATE_MAX_IN_FLIGHT_BYTES" in orjson.loads(body)["error"]
        with Connection(edges.hot) as in_chunks:
            in_chunks.send(chunked(bytes(10_000), bytes(2), kind=kind))
            assert in_chunks.answer() == (status, headers, body)
            in_chunks.send(PIXELS)
            assert in_chunks.answer()[0] == 200
        assert edges.service.in_flight.bytes == MAX_BODY_BYTES - 1
    held(edges, 0)
    assert edges.outcomes()["full"] == full + 2


def test_a_known_head_is_refused_too_where_there_is_no_room(edges, monkeypatch):
    with Connection(edges.hot) as connection:
        connection.send(PIXELS)
        assert connection.answer()[0] == 200
        monkeypatch.setattr(edges.service.in_flight, "bytes", MAX_IN_FLIGHT_BYTES - 191)
        connection.send(PIXELS)
        assert connection.answer()[0] == 429
        monkeypatch.setattr(edges.service.in_flight, "bytes", 0)
        connection.send(PIXELS)
        assert connection.answer()[0] == 200


@pytest.mark.parametrize(
    ("request_", "status", "words"),
    [
        (post(bytes(191)), 422, "expected exactly the 192 bytes of uint8[8, 8, 3], got 191"),
        (post(bytes(193)), 422, "expected exactly the 192 bytes of uint8[8, 8, 3], got 193"),
    ],
)
def test_a_body_of_another_size_than_the_model_takes_is_refused_before_it_is_read(
    edges, request_, status, words
):
    with Connection(edges.hot) as connection:
        connection.send(request_.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
        answered, _, body = connection.answer()
    assert answered == status
    assert words in orjson.loads(body)["error"]


def test_json_beyond_its_limit_is_refused_before_it_is_read(monkeypatch):
    with two_edges(monkeypatch) as edges:
        for address in edges.both():
            with Connection(address) as connection:
                connection.send(post(bytes(65_537), JSON).partition(b"\0")[0])
                answered, _, body = connection.answer()
            assert answered == 413
            assert "the JSON has 65537 bytes, and at most 65536 are taken" in orjson.loads(body)["error"]


# One call after another, without sockets.


def service_of(capacity):
    service = Service(load_settings({}, max_body_bytes=100, max_in_flight_bytes=capacity))
    service.journal = Journal(None, later=lambda *_: None)
    service.turn_away = lambda: 1
    return service


ENDS = {
    "abandon": Request.abandon,
    "refuse": lambda request: request.refuse(BadInput("x")),
    "fail": lambda request: request.refuse(ValueError("x")),
    "complete": lambda request: (
        setattr(request, "intent", Intent(Kind.PIXELS, None, None, None)),
        request.complete(),
    ),
}


@given(
    capacity=st.integers(100, 300),
    steps=st.lists(
        st.one_of(
            st.tuples(st.integers(0, 4), st.integers(1, 120)),
            st.tuples(st.integers(0, 4), st.sampled_from(sorted(ENDS))),
        ),
        max_size=40,
    ),
)
def test_bytes_in_flight_are_those_of_the_calls_that_have_not_ended_and_never_beyond_the_bound(
    capacity, steps
):
    service = service_of(capacity)
    requests, sizes = {}, {}
    for number, step in steps:
        if number not in requests or requests[number]._ended:
            requests[number], sizes[number] = Request(service, lambda _: None), 0
        request = requests[number]
        if isinstance(step, str):
            ENDS[step](request)
            ENDS[step](request)  # ends once
            sizes[number] = 0
        else:
            request.take(bytes(step))
            sizes[number] = 0 if request._ended else sizes[number] + step
        assert service.in_flight.bytes == sum(sizes.values()) <= capacity
    for request in requests.values():
        request.abandon()
        request.take(b"late")
    assert service.in_flight.bytes == service.in_flight.requests == 0
