"""The end of the server, in this process and without a model: who is answered, and which signals begin it."""

import asyncio
import os
import signal
import socket
import threading

import pytest
from edges import HOST, Connection, post
from serving import PATIENCE_S, serve_and, until

from tailgate.service.batching.service import Phase
from tailgate.service.http import server

GET_READY = b"GET /health/ready HTTP/1.1\r\n" + HOST + b"\r\n"
REQUESTS = [GET_READY, post(b"x" * 100, b"image/png"), post(b"x", b"multipart/form-data; boundary=x")]


@pytest.fixture(autouse=True)
def model_that_never_comes(monkeypatch):
    held = threading.Event()
    monkeypatch.setattr("tailgate.service.batching.start._build", lambda _: held.wait(PATIENCE_S))
    yield
    held.set()


@pytest.fixture
def hangup():
    """Decide what a hangup does. Whoever runs the tests decides otherwise: under nohup it is ignored."""
    former = signal.getsignal(signal.SIGHUP)
    yield lambda action: signal.signal(signal.SIGHUP, action)
    signal.signal(signal.SIGHUP, former)


def refusal(connection):
    """Return the status of the answer on a connection, which has to end behind it without a reset."""
    with connection:
        status, headers, _ = connection.answer()
        assert connection.is_closed()
        assert connection.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    assert headers[-1] == b"connection: close"
    return status


def test_whoever_has_connected_when_the_listener_is_closed_is_answered(monkeypatch):
    connections = []
    close = server.Server._close

    async def crowded(self, end_s):
        address = self._listener.getsockname()
        # The event loop does not turn here, so that all of these wait to be accepted when the listener is closed.
        for request_ in REQUESTS * 10:
            connections.append(Connection(address))
            connections[-1].send(request_)
        silent = Connection(address)
        connections.append(silent)
        ending = asyncio.create_task(close(self, end_s))
        await until(lambda: self._listener.fileno() < 0)
        connections[0].send(GET_READY)
        silent.send(GET_READY[:10])
        await asyncio.sleep(0)
        silent.send(GET_READY[10:])
        await ending

    async def visit(served, _, address):
        connections.append(Connection(address))  # it has been accepted, and has sent nothing
        await until(lambda: len(served.guard.connections()) == 1)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(server.Server, "_close", crowded)
    assert serve_and(visit, monkeypatch) == 0
    assert len(connections) == 32
    assert {refusal(each) for each in connections} == {503}


def test_whoever_has_connected_and_says_nothing_is_waited_for_a_moment_only(monkeypatch):
    monkeypatch.setattr(server, "LATE_REQUESTS_S", 0.05)
    connections = []

    async def visit(served, _, address):
        connections.extend(Connection(address) for _ in range(2))
        connections[0].send(GET_READY[:10])
        await until(lambda: len(served.guard.connections()) == 2)
        os.kill(os.getpid(), signal.SIGTERM)

    assert serve_and(visit, monkeypatch) == 0
    for connection in connections:
        with connection:
            assert connection.is_closed()


def test_a_listener_that_was_inherited_goes_on_for_whoever_else_holds_it(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as held:

        async def visit(served, _, address):
            assert address == held.getsockname()
            await until(lambda: served._accepting)
            os.kill(os.getpid(), signal.SIGTERM)

        assert serve_and(visit, monkeypatch, fd=os.dup(held.fileno())) == 0
        with Connection(held.getsockname()) as waiting:
            accepted, address = held.accept()
            accepted.close()
            assert address == waiting.socket.getsockname()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_to_stop_drains_and_ends_with_status_0(hangup, monkeypatch, number):
    hangup(signal.SIG_DFL)
    phases = []

    async def visit(served, service, _):
        await until(lambda: served._accepting)
        os.kill(os.getpid(), number)
        await until(lambda: service.phase is not Phase.STARTING)
        phases.append(service.phase)

    assert serve_and(visit, monkeypatch) == 0
    assert phases == [Phase.DRAINING]


def test_a_hangup_that_was_ignored_at_the_start_is_ignored(hangup, monkeypatch):
    hangup(signal.SIG_IGN)

    async def visit(served, service, _):
        await until(lambda: served._accepting)
        os.kill(os.getpid(), signal.SIGHUP)
        for _ in range(10):
            await asyncio.sleep(0)
        assert service.phase is Phase.STARTING
        os.kill(os.getpid(), signal.SIGTERM)

    assert serve_and(visit, monkeypatch) == 0
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


def test_no_connection_that_waits_is_left_when_all_are_accepted():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        clients = [Connection(listener.getsockname()) for _ in range(5)]
        accepted = server.accept_all(listener)
        assert {each.getpeername() for each in accepted} == {each.socket.getsockname() for each in clients}
        assert server.accept_all(listener) == []
        for each in (*accepted, *clients):
            each.close()
