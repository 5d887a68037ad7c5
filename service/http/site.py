"""What all connections of a server share, and what they hand their requests to: the model, or a page."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from typing import Any
from urllib.parse import unquote_to_bytes

import structlog
from starlette.applications import Starlette

from tailgate.service.batching.requests.infer import InferRequest
from tailgate.service.batching.requests.request import Request
from tailgate.service.batching.service import Service
from tailgate.service.codec.intent import Intent
from tailgate.service.codec.message import Answer, Headers, header_lines
from tailgate.service.codec.request_id import id_line, new_id, request_id
from tailgate.service.errors import FAILED, Outcome, RequestError
from tailgate.service.http.doors import Reply, maker_of
from tailgate.service.http.head import Head
from tailgate.service.http.limits import Guard
from tailgate.service.http.tokens import Tokens, authorization

# For browsers and caches on the way. A body is what its type says, never a script; and an answer belongs to who asked, not
# to who asks next. No answer ever has an ``Access-Control`` header: no page of another origin may read one.
SECURITY_HEADERS = {"x-content-type-options": "nosniff", "cache-control": "no-store"}
_SECURITY_LINES = "".join(f"{name}: {value}\r\n" for name, value in SECURITY_HEADERS.items()).encode()


class Page:
    """A request for anything but the model: the ASGI application runs in a task. No page takes a body, so it is dropped."""

    intent = None  # the head is not to be remembered
    takes_body = False

    def __init__(
        self, app: Callable[..., Awaitable[None]], head: Head, reply: Reply, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._app = app
        self._loop = loop
        self._head = head
        self.request_id = request_id(head.headers)
        self._reply = reply
        self._task: asyncio.Task[None] | None = None

    def begin(self, headers: Headers) -> None:
        """Start the application."""
        path, _, query = self._head.target.partition(b"?")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": self._head.version,
            "method": self._head.method.decode("latin-1"),
            "scheme": "http",
            "path": unquote_to_bytes(path).decode("utf-8", "replace"),
            "raw_path": path,
            "query_string": query,
            "root_path": "",
            "headers": headers,
        }
        self._task = self._loop.create_task(self._run(scope))

    def take(self, piece: bytes) -> None:
        """Drop it."""

    def complete(self) -> None:
        """Do nothing: the answer does not depend on the body."""

    def abandon(self, outcome: Outcome) -> None:  # noqa: ARG002 - pages are not counted
        """Stop the application."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self, scope: dict[str, Any]) -> None:
        """Collect the answer, and give it as a whole."""
        start: dict[str, Any] = {}
        pieces: list[bytes] = []
        # One message: whoever waits for another does so until the task is cancelled.
        received: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        received.put_nowait({"type": "http.request", "body": b"", "more_body": False})

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                start.update(message)
            else:
                pieces.append(message.get("body", b""))

        try:
            await self._app(scope, received.get, send)
        except Exception as error:  # noqa: BLE001 - our own fault; Starlette has sent an answer to it
            told = request_id(start.get("headers", [])) or self.request_id
            named = told and told.decode()
            structlog.get_logger("tailgate.page").error(FAILED, request_id=named, exc_info=error)
        if start:
            self._reply(Answer(start["status"], header_lines(start["headers"]), b"".join(pieces)))
        else:
            self._reply(Answer.refusal(RequestError(FAILED), id_line(self.request_id or new_id())))


# A request as its connection sees it. It answers at most once, by :meth:`Connection.answer`, and never raises.
Exchange = Request | Page


class Site:
    """What all connections of a server share."""

    def __init__(self, app: Starlette, loop: asyncio.AbstractEventLoop) -> None:
        self._app = app
        self.loop = loop
        self.service: Service = app.state.service
        self.guard: Guard = app.state.guard
        self._tokens: Tokens | None = app.state.tokens
        self._second = 0
        self._common = b""

    def request(self, reply: Reply, intent: Intent) -> Request:
        """Return a new request to the model, whose head is known."""
        return (Request if intent.infer is None else InferRequest)(self.service, reply)

    def exchange(self, head: Head, reply: Reply) -> Exchange:
        """Return what answers a request: the model, or a page, where a client without a token is refused as well."""
        maker = maker_of(head.target) if head.method == b"POST" else None
        if maker is not None and (self._tokens is None or self._tokens.admit(authorization(head.headers))):
            return maker(self.service, reply)
        return Page(self._app, head, reply, self.loop)

    def common_headers(self) -> bytes:
        """Return the header lines of every answer; the date is renewed once per second."""
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._common = b"date: %b\r\n" % formatdate(second, usegmt=True).encode() + _SECURITY_LINES
        return self._common
