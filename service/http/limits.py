"""All open connections of a server: how many there may be, and how long each may take.

Anybody who reaches the server can open connections, and each one costs memory and a descriptor. So every wait for a client
ends: for the head of a request, for its body, for the next request, and for the client to read its answers. One look over all
connections per second replaces a timer per request; a limit is therefore kept to within two seconds.

When as many connections are open as may be, the longest idle one is closed to make room: a probe or a new client gets in
although others hold connections without using them. A connection that is refused because all others are busy may linger
beside them for a moment, so that its client gets the answer.
"""

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING

from tailgate.service.errors import Cut, RequestError, TooSlow, Unavailable
from tailgate.service.http.state import State
from tailgate.service.metrics import Metrics
from tailgate.service.settings import Settings

if TYPE_CHECKING:
    from tailgate.service.http.connection import Connection

SWEEP_S = 1.0
# Connections looked at in one go, which takes about half a millisecond: requests are served between two of these.
SLICE = 256
# After the last answer, what comes is dropped for so long and up to so many bytes; of connections that are refused because
# there are too many, so many may do so, for which the server keeps descriptors (tailgate.service.http.server.OTHER_FILES).
LINGER_S = 2.0
LINGER_BYTES = 16 * 2**20
MAX_LINGERING = 64


def overdue(settings: Settings, state: State, for_s: float, unsent_s: float | None) -> Cut | None:
    """Return why a connection has to end that has been in a state for ``for_s``, None when it may go on.

    ``unsent_s`` is how long bytes of answers have waited for the client to read, None where there are none.
    """
    if unsent_s is not None and unsent_s > settings.write_timeout_s:
        return Cut.SLOW_READER
    if state in (State.BODY, State.DROPPING):
        return Cut.SLOW_BODY if for_s > settings.body_timeout_s else None
    if state is State.HEAD:
        return Cut.SLOW_HEAD if for_s > settings.header_timeout_s else None
    if state is State.NEW:
        return Cut.IDLE if for_s > settings.header_timeout_s else None
    return Cut.IDLE if state is State.IDLE and for_s > settings.keep_alive_s else None


def told_of_cut(reason: Cut, state: State, settings: Settings) -> RequestError | None:
    """Return what a client is told whose connection is cut, None where it has been answered or has asked nothing."""
    if reason is Cut.SLOW_HEAD:
        return TooSlow(
            f"the request's head was not there within {settings.header_timeout_s:g} s (TAILGATE_HEADER_TIMEOUT_S)"
        )
    if reason is Cut.SLOW_BODY and state is State.BODY:
        return TooSlow(
            f"the request's body was not there within {settings.body_timeout_s:g} s (TAILGATE_BODY_TIMEOUT_S)"
        )
    if reason is Cut.DRAIN and state in (State.BODY, State.IN_HAND):
        return Unavailable("the service stops, and could not end this request in time; try another replica")
    return None


class Guard:
    """The open connections, and the limits that they keep. All methods are called on the event loop."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.settings = settings
        # How many there may be; fewer than is set where the system allows no more.
        self.most = settings.max_connections
        self.metrics = metrics
        # The server stops: each connection ends with its next answer, by which its client knows that.
        self.closing = False
        # As many connections are open as may be, or were within the last second; meanwhile each says when it has become
        # idle (:meth:`rest`), so that finding one costs nobody a look over all.
        self.full = False
        self._open: set[Connection] = set()
        self._lingering: set[Connection] = set()
        # While full: those that may be closed to make room, the longest idle first.
        self._idle: OrderedDict[Connection, None] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    def enter(self, connection: "Connection", loop: asyncio.AbstractEventLoop) -> bool:
        """Note a new connection; False when there are too many and none is idle."""
        if len(self._open) >= self.most:
            self._make_room()
            if len(self._open) >= self.most:
                return False
        self._open.add(connection)
        if self.full:
            self.rest(connection)
        self.metrics.connections = len(self._open)
        self._wind(loop)
        return True

    def linger(self, connection: "Connection", loop: asyncio.AbstractEventLoop) -> bool:
        """Note that a connection has given its last answer; False where it is to be closed at once.

        One that has entered keeps its place, and is idle; one that was not let in has none.
        """
        if connection in self._open:
            return True
        if len(self._lingering) >= MAX_LINGERING:
            return False
        self._lingering.add(connection)
        self._wind(loop)
        return True

    def leave(self, connection: "Connection") -> None:
        """Note that a connection has ended."""
        self._open.discard(connection)
        self._lingering.discard(connection)
        self.metrics.connections = len(self._open)

    def rest(self, connection: "Connection") -> None:
        """Note that a connection has become idle; to be called while ``full``."""
        self._idle[connection] = None
        self._idle.move_to_end(connection)

    def connections(self) -> tuple["Connection", ...]:
        """Return all connections that have not ended, those that linger among them."""
        return (*self._open, *self._lingering)

    def give_up(self) -> None:
        """End the connections whose requests have not ended in the drain time, with 503."""
        for connection in tuple(self._open):
            if not connection.is_idle():
                connection.cut(Cut.DRAIN)

    def _look(self, loop: asyncio.AbstractEventLoop, rest: tuple["Connection", ...]) -> None:
        """Look at some connections, of ``rest`` or else of all, and see to it that the others follow."""
        self._timer = None
        if self.full and not rest:
            self.full = len(self._open) >= self.most
            self._idle = OrderedDict.fromkeys(each for each in self._idle if self.full and each in self._open)
        rest = rest or self.connections()
        self._review(rest[:SLICE], loop.time())
        if rest[SLICE:]:
            self._timer = loop.call_later(0, self._look, loop, rest[SLICE:])
        elif self._open or self._lingering:
            self._wind(loop)

    def _wind(self, loop: asyncio.AbstractEventLoop) -> None:
        """See to it that connections are looked at within a second."""
        if self._timer is None:
            self._timer = loop.call_later(SWEEP_S, self._look, loop, ())

    def _review(self, connections: tuple["Connection", ...], now_s: float) -> None:
        for connection in connections:
            if connection in self._open or connection in self._lingering:
                connection.review(now_s)
                if self.full and connection in self._open and connection.is_idle():
                    self._idle.setdefault(connection)

    def _make_room(self) -> None:
        """Close the longest idle connection, where there is one; all are looked at only when the cap has just been reached."""
        if not self.full:
            self.full = True
            idle = (each for each in self._open if each.is_idle())
            self._idle = OrderedDict.fromkeys(sorted(idle, key=lambda each: each.since_s))
        while self._idle:
            connection, _ = self._idle.popitem(last=False)
            if connection in self._open and connection.is_idle():
                self.leave(connection)
                connection.cut(Cut.SHED)
                return
