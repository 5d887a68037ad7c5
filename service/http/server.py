"""Listen, accept, stop.

The socket is bound before the model is loaded, so that a port in use is reported at once. After SIGTERM the service is not ready and
serves on for TAILGATE_DRAIN_DELAY_S: each answer ends its connection, so that clients go elsewhere. Then it drains: the
listener stays open and refuses with 503 while accepted requests finish. Then the listener is closed. Connections that waited to be accepted,
and new ones whose request is on its way, are answered 503, and the process exits with status 0. All of this happens within the
drain time: what has not ended by then is answered 503, and nobody waits any longer, neither for a slow reader nor for a batch
that hangs.
"""

import asyncio
import contextlib
import ipaddress
import resource
import signal
import socket
import ssl
from collections.abc import Awaitable, Callable
from functools import partial

import structlog
import uvloop
from fastapi import FastAPI

from tailgate.service.batching.service import Phase, Service
from tailgate.service.errors import ConfigurationError
from tailgate.service.http.app import create_app
from tailgate.service.http.connection import Connection
from tailgate.service.http.limits import Guard
from tailgate.service.http.listening import BACKLOG, Former, accept_all, listen, replaced, take_over
from tailgate.service.http.site import Site
from tailgate.service.settings import Settings

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
# Besides connections: libraries, the model, logs, pipes, the event loop.
OTHER_FILES = 128
# After the drain, for answers on their way to slow readers.
CLOSE_TIMEOUT_S = 5
# After the listener has been closed, for requests that are on their way.
LATE_REQUESTS_S = 1.0
LOOK_PERIOD_S = 0.02


