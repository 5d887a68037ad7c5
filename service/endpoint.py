"""``POST /predict`` as a plain ASGI application: the edge that works under any server and behind any middleware.

FastAPI's routing would cost more than everything else here together, so it stands below it; the OpenAPI
document describes it all the same (:mod:`service.openapi`). Under ``python -m service``, :mod:`service.hot_path`
answers most requests before they get here; both hand them to :class:`service.call.Call`.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from service import protocol
from service.call import OUTCOME_KEY, Answer, Call, Head, require_size
from service.errors import Outcome, RequestError
from service.lifecycle import Service
from service.multipart import single_file
from service.protocol import Form, Served

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
# nginx's status for a client that has closed its connection; no client sees it, middleware that logs statuses does.
CLIENT_GONE = 499


class ClientGone(Exception):
    """The client left in the middle of its request."""


class PredictEndpoint:
    """The ASGI application behind ``POST /predict``."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        call = Call(self._service, answered.set_result)
        try:
            try:
                served = self._service.require_ready()
                head = Head.read(scope["headers"])
                body, form = await self._read(head, receive, served)
            except RequestError as error:
                call.refuse(error)
            except ClientGone:
                raise
            except Exception:  # noqa: BLE001 - a fault of ours, logged; the client is answered all the same
                call.fail()
            else:
                call.run(head, form, body)
            answer = await _unless_gone(answered, receive)
        except ClientGone:
            answer = None
        finally:
            # Whatever cut it short; nothing where it has been answered.
            call.abandon(scope.get("state", {}).get(OUTCOME_KEY, Outcome.CANCELLED))
        if answer is None:
            await _end_unread(send)
            return
        await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers()})
        await send({"type": "http.response.body", "body": answer.body})

    async def _read(self, head: Head, receive: Receive, served: Served) -> tuple[bytes, Form]:
        """Return the body, and what it is; of a multipart body, the file in it."""
        limit = self._service.settings.max_body_bytes
        if head.content_type.lower().startswith(protocol.MULTIPART) and served.image is not None:
            self._service.admit(head.timeout_s)
            content_type, body = await single_file(
                head.content_type, await read_body(receive, head.length, limit)
            )
            return body, protocol.form_of(content_type, served)
        form = protocol.form_of(head.content_type, served)
        require_size(head.length, limit)
        self._service.admit(head.timeout_s)
        return await read_body(receive, head.length, limit), form


async def _end_unread(send: Send) -> None:
    """End a request whose client has gone; the server drops what is sent.

    Starlette's BaseHTTPMiddleware takes an application that ends without a response for one that failed.
    """
    with contextlib.suppress(OSError):  # as the ASGI specification has a server say that the client has gone
        await send(
            {"type": "http.response.start", "status": CLIENT_GONE, "headers": [(b"content-length", b"0")]}
        )
        await send({"type": "http.response.body", "body": b""})


async def _unless_gone(answered: "asyncio.Future[Answer]", receive: Receive) -> Answer:
    """Return the answer.

    Raises:
        ClientGone: the client left before there was one.
    """
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


async def read_body(receive: Receive, length: int | None, limit: int) -> bytes:
    """Return the whole body, counted as it comes.

    Raises:
        TooLarge: more than ``limit`` bytes, announced or sent.
        ClientGone: the client left in the middle.
    """
    require_size(length, limit)
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk = message.get("body", b"")
        size += len(chunk)
        require_size(size, limit)
        if chunk:
            chunks.append(chunk)
        if not message.get("more_body", False):
            break
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
