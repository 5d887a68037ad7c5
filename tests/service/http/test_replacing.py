"""A running service is replaced on its own listening socket: here the replacement is played by the tests."""

import asyncio
import os
import signal
import socket
import threading

import pytest
from edges import Connection, post
from serving import PATIENCE_S, serve_and, until

from tailgate.service.batching.service import Phase
from tailgate.service.errors import ConfigurationError
from tailgate.service.http import listening
from tailgate.service.http.listening import may_have, take_over
from tailgate.service.settings import load_settings

PREDICT = post(b'{"inputs": [1, 2, 3, 4]}', b"application/json")


def asked(connection):
    """Return the status of an answer of the model, and whether it ends its connection."""
    connection.send(PREDICT)
    status, headers, _ = connection.answer()
    return status, b"connection: close" in headers


async def ask(address):
    def once():
        with Connection(address) as connection:
            return asked(connection)

    return await asyncio.to_thread(once)


async def taken_over(service):
    await until(lambda: service.phase is Phase.READY)
    return await asyncio.to_thread(take_over, os.getpid())


def test_what_is_connected_gets_one_more_answer_and_what_connects_waits_for_the_replacement(monkeypatch):
    seen = {}

    async def visit(served, service, address):
        former = await taken_over(service)
        with Connection(address) as kept, former.listener:
            seen["meanwhile"] = await asyncio.to_thread(asked, kept), await ask(address)
            former.relieve()
            await until(lambda: served.guard.closing)
            with Connection(address) as late:
                late.send(PREDICT)
                former.listener.settimeout(PATIENCE_S)
                accepted, _ = await asyncio.to_thread(former.listener.accept)
                with accepted:
                    assert accepted.getpeername() == late.socket.getsockname()
                    assert (await asyncio.to_thread(accepted.recv, 2**16)).startswith(b"POST /predict ")
            seen["ready"] = service.ready
            seen["kept"] = await asyncio.to_thread(asked, kept)
            assert await asyncio.to_thread(kept.is_closed)

    settings = {"model": "tiny_models:doubler", "drain_delay_s": 3600, "drain_timeout_s": 3600}
    assert serve_and(visit, monkeypatch, **settings) == 0
    assert seen == {"meanwhile": ((200, False), (200, False)), "ready": True, "kept": (200, True)}


def test_a_connection_that_asks_nothing_more_is_closed_when_the_drain_time_is_over(monkeypatch):
    async def visit(served, service, address):
        former = await taken_over(service)
        with former.listener, Connection(address) as idle:
            await asyncio.to_thread(asked, idle)
            former.relieve()
            assert await asyncio.to_thread(idle.is_closed)

    assert serve_and(visit, monkeypatch, model="tiny_models:doubler", drain_timeout_s=0.05) == 0


def test_a_replacement_that_ends_before_it_is_ready_changes_nothing(monkeypatch):
    async def visit(served, service, address):
        for _ in range(2):
            former = await taken_over(service)
            former.listener.close()
            former._connection.close()
            assert await ask(address) == (200, False)
        os.kill(os.getpid(), signal.SIGTERM)

    assert serve_and(visit, monkeypatch, model="tiny_models:doubler") == 0


def test_a_signal_ends_a_service_that_is_being_replaced(monkeypatch):
    async def visit(served, service, address):
        former = await taken_over(service)
        former.listener.close()
        os.kill(os.getpid(), signal.SIGTERM)
        await until(lambda: service.phase is Phase.STOPPED)
        former.relieve()

    assert serve_and(visit, monkeypatch, model="tiny_models:doubler") == 0


def test_another_user_gets_nothing(monkeypatch):
    heard = []

    async def visit(served, service, address):
        await until(lambda: service.phase is Phase.READY)
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.settimeout(PATIENCE_S)
            await asyncio.to_thread(stranger.connect, f"\0tailgate-{os.getpid()}")
            heard.append(await asyncio.to_thread(stranger.recv, 1))
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(listening, "may_have", lambda user: False)
    assert serve_and(visit, monkeypatch, model="tiny_models:doubler") == 0
    assert heard == [b""]


@pytest.mark.parametrize(
    ("user", "own", "may"), [(0, 0, True), (5, 5, True), (0, 5, True), (5, 0, False), (6, 5, False)]
)
def test_the_socket_is_for_the_same_user_and_for_root(monkeypatch, user, own, may):
    monkeypatch.setattr(os, "geteuid", lambda: own)
    assert may_have(user) is may


def test_where_there_is_no_such_service_the_start_says_so():
    with pytest.raises(
        ConfigurationError, match=r"^TAILGATE_REPLACE: cannot take over from process 4194305: "
    ):
        take_over(4194305)  # more than the kernel gives


def test_whoever_pretends_to_be_that_process_is_found_out():
    pid = os.getppid()
    with socket.socket(socket.AF_UNIX) as pretender:
        pretender.bind(f"\0tailgate-{pid}")
        pretender.listen()
        with pytest.raises(ConfigurationError, match=f"process {os.getpid()} answers in its place"):
            take_over(pid)


def test_the_start_of_a_replacement_has_the_lowest_priority_and_what_computes_batches_the_usual(monkeypatch):
    from tailgate.service.batching import start

    def niceness():
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    monkeypatch.setattr(start, "_build", lambda settings: niceness())
    usual = niceness()
    assert asyncio.run(start.build_in_thread(load_settings({}))) == usual
    assert asyncio.run(start.build_in_thread(load_settings({}, replace=1))) == 19
    assert niceness() == usual
