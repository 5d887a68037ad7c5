"""How a connection ends: what is refused, cut off, said goodbye to, and what is still read behind the last answer.

It stands between uvicorn's protocol and :mod:`tailgate.service.connection`, which receives. Here is known which request's turn it is
to be answered, so that no refusal overtakes an answer, and that each request ends once.
"""

from typing import TYPE_CHECKING, Any

import httptools
import structlog
from starlette.applications import Starlette
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from tailgate.service import half_closed, http1
from tailgate.service.errors import BadInput, Cut, Outcome, RequestError, TooSlow, Unavailable
from tailgate.service.guard import LINGER_S, Guard, Part, overdue
from tailgate.service.message import OUTCOME_KEY
from tailgate.service.pipelining import Flow

if TYPE_CHECKING:
    import asyncio

    from uvicorn import Config
    from uvicorn.server import ServerState

# Names of this module, since looking up a member of an enum costs several times as much, for each part of each request.
HEAD, BODY, NOTHING, LEFT_OVER = Part.HEAD, Part.BODY, Part.NOTHING, Part.LEFT_OVER


class NothingMore(Exception):
    """What the parser has come to is nobody's: raised into it, so that it stops there."""


class EndingProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with an end to everything.

    Attributes:
        guard: of all connections.
        flow: reads, or does not.
        part: what of a request is being received; a new connection is to send a head.
        requests: begun on this connection.
        ending: the last request has come, and none is taken behind it.
        ended: the last answer has been given.
        deaf: what comes is dropped without a look at it.
        silent: the client has closed its sending half.
        since_s: when the guard first saw it wait as it does now, on the event loop's clock.
    """

    flow: Flow

    def __init__(
        self,
        config: "Config",
        server_state: "ServerState",
        app_state: dict[str, Any],
        _loop: "asyncio.AbstractEventLoop | None" = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        application = config.app
        assert isinstance(application, Starlette)
        self.guard: Guard = application.state.guard
        self.part = HEAD
        self.requests = 0
        self.ending = self.ended = self.deaf = self.silent = False
        self.since_s = self.loop.time()
        self._seen = (0, HEAD, False)
        self._unsent_since_s: float | None = None
        self._running: RequestResponseCycle | None = None
        self._refusal: RequestError | None = None
        self._version = ""

    def end_request(self, outcome: Outcome) -> None:
        """End the request whose turn it is, for which the connection answers: it is counted as told."""
        running = self._running
        if running is not None and not running.response_complete:
            running.scope["state"][OUTCOME_KEY] = outcome
            running.waiting_for_100_continue = False
            running.disconnected = True
            running.message_event.set()

    def is_idle(self) -> bool:
        """Tell whether closing the connection costs nobody an answer."""
        return (
            (self.part is LEFT_OVER or (self.part is not BODY and not self._is_busy()))
            and not self.transport.is_closing()
            and self.transport.get_write_buffer_size() == 0
        )

    def review(self, now_s: float) -> None:
        """End the connection if it has taken too long; called by the guard, about once a second."""
        seen = (self.requests, self.part, self._is_busy())
        if seen != self._seen or self.flow.read_paused:
            # While we do not read, its client cannot be slow.
            self._seen, self.since_s = seen, now_s
        unsent_s: float | None = None
        if self.transport.get_write_buffer_size() == 0:
            self._unsent_since_s = None
        elif self._unsent_since_s is None:
            self._unsent_since_s = now_s
        else:
            unsent_s = now_s - self._unsent_since_s
        requests, part, busy = seen
        for_s = now_s - self.since_s
        reason = overdue(self.guard.limits, part, for_s, unsent_s, busy=busy, fresh=requests == 0)
        if reason is Cut.SLOW_READER or (reason is not None and not self.transport.is_closing()):
            self.cut(reason)
        elif part is LEFT_OVER and for_s > LINGER_S:
            self.transport.close()

    def cut(self, reason: Cut) -> None:
        """End the connection, with an answer where one is owed and can be given."""
        self.guard.metrics.cuts[reason] += 1
        error = self._answer_to(reason)
        if reason is Cut.SLOW_READER:
            self.transport.abort()
        elif error is None:
            self.transport.close()
        else:
            self.refuse(error)

    def _answer_to(self, reason: Cut) -> RequestError | None:
        """Return what the client is told, None where it has been answered or has asked nothing."""
        limits = self.guard.limits
        if reason is Cut.SLOW_HEAD:
            self.guard.metrics.count(TooSlow.outcome)
            text = f"the request's head was not there within {limits.head_s:g} s (TAILGATE_HEADER_TIMEOUT_S)"
            return TooSlow(text)
        if not self._is_busy() or self._is_answering():
            return None
        if reason is Cut.SLOW_BODY:
            return TooSlow(
                f"the request's body was not there within {limits.body_s:g} s (TAILGATE_BODY_TIMEOUT_S)"
            )
        if reason is Cut.DRAIN:
            return Unavailable(
                "the service stops, and could not end this request in time; try another replica"
            )
        return None

    def refuse(self, error: RequestError) -> None:
        """Answer for the connection now, and end it; the request whose turn it is ends as this does."""
        if self._is_busy():
            self.end_request(error.outcome)
        self.pipeline.clear()
        self.transport.write(http1.refusal(error, self.server_state.default_headers))
        self._linger()

    def end(self) -> None:
        """End the connection, whose last answer has been given, so that its client can read it.

        To close with bytes unread, or with more on their way, would reset the connection, and its client may lose the
        answer (RFC 9112, section 9.6). So the rest of a body is read and dropped, and then what stands behind it.
        """
        self.pipeline.clear()
        if self.part is BODY and not self.deaf:
            self._say_nothing_more()
        elif self.part is NOTHING and not self.deaf and not self.transport.can_write_eof():
            self.transport.close()  # over TLS a client may wait for the end, which only a close can say
        else:
            self._linger()

    def _linger(self) -> None:
        """Drop what still comes until the client hangs up, or for a moment."""
        self.deaf = True
        self.part = LEFT_OVER
        self._say_nothing_more()
        if self.silent or not self.guard.linger(self, self.loop):
            self.transport.close()

    def _say_nothing_more(self) -> None:
        """Close the sending half; TLS has none: there the client closes because the answer told it to, or we do."""
        self.ending = self.ended = True
        self._unset_keepalive_if_required()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.stopped = False
        self.flow.resume_reading()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Return whether the connection goes on although its client says nothing more: while it is owed an answer.

        Over TLS it never does, since that ends as a whole. A request whose end is missing is not answered.
        """
        in_body = self.part is BODY
        if in_body and self.pipeline:
            self._forget_last()
        elif in_body or self.ended or not self._is_busy() or not self.transport.can_write_eof():
            return False
        if self._refusal is None:
            self.cycle.keep_alive = False
        self.ending = self.silent = True
        if self._version == "1.1":
            half_closed.ask_soon(self.transport, self.loop, self._owes)
        return True

    def _owes(self) -> bool:
        """Tell whether the client waits for an answer of which nothing has been written."""
        return self._is_busy() and not self._is_answering()

    def shutdown(self) -> None:
        """End the connection with its next answer, or now where none is owed."""
        if self.part is LEFT_OVER:
            self.transport.close()
        elif self._is_busy():
            if self._refusal is None:  # it ends the connection in its turn
                self.cycle.keep_alive = False
        elif self.part is BODY:
            self.end()
        else:
            self.transport.close()

    def timeout_keep_alive_handler(self) -> None:
        """Uvicorn's timer of an idle connection has rung."""
        if not self.transport.is_closing():
            self.cut(Cut.IDLE)

    def _refuse_bytes(self, error: Exception) -> None:
        """Answer to bytes that are no request."""
        cause: BaseException = error
        if isinstance(error, httptools.HttpParserCallbackError) and error.__context__ is not None:
            cause = error.__context__  # what one of our own methods raised
        self.deaf = True
        # What comes behind the last request is read and dropped: bytes unread at the end would reset the connection.
        if not isinstance(cause, NothingMore) and not self.transport.is_closing():
            self.guard.metrics.cuts[Cut.MALFORMED] += 1
            self._refuse_in_turn(_refusal_of(cause))

    def _refuse_in_turn(self, refusal: RequestError) -> None:
        """Answer to the request that is being received, when those before it have been answered."""
        if self.part is BODY:
            if not self._is_busy():
                self._linger()  # the rest of a request that has been answered, and is answered and counted once
                return
            if not self.pipeline:
                self._refuse_running(refusal)
                return
            self._forget_last()
        self.guard.metrics.count(refusal.outcome)
        if self._is_busy():
            self._refusal = refusal
            self.flow.stop_reading()
        else:
            self.refuse(refusal)

    def _forget_last(self) -> None:
        """Take back the request that is being received, and waits behind others."""
        self.pipeline.popleft()
        assert self._running is not None
        self.cycle = self.pipeline[0][0] if self.pipeline else self._running
        self.part = NOTHING

    def _refuse_running(self, refusal: RequestError) -> None:
        """Answer to the request whose turn it is, unless its own answer is on its way: then that is the last."""
        if self._is_answering():
            self.cycle.keep_alive = False
            self.flow.stop_reading()
        else:
            self.refuse(refusal)

    def say_goodbye(self) -> None:
        """Have the answer that is awaited be the last one, unless another request has begun behind it."""
        if self._is_busy() and self.part is not HEAD and self._refusal is None:
            self.cycle.keep_alive = False

    def _is_busy(self) -> bool:
        """Tell whether a request is in the service's hands."""
        return self.cycle is not None and not self.cycle.response_complete

    def _is_answering(self) -> bool:
        """Tell whether a part of an answer has been written."""
        running = self._running
        # The hot path writes its answers as a whole.
        return (
            running is not None
            and not running.response_complete
            and getattr(running, "response_started", False)
        )


def _refusal_of(cause: BaseException) -> RequestError:
    """Return what is answered to a request at which the parser, or a method that it called, has failed."""
    if isinstance(cause, RequestError):
        return cause
    if isinstance(cause, httptools.HttpParserError):
        return BadInput("this is not HTTP/1.1 as RFC 9112 has it")
    log = structlog.get_logger("tailgate.connection")
    log.error("the service failed on a request", exc_info=cause)
    return RequestError("the service failed on this request")
