"""Run the application under uvicorn: the socket, the signals, and the way down.

The socket is bound before the model is loaded, so that a port in use is told at once. SIGTERM drains: the listener
stays open and refuses with 503 while accepted requests finish; then the process exits with status 0.
"""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Iterator

import structlog
import uvicorn

from service.app import create_app
from service.errors import ConfigurationError
from service.lifecycle import Phase, Service
from service.settings import Settings

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
BACKLOG = 2048
# After the drain, for answers on their way to slow readers.
CLOSE_TIMEOUT_S = 5


class Server(uvicorn.Server):
    """uvicorn's server without its signal handling, which would end the process by the signal and not with status 0."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to :func:`serve`."""
        yield


def bind(settings: Settings) -> socket.socket:
    """Return the listening socket: the inherited one, or a new one.

    Raises:
        ConfigurationError: the address cannot be had.
    """
    if settings.fd is not None:
        try:
            return socket.socket(fileno=settings.fd)
        except OSError as error:
            raise ConfigurationError(
                f"TAILGATE_FD: descriptor {settings.fd} is not an open socket: {error}"
            ) from None
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM
        )[0]
        listener = socket.socket(family, kind)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise ConfigurationError(
            f"TAILGATE_HOST, TAILGATE_PORT: cannot listen on {settings.host}:{settings.port}: {error}"
        ) from None
    return listener


def run(settings: Settings) -> int:
    """Serve until a signal; return the exit status: 0 after a stop, 1 after a failed start."""
    listener = bind(settings)
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http="httptools",
        ws="none",
        workers=1,
        access_log=False,
        log_config=None,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=int(settings.keep_alive_s),
        timeout_graceful_shutdown=CLOSE_TIMEOUT_S,
    )
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        return runner.run(serve(Server(config), app.state.service, listener))


async def serve(server: uvicorn.Server, service: Service, listener: socket.socket) -> int:
    """Serve until a signal or a failed start, then drain and close."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        if stop.is_set():
            server.force_exit = True  # the second signal means it
        stop.set()

    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, on_signal)
    listener.listen(BACKLOG)
    host, port = listener.getsockname()[:2]
    structlog.get_logger("tailgate.server").info(
        "listening", url=f"http://{host}:{port}", docs=f"http://{host}:{port}/docs"
    )
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    stopping = asyncio.create_task(stop.wait())
    failing = asyncio.create_task(service.failed.wait())
    await asyncio.wait({serving, stopping, failing}, return_when=asyncio.FIRST_COMPLETED)
    if service.phase is not Phase.FAILED and not serving.done():
        await service.drain()
    server.should_exit = True
    await serving
    stopping.cancel()
    failing.cancel()
    return 1 if service.phase is Phase.FAILED else 0
