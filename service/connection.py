"""One connection, guarded: uvicorn's protocol with what it lacks against slow, endless and broken clients.

It stands between the socket and both edges: the hot path is a subclass, and what the hot path does not take goes on to the
application from here. What it refuses, and how it ends, is in :mod:`tailgate.service.ending`. It sees to it that a head is small, that head, body and answer pass in a bounded time (by the
:class:`tailgate.service.guard.Guard` of all connections), that a wish for another protocol is ignored as RFC 9110 has it,
and that every refusal is the service's own: JSON, counted, and followed by the end of the connection.

It reads no request's meaning and holds no timer: a request costs it a few assignments.
"""

from typing import TYPE_CHECKING, Any, cast

import httptools
from starlette.applications import Starlette
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from tailgate.service import http1
from tailgate.service.ending import BODY, HEAD, LEFT_OVER, EndingProtocol, NothingMore
from tailgate.service.errors import BadInput, Cut, HeadTooLarge, RequestError, Unavailable, UrlTooLong
from tailgate.service.guard import LINGER_BYTES, Part
from tailgate.service.pipelining import MAX_PIPELINED, Flow
from tailgate.service.tokens import Tokens, authorization

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
# Names of this module, as in service.ending.
NOTHING, SET_ASIDE = Part.NOTHING, Part.SET_ASIDE


class GuardedProtocol(EndingProtocol):
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
        self.url, self.headers = b"", []
        self._head_bytes = 0
        self._head_may_be_large = False
        self._frame_bytes = self._left_over_bytes = 0
        self._tokens: Tokens | None = application.state.tokens
        self._known: bytes | None = None
        # What came with the last read, as long as no message has ended in it, and nothing where that is not as it came.
        self._whole = b""

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
        self.flow = Flow(transport, self.pipeline)
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
        cycle.transport = cast("asyncio.Transport", http1.AnswerTransport(cycle, self.transport, self.end))
        super()._start_asgi_task(
            cycle, http1.closing_unless_asked(cycle, app) if cycle.waiting_for_100_continue else app
        )

    def data_received(self, data: bytes) -> None:
        """Parse what has come."""
        self._unset_keepalive_if_required()
        if self.deaf:
            self._hear_nothing(len(data))
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
            raise NothingMore
        self.part = HEAD
        self.requests += 1
        if self.guard.closing and self._is_busy():
            if self.cycle is self._running and self._is_answering():
                raise NothingMore  # its answer has said already that it is the last
            self.cycle.keep_alive = True  # the last answer is this one's then
        self.begin_request()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header of a head. Those behind a body mean nothing: they come after it has been judged."""
        if self.part is HEAD:
            super().on_header(name, value.strip(b" \t"))  # the parser leaves what stands behind a value

    def on_headers_complete(self) -> None:
        """Refuse a head that means nothing or is too large; ignore the wish for another protocol."""
        if self._head_may_be_large or len(self.headers) > MAX_HEADERS or len(self.url) > MAX_URL_BYTES:
            self._check_head()
        version = self._version = self.parser.get_http_version()
        http1.require_version(version)
        http1.require_host(version, self.headers)
        if version != "1.1":
            http1.require_framing(version, self.headers)
            self.expect_100_continue = False  # RFC 9110, section 10.1.1
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise BadInput("CONNECT is not served")
            self.part = SET_ASIDE
            return
        self.url = http1.checked_target(self.parser.get_method(), self.url)
        self._frame_bytes = 0
        self.head_complete()
        self.part = BODY  # and from here on the request is ``cycle``
        if self.guard.closing or len(self.pipeline) >= MAX_PIPELINED:
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
            if self.ended:
                self._linger()
            elif self.guard.full and not self._is_busy():
                self.guard.rest(self)

    def on_response_complete(self) -> None:
        """Go on with what waits: requests, and behind them a refusal; with the last request in hand, read on."""
        if self.ended:
            self.server_state.total_requests += 1
            return
        super().on_response_complete()
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self._refusal is not None and not self._is_busy():
            self.refuse(self._refusal)
        elif self.guard.full:
            self.guard.rest(self)

    def _hear_nothing(self, size: int) -> None:
        """Bound what is read for nobody; with an answer owed it stays unread from there on."""
        self._left_over_bytes += size
        if self._left_over_bytes <= LINGER_BYTES:
            return
        if self.part is LEFT_OVER:
            self.transport.close()
        else:
            self.flow.stop_reading()

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


_FRAME_TOO_LARGE = f"chunk extensions or a trailer have more than {MAX_FRAME_BYTES} bytes"
_HEAD_TOO_LARGE = f"the head has more than {MAX_HEAD_BYTES} bytes or {MAX_HEADERS} headers"
