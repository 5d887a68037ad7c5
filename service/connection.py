"""One connection, guarded: uvicorn's protocol with what it lacks against slow, endless and broken clients.

It stands between the socket and both edges: the hot path is a subclass, and what the hot path does not take goes on to the
application from here. It sees to it that a head is small, that head, body and answer pass in a bounded time (by the
:class:`service.guard.Guard` of all connections), that a wish for another protocol is ignored as RFC 9110 has it,
and that every refusal is the service's own: JSON, counted, and followed by the end of the connection.

It reads no request's meaning and holds no timer: a request costs it a few assignments.
"""

from typing import TYPE_CHECKING, Any

import httptools
import structlog
from starlette.applications import Starlette
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from service import http1
from service.call import OUTCOME_KEY
from service.errors import (
    BadInput,
    Cut,
    HeadTooLarge,
    Outcome,
    RequestError,
    TooSlow,
    Unavailable,
    UrlTooLong,
)
from service.guard import LINGER_BYTES, LINGER_S, Guard, Part, overdue
from service.pipelining import MAX_PIPELINED, Flow
from service.tokens import Tokens, authorization

if TYPE_CHECKING:
    import asyncio

    from uvicorn import Config
    from uvicorn._types import ASGI3Application
    from uvicorn.server import ServerState

# As other servers have it: nginx takes 32 KiB of head and 8 of request line, Apache 100 headers and 8 KB.
MAX_HEAD_BYTES = 32 * 2**10
MAX_HEADERS = 100
MAX_URL_BYTES = 8 * 2**10
# Of chunks' sizes, their extensions and a trailer, with no byte of a body between: no client needs any of the latter two.
MAX_FRAME_BYTES = 32 * 2**10
# Names of this module, since looking up a member of an enum costs several times as much, for each part of each request.
HEAD, BODY, NOTHING, SET_ASIDE = Part.HEAD, Part.BODY, Part.NOTHING, Part.SET_ASIDE
LEFT_OVER = Part.LEFT_OVER


