"""Run the application under uvicorn: the socket, the signals, and the way down.

The socket is bound before the model is loaded, so that a port in use is told at once. SIGTERM drains: the listener
stays open and refuses with 503 while accepted requests finish; then the process exits with status 0.
"""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Awaitable, Iterator

import structlog
import uvicorn

from service.app import create_app
from service.errors import ConfigurationError
from service.hot_path import HotPathProtocol
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


def listen(settings: Settings) -> socket.socket:
    """Return the listening socket: the inherited one, or a new one.

    Raises:
        ConfigurationError: the address cannot be had.
    """
    with contextlib.ExitStack() as on_failure:
        try:
            if settings.fd is not None:
                where = f"TAILGATE_FD: cannot listen on descriptor {settings.fd}"
                listener = on_failure.enter_context(socket.socket(fileno=settings.fd))
            else:
                where = f"TAILGATE_HOST, TAILGATE_PORT: cannot listen on {settings.host}:{settings.port}"
                family, kind, _, _, address = socket.getaddrinfo(
                    settings.host, settings.port, type=socket.SOCK_STREAM
                )[0]
                listener = on_failure.enter_context(socket.socket(family, kind))
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(address)
            listener.listen(BACKLOG)
        except OSError as error:
            raise ConfigurationError(f"{where}: {error}") from None
        on_failure.pop_all()
    return listener


def run(settings: Settings) -> int:
    """Serve until a signal; return the exit status: 0 after a stop, 1 after a failed start."""
    listener = listen(settings)
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=HotPathProtocol,
        ws="none",
        workers=1,
        access_log=False,
        log_config=None,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=CLOSE_TIMEOUT_S,
    )
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        return runner.run(serve(Server(config), app.state.service, listener))


async def serve(server: uvicorn.Server, service: Service, listener: socket.socket) -> int:
    """Serve until a signal or a failed start, then drain and close; a second signal ends the drain."""
    stop, hurry = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        if stop.is_set():
            server.force_exit = True
            hurry.set()
        stop.set()

    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, on_signal)
    host, port = listener.getsockname()[:2]
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    structlog.get_logger("tailgate.server").info("listening", url=url, docs=f"{url}/docs")
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    await _first(serving, stop.wait(), service.failed.wait())
    if stop.is_set():
        await _first(service.drain(), hurry.wait())
    server.should_exit = True
    await serving
    return 0 if stop.is_set() and service.phase is not Phase.FAILED else 1


async def _first(*awaitables: Awaitable[object]) -> None:
    """Wait for the first of several, and cancel those that were made for this call."""
    tasks = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task, awaitable in zip(tasks, awaitables, strict=True):
        if task is not awaitable:
            task.cancel()
