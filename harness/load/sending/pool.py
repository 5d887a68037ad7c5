"""Who carries a request: the idle connections, the requests that wait for one, and what happens on the wire.

The connection that was used last is taken first; more are opened, up to a limit, only when none is idle. Otherwise a
request waits, first come first served, and the wait is part of its latency. A request whose connection the server
closed while it was idle goes to another one if, and only if, nothing of it was sent.
"""

import select
import ssl
import time
from collections import deque
from collections.abc import Callable

from tailgate.harness.load.records.samples import Outcome
from tailgate.harness.load.settings import LoadSettings
from tailgate.harness.load.wire.answer import Answer, MalformedAnswerError
from tailgate.harness.load.wire.connection import Connection, Flight
from tailgate.harness.load.wire.endpoint import Endpoint
from tailgate.harness.load.wire.head_form import STATUS, HeadForms
from tailgate.harness.load.wire.request_id import Requests

_RECEIVE_BYTES = 256 * 1024
_READ, _WRITE = select.EPOLLIN, select.EPOLLOUT

CLOSED = "the server closed the connection"

OnEnd = Callable[[Flight, Outcome, int], None]


def outcome_of(answer: Answer) -> Outcome:
    """Return what a whole answer says of itself: by its status, and by its events where it is a stream.

    A status outside of 100 to 599 counts as 5xx (RFC 9110, section 15).
    """
    status, stream = answer.status, answer.stream
    if 200 <= status < 300:
        return Outcome.OK if stream is None or stream.error is None else Outcome.ERROR_EVENT
    if status in {429, 503}:
        return Outcome.SHED
    if 300 <= status < 400:
        return Outcome.REDIRECT
    return Outcome.CLIENT_ERROR if 400 <= status < 500 else Outcome.SERVER_ERROR


