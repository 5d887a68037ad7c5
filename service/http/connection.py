"""One connection: requests in, answers out, one after the other. It is in exactly one :class:`~tailgate.service.http.state.State`, which only this file changes.

Bytes that come while a request is in hand are kept unread until that request is answered, and reading from the socket pauses.
So pipelined requests wait as bytes, and are answered in their order.

A client that keeps its connection sends the same head again and again; only the ids of its requests differ. The last head is
therefore remembered with its meaning (:mod:`tailgate.service.http.known`), and is not parsed where it comes again.

A connection has no timer: :class:`~tailgate.service.http.limits.Guard` looks at all connections once per second.
"""

import asyncio

import structlog

from tailgate.service.codec.message import Answer
from tailgate.service.codec.request_id import caller_in, id_line, new_id
from tailgate.service.errors import FAILED, Cut, Outcome, RequestError, Unavailable
from tailgate.service.http.half_closed import CONTINUE, ask_soon
from tailgate.service.http.head import Head
from tailgate.service.http.known import Known, learn
from tailgate.service.http.limits import LINGER_BYTES, LINGER_S, overdue, told_of_cut
from tailgate.service.http.reader import BodyReader, HeadReader, Incoming, SizedBody, body_of
from tailgate.service.http.site import Exchange, Site
from tailgate.service.http.state import (
    BODY,
    CLOSED,
    DROPPING,
    HEAD,
    IDLE,
    IN_HAND,
    LINGERING,
    NEW,
    TRANSITIONS,
    State,
)

# Of a body whose request is answered: dropped, so that the client sees the answer instead of a reset.
DISCARD_BYTES = 64 * 2**20


