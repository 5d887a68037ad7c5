"""All open connections of a server: how many there may be, and which have taken too long.

A server is open to anybody who can reach it, and each connection costs memory and a descriptor. So every wait for a client
ends: for a request's head, for its body, for the next request, and for the client to read its answers. One look over all
connections a second stands for a timer a request; a limit is therefore kept to within two seconds.

When there are as many connections as there may be, the longest idle are closed to make room: a probe or a new client gets
in however many others hold a connection without using it. A connection that has been refused counts no longer: it may
linger for a moment beside the others, so that its client gets the answer, as long as few do. What a connection then is answered, and what it waits for,
:class:`service.connection.GuardedProtocol` knows.
"""

import asyncio
import enum
from dataclasses import dataclass
from typing import Protocol

from service.errors import Cut
from service.metrics import Metrics
from service.settings import Settings

SWEEP_S = 1.0
# Connections looked at in one go, which takes about half a millisecond: requests are served between two of these.
SLICE = 256
# After a refusal, what comes is dropped for so long and up to so many bytes, on so many connections beside the cap, for
# which the server keeps descriptors (service.server.OTHER_FILES).
LINGER_S = 2.0
LINGER_BYTES = 16 * 2**20
MAX_LINGERING = 64
# Of the cap, closed at once: finding the longest idle costs a look over all, which this many new connections then share.
SHED_SHARE = 1 / 16


class Part(enum.Enum):
    """What of a request is being received."""

    HEAD = "head"
    BODY = "body"
    NOTHING = "nothing"
    SET_ASIDE = "set aside"  # a request to change the protocol, which is begun again without that wish
    LEFT_OVER = "left over"  # nothing that is looked at: the last answer has been given


@dataclass(frozen=True, slots=True)
class Limits:
    """What a connection may take, in seconds, and how many there may be."""

    head_s: float
    body_s: float
    write_s: float
    idle_s: float
    connections: int

    @classmethod
    def of(cls, settings: Settings) -> "Limits":
        """Pick them from the settings."""
        return cls(
            settings.header_timeout_s,
            settings.body_timeout_s,
            settings.write_timeout_s,
            settings.keep_alive_s,
            settings.max_connections,
        )


def overdue(
    limits: Limits, part: Part, for_s: float, unsent_s: float | None, *, busy: bool, fresh: bool
) -> Cut | None:
    """Return why a connection has to end, None when it may go on.

    Args:
        limits: what it keeps to.
        part: what of a request is being received.
        for_s: how long it has been so.
        unsent_s: how long bytes of answers have waited for the client to read, None where there are none.
        busy: a request is in the service's hands: the client waits, not we.
        fresh: no byte of any request has come.
    """
    if unsent_s is not None and unsent_s > limits.write_s:
        return Cut.SLOW_READER
    if part is Part.BODY:
        return Cut.SLOW_BODY if for_s > limits.body_s else None
    if busy:
        return None
    if part is Part.HEAD and for_s > limits.head_s:
        return Cut.IDLE if fresh else Cut.SLOW_HEAD
    if part is Part.NOTHING and for_s > limits.idle_s:
        return Cut.IDLE
    return None


class Guarded(Protocol):
    """What the guard asks of a connection."""

    since_s: float

    def is_idle(self) -> bool:
        """Tell whether closing it costs nobody an answer."""

    def review(self, now_s: float) -> None:
        """End it if it has taken too long."""

    def cut(self, reason: Cut) -> None:
        """End it now."""

    def say_goodbye(self) -> None:
        """End it with the answer that is awaited, where one is."""


class Guard:
    """The open connections, and the limits that they keep. All methods are called on the event loop.

    Attributes:
        limits: what they keep to.
        metrics: where cuts are counted.
        closing: set by :meth:`close`: each connection ends with its next answer.
    """

    def __init__(self, limits: Limits, metrics: Metrics) -> None:
        self.limits = limits
        self.metrics = metrics
        self.closing = False
        self._open: set[Guarded] = set()
        self._lingering: set[Guarded] = set()
        self._timer: asyncio.TimerHandle | None = None

    def enter(self, connection: Guarded, loop: asyncio.AbstractEventLoop) -> bool:
        """Note a new connection; False when there are too many and none is idle."""
        if len(self._open) >= self.limits.connections:
            self._make_room()
            if len(self._open) >= self.limits.connections:
                return False
        self._open.add(connection)
        self.metrics.connections = len(self._open)
        self._wind(loop)
        return True

    def linger(self, connection: Guarded, loop: asyncio.AbstractEventLoop) -> bool:
        """Note that a connection, entered or not, has given its last answer; False where it is to be closed at once."""
        if len(self._lingering) >= MAX_LINGERING:
            return False
        self.leave(connection)
        self._lingering.add(connection)
        self._wind(loop)
        return True

    def leave(self, connection: Guarded) -> None:
        """Note that a connection has ended."""
        self._open.discard(connection)
        self._lingering.discard(connection)
        self.metrics.connections = len(self._open)

    def sweep(self, now_s: float) -> None:
        """Look at each connection."""
        self._review(self._all(), now_s)

    def close(self) -> None:
        """Have each connection end with its next answer: the server stops, and its clients are to know by that answer."""
        self.closing = True
        for connection in tuple(self._open):
            connection.say_goodbye()

    def give_up(self) -> None:
        """End the connections whose requests have not ended in the drain time, with 503."""
        for connection in tuple(self._open):
            if not connection.is_idle():
                connection.cut(Cut.DRAIN)

    def _look(self, loop: asyncio.AbstractEventLoop, rest: tuple[Guarded, ...]) -> None:
        """Look at some connections, of ``rest`` or else of all, and see to it that the others follow."""
        self._timer = None
        rest = rest or self._all()
        self._review(rest[:SLICE], loop.time())
        if rest[SLICE:]:
            self._timer = loop.call_later(0, self._look, loop, rest[SLICE:])
        elif self._open or self._lingering:
            self._wind(loop)

    def _wind(self, loop: asyncio.AbstractEventLoop) -> None:
        """See to it that connections are looked at within a second."""
        if self._timer is None:
            self._timer = loop.call_later(SWEEP_S, self._look, loop, ())

    def _all(self) -> tuple[Guarded, ...]:
        return (*self._open, *self._lingering)

    def _review(self, connections: tuple[Guarded, ...], now_s: float) -> None:
        for connection in connections:
            if connection in self._open or connection in self._lingering:
                connection.review(now_s)

    def _make_room(self) -> None:
        """Close the longest idle connections, where there are any."""
        idle = sorted((each for each in self._open if each.is_idle()), key=lambda each: each.since_s)
        for connection in idle[: max(1, int(self.limits.connections * SHED_SHARE))]:
            self.leave(connection)
            connection.cut(Cut.SHED)
