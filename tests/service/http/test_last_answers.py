"""The last answer on a connection whose client is still sending: it is read, and nothing is reset; .

A client that sends its whole request before it reads loses an answer in front of which its connection is reset.
"""

import socket

import pytest
from edges import HOST, PIXELS, Connection, answered, form, picture, pixels, post, two_edges

from tailgate.service.batching.service import Phase

OCTETS, FORM = b"application/octet-stream", b"multipart/form-data; boundary=x"
TOKEN = b"open-sesame-open-sesame"
KNOWN = b"Authorization: Bearer " + TOKEN
LARGE = bytes(3_000_000)
CLOSE = b"Connection: close"


@pytest.fixture(scope="module")
def _edges():
    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        two_edges(monkeypatch, token=TOKEN.decode(), max_body_bytes=len(LARGE) - 1) as edges,
    ):
        yield edges


@pytest.fixture
def edges(_edges):
    """Both edges; after each test nothing is in flight, and no connection is left."""
    edges, guard = _edges, _edges.guard
    yield edges
    guard.closing = False
    edges.rest()
    edges.until(lambda: not guard._open)


@pytest.fixture
def guard(_edges):
    return _edges.guard


def chunks(*headers, kind=OCTETS, path=b"/predict", end=b"0\r\n\r\n"):
    lines = (
        b"POST %b HTTP/1.1" % path,
        HOST.rstrip(),
        b"Content-Type: " + kind,
        b"Transfer-Encoding: chunked",
        *headers,
    )
    return b"\r\n".join(lines) + b"\r\n\r\n" + (b"%x\r\n%b\r\n" % (10_000, bytes(10_000))) * 300 + end


# What is refused before its body is there, and the status of the refusal.
REFUSED = {
    "no token": (post(LARGE), 401),
    "a type": (post(LARGE, b"text/plain", KNOWN), 415),
    "a coding": (post(LARGE, OCTETS, KNOWN, b"Content-Encoding: gzip"), 415),
    "a length": (post(LARGE[1:], OCTETS, KNOWN), 422),
    "too many bytes": (post(LARGE, b"image/png", KNOWN), 413),
    "a form of too many bytes": (post(LARGE, FORM, KNOWN), 413),
    "a path": (post(LARGE, OCTETS, KNOWN, path=b"/nowhere"), 404),
    "a method": (post(LARGE, OCTETS, KNOWN, path=b"/metrics"), 405),
    "chunks of a type": (chunks(KNOWN, kind=b"text/plain"), 415),
    "chunks for a path": (chunks(KNOWN, path=b"/nowhere"), 404),
    "chunks without a token": (chunks(), 401),
}
LAST = {
    "close": lambda request_: request_.replace(HOST, HOST + CLOSE + b"\r\n", 1),
    "HTTP/1.0": lambda request_: request_.replace(b"HTTP/1.1", b"HTTP/1.0", 1),
}


def sent_whole(edges, request_, head_first):
    """Return the answer to a request whose client sends all of it before it reads; nothing may be reset."""
    with Connection(edges.hot) as connection:
        protocol = edges.protocol(connection)
        if head_first:
            connection.send(request_[: request_.index(b"\r\n\r\n") + 4 + 100])
            edges.until(lambda: protocol.requests == 1 and answered(protocol))
            connection.send(request_[request_.index(b"\r\n\r\n") + 4 + 100 :])
        else:
            connection.send(request_)
        answer = connection.answer()
        assert connection.is_closed()
        connection.socket.shutdown(socket.SHUT_WR)
        edges.until(lambda: protocol not in edges.guard.connections())
        assert connection.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    assert answer[1][-1] == b"connection: close"
    return answer


