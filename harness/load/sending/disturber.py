"""Plays the clients that do not simply wait: each request on a connection of its own, which ends with it.

A corrupt body is in the plan already: here that client waits like any other.
"""

import select
import time
from collections import deque
from dataclasses import dataclass

from tailgate.harness.load.records.samples import Outcome
from tailgate.harness.load.sending.pool import CLOSED, OnEnd, outcome_of, reason_of
from tailgate.harness.load.wire.answer import MalformedAnswerError
from tailgate.harness.load.wire.connection import Connection, Flight
from tailgate.harness.load.wire.endpoint import Endpoint
from tailgate.harness.load.wire.request_id import Requests
from tailgate.harness.scenario.behaviour import DRIPS_PAUSE_S, DRIPS_PIECES, Behaviour, patience_s

_RECEIVE_BYTES = 64 * 1024
_READ, _WRITE = select.EPOLLIN, select.EPOLLOUT
NEVER_NS = 2**63 - 1


@dataclass(slots=True, eq=False)
class Disturbance:
    """One request of a disturber, on its way, with the pieces that are still to be sent.

    ``due_ns`` is when the next piece goes, or the client leaves; NEVER_NS while neither is to come.
    """

    flight: Flight
    connection: Connection
    pieces: deque[bytes]
    due_ns: int = NEVER_NS


def pieces_of(request: bytes, behaviour: int) -> list[bytes]:
    """Return what a client sends of a request, piece by piece."""
    body = request.index(b"\r\n\r\n") + 4
    if behaviour == Behaviour.BREAKS_OFF:
        return [request[: body + (len(request) - body) // 2]]
    if behaviour == Behaviour.DRIPS:
        step = max(1, -(-(len(request) - body) // DRIPS_PIECES))
        return [request[:body], *(request[at : at + step] for at in range(body, len(request), step))]
    return [request]


class DisturberPool:
    """All disturbances that are under way."""

    def __init__(self, epoll: select.epoll, endpoint: Endpoint, requests: Requests, on_end: OnEnd) -> None:
        self._epoll = epoll
        self._endpoint = endpoint
        self._requests = requests
        self._on_end = on_end
        self._under_way: dict[int, Disturbance] = {}
        self._buffer = memoryview(bytearray(_RECEIVE_BYTES))

    def submit(self, flight: Flight) -> None:
        """Open a connection for a request; it is sent once that stands."""
        connection = Connection(0, self._endpoint)
        pieces = deque(pieces_of(bytes(self._requests.bytes_of(flight)), flight.behaviour))
        disturbance = Disturbance(flight, connection, pieces)
        self._under_way[connection.descriptor] = disturbance
        self._epoll.register(connection.descriptor, _WRITE)
        try:
            connection.connect()
        except OSError as error:
            self._end(disturbance, Outcome.REFUSED, reason_of(error))

    def owns(self, descriptor: int) -> bool:
        """Tell whether a descriptor is one of these connections."""
        return descriptor in self._under_way

    def serve(self, descriptor: int, events: int) -> None:
        """Do what a ready socket allows."""
        disturbance = self._under_way[descriptor]
        connection = disturbance.connection
        try:
            if not connection.established:
                self._connect(disturbance)
                return
            if events & _WRITE:
                connection.go_on()
                self._sent(disturbance)
            if events & ~_WRITE:
                self._receive(disturbance)
        except OSError as error:
            outcome = Outcome.RESET if disturbance.flight.sent_ns else Outcome.REFUSED
            self._end(disturbance, outcome, reason_of(error))

    def proceed(self, now_ns: int) -> int:
        """Send the pieces and let go the clients that are due; return when the next one will be."""
        for disturbance in [one for one in self._under_way.values() if one.due_ns <= now_ns]:
            disturbance.due_ns = NEVER_NS
            if not disturbance.pieces:
                self._end(disturbance, Outcome.LEFT)
                continue
            try:
                self._send(disturbance)
            except OSError as error:
                self._end(disturbance, Outcome.RESET, reason_of(error))
        return min((one.due_ns for one in self._under_way.values()), default=NEVER_NS)

    def cancel(self, flight: Flight) -> None:
        """Give up a request that has ended for other reasons."""
        for disturbance in [one for one in self._under_way.values() if one.flight is flight]:
            self._close(disturbance)

    def close(self) -> None:
        """Close all connections."""
        for disturbance in list(self._under_way.values()):
            self._close(disturbance)

    def _connect(self, disturbance: Disturbance) -> None:
        connection = disturbance.connection
        connection.proceed()
        self._epoll.modify(connection.descriptor, _READ)
        if connection.established:
            self._send(disturbance)

    def _send(self, disturbance: Disturbance) -> None:
        connection, piece = disturbance.connection, disturbance.pieces.popleft()
        if disturbance.flight.sent_ns:
            connection.unsent = memoryview(piece)
            connection.go_on()
        else:
            disturbance.flight.sent_ns = time.monotonic_ns()
            connection.begin(piece)
        self._sent(disturbance)

    def _sent(self, disturbance: Disturbance) -> None:
        """Wait for what comes next: room for the rest, the answer, the next piece, or the time to leave."""
        flight, connection = disturbance.flight, disturbance.connection
        if connection.unsent is not None:
            self._epoll.modify(connection.descriptor, _READ | _WRITE)
            return
        self._epoll.modify(connection.descriptor, _READ)
        if disturbance.pieces:
            disturbance.due_ns = time.monotonic_ns() + int(DRIPS_PAUSE_S * 1e9)
        elif flight.behaviour in {Behaviour.LEAVES, Behaviour.BREAKS_OFF}:
            disturbance.due_ns = time.monotonic_ns() + int(patience_s(flight.request) * 1e9)

    def _receive(self, disturbance: Disturbance) -> None:
        flight, connection = disturbance.flight, disturbance.connection
        received = connection.receive(self._buffer)
        if received is None:
            return
        if not received:
            if flight.sent_ns and connection.answer.end():
                self._end(disturbance, outcome_of(connection.answer))
            else:
                self._end(disturbance, Outcome.RESET, CLOSED)
            return
        flight.first_byte_ns = flight.first_byte_ns or time.monotonic_ns()
        flight.bytes_received += received
        try:
            connection.answer.feed(self._buffer[:received])
        except MalformedAnswerError:
            self._end(disturbance, Outcome.MALFORMED)
            return
        if connection.answer.complete:
            self._end(disturbance, outcome_of(connection.answer))
        elif connection.has_more():
            self._receive(disturbance)

    def _end(self, disturbance: Disturbance, outcome: Outcome, why: str = "") -> None:
        flight, answer = disturbance.flight, disturbance.connection.answer
        flight.status = answer.status
        flight.kept = answer.kept
        flight.whole = answer.whole()
        flight.why = why
        flight.retry_after_s = answer.retry_after_s
        self._close(disturbance)
        self._on_end(flight, outcome, time.monotonic_ns())

    def _close(self, disturbance: Disturbance) -> None:
        descriptor = disturbance.connection.descriptor
        del self._under_way[descriptor]
        self._epoll.unregister(descriptor)
        disturbance.connection.close()
