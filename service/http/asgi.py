"""The endpoints of the model as an ASGI application, for other servers than ours and for applications with middleware of their own.

FastAPI's routing would cost more than everything else here together, so the endpoint stands below it; the OpenAPI document
describes it all the same (:mod:`tailgate.service.http.pages.openapi`).
"""

import asyncio
import contextlib
from collections.abc import Mapping
from urllib.parse import quote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tailgate.service.batching.requests.request import Request
from tailgate.service.batching.service import Service
from tailgate.service.codec.message import FIRST_ERROR, Answer, Headers
from tailgate.service.codec.request_id import REQUEST_ID, new_id, request_id
from tailgate.service.http.doors import maker_of

# nginx's status for a client that has closed its connection; no client sees it, middleware that logs statuses does.
CLIENT_GONE = 499


class ClientGone(Exception):
    """The client left in the middle of its request."""


class ModelEndpoint:
    """The ASGI application behind ``POST /predict`` and the other paths of the model."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        maker = maker_of(quote(scope["path"]).encode())
        assert maker is not None, "the route leads only from the model's paths to here"
        request = maker(self._service, answered.set_result)
        try:
            request.begin(scope["headers"])
            await _read_body(request, answered, receive)
            answer = await _unless_gone(answered, receive)
        except ClientGone:
            # Starlette's BaseHTTPMiddleware takes an application that ends without a response for one that failed.
            answer = Answer(CLIENT_GONE, b"content-length: 0\r\n", b"")
        finally:
            request.abandon()  # does nothing where it has been answered
        # So the ASGI specification has a server say that the client has gone.
        with contextlib.suppress(OSError):
            await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers()})
            await send({"type": "http.response.body", "body": answer.body})


async def _read_body(request: Request, answered: "asyncio.Future[Answer]", receive: Receive) -> None:
    """Pass the body on as it comes, until it is complete or the request is answered; ClientGone where the client leaves."""
    while not answered.done():
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        if message.get("body"):
            request.take(message["body"])
        if not message.get("more_body", False):
            request.complete()
            return


async def _unless_gone(answered: "asyncio.Future[Answer]", receive: Receive) -> Answer:
    """Return the answer; ClientGone where the client has left before."""
    if answered.done():
        return answered.result()
    gone = asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait((answered, gone), return_when=asyncio.FIRST_COMPLETED)
        if not answered.done():
            raise ClientGone
        return answered.result()
    finally:
        gone.cancel()


async def _disconnected(receive: Receive) -> None:
    """Return when the client has gone; the body has been read already."""
    while (await receive())["type"] != "http.disconnect":
        pass


class AddHeaders:
    """ASGI middleware that adds headers to each answer: the id of its request, where it has none yet, and ``common`` ones."""

    def __init__(self, app: ASGIApp, common: Mapping[str, str]) -> None:
        self._app = app
        self._common = [(name.encode(), value.encode()) for name, value in common.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on the request, and the answer with the headers."""

        async def send_with_more(message: Message) -> None:
            if message["type"] == "http.response.start":
                told = message.get("headers", ())
                known = any(name.lower() == REQUEST_ID for name, _ in told)
                echo = [] if known else echoed(scope["headers"], message["status"])
                message["headers"] = [*told, *echo, *self._common]
            await send(message)

        await self._app(scope, receive, send_with_more if scope["type"] == "http" else send)


def echoed(headers: Headers, status: int) -> Headers:
    """Return the header that tells the id of the request that came with ``headers``; one is made for an error without."""
    told = request_id(headers) or (new_id() if status >= FIRST_ERROR else None)
    return [] if told is None else [(REQUEST_ID, told)]
