"""Clients that close their sending half behind a request, and clients that leave: the same FIN, told apart ."""

import http.client
import io
import socket

import pytest
from edges import GET_LIVE, HOST, PIXELS, Connection, chunked, form, picture, pixels, post, two_edges

GET_METRICS = b"GET /metrics HTTP/1.1\r\n" + HOST + b"\r\n"
OCTETS = b"application/octet-stream"


@pytest.fixture(scope="module")
def _edges():
    with pytest.MonkeyPatch.context() as monkeypatch, two_edges(monkeypatch) as edges:
        yield edges


@pytest.fixture
def edges(_edges):
    """Both edges; after each test nothing is in flight, and every request that began has been counted once."""
    begun, ended = _edges.begun, _edges.ended()
    yield _edges
    _edges.model.opened.set()
    _edges.rest()
    assert _edges.ended() - ended == _edges.begun - begun


def silent(address, request_):
    """Send a request and close the sending half."""
    connection = Connection(address)
    connection.send(request_)
    connection.socket.shutdown(socket.SHUT_WR)
    return connection


def final(connection, count=1):
    """Return the statuses of so many answers without interim ones, and the last one's headers; nothing comes behind them."""
    statuses, headers = [], ()
    while len(statuses) < count:
        status, headers, _ = connection.answer()
        statuses += [status] if status >= 200 else []
    assert connection.is_closed()
    return statuses, headers


REQUESTS = {
    "pixels": PIXELS,
    "chunks": chunked(pixels()),
    "an image": post(picture(), b"image/png"),
    "a form": form(picture()),
    "pixels that wish to close": post(pixels(), OCTETS, b"Connection: close"),
    "pixels by HTTP/1.0": post(pixels(), OCTETS, version=b"1.0"),
    "a probe": GET_LIVE,
    "metrics": GET_METRICS,
    "a refused type": post(b"x", b"text/plain"),
    "an unknown path": post(b"x", OCTETS, path=b"/nowhere"),
}


@pytest.mark.parametrize("request_", REQUESTS.values(), ids=REQUESTS)
def test_a_half_closed_client_gets_its_answer_and_then_the_end(edges, request_):
    expected = 415 if b"text/plain" in request_ else 404 if b"nowhere" in request_ else 200
    with silent(edges.hot, request_) as connection:
        assert final(connection)[0] == [expected]


@pytest.mark.parametrize(
    ("request_", "statuses"),
    [
        (PIXELS + GET_LIVE + PIXELS, [200, 200, 200]),
        (PIXELS + PIXELS[:20], [200]),
        (PIXELS + PIXELS[:-1], [200]),
        (PIXELS + chunked(pixels())[:-3], [200]),
        (PIXELS + GET_LIVE + PIXELS[:-1], [200, 200]),
        (PIXELS + b"nonsense\r\n\r\n", [200, 400]),
    ],
    ids=["three", "half a head", "half a body", "half the chunks", "half a body behind two", "nonsense"],
)
def test_all_that_a_half_closed_client_has_asked_is_answered_and_what_it_has_not_finished_is_not(
    edges, request_, statuses
):
    with edges.hold(edges.hot) as held, silent(edges.hot, request_) as connection:
        edges.waiting(1)
        edges.model.opened.set()
        assert held.answer()[0] == 200
        assert final(connection, len(statuses))[0] == statuses


def test_a_half_closed_client_that_waits_long_is_asked_whether_it_listens_and_then_answered(edges):
    with edges.hold(edges.hot) as held, silent(edges.hot, PIXELS) as connection:
        assert connection.answer() == (100, (), b"")
        edges.model.opened.set()
        assert held.answer()[0] == 200
        statuses, headers = final(connection)
    assert (statuses, headers[-1]) == ([200], b"connection: close")


def test_a_half_closed_client_of_http_1_0_is_not_asked(edges, monkeypatch):
    monkeypatch.setattr("tailgate.service.http.half_closed.ASK_AFTER_S", 0)
    with (
        edges.hold(edges.hot) as held,
        silent(edges.hot, post(pixels(), OCTETS, version=b"1.0")) as connection,
    ):
        edges.waiting(1)
        protocol = edges.protocol(connection)
        edges.until(lambda: protocol._silent)
        edges.model.opened.set()
        assert held.answer()[0] == 200
        assert connection.answer()[0] == 200


@pytest.mark.parametrize(
    ("asked", "reset"),
    [(False, False), (False, True), (True, True)],
    ids=["closed", "reset", "reset once asked"],
)
def test_a_half_closed_client_that_leaves_is_counted_and_never_computed(edges, asked, reset):
    before, computed = edges.outcomes(), edges.service.metrics.batch_size.sum
    with edges.hold(edges.hot) as held:
        leaving = silent(edges.hot, PIXELS)
        edges.waiting(1)
        if asked:
            assert leaving.answer()[0] == 100
        leaving.close(reset=reset)
        edges.waiting(0)
        edges.model.opened.set()
        assert held.answer()[0] == 200
    edges.rest()
    assert edges.outcomes() == before | {
        "cancelled": before.get("cancelled", 0) + 1,
        "ok": before.get("ok", 0) + 1,
    }
    assert edges.service.metrics.batch_size.sum == computed + 1


class Recorded:
    """A socket from which everything has been read."""

    def __init__(self, data):
        self._data = data

    def makefile(self, *_):
        return io.BytesIO(self._data)


def test_the_standard_librarys_client_reads_over_the_question(edges):
    with edges.hold(edges.hot) as held, silent(edges.hot, PIXELS) as connection:
        edges.waiting(1)
        protocol = edges.protocol(connection)
        edges.until(lambda: protocol._silent)
        assert connection.socket.recv(1, socket.MSG_PEEK) == b"H"
        edges.model.opened.set()
        assert held.answer()[0] == 200
        data = connection._file.read()
    assert data.startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
    answer = http.client.HTTPResponse(Recorded(data), method="POST")
    answer.begin()
    assert answer.status == 200
    assert b"predictions" in answer.read()
