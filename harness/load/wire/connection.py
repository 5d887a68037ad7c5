"""A request on its way, and the connection that carries it: a socket that never blocks, with or without TLS."""

import contextlib
import errno
import math
import os
import socket
import ssl
import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass

from tailgate.harness.load.wire.answer import Answer, WholeAnswer
from tailgate.harness.load.wire.endpoint import Endpoint
from tailgate.harness.load.wire.server_timing import UNTOLD, Stages
from tailgate.harness.load.wire.stream import UNKNOWN_LAG, EventStream

# In both directions, TLS may have to read before it can write, and the other way round.
_NOT_NOW = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
# Linux, asm-generic/socket.h; Python has no name for it. It tells of a timespec of CLOCK_REALTIME.
_SO_TIMESTAMPNS = 35
_TIMESPEC = struct.Struct("@ll")
_TOLD_BYTES = socket.CMSG_SPACE(_TIMESPEC.size)


def _why(error: int) -> str:
    # Of a Unix socket alone: a port's queue has the client wait.
    return "the queue of the socket is full" if error == errno.EAGAIN else os.strerror(error)


@dataclass(slots=True, eq=False)
class Flight:
    """What is known of one request so far; times in nanoseconds, 0 for not yet."""

    request: int
    payload: int
    intended_ns: int
    dispatched_ns: int
    behaviour: int = 0  # a Behaviour
    sent_ns: int = 0
    first_byte_ns: int = 0
    bytes_received: int = 0
    connection: int = 0
    carrier: "Connection | None" = None  # while it is on one
    status: int = 0
    kept: bytes = b""  # the first bytes of an answer that is no good one
    why: str = ""  # why there was no answer
    stale_retries: int = 0
    whole: WholeAnswer | None = None  # None until there is one
    stream: EventStream | None = None  # of a good answer that is one
    retry_after_s: float = math.nan
    stages: Stages = UNTOLD
    ended: bool = False  # recorded, and to be passed over wherever it still stands in a queue

    def take(self, answer: Answer) -> None:
        """Take over what an answer has said so far."""
        self.status = answer.status
        self.stages = answer.stages
        self.retry_after_s = answer.retry_after_s
        self.kept = answer.kept
        self.whole = answer.whole()
        self.stream = answer.stream


class Connection:
    """A connection, from before it stands until it is closed; its methods raise OSError where it is dead."""

    __slots__ = (
        "_endpoint",
        "_socket",
        "_stamped",
        "answer",
        "descriptor",
        "established",
        "flight",
        "lag_ns",
        "number",
        "unsent",
    )

    def __init__(self, number: int, endpoint: Endpoint) -> None:
        self.number = number  # counts connections in the order in which they were opened, from 1
        self.established = False  # ready for requests
        self.flight: Flight | None = None  # the request it carries, None while idle
        self.unsent: memoryview | None = None  # what of that request's bytes the kernel has not taken yet
        self.answer = Answer()  # what is being read
        self.lag_ns = UNKNOWN_LAG  # how long the kernel had held what was read last
        self._stamped = False
        self._endpoint = endpoint
        self._socket: socket.socket = socket.socket(endpoint.family, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        if endpoint.family != socket.AF_UNIX:
            # Without it, the second segment of a request waits for the first one's acknowledgement.
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.descriptor = self._socket.fileno()

    def connect(self) -> None:
        """Start connecting."""
        error = self._socket.connect_ex(self._endpoint.address)
        if error not in {0, errno.EINPROGRESS}:
            raise OSError(error, _why(error))

    def proceed(self) -> None:
        """Go on connecting after the socket became ready; ``established`` says whether that was all."""
        if error := self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(error, _why(error))
        context = self._endpoint.context
        if context is not None:
            if not isinstance(self._socket, ssl.SSLSocket):
                self._socket = context.wrap_socket(
                    self._socket, server_hostname=self._endpoint.host, do_handshake_on_connect=False
                )
            try:
                self._socket.do_handshake()
            except _NOT_NOW:
                return
        self.established = True

    def begin(self, request: bytes | bytearray) -> None:
        """Start a request, whose bytes may be changed afterwards; an OSError means that nothing was sent."""
        sent = self._send(request)
        if self.answer.complete:
            self.answer.begin()
        self.unsent = memoryview(request[sent:]) if sent < len(request) else None

    def go_on(self) -> None:
        """Send more of the request."""
        if self.unsent is not None:
            self.unsent = self.unsent[self._send(self.unsent) :] or None

    def receive(self, buffer: memoryview) -> int | None:
        """Read into a buffer and return the number of bytes: 0 at the end, None if there is nothing to read now."""
        try:
            if not self._stamped:
                return self._socket.recv_into(buffer)
            received, told, _, _ = self._socket.recvmsg_into([buffer], _TOLD_BYTES)
        except _NOT_NOW:
            return None
        self.lag_ns = _lag_ns(told)
        return received

    def stamp(self) -> None:
        """Have the kernel tell when it got what is read; it cannot where TLS stands between."""
        if not self._stamped and not isinstance(self._socket, ssl.SSLSocket):
            # Without it the lag is not known, and is not told.
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
                self._stamped = True

    def has_more(self) -> bool:
        """Say whether TLS holds decrypted bytes of which the kernel no longer tells."""
        return isinstance(self._socket, ssl.SSLSocket) and self._socket.pending() > 0

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
        self.answer.close()

    def _send(self, data: bytes | bytearray | memoryview) -> int:
        try:
            return self._socket.send(data)
        except _NOT_NOW:
            return 0


def _lag_ns(told: Iterable[tuple[int, int, bytes]]) -> int:
    """Return how long ago the kernel got the last bytes that were read; UNKNOWN_LAG where it does not tell."""
    for level, kind, data in told:
        if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPNS and len(data) == _TIMESPEC.size:
            seconds, nanoseconds = _TIMESPEC.unpack(data)
            received_ns: int = seconds * 1_000_000_000 + nanoseconds
            return max(0, time.time_ns() - received_ns)
    return UNKNOWN_LAG
