"""``POST /predict`` as a plain ASGI application: the edge that works under any server and behind any middleware.

FastAPI's routing would cost more than everything else here together, so it stands below it; the OpenAPI
document describes it all the same (:mod:`tailgate.service.openapi`). Under ``python -m tailgate.service``, :mod:`tailgate.service.hot_path`
answers most requests before they get here; both hand them to :class:`tailgate.service.call.Call`.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeVar

from tailgate.service import protocol
from tailgate.service.call import Call
from tailgate.service.errors import Outcome, RequestError
from tailgate.service.lifecycle import Service
from tailgate.service.message import OUTCOME_KEY, Answer, Head
from tailgate.service.multipart import Part, boundary_of, single_file
from tailgate.service.protocol import Form, Served

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
T = TypeVar("T")
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
                form, body = await self._read(call, head, receive, served)
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

    async def _read(
        self, call: Call, head: Head, receive: Receive, served: Served
    ) -> tuple[Form, bytes | bytearray]:
        """Return what the body is, and the body; of a multipart body, the file in it."""
        if head.content_type.lower().startswith(protocol.MULTIPART) and served.image is not None:
            call.expect(head, None, served)
            boundary = boundary_of(head.content_type)
            self._service.admit(head.timeout_s, decoded=True)
            form_body = await _body(receive, call)
            # Others may have come meanwhile.
            self._service.admit(head.timeout_s, call.spent_s(), decoded=True)
            part = await self._file_in(boundary, form_body, receive, call, head.timeout_s)
            return protocol.form_of_part(part, served), part.body
        form = protocol.form_of(head.content_type, served)
        call.expect(head, form, served)
        self._service.admit(head.timeout_s, decoded=protocol.is_decoded(form, served.item))
        return form, await _body(receive, call)

    async def _file_in(
        self,
        boundary: str,
        body: bytes | bytearray,
        receive: Receive,
        call: Call,
        timeout_s: float | None,
    ) -> Part:
        """Return a form's file, which a decoding thread looks for.

        Raises:
            BadInput: not a form, or none or several files in it.
            Expired: the deadline has passed.
            Late: it would pass, or the latency objective be missed.
            ClientGone: the client has left.
        """
        found: asyncio.Future[Part] = asyncio.get_running_loop().create_future()

        def then(outcome: Any, run_s: float | None) -> None:
            if found.done():
                return
            call.add_decoding(run_s)
            if isinstance(outcome, BaseException):
                found.set_exception(outcome)
            else:
                found.set_result(outcome)

        work = call.offload(then, timeout_s, single_file, boundary, body)
        try:
            return await _unless_gone(found, receive)
        finally:
            found.cancel()
            work.drop()


async def _end_unread(send: Send) -> None:
    """End a request whose client has gone; the server drops what is sent.

    Starlette's BaseHTTPMiddleware takes an application that ends without a response for one that failed.
    """
    with contextlib.suppress(OSError):  # as the ASGI specification has a server say that the client has gone
        await send(
            {"type": "http.response.start", "status": CLIENT_GONE, "headers": [(b"content-length", b"0")]}
        )
        await send({"type": "http.response.body", "body": b""})


async def _unless_gone(answered: "asyncio.Future[T]", receive: Receive) -> T:
    """Return what is waited for.

    Raises:
        ClientGone: the client left before it was there.
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


async def _body(receive: Receive, call: Call) -> bytes | bytearray:
    """Return the whole body of a call, counted as it comes.

    Raises:
        TooLarge, BytesFull: more than is taken, or than there is room for.
        ClientGone: the client left in the middle.
    """
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        piece = message.get("body", b"")
        if piece:
            call.take(piece)
        if not message.get("more_body", False):
            return call.whole()