@pytest.mark.parametrize("head_first", [True, False], ids=["refused at its head", "sent at once"])
@pytest.mark.parametrize("last", LAST)
@pytest.mark.parametrize("request_", REFUSED)
def test_a_refusal_that_ends_the_connection_is_read_by_a_client_that_sends_its_whole_body_first(
    edges, request_, last, head_first
):
    data, status = REFUSED[request_]
    if last == "HTTP/1.0" and b"chunked" in data:
        status = 400  # there are no chunks in HTTP/1.0
        head_first = False
    assert sent_whole(edges, LAST[last](data), head_first)[0] == status


@pytest.mark.parametrize("kind", [b"image/png", FORM, OCTETS])
def test_while_the_service_drains_a_large_body_does_not_cost_its_client_the_refusal(
    edges, guard, monkeypatch, kind
):
    monkeypatch.setattr(edges.service, "phase", Phase.DRAINING)
    guard.closing = True
    status, headers, _ = sent_whole(edges, post(LARGE[1:], kind, KNOWN), head_first=True)
    assert status == 503
    assert b"retry-after: 1" in headers


def test_a_server_that_stops_lets_a_client_finish_a_body_that_was_refused_on_a_kept_connection(edges):
    request_ = post(LARGE, b"text/plain", KNOWN)
    with Connection(edges.hot) as connection:
        connection.send(request_[:-1000])
        assert connection.answer()[0] == 415
        protocol = edges.protocol(connection)
        edges.loop.call_soon_threadsafe(protocol.shut_down)
        assert connection.is_closed()  # its half
        connection.send(request_[-1000:])
        connection.socket.shutdown(socket.SHUT_WR)
        edges.until(lambda: protocol not in edges.guard.connections())
        assert connection.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0


@pytest.mark.parametrize("behind", [PIXELS * 5000, b"nonsense" * 100_000], ids=["requests", "nonsense"])
def test_what_comes_behind_the_last_request_does_not_cost_its_client_the_answer(edges, behind):
    with Connection(edges.hot) as connection:
        protocol = edges.protocol(connection)
        connection.send(post(pixels(), OCTETS, KNOWN, CLOSE) + behind)
        status, headers, _ = connection.answer()
        assert connection.is_closed()
        assert (status, headers[-1]) == (200, b"connection: close")
        assert connection.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        connection.socket.shutdown(socket.SHUT_WR)
        edges.until(lambda: protocol not in edges.guard.connections())


def test_a_second_request_behind_a_refused_one_that_was_the_last_costs_its_client_no_answer(edges, guard):
    guard.closing = True
    with Connection(edges.hot) as connection:
        protocol = edges.protocol(connection)
        connection.send(post(LARGE, b"text/plain", KNOWN) * 2)
        status, headers, _ = connection.answer()
        assert connection.is_closed()
        assert (status, headers[-1]) == (415, b"connection: close")
        assert connection.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        connection.socket.shutdown(socket.SHUT_WR)
        edges.until(lambda: protocol not in edges.guard.connections())


@pytest.mark.parametrize("request_", [form(picture()), post(pixels()), post(picture(), b"image/png")])
def test_the_client_of_a_last_answer_hears_the_end_at_once_and_ends_the_connection_itself(edges, request_):
    closing = LAST["close"](request_).replace(HOST, HOST + KNOWN + b"\r\n")
    with Connection(edges.hot) as connection:
        protocol = edges.protocol(connection)
        connection.send(closing)
        assert connection.answer()[0] == 200
        assert connection.is_closed()
        connection.socket.shutdown(socket.SHUT_WR)
        edges.until(lambda: protocol not in edges.guard.connections())


def test_the_rest_of_a_refused_body_is_no_request_although_it_looks_like_one(edges):
    hidden = (b"GET /SMUGGLED HTTP/1.1\r\n" + HOST + b"\r\n") * 50_000
    before = edges.outcomes()
    assert sent_whole(edges, LAST["close"](post(hidden, b"text/plain", KNOWN)), head_first=True)[0] == 415
    assert edges.outcomes() == before | {"bad_input": before.get("bad_input", 0) + 1}
