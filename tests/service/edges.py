"""One service behind two real sockets, the hot path's and the application's, so that the same bytes can be sent to both."""

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

from tailgate.service.app import create_app
from tailgate.service.call import Call
from tailgate.service.connection import GuardedProtocol
from tailgate.service.hot_path import HotPathProtocol
from tailgate.service.lifecycle import Service
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
        model: can be held.
        loop: theirs.
        hot, plain: addresses.
        open: server protocols of the connections, those of the hot edge and those of the plain one.
        ways: True for each request that was taken by the hot path, False for each that it handed on.
        begun: requests that reached the model's endpoint, by either way.
        repeated: of ``ways``, those whose head was known.
    """

    service: Service
    model: Moody
    loop: asyncio.AbstractEventLoop
    hot: tuple[str, int] = ("", 0)
    plain: tuple[str, int] = ("", 0)
    open: dict = field(default_factory=dict)
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
        self.until(lambda: service.in_flight == 0 and service._batcher.running is None)

    def protocol(self, connection):
        """Return the server's side of a connection."""
        mine = connection.socket.getsockname()
        found = []

        def appeared():
            found[:] = [
                each for state in self.open.values() for each in state.connections if each.client == mine
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
        self.until(lambda: self.service._batcher.waiting == count)

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
            headers.append(re.sub(rb"dur=\d+\.\d+", b"dur=N", header.rstrip()))
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


class Watched(HotPathProtocol):
    """The hot path, saying of each request which way it goes."""

    ways: list
    repeated: list

    def _takes(self):
        taken = super()._takes()
        self.ways.append(taken)
        self.repeated.append(False)
        return taken

    def _run_known(self, known, data):
        self.ways.append(True)
        self.repeated.append(True)
        super()._run_known(known, data)


@contextlib.contextmanager
def two_edges(monkeypatch, prepare=lambda app: None, plain=GuardedProtocol, **settings):
    """Start the service behind both edges in a thread; stop it at the end."""
    module, ready, done = Moody(), threading.Event(), asyncio.Event()
    monkeypatch.setattr("tailgate.service.engine.load_model", lambda _: moody_model(module))
    app = create_app(load_settings({}, threads=1, max_batch_size=8, executor="eager", **settings))
    prepare(app)
    edges = Edges(app.state.service, module, uvloop.new_event_loop())
    begin = Call.__init__

    def counted(self, *arguments):
        edges.begun += 1
        begin(self, *arguments)

    monkeypatch.setattr(Call, "__init__", counted)

    async def serve():
        await edges.service.start()
        watched = type("Watched", (Watched,), {"ways": edges.ways, "repeated": edges.repeated})
        listeners = []
        for name, protocol in (("hot", watched), ("plain", plain)):
            config = uvicorn.Config(
                app, http=protocol, ws="none", lifespan="off", access_log=False, log_config=None
            )
            config.timeout_keep_alive = edges.service.settings.keep_alive_s
            config.load()
            state = edges.open[name] = ServerState()
            state.default_headers = [(b"date", b"today")]
            listener = await edges.loop.create_server(
                lambda config=config, state=state: config.http_protocol_class(config, state, {}),
                "127.0.0.1",
                0,
            )
            setattr(edges, name, listener.sockets[0].getsockname())
            listeners.append(listener)
        ready.set()
        await done.wait()
        for listener in listeners:
            listener.close()
        for state in edges.open.values():
            for protocol in tuple(state.connections):
                protocol.transport.close()
            await until(lambda state=state: not state.connections and not state.tasks)
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
