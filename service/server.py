"""Run the application under uvicorn: the socket, the signals, and the way down.

The socket is bound before the model is loaded, so that a port in use is told at once. SIGTERM drains: the listener
stays open and refuses with 503 while accepted requests finish. Then the listener is closed. Connections that waited to be
accepted, and new ones whose request is on its way, are answered 503, and the process exits with status 0. All of this
happens within the drain time: what has not ended by then is answered 503, and nobody waits any longer, neither for a slow
reader nor for a batch that hangs.
"""

import asyncio
import contextlib
import ipaddress
import resource
import signal
import socket
import ssl
from collections.abc import Awaitable, Iterator
from dataclasses import replace
from importlib import metadata
from typing import cast

import structlog
import uvicorn
from fastapi import FastAPI
from packaging.requirements import Requirement

from tailgate.service.app import create_app
from tailgate.service.errors import ConfigurationError
from tailgate.service.guard import Guard, Part
from tailgate.service.headers import SECURITY_HEADERS
from tailgate.service.hot_path import HotPathProtocol
from tailgate.service.lifecycle import Phase, Service
from tailgate.service.settings import Settings

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
BACKLOG = 2048
# Besides connections: libraries, the model, logs, pipes, the event loop.
OTHER_FILES = 128
# After the drain, for answers on their way to slow readers.
CLOSE_TIMEOUT_S = 5
# After the listener has been closed, for requests that are on their way.
LATE_REQUESTS_S = 1.0
LOOK_PERIOD_S = 0.02


class Server(uvicorn.Server):
    """uvicorn's server, which resets no connection when it stops.

    Its signal handling is left out: it would end the process by the signal and not with status 0.
    """

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to :func:`serve`."""
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the listeners, answer what is on its way, and end all connections.

        Closing a listener resets the connections that wait to be accepted, so they are accepted first. Closing a new
        connection resets it when its request comes, so there is a moment for it.
        """
        waiting = [connection for listener in sockets or () for connection in accept_all(listener)]
        for server in self.servers:
            server.close()
        async with asyncio.TaskGroup() as taking:
            for connection in waiting:
                taking.create_task(self._take(connection))
        await self._await_late_requests()
        await super().shutdown(sockets)

    async def _take(self, connection: socket.socket) -> None:
        """Serve a connection that was accepted here."""
        loop = asyncio.get_running_loop()
        protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state, _loop=loop
        )
        with contextlib.suppress(OSError, TimeoutError):  # it has gone, or does not finish its TLS handshake
            async with asyncio.timeout(LATE_REQUESTS_S):
                await loop.connect_accepted_socket(lambda: protocol, connection, ssl=self.config.ssl)

    async def _await_late_requests(self) -> None:
        """Wait until each connection has sent a whole head, or the time is over."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + min(LATE_REQUESTS_S, self.config.timeout_graceful_shutdown or 0)
        connections = cast("set[HotPathProtocol]", self.server_state.connections)
        while any(each.part is Part.HEAD for each in connections):
            if self.force_exit or loop.time() > end_s:
                break
            await asyncio.sleep(LOOK_PERIOD_S)


def accept_all(listener: socket.socket) -> list[socket.socket]:
    """Return the connections that wait to be accepted."""
    accepted = []
    listener.setblocking(False)
    with contextlib.suppress(OSError):  # none is left, or as many files are open as may be
        while True:
            accepted.append(listener.accept()[0])
    return accepted


def require_uvicorn() -> None:
    """Refuse a uvicorn out of the range that this project declares: what the connections override may not be called there.

    Raises:
        ConfigurationError: it is out of it.
    """
    try:
        lines = metadata.requires("tailgate") or ()
    except metadata.PackageNotFoundError:
        return  # a folder of sources, whose environment is its user's affair
    for requirement in map(Requirement, lines):
        if requirement.name == "uvicorn" and not requirement.specifier.contains(uvicorn.__version__):
            raise ConfigurationError(
                f"uvicorn {uvicorn.__version__} is installed, and expected is uvicorn{requirement.specifier}: the "
                "service's connections use private methods of it. To mend it: "
                f"pip install 'uvicorn{requirement.specifier}'"
            )


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


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """Return what HTTPS needs, None where it is not asked for.

    Raises:
        ConfigurationError: the certificate or its key cannot be read, or they do not belong together.
    """
    if settings.tls_certificate is None:
        if settings.tls_key is not None:
            raise ConfigurationError(
                "TAILGATE_TLS_KEY is set, and TAILGATE_TLS_CERTIFICATE is not: set both or none"
            )
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    secret = settings.tls_key_password
    # Without a password OpenSSL would ask for one at the terminal.
    password = "" if secret is None else secret.get_secret_value()
    try:
        context.load_cert_chain(settings.tls_certificate, settings.tls_key, password)
    except (OSError, ValueError) as error:
        names = " with ".join(str(path) for path in (settings.tls_certificate, settings.tls_key) if path)
        raise ConfigurationError(
            f"TAILGATE_TLS_CERTIFICATE, TAILGATE_TLS_KEY: cannot use {names}: {error.args[-1]}"
        ) from None
    return context


def allow_connections(wanted: int) -> int:
    """Raise the limit of open files where need be; return how many connections it leaves room for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    possible = wanted if soft == resource.RLIM_INFINITY else min(wanted, max(1, soft - OTHER_FILES))
    if possible < wanted:
        structlog.get_logger("tailgate.server").warning(
            "fewer connections than TAILGATE_MAX_CONNECTIONS: the limit of open files (ulimit -n) allows no more",
            max_connections=wanted,
            possible=possible,
        )
    return possible


