"""The listening socket: a new one, an inherited one, or that of a running service, which this process replaces.

A running service waits on an abstract Unix socket that has its process id in its name. A process of the same user that
connects to it gets the descriptor of the listening socket. Both then accept from one queue, so a connection that waits there
outlives either of them. With a socket of its own (SO_REUSEPORT) each would have a queue of its own, and what waits in one is
reset when that is closed.

The newcomer accepts nothing until it is ready. Then it says so by one byte, and the former one leaves.
"""

import asyncio
import contextlib
import os
import socket
import struct

import structlog

from tailgate.service.errors import ConfigurationError
from tailgate.service.settings import Settings

BACKLOG = 2048
READY = b"."
ANSWER_S = 10.0  # in which a service gives its socket; one that is being replaced already does not
_CREDENTIALS = struct.Struct("3i")  # struct ucred: process, user, group


def listen(settings: Settings) -> socket.socket:
    """Return the listening socket, the inherited one or a new one; ConfigurationError where the address cannot be had."""
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


def accept_all(listener: socket.socket) -> list[socket.socket]:
    """Return the connections that wait to be accepted."""
    accepted = []
    listener.setblocking(False)
    with contextlib.suppress(OSError):  # none is left, or as many files are open as may be
        while True:
            accepted.append(listener.accept()[0])
    return accepted


def _address(pid: int) -> str:
    return f"\0tailgate-{pid}"


def _peer(connection: socket.socket) -> tuple[int, int]:
    """Return process and user at the other end, as the kernel knows them."""
    pid, user, _ = _CREDENTIALS.unpack(
        connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    )
    return pid, user


def may_have(user: int) -> bool:
    """Tell whether a user may have the socket: our own, who could read our memory anyway, and root."""
    return user in (0, os.geteuid())


async def replaced(listener: socket.socket) -> None:
    """Give the listening socket to whoever replaces this process, and return when the replacement is ready.

    One that ends before it is ready changes nothing.
    """
    log = structlog.get_logger("tailgate.handover")
    try:
        with socket.socket(socket.AF_UNIX) as door:
            door.setblocking(False)
            door.bind(_address(os.getpid()))
            door.listen()
            while True:
                newcomer, _ = await asyncio.get_running_loop().sock_accept(door)
                with newcomer:
                    pid, user = _peer(newcomer)
                    if not may_have(user):
                        log.warning("refused to hand the listening socket over", to=pid, user=user)
                        continue
                    log.info("being replaced", by=pid)
                    if await _given(newcomer, listener):
                        log.info("replaced", by=pid)
                        return
                    log.warning("the replacement ended before it was ready", process=pid)
    except OSError as error:
        log.warning("this process cannot be replaced without a gap", reason=str(error))
    await asyncio.Event().wait()


async def _given(newcomer: socket.socket, listener: socket.socket) -> bool:
    """Give the listening socket; return whether the newcomer becomes ready."""
    newcomer.setblocking(False)
    try:
        socket.send_fds(newcomer, [READY], [listener.fileno()])
        return await asyncio.get_running_loop().sock_recv(newcomer, 1) == READY
    except OSError:  # it has ended
        return False


class Former:
    """The service that is replaced, as its replacement sees it."""

    def __init__(self, connection: socket.socket, listener: socket.socket) -> None:
        self.listener = listener
        self._connection = connection

    def relieve(self) -> None:
        """Tell it to leave."""
        try:
            self._connection.send(READY)
        except OSError as error:  # it has ended by itself
            structlog.get_logger("tailgate.handover").warning("the former process is gone", reason=str(error))
        self._connection.close()


def take_over(pid: int) -> Former:
    """Return the service that is to be replaced; ConfigurationError where this user has none with this process id."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(ANSWER_S)
    try:
        connection.connect(_address(pid))
        peer, _ = _peer(connection)
        if peer != pid:
            raise PermissionError(f"process {peer} answers in its place")
        said, descriptors, _, _ = socket.recv_fds(connection, 1, 1)
        if said != READY or len(descriptors) != 1:
            raise PermissionError("it belongs to another user, or is being replaced already")
        listener = socket.socket(fileno=descriptors[0])
    except OSError as error:
        connection.close()
        raise ConfigurationError(
            f"TAILGATE_REPLACE: cannot take over from process {pid}: {error}; expected the process id of a running "
            "tailgate service of this user on this machine"
        ) from None
    return Former(connection, listener)
