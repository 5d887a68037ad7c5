"""``POST /predict`` as a plain ASGI application: from bytes on a socket to bytes on a socket.

FastAPI's routing would cost more than everything else here together, so the hot path stands below it; the
OpenAPI document describes it all the same (:mod:`service.openapi`). Each request is counted once, before the last
byte of its answer leaves.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

import structlog

from service import protocol
from service.batching import Ticket
from service.errors import BadInput, Outcome, RequestError, TooLarge
from service.images import decode_image
from service.items import Item
from service.lifecycle import Service
from service.multipart import single_file
from service.protocol import Form

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class ClientGone(Exception):
    """The client left before its answer: it is counted, and nothing is sent."""


@dataclass(frozen=True, slots=True)
class Head:
    """What the headers of a request say.

    Attributes:
        content_type: as sent.
        length: announced bytes of the body, None when chunked.
        timeout_s: the client's own patience, None for no end.
    """

    content_type: str
    length: int | None
    timeout_s: float | None

    @classmethod
    def read(cls, headers: list[tuple[bytes, bytes]]) -> "Head":
        """Pick the headers that matter.

        Raises:
            BadInput: a header that cannot mean anything.
        """
        content_type, length, timeout_s = "", None, None
        for name, value in headers:
            if name == b"content-type":
                content_type = value.decode("latin-1")
            elif name == b"content-length":
                length = _bytes(value)
            elif name == b"content-encoding" and value.lower() != b"identity":
                raise BadInput(
                    f"Content-Encoding: {value.decode('latin-1')!r} is not decoded; send the body as it is"
                )
            elif name == b"x-request-timeout-ms":
                timeout_s = _milliseconds(value)
        return cls(content_type, length, timeout_s)


def _bytes(value: bytes) -> int:
    if not value.isdigit():
        raise BadInput(f"Content-Length: expected a number, got {value.decode('latin-1')!r}")
    return int(value)


def _milliseconds(value: bytes) -> float:
    try:
        seconds = float(value) / 1000
    except ValueError:
        seconds = float("nan")
    if not 0 < seconds < float("inf"):
        raise BadInput(f"X-Request-Timeout-Ms: expected a positive number, got {value.decode('latin-1')!r}")
    return seconds


class Stages:
    """How long each stage of one request took, for its Server-Timing header and the histograms."""

    __slots__ = ("decode_s", "encode_s", "start_s", "ticket")

    def __init__(self) -> None:
        self.start_s = time.perf_counter()
        self.decode_s: float | None = None
        self.encode_s: float | None = None
        self.ticket: Ticket | None = None

    def header(self, total_s: float) -> bytes:
        """Return the value of Server-Timing; durations are in milliseconds, as the standard has it."""
        parts = []
        ticket = self.ticket
        if ticket is not None and ticket.bound_s is not None and ticket.computed_s is not None:
            parts.append(f"queue;dur={(ticket.bound_s - ticket.queued_s) * 1e3:.3f}")
            parts.append(f"compute;dur={ticket.computed_s * 1e3:.3f}")
            parts.append(f'batch;desc="{ticket.batch_size}"')
        if self.decode_s is not None:
            parts.append(f"decode;dur={self.decode_s * 1e3:.3f}")
        if self.encode_s is not None:
            parts.append(f"encode;dur={self.encode_s * 1e3:.3f}")
        parts.append(f"total;dur={total_s * 1e3:.3f}")
        return ", ".join(parts).encode()


class PredictEndpoint:
    """The ASGI application behind ``POST /predict``."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._log = structlog.get_logger("tailgate.endpoint")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        stages = Stages()
        service = self._service
        service.in_flight += 1
        try:
            error: RequestError | None = None
            try:
                body = await self._predict(scope, receive, stages)
            except RequestError as refusal:
                error = refusal
            except ClientGone:
                service.metrics.count(Outcome.CANCELLED, time.perf_counter() - stages.start_s)
                return
            except asyncio.CancelledError:
                service.metrics.count(Outcome.CANCELLED, time.perf_counter() - stages.start_s)
                raise
            except Exception:  # noqa: BLE001 - a fault of ours, logged; the client is answered all the same
                self._log.exception("the service failed on a request")
                error = RequestError("the service failed on this request")
            if error is not None:
                body = protocol.answer_error(error)
            total_s = time.perf_counter() - stages.start_s
            service.metrics.count(Outcome.OK if error is None else error.outcome, total_s)
            await _answer(send, body, stages.header(total_s), error)
        finally:
            service.in_flight -= 1
            service.settle()

    async def _predict(self, scope: Scope, receive: Receive, stages: Stages) -> bytes:
        """Return the answer's body."""
        service = self._service
        served = service.require_ready()
        head = Head.read(scope["headers"])
        body, form = await self._read(head, receive, served)
        decode_start_s = time.perf_counter()
        batched = False
        item: Item
        if form is Form.IMAGE:
            item = await service.offload(decode_image, body, served.image, service.settings.max_image_pixels)
        elif form is Form.PIXELS:
            item = protocol.item_from_octets(body, served.item)
        else:
            item, batched = await service.offload(protocol.item_from_json, body, served.item)
        now_s = time.perf_counter()
        stages.decode_s = now_s - decode_start_s
        service.metrics.decode.observe(stages.decode_s)
        deadline_s = None if head.timeout_s is None else stages.start_s + head.timeout_s
        ticket = stages.ticket = Ticket(item, now_s, deadline_s)
        await self._compute(ticket, receive)
        if isinstance(ticket.outcome, Exception):
            raise ticket.outcome
        encode_start_s = time.perf_counter()
        if form is Form.TENSOR:
            answer = protocol.answer_outputs(ticket.outcome, served, batched=batched)
        else:
            answer = protocol.answer_labels(ticket.outcome, served)
        stages.encode_s = time.perf_counter() - encode_start_s
        service.metrics.encode.observe(stages.encode_s)
        return answer

    async def _read(self, head: Head, receive: Receive, served: protocol.Served) -> tuple[bytes, Form]:
        """Return the body, and what it is; of a multipart body, the file in it."""
        limit = self._service.settings.max_body_bytes
        if head.content_type.lower().startswith(protocol.MULTIPART) and served.image is not None:
            content_type, body = await single_file(
                head.content_type, await read_body(receive, head.length, limit)
            )
            return body, protocol.form_of(content_type, served)
        form = protocol.form_of(head.content_type, served)
        return await read_body(receive, head.length, limit), form

    async def _compute(self, ticket: Ticket, receive: Receive) -> None:
        """Hand the ticket over and wait for its end, or for the client's."""
        loop = asyncio.get_running_loop()
        ended = loop.create_future()
        ticket.ended = ended
        self._service.submit(ticket)
        gone = loop.create_task(_disconnected(receive))
        gone.add_done_callback(lambda _: ended.done() or ended.cancel())
        try:
            await ended
        except asyncio.CancelledError:
            self._service.withdraw(ticket)
            if gone.done():
                raise ClientGone from None
            raise
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
        BadInput: no bytes at all.
        ClientGone: the client left in the middle.
    """
    if length is not None and length > limit:
        raise _too_large(length, limit)
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise _too_large(size, limit)
        if chunk:
            chunks.append(chunk)
        if not message.get("more_body", False):
            break
    if not chunks:
        raise BadInput("the body is empty")
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _too_large(size: int, limit: int) -> TooLarge:
    return TooLarge(
        f"the body has {size} bytes or more, and at most {limit} are taken (TAILGATE_MAX_BODY_BYTES)"
    )


async def _answer(send: Send, body: bytes, timing: bytes, error: RequestError | None) -> None:
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"server-timing", timing),
    ]
    if error is not None and error.retry_after_s is not None:
        headers.append((b"retry-after", str(error.retry_after_s).encode()))
    if error is not None and error.status == TooLarge.status:
        headers.append((b"connection", b"close"))  # the rest of the body is not worth reading
    status = 200 if error is None else error.status
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
