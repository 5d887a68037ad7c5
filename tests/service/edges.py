"""One service behind two real sockets, our own server's and uvicorn's, so that the same bytes can be sent to both."""

import asyncio
import contextlib
import io
import re
import socket
import threading
from dataclasses import dataclass, field

import numpy as np
import uvicorn
import uvloop
from PIL import Image
from serving import PATIENCE_S, until
from tiny_models import COLOURS
from torch import nn
from uvicorn.server import ServerState

from tailgate.service.batching.requests.request import Request
from tailgate.service.batching.service import Service
from tailgate.service.http.app import create_app
from tailgate.service.http.connection import Connection as ServerConnection
from tailgate.service.http.limits import Guard
from tailgate.service.http.site import Site
from tailgate.service.http.state import State
from tailgate.service.models import ImageInput, Model
from tailgate.service.settings import load_settings

POISON_PIXEL = 13
HOST = b"Host: x\r\n"


class Moody(nn.Module):
    """The mean colour; waits as long as ``opened`` is not set, and fails on a picture whose first pixel is POISON_PIXEL."""

    def __init__(self):
        super().__init__()
        self.opened = threading.Event()
        self.entered = threading.Semaphore(0)
        self.opened.set()

    def forward(self, batch):
        opened = self.opened
        if not opened.is_set():
            self.entered.release()
            assert opened.wait(PATIENCE_S)
        if bool(((batch[:, :, 0, 0] * 255).round() == POISON_PIXEL).all(1).any()):
            raise RuntimeError("poison")
        return batch.mean((2, 3)) * 10


def moody_model(module):
    image = ImageInput(8, crop=1.0, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    return Model("moody", module, "none", image=image, labels=COLOURS)


@dataclass(slots=True)
class Edges:
    """Both ways to one service, which runs in a thread of its own.

    Attributes:
        service: behind both.
        guard: of the hot edge's connections.
        model: can be held.
        loop: theirs.
        hot, plain: addresses of our own server and of uvicorn.
        ways: True for each request of the hot edge that was handed to the model, False for each page.
        begun: requests to the model, by either way.
        repeated: of ``ways``, those whose head was known.
    """

    service: Service
    guard: Guard
    model: Moody
    loop: asyncio.AbstractEventLoop
    hot: tuple[str, int] = ("", 0)
    plain: tuple[str, int] = ("", 0)
    ways: list[bool] = field(default_factory=list)
    begun: int = 0
    repeated: list[bool] = field(default_factory=list)

    def both(self):
        """Return both addresses, the hot one first."""
        return self.hot, self.plain

    def run(self, coroutine):
        """Run a coroutine on the service's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(PATIENCE_S)

    def until(self, condition):
        """Let the service go on until something holds."""
        self.run(until(condition))

    def rest(self):
        """Wait until nothing is in flight, and no batch runs.

        A client that left is counted at once, and its batch may still be on its way to the model: the next test's
        is not to meet it.
        """
        service = self.service
        self.until(lambda: service.in_flight.requests == 0 and service.pipeline.dispatcher.running is None)

    def protocol(self, connection):
        """Return the hot edge's side of a connection."""
        mine = connection.socket.getsockname()
        found = []

        def appeared():
            found[:] = [
                each for each in self.guard.connections() if each.transport.get_extra_info("peername") == mine
            ]
            return bool(found)

        self.until(appeared)
        return found[0]

    def hold(self, address):
        """Hold the model, send it a request, and return the connection on which the answer will come."""
        self.model.opened = threading.Event()
        connection = Connection(address)
        connection.send(PIXELS)
        assert self.model.entered.acquire(timeout=PATIENCE_S)
        return connection

    def next_batch(self):
        """Let the batch that runs end, and hold the next."""
        former, self.model.opened = self.model.opened, threading.Event()
        former.set()
        assert self.model.entered.acquire(timeout=PATIENCE_S)

    def waiting(self, count):
        """Wait until so many requests wait for a batch."""
        self.until(lambda: self.service.pipeline.dispatcher.waiting == count)

    def outcomes(self):
        """Return how many requests have ended, by outcome, without zeros."""
        return {outcome.value: count for outcome, count in self.service.metrics.requests.items() if count}

    def ended(self):
        """Return how many requests have ended by the histograms, which a request without an endpoint does not touch."""
        return sum(sum(histogram.counts) for histogram in self.service.metrics.request.values())


class Connection:
    """A client that sends any bytes, and reads answers."""

    def __init__(self, address):
        self.socket = socket.create_connection(address, timeout=PATIENCE_S)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, *pieces):
        for piece in pieces:
            self.socket.sendall(piece)

    def answer(self, *, to_head=False):
        """Return status, headers and body of the next answer; what differs from time to time is made the same."""
        line = self._file.readline()
        assert line.startswith(b"HTTP/1.1 "), line
        status, headers = int(line.split()[1]), []
        while (header := self._file.readline()) not in (b"\r\n", b""):
            header = re.sub(rb"dur=\d+\.\d+", b"dur=N", header.rstrip())
            headers.append(re.sub(rb"^x-request-id: [0-9a-f]{32}$", b"x-request-id: MADE", header))
        length = next((int(value.split()[1]) for value in headers if value.startswith(b"content-length")), 0)
        return status, tuple(headers), b"" if to_head else self._file.read(length)

    def answers(self, count):
        return [self.answer() for _ in range(count)]

    def is_closed(self):
        """Wait for the end; True when nothing came before it."""
        return self._file.read() == b""

    def close(self, *, reset=False):
        if reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self._file.close()
        self.socket.close()


