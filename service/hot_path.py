"""``POST /predict`` answered in uvicorn's protocol class, without an ASGI scope, a task or a queue of messages.

A plain request for the model is taken here; everything else, and whatever is out of the ordinary, goes the usual way to
the application: other paths and methods, multipart forms, ``Expect: 100-continue``, upgrades, HTTP/1.0, requests
pipelined behind one that is not answered yet, a client that does not read its answers, and all requests once the
application has middleware of its own. Both ways give the same answers: differential tests send the same bytes both ways.

The request stands in for uvicorn's own ``RequestResponseCycle`` while it lasts, so that keep-alive, pipelining and graceful
shutdown go on as uvicorn has them.
"""

from typing import TYPE_CHECKING, Any, cast

from starlette.applications import Starlette
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from service import protocol
from service.call import Answer, Call, Head, require_size
from service.errors import RequestError
from service.lifecycle import Service
from service.protocol import Form

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from uvicorn import Config
    from uvicorn.server import ServerState

PATH = b"/predict"
QUERY = b"/predict?"
# Of a body that has been refused: read and dropped, so that the client sees its answer instead of a reset.
DISCARD_BYTES = 64 * 2**20


class _Nobody:
    """Stands where uvicorn has an event that wakes an application: here is none to wake."""

    def set(self) -> None:
        """Do nothing."""


class HotRequest:
    """One request on the hot path; to uvicorn it looks like a cycle of its own."""

    __slots__ = (
        "_call",
        "_chunks",
        "_head",
        "_protocol",
        "_size",
        "disconnected",
        "keep_alive",
        "response_complete",
    )

    message_event = _Nobody()

    def __init__(self, owner: "HotPathProtocol", service: Service, *, keep_alive: bool) -> None:
        self._protocol = owner
        self.keep_alive = keep_alive
        self.response_complete = False
        self.disconnected = False
        self._call = Call(service, self._reply)
        self._chunks: list[bytes] = []
        self._size = 0
        self._head: tuple[Head, Form] | None = None

    def begin(self, headers: list[tuple[bytes, bytes]], service: Service) -> None:
        """Check what the headers say, before the body is taken."""
        try:
            served = service.require_ready()
            head = Head.read(headers)
            form = protocol.form_of(head.content_type, served)
            require_size(head.length, service.settings.max_body_bytes)
            self._head = head, form
        except RequestError as error:
            self._call.refuse(error)
        except Exception:  # noqa: BLE001 - a fault of ours, logged; the client is answered all the same
            self._call.fail()

    def receive(self, chunk: bytes, limit: int) -> None:
        """Take a piece of the body."""
        self._size += len(chunk)
        self._chunks.append(chunk)
        try:
            require_size(self._size, limit)
        except RequestError as error:
            self._chunks.clear()
            self._call.refuse(error)

    def complete(self) -> None:
        """Run the request: its body is there."""
        chunks, self._chunks = self._chunks, []
        assert self._head is not None
        self._call.run(*self._head, chunks[0] if len(chunks) == 1 else b"".join(chunks))

    def abandon(self) -> None:
        """The client has gone."""
        self.disconnected = True
        self._call.abandon()

    def _reply(self, answer: Answer) -> None:
        self.response_complete = True
        self._protocol.write_answer(answer, keep_alive=self.keep_alive)


class HotPathProtocol(HttpToolsProtocol):
    """uvicorn's protocol with a shorter way for the model's requests.

    Its own state: ``_reading`` is the request whose message is being read, None when that goes the usual way; ``_last`` is
    the last one taken here, which may still wait for its answer; ``_dropped`` counts the bytes of a body that came after
    its answer.
    """

    def __init__(
        self,
        config: "Config",
        server_state: "ServerState",
        app_state: dict[str, Any],
        _loop: "AbstractEventLoop | None" = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        application = config.app
        assert isinstance(application, Starlette)
        self._service: Service = application.state.service
        self._plain = not application.user_middleware
        self._reading: HotRequest | None = None
        self._last: HotRequest | None = None
        self._dropped = 0

    def on_message_begin(self) -> None:
        """Put off what only a scope needs until it is known who answers."""
        # uvicorn stops this clock where bytes come in; behind an early answer in the same bytes it runs again.
        self._unset_keepalive_if_required()
        self._dropped = 0
        self.url = b""
        self.expect_100_continue = False
        self.headers = []

    def on_headers_complete(self) -> None:
        """Take the request, or hand it on."""
        if not self._takes():
            self._reading = None
            self._hand_on()
            return
        request = HotRequest(self, self._service, keep_alive=self.parser.should_keep_alive())
        self._reading = self._last = request
        # It has all that uvicorn asks of a cycle: whether it is over, and what to tell it when the connection is.
        self.cycle = cast("RequestResponseCycle", request)
        request.begin(self.headers, self._service)

    def on_body(self, body: bytes) -> None:
        """Pass on a piece of the body; what comes after its answer is dropped, and too much of that is cut off."""
        if self.cycle.response_complete:
            self._dropped += len(body)
            if self._dropped > DISCARD_BYTES:
                self.transport.close()
        elif self._reading is None:
            super().on_body(body)
        else:
            self._reading.receive(body, self._service.settings.max_body_bytes)

    def on_message_complete(self) -> None:
        """Run the request, or wait for the next one where it has been answered."""
        if self.cycle.response_complete:
            self.rest()
        elif self._reading is None:
            super().on_message_complete()
        else:
            self._reading.complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the request that nobody waits any more."""
        if self._last is not None and not self._last.response_complete:
            self._last.abandon()
        super().connection_lost(exc)

    def write_answer(self, answer: Answer, *, keep_alive: bool) -> None:
        """Write an answer in one piece, and make ready for the next request."""
        transport = self.transport
        if transport.is_closing():
            return
        lines = [STATUS_LINE[answer.status]]
        for name, value in (*self.server_state.default_headers, *answer.headers()):
            lines += (name, b": ", value, b"\r\n")
        if not keep_alive:
            lines.append(b"connection: close\r\n")
        lines += (b"\r\n", answer.body)
        transport.write(b"".join(lines))
        if not keep_alive:
            transport.close()
        self.on_response_complete()

    def rest(self) -> None:
        """Wait for the next request, for as long as an idle connection is kept."""
        if not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _takes(self) -> bool:
        """Tell whether the request whose headers are there goes the short way."""
        if not self._plain or not (self.url == PATH or self.url.startswith(QUERY)):
            return False
        parser = self.parser
        busy = self.cycle is not None and not self.cycle.response_complete
        return (
            parser.get_method() == b"POST"
            and not busy
            and not self.expect_100_continue
            and not self.flow.write_paused
            and not parser.should_upgrade()
            and parser.get_http_version() == "1.1"
            and not any(
                name == b"content-type" and value.lower().startswith(b"multipart/")
                for name, value in self.headers
            )
        )

    def _hand_on(self) -> None:
        """Do what uvicorn does at the beginning of a message, with what has come since."""
        url, headers, expect = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expect
        self.headers.extend(headers)
        super().on_headers_complete()