def reason_of(error: OSError) -> str:
    """Return in words why a connection failed, alike for all failures of one kind."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {error.verify_message}"
    return (isinstance(error, ssl.SSLError) and error.reason) or error.strerror or type(error).__name__


class Pool:
    """Keep-alive connections to one server."""

    def __init__(
        self,
        epoll: select.epoll,
        endpoint: Endpoint,
        settings: LoadSettings,
        requests: Requests,
        on_end: OnEnd,
    ) -> None:
        self._epoll = epoll
        self._endpoint = endpoint
        self._settings = settings
        self._requests = requests
        self._on_end = on_end
        self.forms = HeadForms()
        self._buffer = memoryview(bytearray(_RECEIVE_BYTES))
        self._connections: dict[int, Connection] = {}
        self._idle: list[Connection] = []
        self._waiting: deque[Flight] = deque()
        self.connecting = 0
        self.opened = 0  # connections opened so far
        self.lost_idle = 0  # those that the server closed while they were idle
        self.waited = 0  # requests that found no idle connection
        self.connect_error: OSError | None = None  # why the last attempt to connect failed

    def submit(self, flight: Flight) -> None:
        """Send a request now, or as soon as a connection is free."""
        while self._idle:
            if self._start(self._idle.pop(), flight):
                return
        self.waited += 1
        self._waiting.append(flight)
        self._open_wanted()

    def cancel(self, flight: Flight) -> None:
        """Give up a request that has ended for other reasons; an answer that still comes must hit nobody."""
        if flight.carrier is not None:
            self._drop(flight.carrier)
        elif self._waiting and self._waiting[0] is flight:
            self._waiting.popleft()
        self._open_wanted()

    def open(self) -> bool:
        """Open one more connection; return False where the queue of a Unix socket has no room for it now."""
        self.opened += 1
        connection = Connection(self.opened, self._endpoint)
        self._connections[connection.descriptor] = connection
        self._epoll.register(connection.descriptor, _WRITE)
        self.connecting += 1
        try:
            connection.connect()
        except BlockingIOError as error:
            # A port would let the client wait. The request waits for one of the other connections, if there are any.
            if len(self._connections) == 1:
                self._give_up(connection, error)
            else:
                self._drop(connection)
            return False
        except OSError as error:
            self._give_up(connection, error)
        return True

    def serve(self, descriptor: int, events: int) -> bool:
        """Do what a ready socket allows; return False where it is no connection of this pool."""
        connection = self._connections.get(descriptor)
        if connection is None:
            return False
        if not connection.established:
            self._proceed(connection)
            return True
        if events & _WRITE:
            self._go_on(connection)
        if events & ~_WRITE:
            self._receive(connection)
        return True

    def close(self) -> None:
        """Close all connections."""
        for connection in list(self._connections.values()):
            self._drop(connection)

    def _open_wanted(self) -> None:
        while (
            self.connecting < len(self._waiting) and len(self._connections) < self._settings.connections_limit
        ):
            if not self.open():
                break

    def _proceed(self, connection: Connection) -> None:
        try:
            connection.proceed()
        except OSError as error:
            self._give_up(connection, error)
            self._open_wanted()
            return
        self._epoll.modify(connection.descriptor, _READ)
        if connection.established:
            self.connecting -= 1
            self._hand_on(connection)

    def _give_up(self, connection: Connection, error: OSError) -> None:
        """One failed attempt to connect fails one request, the first that waits."""
        self.connect_error = error
        self._drop(connection)
        if self._waiting:
            flight = self._waiting.popleft()
            flight.why = reason_of(error)
            self._on_end(flight, Outcome.REFUSED, time.monotonic_ns())

    def _hand_on(self, connection: Connection) -> None:
        """Give a free connection to the first request that waits, or keep it."""
        if not self._waiting:
            self._idle.append(connection)
            return
        flight = self._waiting.popleft()
        if not self._start(connection, flight):
            self._waiting.appendleft(flight)
            self._open_wanted()

    def _start(self, connection: Connection, flight: Flight) -> bool:
        """Send; False if the connection was dead already, in which case nothing was sent."""
        flight.sent_ns = time.monotonic_ns()
        try:
            connection.begin(self._requests.bytes_of(flight))
        except OSError:
            flight.sent_ns = 0
            flight.stale_retries += 1
            self._drop(connection)
            return False
        connection.flight = flight
        flight.carrier = connection
        flight.connection = connection.number
        if connection.unsent is not None:
            self._epoll.modify(connection.descriptor, _READ | _WRITE)
        return True

    def _go_on(self, connection: Connection) -> None:
        try:
            connection.go_on()
        except OSError:
            # The server may have answered before it closed: what there is to read decides.
            self._epoll.modify(connection.descriptor, _READ)
            return
        if connection.unsent is None:
            self._epoll.modify(connection.descriptor, _READ)

    def _receive(self, connection: Connection) -> None:
        try:
            received = connection.receive(self._buffer)
        except OSError as error:
            self._lose(connection, Outcome.RESET, reason_of(error))
            return
        if received is None:
            return
        flight = connection.flight
        if received and flight is not None:
            self._read(connection, flight, received)
        elif flight is not None and connection.answer.end():
            self._lose(connection, outcome_of(connection.answer))
        else:
            self._lose(connection, Outcome.RESET, CLOSED)

    def _read(self, connection: Connection, flight: Flight, received: int) -> None:
        now_ns, answer = time.monotonic_ns(), connection.answer
        flight.bytes_received += received
        begins = not flight.first_byte_ns
        if begins:
            flight.first_byte_ns = now_ns
            said = self.forms.read(self._buffer, received)
            if said is not None:
                flight.status = STATUS
                flight.stages, flight.whole = said
                self._complete(connection, flight, Outcome.OK, now_ns)
                return
        try:
            answer.feed(self._buffer[:received], now_ns, connection.lag_ns)
        except MalformedAnswerError:
            self._lose(connection, Outcome.MALFORMED)
            return
        if answer.stream is not None:
            connection.stamp()
        if answer.complete:
            if begins:
                self.forms.note(self._buffer[:received], answer)
            flight.take(answer)
            self._complete(connection, flight, outcome_of(answer), now_ns, keep_alive=answer.keep_alive)
        elif connection.has_more():
            self._receive(connection)

    def _complete(
        self,
        connection: Connection,
        flight: Flight,
        outcome: Outcome,
        now_ns: int,
        *,
        keep_alive: bool = True,
    ) -> None:
        flight.carrier = connection.flight = None
        if keep_alive and connection.unsent is None:
            self._hand_on(connection)
        else:
            self._drop(connection)
            self._open_wanted()
        self._on_end(flight, outcome, now_ns)

    def _lose(self, connection: Connection, outcome: Outcome, why: str = "") -> None:
        """The connection ended or is of no more use; so did its request, if it carries one."""
        flight = connection.flight
        if flight is None:
            self.lost_idle += 1
            self._drop(connection)
            return
        flight.take(connection.answer)
        flight.why = why
        flight.carrier = connection.flight = None
        self._drop(connection)
        self._on_end(flight, outcome, time.monotonic_ns())
        self._open_wanted()

    def _drop(self, connection: Connection) -> None:
        del self._connections[connection.descriptor]
        self._epoll.unregister(connection.descriptor)
        if not connection.established:
            self.connecting -= 1
        elif connection.flight is None and connection in self._idle:
            self._idle.remove(connection)
        if connection.flight is not None:
            connection.flight.carrier = None
        connection.close()