class Watched(Site):
    """What the hot edge's connections share, saying of each request which way it goes."""

    def __init__(self, app, edges):
        super().__init__(app, edges.loop)
        self.edges = edges

    def request(self, reply, intent):
        self.edges.ways.append(True)
        self.edges.repeated.append(True)
        return super().request(reply, intent)

    def exchange(self, head, reply):
        exchange = super().exchange(head, reply)
        self.edges.ways.append(isinstance(exchange, Request))
        self.edges.repeated.append(False)
        return exchange

    def common_headers(self):
        return b"date: today\r\n"


def answered(protocol):
    """Tell whether a connection of the hot edge owes no answer."""
    return protocol.state not in (State.BODY, State.IN_HAND)


@contextlib.contextmanager
def two_edges(monkeypatch, prepare=lambda app: None, **settings):
    """Start the service behind both edges in a thread; stop it at the end."""
    module, ready, done = Moody(), threading.Event(), asyncio.Event()
    monkeypatch.setattr("tailgate.service.execution.build.load_model", lambda _: moody_model(module))
    app = create_app(load_settings({}, threads=1, max_batch_size=8, executor="eager", **settings))
    prepare(app)
    edges = Edges(app.state.service, app.state.guard, module, uvloop.new_event_loop())
    begin = Request.__init__

    def counted(self, *arguments):
        edges.begun += 1
        begin(self, *arguments)

    monkeypatch.setattr(Request, "__init__", counted)

    async def serve():
        await edges.service.start()
        site = Watched(app, edges)
        config = uvicorn.Config(
            app, http="httptools", ws="none", lifespan="off", access_log=False, log_config=None
        )
        config.load()
        state = ServerState()
        state.default_headers = [(b"date", b"today")]
        listeners = [
            await edges.loop.create_server(lambda: ServerConnection(site), "127.0.0.1", 0),
            await edges.loop.create_server(
                lambda: config.http_protocol_class(config, state, {}), "127.0.0.1", 0
            ),
        ]
        edges.hot, edges.plain = (each.sockets[0].getsockname() for each in listeners)
        ready.set()
        await done.wait()
        for listener in listeners:
            listener.close()
        for protocol in (*edges.guard.connections(), *state.connections):
            protocol.transport.close()
        await until(lambda: not edges.guard.connections() and not state.connections and not state.tasks)
        await asyncio.to_thread(edges.service.stop)

    def work():
        with asyncio.Runner(loop_factory=lambda: edges.loop) as runner:
            runner.run(serve())

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert ready.wait(PATIENCE_S)
        yield edges
    finally:
        module.opened.set()
        edges.loop.call_soon_threadsafe(done.set)
        thread.join()


# Requests.


def pixels(colour=(200, 100, 0), first=None):
    array = np.empty((8, 8, 3), np.uint8)
    array[...] = colour
    if first is not None:
        array[0, 0] = first
    return array.tobytes()


def picture(kind="PNG", size=(8, 8)):
    file = io.BytesIO()
    Image.new("RGB", size, (200, 100, 0)).save(file, kind)
    return file.getvalue()


def post(body, kind=b"application/octet-stream", *headers, path=b"/predict", version=b"1.1"):
    """Return a request with its length announced."""
    lines = [b"POST %b HTTP/%b\r\n" % (path, version), HOST, b"Content-Length: %d\r\n" % len(body)]
    if kind:
        lines.append(b"Content-Type: %b\r\n" % kind)
    lines += [header + b"\r\n" for header in headers]
    return b"".join((*lines, b"\r\n", body))


def chunked(*chunks, kind=b"application/octet-stream", headers=(), trailer=b""):
    """Return a request in chunks."""
    lines = [
        b"POST /predict HTTP/1.1\r\n",
        HOST,
        b"Transfer-Encoding: chunked\r\nContent-Type: %b\r\n" % kind,
    ]
    lines += [header + b"\r\n" for header in headers]
    pieces = [b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks]
    return b"".join((*lines, b"\r\n", *pieces, b"0\r\n", trailer, b"\r\n"))


def form(content, kind=b"image/png"):
    body = (
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\nContent-Type: %b\r\n\r\n%b\r\n--x--\r\n'
        % (kind, content)
    )
    return post(body, b"multipart/form-data; boundary=x")


PIXELS = post(pixels())
GET_LIVE = b"GET /health/live HTTP/1.1\r\n" + HOST + b"\r\n"
