"""Between the signal to stop and the drain: not ready, and serving all the same."""

import asyncio
import os
import signal
import socket

import pytest
from edges import GET_LIVE, HOST, Connection, post
from serving import serve_and, until

from tailgate.service.batching.service import Phase
from tailgate.service.http.app import create_app
from tailgate.service.http.server import Server
from tailgate.service.settings import load_settings

NEVER_S = 3600
PREDICT = post(b'{"inputs": [1, 2, 3, 4]}', b"application/json")
READY, PROTOCOL_READY, MODEL_READY = (
    b"GET %b HTTP/1.1\r\n%b\r\n" % (path, HOST)
    for path in (b"/health/ready", b"/v2/health/ready", b"/v2/models/doubler/ready")
)


def asked(connection, request):
    """Return the status of an answer, and whether it ends its connection."""
    connection.send(request)
    status, headers, _ = connection.answer()
    return status, b"connection: close" in headers


def stop():
    os.kill(os.getpid(), signal.SIGTERM)


def test_whoever_asks_is_served_while_it_leaves_and_told_to_go_elsewhere(monkeypatch):
    seen = {}

    async def visit(served, service, address):
        def ask(request):
            with Connection(address) as connection:
                return asked(connection, request)

        await until(lambda: service.phase is Phase.READY)
        with Connection(address) as kept, Connection(address) as idle:
            seen["before"] = await asyncio.to_thread(asked, kept, PREDICT)
            await asyncio.to_thread(asked, idle, PREDICT)
            stop()
            await until(lambda: service.phase is Phase.LEAVING)
            seen["kept"] = await asyncio.to_thread(asked, kept, PREDICT)
            for name, request in {
                "model": PREDICT,
                "live": GET_LIVE,
                "ready": READY,
                "ready by the protocol": PROTOCOL_READY,
                "model ready by the protocol": MODEL_READY,
            }.items():
                seen[name] = await asyncio.to_thread(ask, request)
            stop()
            await until(lambda: service.phase is Phase.STOPPED)
            assert await asyncio.to_thread(idle.is_closed)

    settings = {"model": "tiny_models:doubler", "drain_delay_s": NEVER_S}
    assert serve_and(visit, monkeypatch, **settings) == 0
    assert seen == {
        "before": (200, False),
        "kept": (200, True),
        "model": (200, True),
        "live": (200, True),
        "ready": (503, True),
        "ready by the protocol": (503, True),
        "model ready by the protocol": (503, True),
    }


class Stopping:
    """A server that is not run: only its way from the signal to the end of the drain, in virtual time."""

    def __init__(self, phase=Phase.READY, **settings):
        with socket.socket() as listener:
            self.server = Server(create_app(load_settings({}, **settings)), listener, None)
        self.service = self.server.service
        self.service.phase = phase

    async def takes_s(self, *, held=False, hurried_s=()):
        """Return the seconds until the drain begins and until it ends.

        Args:
            held: a request is in flight that never ends.
            hurried_s: when further signals come.
        """
        loop, began_s = asyncio.get_running_loop(), []
        self.service.in_flight.requests = int(held)
        drain = self.service.drain

        async def noted():
            began_s.append(loop.time())
            return await drain()

        self.service.drain = noted
        for time_s in hurried_s:
            loop.call_later(time_s, self.server.hurry.set)
        start_s = loop.time()
        await self.server._leave()
        await self.server._drain()
        return began_s[0] - start_s, loop.time() - start_s


@pytest.mark.asyncio
@pytest.mark.looptime
@pytest.mark.parametrize(
    ("settings", "held", "hurried_s", "begins_s", "ends_s"),
    [
        ({}, False, (), 0, 0),
        ({"drain_delay_s": 15}, False, (), 15, 15),
        ({"drain_delay_s": 15}, True, (), 15, 45),
        ({"drain_delay_s": 15, "drain_timeout_s": 0}, True, (), 15, 15),
        ({"drain_delay_s": 15}, True, (4,), 4, 34),
        ({"drain_delay_s": 15}, True, (4, 9), 4, 9),
        ({"drain_delay_s": 15}, True, (20,), 15, 20),
        ({"drain_delay_s": 0}, True, (4,), 0, 4),
        ({"drain_delay_s": 15, "phase": Phase.STARTING}, False, (), 0, 0),
    ],
)
async def test_the_drain_begins_after_the_delay_and_each_further_signal_ends_one_wait(
    settings, held, hurried_s, begins_s, ends_s
):
    assert await Stopping(**settings).takes_s(held=held, hurried_s=hurried_s) == pytest.approx(
        (begins_s, ends_s)
    )