class _NothingMore(Exception):
    """What the parser has come to is nobody's: raised into it, so that it stops there."""


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, guarded.

    A subclass overrides :meth:`begin_request`, :meth:`head_complete` and :meth:`request_complete` in place of
    ``on_message_begin``, ``on_headers_complete`` and ``on_message_complete``, and :meth:`body_received` in place of
    ``on_body``: these belong to the guard. It calls ``super()``'s for a request that it does not take itself. Where it
    overrides ``connection_made`` or ``connection_lost`` it calls ``super()``'s, always, and ``on_response_complete``'s where
    requests wait or the connection is ``deaf``. Before it takes a request it asks :meth:`knows_client`, and its answers end
    the connection unless :meth:`keeps_alive`. A ``cycle`` of its own is ``_running`` too, has ``response_complete``, and
    ``keep_alive``, which may be set until it is answered; :meth:`end_request` ends it.

    ``data_received`` may be overridden for bytes that are a whole request, between two others: for such a one ``requests``
    grows by one, and everything else stays as it is. A timer of idle connections is not needed: the guard ends them.

    Attributes:
        guard: of all connections.
        part: what of a request is being received; a new connection is to send a head.
        requests: begun on this connection.
        ending: the last request has come, and none is taken behind it.
        deaf: what comes is dropped without a look at it.
        since_s: when the guard first saw it wait as it does now, on the event loop's clock.
    """

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
        self.url, self.headers = b"", []
        self.part = HEAD
        self.requests = 0
        self.ending = self.deaf = False
        self.since_s = self.loop.time()
        self._seen = (0, HEAD, False)
        self._unsent_since_s: float | None = None
        self._head_bytes = 0
        self._head_may_be_large = False
        self._frame_bytes = self._left_over_bytes = 0
        self._tokens: Tokens | None = application.state.tokens
        self._known: bytes | None = None
        # What came with the last read, as long as no message has ended in it, and nothing where that is not as it came.
        self._whole = b""
        self._running: RequestResponseCycle | None = None
        self._refusal: RequestError | None = None

    # What a subclass may take over.

    def begin_request(self) -> None:
        """The first byte of a request has come."""
        super().on_message_begin()

    def head_complete(self) -> None:
        """The request's line and headers are there, and are fit to be looked at."""
        super().on_headers_complete()

    def body_received(self, body: bytes) -> None:
        """A piece of the request's body has come."""
        super().on_body(body)

    def request_complete(self) -> None:
        """The request's last byte has come."""
        super().on_message_complete()

    def end_request(self, outcome: Outcome) -> None:
        """End the request whose turn it is, for which the connection answers: it is counted as told."""
        running = self._running
        if running is not None and not running.response_complete:
            running.scope["state"][OUTCOME_KEY] = outcome
            running.waiting_for_100_continue = False
            running.disconnected = True
            running.message_event.set()

    # What a subclass may ask.

    def knows_client(self) -> bool:
        """Tell whether the request whose headers are there has a token, or needs none.

        A header that was right once on this connection is compared with itself from then on.
        """
        if self._tokens is None:
            return True
        given = authorization(self.headers)
        if given is None:
            return False
        if given != self._known:
            if not self._tokens.admit(given):
                return False
            self._known = given
        return True

    def keeps_alive(self) -> bool:
        """Tell whether the connection goes on after the request whose headers are there."""
        return not self.guard.closing and bool(self.parser.should_keep_alive())

    # What comes from the socket and the parser.

    def connection_made(self, transport: "asyncio.Transport") -> None:  # type: ignore[override]
        """Take the connection, or refuse it where there are too many."""
        super().connection_made(transport)
        self.flow: Flow = Flow(transport, self.pipeline)
        if not self.guard.enter(self, self.loop):
            self.guard.metrics.cuts[Cut.REFUSED] += 1
            self.refuse(Unavailable("as many connections are open as may be; try again later"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end, and tell the application."""
        self.guard.leave(self)
        super().connection_lost(exc)
        self._unset_keepalive_if_required()  # uvicorn leaves it running after a reset
        if self._running is not None:
            # uvicorn tells the last request only, and the one that runs may stand before it.
            self._running.disconnected = True
            self._running.message_event.set()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: "ASGI3Application") -> None:
        """Keep hold of the request that the application has in hand, and of whether its body is asked for."""
        self._running = cycle
        super()._start_asgi_task(
            cycle, http1.closing_unless_asked(cycle, app) if cycle.waiting_for_100_continue else app
        )

    def data_received(self, data: bytes) -> None:
        """Parse what has come."""
        self._unset_keepalive_if_required()
        if self.part is LEFT_OVER:
            self._left_over_bytes += len(data)
            if self._left_over_bytes > LINGER_BYTES:
                self.transport.close()
            return
        self._whole = data
        pieces: list[bytes | memoryview] = [data]
        while pieces and not self.deaf:
            pieces += self._parse(pieces.pop())

    def _parse(self, data: bytes | memoryview) -> tuple[bytes | memoryview, ...]:
        """Parse bytes up to a wish for another protocol; return what is to be parsed then, the last first."""
        self._head_may_be_large = self.part is HEAD or len(data) > MAX_HEAD_BYTES
        requests = self.requests
        if self.part is BODY:
            self._frame_bytes += len(data)
        try:
            self.parser.feed_data(data)
            if self.part is HEAD:
                self._count_head(len(data), goes_on=self.requests == requests)
            elif self._frame_bytes > MAX_FRAME_BYTES and self.part is BODY:
                raise HeadTooLarge(_FRAME_TOO_LARGE)
        except httptools.HttpParserUpgrade as upgrade:
            rest = memoryview(data)[upgrade.args[0] :]
            head = self._begin_again_without_upgrade()
            return (rest, head) if rest else (head,)
        except (httptools.HttpParserError, RequestError) as error:
            self._refuse_bytes(error)
        return ()

    def on_message_begin(self) -> None:
        """Note that a head has begun; none is taken behind the last request (RFC 9112, section 9.6)."""
        if self.ending or self.transport.is_closing():
            raise _NothingMore
        self.part = HEAD
        self.requests += 1
        if self.guard.closing and self._is_busy():
            self.cycle.keep_alive = True  # the last answer is this one's then
        self.begin_request()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header of a head. Those behind a body mean nothing: they come after it has been judged."""
        if self.part is HEAD:
            super().on_header(name, value.strip(b" \t"))  # the parser leaves what stands behind a value

    def on_headers_complete(self) -> None:
        """Refuse a head that is too large or names no host; ignore the wish for another protocol."""
        if self._head_may_be_large or len(self.headers) > MAX_HEADERS or len(self.url) > MAX_URL_BYTES:
            self._check_head()
        hosts = len([name for name, _ in self.headers if name == b"host"])
        if hosts > 1 or (hosts == 0 and self.parser.get_http_version() == "1.1"):
            # RFC 9112, section 3.2: "A server MUST respond with a 400". Two readers could take two hosts differently.
            raise BadInput(f"expected one Host header, got {hosts}")
        if self.expect_100_continue and self.parser.get_http_version() != "1.1":
            self.expect_100_continue = False  # RFC 9110, section 10.1.1
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise BadInput("CONNECT is not served")
            self.part = SET_ASIDE
            return
        if not self.url.startswith(b"/"):
            self.url = http1.with_path(self.url)
        self._frame_bytes = 0
        self.head_complete()
        self.part = BODY  # and from here on the request is ``cycle``
        if self.guard.closing:
            self._say_goodbye()
        elif len(self.pipeline) >= MAX_PIPELINED:
            self.cycle.keep_alive = False
        self.ending = not self.cycle.keep_alive

    def on_body(self, body: bytes) -> None:
        """Note that a body goes on."""
        self._frame_bytes = 0
        self.body_received(body)

    def on_message_complete(self) -> None:
        """Note that the next byte begins a head."""
        if self.part is BODY:
            self.request_complete()
            self.part = NOTHING

    def on_response_complete(self) -> None:
        """Go on with what waits: requests, and behind them a refusal; with the last request in hand, read on."""
        super().on_response_complete()
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self._refusal is not None and not self._is_busy():
            self.refuse(self._refusal)

    # The head.

    def _count_head(self, size: int, *, goes_on: bool) -> None:
        """Bound a head that has not ended: the parser itself would hold any number of bytes."""
        self._head_bytes = self._head_bytes + size if goes_on else 0
        if self._head_bytes > MAX_HEAD_BYTES:
            self._check_head()
            raise HeadTooLarge(_HEAD_TOO_LARGE)

    def _check_head(self) -> None:
        """Refuse a head by what the parser has made of it.

        Raises:
            UrlTooLong, HeadTooLarge: as their names say.
        """
        self._head_bytes = 0
        url_bytes = len(self.url)
        if url_bytes > MAX_URL_BYTES:
            raise UrlTooLong(f"the URL has {url_bytes} bytes or more, and at most {MAX_URL_BYTES} are taken")
        size = url_bytes + sum(len(name) + len(value) for name, value in self.headers)
        if size > MAX_HEAD_BYTES or len(self.headers) > MAX_HEADERS:
            raise HeadTooLarge(_HEAD_TOO_LARGE)

    def _begin_again_without_upgrade(self) -> bytes:
        """Make ready to parse a request anew, as if it had not wished for another protocol; return its head.

        RFC 9110, section 7.8: "A server MAY ignore a received Upgrade header field". The parser takes a body to belong to
        that protocol, so that only a new one will read it.
        """
        parser = self.parser
        version = parser.get_http_version()
        head = http1.head_without_upgrade(parser.get_method(), self.url, version, self.headers)
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        self.part = NOTHING
        self._whole = b""
        return head

    # The end.

    def is_idle(self) -> bool:
        """Tell whether closing the connection costs nobody an answer."""
        return (
            self.part is not BODY
            and not self._is_busy()
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

    def _linger(self) -> None:
        """Say that nothing more is said, and drop what still comes until the client hangs up (RFC 9112, section 9.6).

        To close with bytes unread, or with more on their way, would reset the connection, and its client may lose the
        answer. TLS cannot be closed by halves: there the client closes because the answer told it to, or we do.
        """
        self._unset_keepalive_if_required()
        self.deaf = True
        self.part = LEFT_OVER
        if not self.guard.linger(self, self.loop):
            self.transport.close()
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.flow.stopped = False
        self.flow.resume_reading()

    def shutdown(self) -> None:
        """End the connection with its next answer, or now where none is owed."""
        if self.part is LEFT_OVER:
            self.transport.close()
        else:
            super().shutdown()

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
        if isinstance(cause, _NothingMore):
            self.flow.stop_reading()
        elif not self.transport.is_closing():
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
            self.pipeline.popleft()
            assert self._running is not None
            self.cycle = self.pipeline[0][0] if self.pipeline else self._running
        self.guard.metrics.count(refusal.outcome)
        if self._is_busy():
            self._refusal = refusal
            self.flow.stop_reading()
        else:
            self.refuse(refusal)

    def _refuse_running(self, refusal: RequestError) -> None:
        """Answer to the request whose turn it is, unless its own answer is on its way: then that is the last."""
        if self._is_answering():
            self.cycle.keep_alive = False
            self.flow.stop_reading()
        else:
            self.refuse(refusal)

    def say_goodbye(self) -> None:
        """Have the answer that is awaited be the last one, unless another request has begun behind it."""
        if self._is_busy() and self.part is not HEAD:
            self.cycle.keep_alive = False

    def _say_goodbye(self) -> None:
        """Have the request that has begun be the last one."""
        self.cycle.keep_alive = False
        if self.cycle.response_complete:
            self.transport.close()

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


_FRAME_TOO_LARGE = f"chunk extensions or a trailer have more than {MAX_FRAME_BYTES} bytes"
_HEAD_TOO_LARGE = f"the head has more than {MAX_HEAD_BYTES} bytes or {MAX_HEADERS} headers"