class Connection(asyncio.Protocol):
    """One client's connection."""

    transport: asyncio.Transport

    def __init__(self, site: Site) -> None:
        self.state = NEW
        self.requests = 0  # begun so far
        # When the guard first saw the present state, on the event loop's clock.
        self.since_s = site.loop.time()
        self._site, self._guard, self._loop = site, site.guard, site.loop
        self._incoming = Incoming()
        self._reader = HeadReader()
        self._body: BodyReader | None = None
        self._exchange: Exchange | None = None
        self._known: Known | None = None
        self._head: Head | None = None
        self._keep_alive = True
        self._last = False  # the last answer is written
        self._silent = False  # the client has closed its sending half
        self._dropped = 0
        self._advancing = self._read_paused = self._write_paused = False
        self._seen = (0, NEW)
        self._unsent_since_s: float | None = None

    def _become(self, state: State) -> None:
        assert state in TRANSITIONS[self.state], f"{self.state} -> {state}"
        self.state = state
        if state is IDLE and self._guard.full:
            self._guard.rest(self)

    # The event loop calls these.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or refuse it where there are too many."""
        self.transport = transport  # type: ignore[assignment]  # asyncio declares its base class
        if not self._guard.enter(self, self._loop):
            self._refuse(Cut.REFUSED, Unavailable("as many connections are open as may be; try again later"))

    def data_received(self, data: bytes) -> None:
        """Begin a request whose head is that of the last one, or read what has come."""
        known = self._known
        if known is not None and self._is_free() and (met := known.meet(data)):
            size, request_id = met
            self.requests += 1
            request = self._exchange = self._site.request(self.answer, known.intent)
            if self._site.service.traces is not None:
                request.caller = caller_in(data[:size])
            if len(data) == size + known.length:
                self._become(IN_HAND)
                request.repeat(known.intent, data, size, request_id)
                return
            self._body, self._dropped = SizedBody(known.length), 0
            self._become(BODY)
            self._incoming.add(data)
            self._incoming.skip(size)
            request.begin_again(known.intent, request_id)
            self._advance()
        else:
            self._incoming.add(data)
            self._advance()

    def eof_received(self) -> bool:
        """Return whether the connection goes on although its client says nothing more: while it is owed an answer.

        RFC 9112, section 9.6. A request whose end is missing is not answered, and TLS ends as a whole.
        """
        if (self.state is not IN_HAND and not self._incoming.size) or not self.transport.can_write_eof():
            self._close()
            return False
        self._silent = True
        if self._head is not None and self._head.version == "1.1":
            ask_soon(self.transport, self._loop, lambda: self.state is IN_HAND)
        return True

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - whatever it was
        """Tell the request in hand that nobody waits any more."""
        self._guard.leave(self)
        self._abandon(Outcome.CANCELLED)
        self._incoming.clear()
        self.state = CLOSED

    def pause_writing(self) -> None:
        """Begin no other request: the client does not read its answers."""
        self._write_paused = True

    def resume_writing(self) -> None:
        """Go on: the client has read."""
        self._write_paused = False
        self._advance()

    # The request in hand calls this.

    def answer(self, answer: Answer) -> None:
        """Write the answer to the request in hand, and go on with the next request."""
        if self.state is not IN_HAND and self.state is not BODY:
            return
        self._exchange = None
        # While the server or the client stops, requests that came behind this one are answered first.
        behind = self._incoming.size and self.state is IN_HAND
        last = not self._keep_alive or ((self._guard.closing or self._silent) and not behind)
        self._write(answer, last=last)
        if self.state is BODY:
            self._become(DROPPING)
            self._last = last
            if last:
                self._say_nothing_more()
            if self._body is not None and self._body.complete:
                self._end_of_body()
        elif last:
            self._end()
        else:
            self._become(IDLE)
        if not self._advancing and (self._incoming.size or self._silent):
            self._advance()

    # The guard and the server call these.

    def is_idle(self) -> bool:
        """Tell whether closing the connection costs nobody an answer."""
        return (
            self.state in (NEW, IDLE, HEAD, LINGERING)
            and not self._incoming.size
            and not self.transport.is_closing()
            and not self.transport.get_write_buffer_size()
        )

    def awaits_head(self) -> bool:
        """Tell whether a request may be on its way of which nothing, or a part of the head, has come."""
        return self.state in (NEW, HEAD)

    def review(self, now_s: float) -> None:
        """End the connection if it has taken too long."""
        seen = (self.requests, self.state)
        if seen != self._seen or self._read_paused:  # a client cannot be slow while we do not read
            self._seen, self.since_s = seen, now_s
        if not self.transport.get_write_buffer_size():
            self._unsent_since_s = None
        elif self._unsent_since_s is None:
            self._unsent_since_s = now_s
        unsent_s = None if self._unsent_since_s is None else now_s - self._unsent_since_s
        for_s = now_s - self.since_s
        reason = overdue(self._guard.settings, self.state, for_s, unsent_s)
        if reason is Cut.SLOW_READER or (reason is not None and not self.transport.is_closing()):
            self.cut(reason)
        elif self.state is LINGERING and for_s > LINGER_S:
            self._close()

    def cut(self, reason: Cut) -> None:
        """End the connection, with an answer where one is owed."""
        error = told_of_cut(reason, self.state, self._guard.settings)
        if error is not None:
            self._refuse(reason, error)
            return
        self._guard.metrics.cuts[reason] += 1
        if reason is Cut.SLOW_READER:
            self.transport.abort()
        else:
            self._close()

    def shut_down(self) -> None:
        """End the connection with its next answer, or now where none is owed."""
        if self.state in (BODY, IN_HAND) or self._incoming.size:
            self._keep_alive = False
        elif self.state is DROPPING:
            self._last = True
            self._say_nothing_more()
        else:
            self._close()

    # Reading.

    def _is_free(self) -> bool:
        return (self.state is IDLE or self.state is NEW) and not (
            self._incoming.size or self._write_paused or self._guard.closing
        )

    def _reads(self) -> bool:
        if not self._incoming.size or (self._write_paused and self.state in (IDLE, NEW)):
            return False
        return self.state is not IN_HAND and self.state is not CLOSED

    def _advance(self) -> None:
        """Read what has come; at most one request per turn of the event loop, so that other connections get theirs."""
        self._advancing, requests = True, self.requests
        try:
            while self._reads() and not (self.state is IDLE and self.requests > requests):
                self._read()
        except RequestError as error:
            self._refuse(Cut.MALFORMED, error)
        except Exception as error:  # noqa: BLE001 - our own fault: logged, and the client is answered
            structlog.get_logger("tailgate.connection").error(FAILED, exc_info=error)
            self._refuse(Cut.MALFORMED, RequestError(FAILED))
        finally:
            self._advancing = False
        if self._silent and not self._incoming.size and self.state is not IN_HAND:
            self._close()
        elif self._reads():
            self._loop.call_soon(self._advance)
        self._pause_reading(pause=bool(self._incoming.size))

    def _read(self) -> None:
        if self.state is LINGERING:
            self._drop(self._incoming.clear(), LINGER_BYTES)
        elif self.state is BODY or self.state is DROPPING:
            self._read_body()
        else:
            self._read_head()

    def _read_head(self) -> None:
        if self.state is not HEAD:
            self._incoming.skip_line_ends()
            if not self._incoming.size:
                return
            self._become(HEAD)
            self.requests += 1
            self._reader, self._known = HeadReader(), None
        found = self._reader.read(self._incoming)
        if found is not None:
            self._begin(*found)

    def _begin(self, head: Head, raw: bytes) -> None:
        """Hand a request on, and remember its head where the same bytes may come again."""
        self._head, self._body, self._dropped = head, body_of(head), 0
        self._become(BODY)
        exchange = self._exchange = self._site.exchange(head, self.answer)
        # A client that waits to be asked for its body may leave the body out behind another answer.
        waits = head.expects and not self._incoming.size and not self._body.complete
        self._keep_alive = head.keep_alive and not waits
        exchange.begin(head.headers)
        if self.state is BODY and waits and exchange.takes_body:
            self._keep_alive = head.keep_alive
            self.transport.write(CONTINUE)
        if exchange.intent is not None and head.keep_alive and head.length is not None and not head.expects:
            self._known = learn(raw, head, head.length, exchange.intent)
        if self._body.complete and self.state is BODY:
            self._end_of_body()

    def _read_body(self) -> None:
        assert self._body is not None
        size = self._incoming.size
        piece = self._body.read(self._incoming)
        if self.state is DROPPING:
            self._drop(size - self._incoming.size, DISCARD_BYTES)
        elif piece:
            assert self._exchange is not None
            self._exchange.take(piece)
        if self._body.complete and self.state in (BODY, DROPPING):
            self._end_of_body()

    def _end_of_body(self) -> None:
        if self.state is BODY:
            self._become(IN_HAND)
            assert self._exchange is not None
            self._exchange.complete()
        elif self._last:
            self._end()
        else:
            self._become(IDLE)

    def _drop(self, size: int, limit: int) -> None:
        self._dropped += size
        if self._dropped > limit:
            self._close()

    def _pause_reading(self, *, pause: bool) -> None:
        if pause != self._read_paused and not self.transport.is_closing():
            self._read_paused = pause
            (self.transport.pause_reading if pause else self.transport.resume_reading)()

    # Ending.

    def _write(self, answer: Answer, *, last: bool) -> None:
        without_body = self._head is not None and self._head.method == b"HEAD"
        common = self._site.common_headers()
        self.transport.write(answer.encoded(common, close=last, without_body=without_body))

    def _refuse(self, reason: Cut, error: RequestError) -> None:
        """Answer in place of the request in hand, or of the request that was coming, and end the connection."""
        self._guard.metrics.cuts[reason] += 1
        if self.state is DROPPING:
            self._end()
        if self.state in (IDLE, LINGERING, CLOSED):  # it has been answered
            return
        if self.state is HEAD:
            self._guard.metrics.count(error.outcome)
        exchange = self._exchange
        self._abandon(error.outcome)
        request_id = (None if exchange is None else exchange.request_id) or new_id()
        self._head = None
        self._write(Answer.refusal(error, id_line(request_id)), last=True)
        self._linger()

    def _abandon(self, outcome: Outcome) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.abandon(outcome)

    def _end(self) -> None:
        """End the connection behind its last answer; over TLS only a close says that it was the last."""
        (self._linger if self.transport.can_write_eof() else self._close)()

    def _linger(self) -> None:
        """Drop what still comes until the client hangs up, or for a moment.

        Closing with bytes unread, or with more on their way, would reset the connection, and the client could lose the
        answer (RFC 9112, section 9.6).
        """
        self._become(LINGERING)
        self._incoming.clear()
        self._dropped = 0
        self._say_nothing_more()
        if self._silent or not self._guard.linger(self, self._loop):
            self._close()

    def _say_nothing_more(self) -> None:
        """Close the sending half. TLS has none: its client closes because the answer said so, or we do after a moment."""
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._pause_reading(pause=False)

    def _close(self) -> None:
        self._abandon(Outcome.CANCELLED)
        self.state = CLOSED
        self.transport.close()