def uvicorn_config(app: FastAPI, settings: Settings) -> uvicorn.Config:
    """Return how uvicorn is to run the application."""
    return uvicorn.Config(
        app,
        loop="uvloop",
        http=HotPathProtocol,
        ws="none",
        workers=1,
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,  # nothing here depends on the scheme or the address of a client
        headers=list(SECURITY_HEADERS.items()),
        backlog=BACKLOG,
        timeout_keep_alive=settings.keep_alive_s,
        timeout_graceful_shutdown=CLOSE_TIMEOUT_S,
    )


def run(settings: Settings) -> int:
    """Serve until a signal; return the exit status: 0 after a stop, 1 after a failed start.

    Raises:
        ConfigurationError: uvicorn is another one, or the address, the certificate or the tokens cannot be had.
    """
    require_uvicorn()
    tls = tls_context(settings)
    app = create_app(settings)
    app.state.guard.limits = replace(
        app.state.guard.limits, connections=allow_connections(settings.max_connections)
    )
    listener = listen(settings)
    config = uvicorn_config(app, settings)
    config.load()
    config.ssl = tls
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

    # Under nohup a hangup is ignored, and stays so.
    hangup = () if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (signal.SIGHUP,)
    for number in (*STOP_SIGNALS, *hangup):
        loop.add_signal_handler(number, on_signal)
    _announce(listener, service.settings)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    await _first(serving, stop.wait(), service.failed.wait())
    guard: Guard = server.config.app.state.guard  # type: ignore[union-attr]
    guard.close()
    if stop.is_set():
        await _drain(server, service, guard, hurry)
    server.should_exit = True
    await serving
    return 0 if stop.is_set() and service.phase is not Phase.FAILED else 1


def _announce(listener: socket.socket, settings: Settings) -> None:
    """Log where the service listens, and warn where strangers may use it."""
    log = structlog.get_logger("tailgate.server")
    host, port = listener.getsockname()[:2]
    scheme = "http" if settings.tls_certificate is None else "https"
    url = f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
    log.info("listening", url=url, api=f"{url}/openapi.json")
    if ipaddress.ip_address(host).is_loopback:
        return
    if settings.token is None and settings.tokens_file is None:
        log.warning(
            "OPEN TO THE NETWORK: whoever reaches this address may use the service; TAILGATE_TOKENS_FILE asks for tokens"
        )
    elif settings.tls_certificate is None:
        log.warning(
            "tokens travel in the clear: set TAILGATE_TLS_CERTIFICATE, or have TLS end before the service"
        )


async def _drain(server: uvicorn.Server, service: Service, guard: Guard, hurry: asyncio.Event) -> None:
    """Let accepted requests finish, and see to it that all is over within the drain time."""
    loop = asyncio.get_running_loop()
    end_s = loop.time() + service.settings.drain_timeout_s
    draining = asyncio.create_task(service.drain())
    await _first(draining, hurry.wait())
    if draining.done() and not draining.result():
        guard.give_up()
        server.force_exit = True
    server.config.timeout_graceful_shutdown = min(CLOSE_TIMEOUT_S, max(0.0, end_s - loop.time()))  # type: ignore[assignment]


async def _first(*awaitables: Awaitable[object]) -> None:
    """Wait for the first of several, and cancel those that were made for this call."""
    tasks = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task, awaitable in zip(tasks, awaitables, strict=True):
        if task is not awaitable:
            task.cancel()
