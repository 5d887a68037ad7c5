"""One request's way through the service, without a transport: from its body to its answer.

Both edges use it: the ASGI endpoint (:mod:`tailgate.service.endpoint`) and the hot path (:mod:`tailgate.service.hot_path`). It is
written in callbacks on the event loop, since at 20 µs a request a task would be the largest part of the cost. Whatever
happens, the request is counted once and answered once, or counted as cancelled and not answered.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import structlog

from tailgate.service import protocol
from tailgate.service.batching import Ticket
from tailgate.service.errors import BadInput, Expired, Outcome, Overloaded, RequestError
from tailgate.service.images import decode_image
from tailgate.service.items import Item, Result
from tailgate.service.lifecycle import Service
from tailgate.service.message import Answer, Head, require_size
from tailgate.service.protocol import Form, Served
from tailgate.service.workers import Then, Work

# A body that comes in pieces is kept in blocks of about this size until it is whole: one object that grew to 10 MB was copied
# 30 times on its way, 10 ms of the event loop.
BLOCK_BYTES = 2**18


class Call:
    """A request that has begun. Its owner calls :meth:`run` or :meth:`refuse` once, and :meth:`abandon` at any time.

    Args:
        service: what serves it.
        reply: called at most once, on the event loop, with the answer; a subclass may override :meth:`reply` instead.
    """

    __slots__ = (
        "_batched",
        "_blocks",
        "_body",
        "_decode_s",
        "_encode_s",
        "_ended",
        "_form",
        "_held_bytes",
        "_reply",
        "_served",
        "_service",
        "_start_s",
        "_ticket",
        "_timeout_s",
        "_whole_s",
        "_work",
    )

    def __init__(self, service: Service, reply: Callable[[Answer], None] | None = None) -> None:
        self._start_s = time.perf_counter()
        self._service = service
        self._reply = reply
        self._ended = False
        # What has come of the body: whole blocks, and the last.
        self._blocks: list[bytes | bytearray] = []
        self._body: bytes | bytearray = b""
        self._held_bytes = 0
        self._ticket: Ticket | None = None
        self._work: Work | None = None
        self._timeout_s: float | None = None
        self._form: Form | None = None
        self._served: Served | None = None
        self._batched = False
        self._whole_s: float | None = None
        self._decode_s = 0.0
        self._encode_s = 0.0
        service.in_flight += 1

    def reply(self, answer: Answer) -> None:
        """Give the answer to the client."""
        assert self._reply is not None
        self._reply(answer)

    def expect(self, head: Head, form: Form | None, served: Served) -> None:
        """Refuse, before it is read, a body that its head alone says is not taken.

        Args:
            head: of this request.
            form: what the body is, None for a multipart form, of which nothing else is known yet.
            served: the model.

        Raises:
            TooLarge, WrongShape: by its size.
            BytesFull: there is no room for it now.
        """
        service = self._service
        length = head.length
        require_size(length, service.settings.max_body_bytes)
        if length:
            if form is not None:
                protocol.require_length(form, length, served.item)
            service.require_room(length)

    def take(self, piece: bytes) -> None:
        """Take a piece of the body.

        Raises:
            TooLarge: it is more than one body may be.
            BytesFull: there is no room for it beside the others in flight.
        """
        if self._ended:
            return
        require_size(self._held_bytes + len(piece), self._service.settings.max_body_bytes)
        self.hold(len(piece))
        body = self._body
        if not body:
            self._body = piece
        elif len(body) + len(piece) > BLOCK_BYTES:
            self._blocks.append(body)
            self._body = piece
        elif isinstance(body, bytearray):
            body += piece  # one object, however small the pieces are
        else:
            self._body = bytearray().join((body, piece))

    def hold(self, size: int) -> None:
        """Count bytes of the body until the request has ended.

        Raises:
            BytesFull: there is no room for them.
        """
        self._service.hold(size)
        self._held_bytes += size

    def whole(self) -> bytes | bytearray:
        """Return what has been taken, once: from then on it is the caller's. The body has come to its end."""
        self._whole_s = time.perf_counter()
        blocks, body = self._blocks, self._body
        self._blocks, self._body = [], b""
        return b"".join((*blocks, body)) if blocks else body

    def run(
        self, head: Head, form: Form, body: bytes | bytearray | memoryview, *, admitted: bool = True
    ) -> None:
        """Decode, queue, compute and answer a request whose body is there.

        Args:
            head: of this request.
            form: what the body is.
            body: all of it.
            admitted: its head was taken while the service was ready, and its body has come since.
        """
        self._timeout_s, self._form = head.timeout_s, form
        service = self._service
        now_s = time.perf_counter()
        if self._whole_s is None:
            self._whole_s = now_s
        if not body:
            self.refuse(BadInput("the body is empty"))
            return
        try:
            served = self._served = service.require_ready(admitted=admitted)
            self._require_time(now_s)
            decoded = protocol.is_decoded(form, served.item)
            service.admit(self._timeout_s, now_s - self._start_s, decoded=decoded)
            if not decoded:
                item = protocol.item_from_octets(body, served.item)
                self.add_decoding(time.perf_counter() - now_s)
                self._submit(item)
            elif form is Form.PIXELS:
                self._decode(protocol.item_from_octets, body, served.item)
            elif form is Form.IMAGE:
                self._decode(decode_image, body, served.image, service.settings.max_image_pixels)
            else:
                self._decode(protocol.item_from_json, body, served.item)
        except RequestError as error:
            self.refuse(error)
        except Exception:  # noqa: BLE001 - a fault of ours, logged; the client is answered all the same
            self.fail()

    def refuse(self, error: RequestError) -> None:
        """Answer with an error."""
        if self._ended:
            return
        total_s = time.perf_counter() - self._start_s
        status = self._service.settings.overload_status if isinstance(error, Overloaded) else error.status
        self._finish(error.outcome, total_s, status, protocol.answer_error(error), error.headers())

    def fail(self, error: BaseException | None = None) -> None:
        """Answer for a fault of ours: ``error``, or the exception that is being handled."""
        # Answered first: the client must not depend on a line in the log.
        self.refuse(RequestError("the service failed on this request"))
        structlog.get_logger("tailgate.call").error("the service failed on a request", exc_info=error or True)

    def abandon(self, outcome: Outcome = Outcome.CANCELLED) -> None:
        """Note that the client has gone, or is answered by others: count it, and compute nothing that is not bound yet."""
        if self._ended:
            return
        if self._ticket is not None:
            self._service.withdraw(self._ticket)
        self._end(outcome, time.perf_counter() - self._start_s)

    def offload(
        self, then: Then, timeout_s: float | None, function: Callable[..., object], *arguments: object
    ) -> Work:
        """Have its body worked on in a decoding thread, as long as the client's patience lasts."""
        return self._service.offload(then, function, *arguments, began_s=self._start_s, timeout_s=timeout_s)

    def _decode(self, function: Callable[..., object], *arguments: object) -> None:
        self._work = self.offload(self._decoded, self._timeout_s, function, *arguments)

    def add_decoding(self, run_s: float | None) -> None:
        """Count seconds for which its body was worked on; None where that was not begun."""
        self._decode_s += run_s or 0.0

    def spent_s(self) -> float:
        """Return the seconds since its head was there."""
        return time.perf_counter() - self._start_s

    def deadline_s(self, timeout_s: float | None) -> float | None:
        """Return when the client's patience ends, on the clock of ``time.perf_counter``; None for never."""
        return None if timeout_s is None else self._start_s + timeout_s

    def _require_time(self, now_s: float) -> None:
        deadline_s = self.deadline_s(self._timeout_s)
        if deadline_s is not None and now_s >= deadline_s:
            raise Expired("the request's deadline passed before its body was there")

    def _decoded(self, outcome: Any, run_s: float | None) -> None:
        """Go on after a decoding thread; ``outcome`` is an item, an item and whether it was batched, or an error."""
        self._work = None
        if self._ended:
            return
        self.add_decoding(run_s)
        if isinstance(outcome, RequestError):
            self.refuse(outcome)
            return
        if isinstance(outcome, BaseException):
            self.fail(outcome)
            return
        item: Item
        item, self._batched = outcome if self._form is Form.TENSOR else (outcome, False)
        try:
            self._submit(item)
        except RequestError as error:
            self.refuse(error)
        except Exception:  # noqa: BLE001 - as above
            self.fail()

    def _submit(self, item: Item) -> None:
        """Queue its input; whatever of the time since the body was there is not decoding was waiting for a thread."""
        assert self._whole_s is not None
        now_s = time.perf_counter()
        self._service.metrics.decode.observe(self._decode_s)
        wait_s = max(0.0, now_s - self._whole_s - self._decode_s)
        ticket = Ticket(item, now_s, self.deadline_s(self._timeout_s), wait_s)
        ticket.ended = self._computed
        self._ticket = ticket
        self._service.submit(ticket)

    def _computed(self, ticket: Ticket) -> None:
        """Answer with the outcome; called by the service, on the event loop."""
        if self._ended:
            return
        if isinstance(ticket.outcome, RequestError):
            self.refuse(ticket.outcome)
            return
        start_s = time.perf_counter()
        try:
            if self._writes_outputs() and protocol.is_large(ticket.outcome):
                then = partial(self._written, start_s)
                self._work = self._service.write_out(then, self._encoded, ticket.outcome)
                return
            body = self._encoded(ticket.outcome)
        except Exception:  # noqa: BLE001 - as above; one answer's fault must not keep the batch's others waiting
            self.fail()
            return
        self._answer(start_s, body)

    def _written(self, start_s: float, outcome: Any, _: float | None) -> None:
        """Go on after a thread that has written a large answer; ``outcome`` is its bytes or an error."""
        self._work = None
        if self._ended:
            return
        if isinstance(outcome, BaseException):
            self.fail(outcome)
        else:
            self._answer(start_s, outcome)

    def _answer(self, start_s: float, body: bytes) -> None:
        """Answer with a result whose bytes are there; they were begun at ``start_s``."""
        end_s = time.perf_counter()
        self._encode_s = end_s - start_s
        self._service.metrics.encode.observe(self._encode_s)
        self._finish(Outcome.OK, end_s - self._start_s, 200, body)

    def _writes_outputs(self) -> bool:
        """Tell whether the answer holds all of the model's outputs, and not the most likely labels alone."""
        assert self._served is not None
        return self._form is Form.TENSOR or self._served.labels is None

    def _encoded(self, result: Result) -> bytes:
        served = self._served
        assert served is not None
        if self._form is Form.TENSOR:
            return protocol.answer_outputs(result, served, batched=self._batched)
        return protocol.answer_labels(result, served)

    def _finish(
        self,
        outcome: Outcome,
        total_s: float,
        status: int,
        body: bytes,
        more: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        answer = Answer(status, body, self._timing(total_s), more)
        self._end(outcome, total_s)
        self.reply(answer)

    def _end(self, outcome: Outcome, total_s: float) -> None:
        """Count the request: before the last byte leaves, so that a scrape after the answer always holds it."""
        self._ended = True
        # Each knows the other: an idle connection would keep its last body, and every request would be work for gc.
        self._ticket = None
        self._blocks, self._body = [], b""
        if self._held_bytes:
            self._service.give_back(self._held_bytes)
        if self._work is not None:
            self._work.drop()
            self._work = None
        self._service.metrics.count(outcome, total_s)
        self._service.leave()

    def _timing(self, total_s: float) -> bytes:
        """Return the value of Server-Timing; durations are in milliseconds, as the standard has it."""
        ticket = self._ticket
        if ticket is None or ticket.bound_s is None or ticket.computed_s is None:
            return b"total;dur=%.3f" % (total_s * 1e3)
        return (
            b'queue;dur=%.3f, decode;dur=%.3f, compute;dur=%.3f, encode;dur=%.3f, batch;desc="%d", total;dur=%.3f'
            % (
                ticket.waited_s * 1e3,
                self._decode_s * 1e3,
                ticket.computed_s * 1e3,
                self._encode_s * 1e3,
                ticket.batch_size,
                total_s * 1e3,
            )
        )
