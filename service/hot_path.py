"""``POST /predict`` answered in uvicorn's protocol class, without an ASGI scope, a task or a queue of messages.

A plain request for the model is taken here; everything else, and whatever is out of the ordinary, goes the usual way to
the application: other paths and methods, multipart forms, ``Expect: 100-continue``, HTTP/1.0, requests pipelined behind
one that is not answered yet, a client that does not read its answers, a request without the token that is asked for, and
all requests once the application has middleware of its own. Both ways give the same answers: differential tests send the
same bytes both ways.

There are two ways in. The first request of a connection is parsed. A client that keeps its connection sends the same head
again and again, byte for byte; so the head of the last request is kept with what it means, and the next request, where it is
that head and its whole body and nothing else, is run without being parsed: the same bytes mean the same.

The request stands in for uvicorn's own ``RequestResponseCycle`` while it lasts, so that keep-alive, pipelining and graceful
shutdown go on as uvicorn has them.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from starlette.applications import Starlette
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from tailgate.service import protocol
from tailgate.service.call import Call
from tailgate.service.connection import GuardedProtocol
from tailgate.service.ending import BODY
from tailgate.service.errors import Outcome, RequestError
from tailgate.service.lifecycle import Service
from tailgate.service.message import Answer, Head
from tailgate.service.protocol import Form
from tailgate.service.tokens import RequireToken

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from uvicorn import Config
    from uvicorn.server import ServerState

PATH = b"/predict"
QUERY = b"/predict?"
# A name of this module, since looking up a member of an enum costs several times as much.
PIXELS = Form.PIXELS
END_OF_HEAD = b"\r\n\r\n"
# Of a body that has been refused: read and dropped, so that the client sees its answer instead of a reset.
DISCARD_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class KnownHead:
    """The head of a request that the model can be asked, and what it means.

    Attributes:
        raw: its bytes, with the empty line.
        size: of the whole request: head and body.
        head: what its headers say.
        form: what its body is.
    """

    raw: bytes
    size: int
    head: Head
    form: Form


class _Nobody:
    """Stands where uvicorn has an event that wakes an application: here is none to wake."""

    def set(self) -> None:
        """Do nothing."""


class HotRequest(Call):
    """One request on the hot path; to uvicorn it looks like a cycle of its own."""

    __slots__ = (
        "_protocol",
        "disconnected",
        "keep_alive",
        "meaning",
        "response_complete",
    )

    message_event = _Nobody()

    def __init__(self, owner: "HotPathProtocol", service: Service, *, keep_alive: bool) -> None:
        super().__init__(service)
        self._protocol = owner
        self.keep_alive = keep_alive
        self.response_complete = False
        self.disconnected = False
        self.meaning: tuple[Head, Form] | None = None

    def begin(self, headers: list[tuple[bytes, bytes]], service: Service) -> None:
        """Check what the headers say, before the body is taken."""
        try:
            served = service.require_ready()
            head = Head.read(headers)
            form = protocol.form_of(head.content_type, served)
            self.expect(head, form, served)
            self.meaning = head, form
            service.admit(head.timeout_s, decoded=protocol.is_decoded(form, served.item))
        except RequestError as error:
            self.refuse(error)
        except Exception:  # noqa: BLE001 - a fault of ours, logged; the client is answered all the same
            self.fail()

    def receive(self, piece: bytes) -> None:
        """Take a piece of the body, or refuse the request for it."""
        try:
            self.take(piece)
        except RequestError as error:
            self.refuse(error)

    def complete(self) -> None:
        """Run the request: its body is there."""
        assert self.meaning is not None
        self.run(*self.meaning, self.whole())

    def begin_known(self, known: KnownHead, data: bytes) -> None:
        """Do all of this for a whole request whose head is known."""
        try:
            self.hold(len(data) - len(known.raw))
        except RequestError as error:
            self.refuse(error)
        else:
            # Pixels are copied once only, into the batch; what is decoded may be asked for as bytes.
            whole = memoryview(data) if known.form is PIXELS else data
            self.run(known.head, known.form, whole[len(known.raw) :], admitted=False)

    def leave(self) -> None:
        """The client has gone."""
        self.disconnected = True
        self.abandon()

    def reply(self, answer: Answer) -> None:
        """Give the answer to the connection."""
        self.response_complete = True
        self._protocol.write_answer(answer, keep_alive=self.keep_alive)


class HotPathProtocol(GuardedProtocol):
    """A guarded connection with a shorter way for the model's requests.

    Its own state: ``_reading`` is the request whose message is being read, None when that goes the usual way; ``_room`` is what a body that is handed on may still
    bring, and ``_dropped`` counts the bytes beyond it, or that came after the answer. ``_known_head`` is what may be repeated: it is there only while the parser stands behind the very message
    that it is of. ``_opening`` is the read in which the present message began. Where that is the last read, too, at its end
    (:attr:`~tailgate.service.connection.GuardedProtocol._whole`), no part of the message was elsewhere.
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
        # Tokens are looked at here as well; what other middleware does is not known.
        self._plain = all(cast("object", each.cls) is RequireToken for each in application.user_middleware)
        self._reading: HotRequest | None = None
        self._dropped = self._room = 0
        self._known_head: KnownHead | None = None
        self._opening = b""
        self._own_headers: list[tuple[bytes, bytes]] | None = None
        self._beginnings: dict[int, bytes] = {}

    def data_received(self, data: bytes) -> None:
        """Run a request that begins as the last one did, or have the bytes parsed."""
        known = self._known_head
        if known is not None and len(data) == known.size and data.startswith(known.raw) and self._is_free():
            self.requests += 1
            self._run_known(known, data)
        else:
            super().data_received(data)

    def begin_request(self) -> None:
        """Put off what only a scope needs until it is known who answers."""
        self._known_head = None
        self._opening = self._whole
        self._dropped = 0
        # One byte more than is taken, by which whoever reads the body sees that it is too large.
        self._room = self._service.settings.max_body_bytes + 1
        self.url = b""
        self.expect_100_continue = False
        self.headers = []

    def head_complete(self) -> None:
        """Take the request, or hand it on."""
        if not self._takes():
            self._reading = None
            self._hand_on()
            return
        request = self._new_request(keep_alive=self.keeps_alive())
        self.part = BODY  # it may be answered at once
        self._reading = request
        request.begin(self.headers, self._service)

    def body_received(self, body: bytes) -> None:
        """Pass on a piece of the body; what comes after its answer is dropped, and too much of that is cut off."""
        if self.cycle.response_complete:
            self._drop(len(body))
        elif self._reading is None:
            kept = body[: self._room]
            self._room -= len(kept)
            self._drop(len(body) - len(kept))
            super().body_received(kept)
        else:
            self._reading.receive(body)

    def _drop(self, size: int) -> None:
        self._dropped += size
        if self._dropped > DISCARD_BYTES:
            self.transport.close()

    def request_complete(self) -> None:
        """Run the request; where it has been answered, that is all."""
        whole, opening = self._whole, self._opening
        self._whole = self._opening = b""
        request = self._reading
        if request is not None and request.meaning is not None and request.keep_alive and whole is opening:
            self._learn(whole, *request.meaning)
        if self.cycle.response_complete:
            return
        if request is None:
            super().request_complete()
        else:
            request.complete()

    def end_request(self, outcome: Outcome) -> None:
        """End the request whose turn it is, for which the connection answers."""
        running = cast("object", self._running)
        if isinstance(running, HotRequest):
            running.abandon(outcome)
        else:
            super().end_request(outcome)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the request that nobody waits any more."""
        running = cast("object", self._running)
        if isinstance(running, HotRequest):
            running.leave()
        super().connection_lost(exc)

    def write_answer(self, answer: Answer, *, keep_alive: bool) -> None:
        """Write an answer in one piece, and make ready for the next request."""
        transport = self.transport
        if transport.is_closing():
            return
        close = b"\r\n" if keep_alive else b"connection: close\r\n\r\n"
        transport.write(b"".join((self._beginning(answer.status), answer.header_lines(), close, answer.body)))
        if not keep_alive:
            self.end()
        self.on_response_complete()

    def on_response_complete(self) -> None:
        """Go on with the requests that wait behind this one; the guard, not a timer, ends an idle connection."""
        if self.pipeline or self.deaf or self.ended:
            super().on_response_complete()
            return
        self.server_state.total_requests += 1
        if not self.transport.is_closing():
            self.flow.resume_reading()
        if self.guard.full:
            self.guard.rest(self)

    def _run_known(self, known: KnownHead, data: bytes) -> None:
        self._new_request(keep_alive=True).begin_known(known, data)

    def _new_request(self, *, keep_alive: bool) -> HotRequest:
        request = HotRequest(self, self._service, keep_alive=keep_alive)
        # It has all that uvicorn asks of a cycle: whether it is over, and what to tell it when the connection is.
        self.cycle = self._running = cast("RequestResponseCycle", request)
        return request

    def _learn(self, whole: bytes, head: Head, form: Form) -> None:
        """Keep the head of a request that came as a whole, with nothing before or behind it, though it may have been refused."""
        if head.length is None:
            return
        raw = whole[: len(whole) - head.length]
        # An empty line before the request or behind it is not part of it, and the parser says nothing of either.
        if raw.startswith(b"POST ") and raw.find(END_OF_HEAD) == len(raw) - len(END_OF_HEAD):
            self._known_head = KnownHead(raw, len(whole), head, form)

    def _beginning(self, status: int) -> bytes:
        """Return the status line and the server's own headers; uvicorn makes a new list of these every second."""
        headers = self.server_state.default_headers
        if headers is not self._own_headers:
            self._own_headers, self._beginnings = headers, {}
        beginning = self._beginnings.get(status)
        if beginning is None:
            lines = (b"%b: %b\r\n" % header for header in headers)
            beginning = self._beginnings[status] = b"".join((STATUS_LINE[status], *lines))
        return beginning

    def _is_free(self) -> bool:
        """Tell whether the next request can be taken without looking at more than its own bytes."""
        return (
            self.cycle.response_complete
            and not self.flow.write_paused
            and not self.guard.closing
            and not self.deaf
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
            and parser.get_http_version() == "1.1"
            and not any(
                name == b"content-type" and value.lower().startswith(b"multipart/")
                for name, value in self.headers
            )
            and self.knows_client()
        )

    def _hand_on(self) -> None:
        """Do what uvicorn does at the beginning of a message, with what has come since."""
        url, headers, expect = self.url, self.headers, self.expect_100_continue
        super().begin_request()
        self.url, self.expect_100_continue = url, expect
        self.headers.extend(headers)
        super().head_complete()