class Server:
    """One listener and its connections. It resets no connection when it stops."""

    _connection: Callable[[], Connection]

    def __init__(
        self,
        app: FastAPI,
        listener: socket.socket,
        tls: ssl.SSLContext | None,
        former: Former | None = None,
    ) -> None:
        self.app = app
        self.service: Service = app.state.service
        self.guard: Guard = app.state.guard
        # Set by a further signal: what the stop waits for ends at once, first the delay and then the drain.
        self.hurry = asyncio.Event()
        self._listener = listener
        self._tls = tls
        self._former = former
        self._accepting: asyncio.Server | None = None

    async def serve(self) -> int:
        """Serve until a signal or a failed start, then drain and close; return the exit status."""
        stop = self._on_signals()
        _announce(self._listener, self.service.settings)
        loop = asyncio.get_running_loop()
        site = Site(self.app, loop)
        self._connection = partial(Connection, site)
        async with self.app.router.lifespan_context(self.app):
            if self._former is not None:  # which serves until this one can
                await _first(stop.wait(), self.service.failed.wait(), self.service.started.wait())
                if not self.service.started.is_set():
                    return 0 if stop.is_set() else 1
            await self._accept()
            replacing = asyncio.create_task(replaced(self._listener))
            await _first(stop.wait(), self.service.failed.wait(), replacing)
            self.guard.closing = True
            if replacing.done():
                await self._give_way(stop)
            elif stop.is_set():
                await self._leave()
            replacing.cancel()
            end_s = await self._drain() if stop.is_set() else loop.time() + CLOSE_TIMEOUT_S
            await self._close(end_s)
        return 0 if stop.is_set() and self.service.phase is not Phase.FAILED else 1

    def _on_signals(self) -> asyncio.Event:
        stop = asyncio.Event()

        def on_signal() -> None:
            if stop.is_set():
                self.hurry.set()
            stop.set()

        # Under nohup a hangup is ignored, and stays so.
        hangup = () if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (signal.SIGHUP,)
        for number in (*STOP_SIGNALS, *hangup):
            asyncio.get_running_loop().add_signal_handler(number, on_signal)
        # Only the service's own user and root may send it, and unhandled it would end the process.
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, self.service.profile)
        return stop

    async def _accept(self) -> None:
        self._accepting = await asyncio.get_running_loop().create_server(
            self._connection, sock=self._listener, ssl=self._tls, backlog=BACKLOG
        )
        if self._former is not None:
            self._former.relieve()

    async def _give_way(self, stop: asyncio.Event) -> None:
        """Accept nothing more, and answer one more request on each connection, whose client then connects to the replacement."""
        assert self._accepting is not None
        self._accepting.close()
        self._accepting = None
        end_s = asyncio.get_running_loop().time() + self.service.settings.drain_timeout_s
        await self._until(lambda: stop.is_set() or not self.guard.connections(), end_s)
        stop.set()

    async def _leave(self) -> None:
        """Serve on for a while, so that load balancers and clients go elsewhere; a further signal ends that."""
        delay_s = self.service.leave()
        if delay_s:
            await _first(asyncio.sleep(delay_s), self.hurry.wait())
            self.hurry.clear()

    async def _drain(self) -> float:
        """Let accepted requests finish; return until when connections may take to end, on the event loop's clock."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + self.service.settings.drain_timeout_s
        draining = asyncio.create_task(self.service.drain())
        await _first(draining, self.hurry.wait())
        if draining.done() and not draining.result():
            self.guard.give_up()
            return loop.time()
        return min(loop.time() + CLOSE_TIMEOUT_S, end_s)

    async def _close(self, end_s: float) -> None:
        """Close the listener, answer what is on its way, and end all connections.

        Closing a listener resets the connections that wait to be accepted, so they are accepted first, unless a replacement
        accepts them. Closing a new connection resets it when its request comes, so there is a moment for it.
        """
        waiting = []
        if self._accepting is not None:
            waiting = accept_all(self._listener)
            self._accepting.close()
        async with asyncio.TaskGroup() as taking:
            for connection in waiting:
                taking.create_task(self._take(connection))
        loop = asyncio.get_running_loop()
        late_s = min(loop.time() + LATE_REQUESTS_S, end_s)
        await self._until(lambda: not any(each.awaits_head() for each in self.guard.connections()), late_s)
        for each in self.guard.connections():
            each.shut_down()
        await self._until(lambda: not self.guard.connections(), end_s)
        # Slow readers are left behind; a closed connection ends within one turn of the event loop.
        await asyncio.sleep(0)

    async def _take(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, TimeoutError):  # it has gone, or does not finish its TLS handshake
            async with asyncio.timeout(LATE_REQUESTS_S):
                loop = asyncio.get_running_loop()
                await loop.connect_accepted_socket(self._connection, connection, ssl=self._tls)

    async def _until(self, condition: Callable[[], bool], end_s: float) -> None:
        """Wait until something holds, the time is over, or a second signal hurries."""
        loop = asyncio.get_running_loop()
        while not condition() and loop.time() < end_s and not self.hurry.is_set():  # noqa: ASYNC110 - no event
            await asyncio.sleep(LOOK_PERIOD_S)


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


def run(settings: Settings) -> int:
    """Serve until a signal; return the exit status: 0 after a stop, 1 after a failed start.

    Raises:
        ConfigurationError: the address, the certificate or the tokens cannot be had.
    """
    tls = tls_context(settings)
    app = create_app(settings)
    app.state.guard.most = allow_connections(settings.max_connections)
    former = None if settings.replace is None else take_over(settings.replace)
    listener = listen(settings) if former is None else former.listener
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(Server(app, listener, tls, former).serve())


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
            "OPEN TO THE NETWORK: anyone who can reach this address may use the service; TAILGATE_TOKENS_FILE requires tokens"
        )
    elif settings.tls_certificate is None:
        log.warning(
            "tokens are sent unencrypted: set TAILGATE_TLS_CERTIFICATE, or have TLS end before the service"
        )


async def _first(*awaitables: Awaitable[object]) -> None:
    """Wait for the first of several, and cancel those that were made for this call."""
    tasks = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task, awaitable in zip(tasks, awaitables, strict=True):
        if task is not awaitable:
            task.cancel()
