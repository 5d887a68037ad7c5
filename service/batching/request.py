"""One request, from its head to its answer. One object carries it through the service.

Both edges drive it: a connection (:mod:`tailgate.service.http.connection`) and the ASGI application
(:mod:`tailgate.service.http.asgi`) call :meth:`Request.begin`, :meth:`~Request.take` and :meth:`~Request.complete` in this
order, and :meth:`~Request.abandon` at any time. The rest is callbacks on the event loop: at 20 µs per request a task would
cost more than everything else. A request is counted once, and answered once or counted as cancelled.
"""

import asyncio
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from tailgate.service.batching.body import Body
from tailgate.service.batching.journal import FAILED, Facts
from tailgate.service.codec.answers import answer_body, takes_long
from tailgate.service.codec.forms import Part, single_file
from tailgate.service.codec.inputs import Kind, is_decoded, item_of, kind_of_part
from tailgate.service.codec.intent import Intent, intent_of
from tailgate.service.codec.message import (
    FIRST_ERROR,
    Answer,
    Headers,
    error_body,
    header_lines,
    require_size,
)
from tailgate.service.codec.request_id import id_line, new_id, request_id
from tailgate.service.errors import BadInput, Expired, Outcome, Overloaded, RequestError
from tailgate.service.models.items import Item, Result
from tailgate.service.models.spec import Served

if TYPE_CHECKING:
    from tailgate.service.batching.service import Service
    from tailgate.service.batching.workers import Workers

_PIXELS = Kind.PIXELS  # looking up a member of an enum costs several times as much as a name


class Request:
    """A request of ``POST /predict``. All methods are called on the event loop, and none raises.

    Args:
        service: serves it.
        reply: takes the answer; called at most once, on the event loop.
    """

    takes_body = True

    request_id: bytes | None = None  # from the head; made where an error or a slow request has none

    # What is not known yet stands in the class. Times are on the clock of time.perf_counter.
    intent: Intent | None = None  # None before begin(), and where the head was refused
    deadline_s: float | None = None  # after it the answer is useless
    _timer: asyncio.TimerHandle | None = None  # rings at the deadline
    _body: Body | None = None
    _held_bytes: int = 0
    _whole_s: float | None = None  # the body was complete
    # For a thread.
    work: Callable[[], object] | None = None  # None once a thread has it
    work_since_s: float = 0.0
    _next: Callable[[Any], None] | None = None  # goes on with what the work returns
    _pool: "Workers[Request] | None" = None
    _decode_s: float = 0.0
    # For a batch.
    _served: Served | None = None
    _kind: Kind = _PIXELS
    _batched: bool = False  # the input came with a batch dimension
    item: Item | None = None
    queued_s: float = 0.0  # the input was complete
    waiting: bool = False  # it is in the queue
    bound_s: float | None = None  # its batch had the executor to itself
    batch_size: int = 0
    computed_s: float | None = None  # seconds that its batch took
    outcome: Result | RequestError | None = None
    _encode_s: float = 0.0
    _ended: bool = False

    def __init__(self, service: "Service", reply: Callable[[Answer], None]) -> None:
        self.service = service
        self.reply = reply
        self.start_s = time.perf_counter()  # the head was complete
        service.in_flight += 1

    # The head and the body.

    def begin(self, headers: Headers) -> None:
        """Check the head; a request that cannot be served is refused before its body is read."""
        service = self.service
        self.request_id = request_id(headers)
        try:
            served = service.require_ready()
            intent = intent_of(headers, served, service.settings.max_body_bytes)
            service.require_room(intent.length or 0)
            self._intend(intent)
            service.admit(intent.timeout_s, decoded=is_decoded(intent.kind, served.item))
        except RequestError as error:
            self.refuse(error)
        except Exception:  # noqa: BLE001 - our own fault: logged, and the client is answered
            self.fail()

    def take(self, piece: bytes) -> None:
        """Take a piece of the body."""
        if self._ended:
            return
        body = self._body
        if body is None:
            body = self._body = Body()
        try:
            require_size(body.size + len(piece), self.service.settings.max_body_bytes)
            self._hold(len(piece))
        except RequestError as error:
            self.refuse(error)
        else:
            body.add(piece)

    def complete(self) -> None:
        """Run the request: the last byte of its body has come."""
        if self._ended:
            return
        assert self.intent is not None
        self._whole_s = time.perf_counter()
        body = b"" if self._body is None else self._body.whole()
        self._run(self.intent.kind, body, admitted=True)

    def repeat(self, intent: Intent, message: bytes, head_size: int, request_id: bytes | None = None) -> None:
        """Run a whole request whose head has been seen before.

        Args:
            intent: of that head.
            message: head and body.
            head_size: bytes of the head.
            request_id: of this request.
        """
        self.request_id = request_id
        self._whole_s = self.start_s
        # Pixels are copied once only, into the batch; decoders take bytes.
        body = memoryview(message)[head_size:] if intent.kind is _PIXELS else message[head_size:]
        try:
            self._hold(len(body))
        except RequestError as error:
            self.refuse(error)
            return
        self._intend(intent)
        self._run(intent.kind, body, admitted=False)

    def _hold(self, size: int) -> None:
        """Count bytes of the body until the request has ended; raises BytesFull where there is no room."""
        self.service.hold(size)
        self._held_bytes += size

    def _intend(self, intent: Intent) -> None:
        self.intent = intent
        if intent.timeout_s is not None:
            self.deadline_s = self.start_s + intent.timeout_s
            delay_s = self.deadline_s - time.perf_counter()
            self._timer = self.service.call_later(max(0.0, delay_s), self._expire)

    # From the body to a batch.

    def _run(self, kind: Kind, body: bytes | bytearray | memoryview, *, admitted: bool) -> None:
        """Make an input of a body, and queue it.

        Args:
            kind: what the body is.
            body: all of it.
            admitted: the head was taken while the service was ready, and the body has come since.
        """
        if not body:
            self.refuse(BadInput("the body is empty"))
            return
        service = self.service
        try:
            served = self._served = service.require_ready(admitted=admitted)
            now_s = time.perf_counter()
            self._require_time(now_s)
            decoded = is_decoded(kind, served.item)
            assert self.intent is not None
            # Others may have come since the head.
            service.admit(self.intent.timeout_s, now_s - self.start_s, decoded=decoded)
            self._kind = kind
            if kind is Kind.FORM:
                assert self.intent.boundary is not None
                assert not isinstance(body, memoryview)
                find = partial(single_file, self.intent.boundary, body)
                self._offload(service.decoders, find, self._found)
                return
            if decoded:
                make = partial(item_of, kind, body, served, service.settings.max_image_pixels)
                self._offload(service.decoders, make, self._made)
                return
            made = item_of(kind, body, served, service.settings.max_image_pixels)
            self._decode_s += time.perf_counter() - now_s
            self._made(made)
        except RequestError as error:
            self.refuse(error)
        except Exception:  # noqa: BLE001 - as above
            self.fail()

    def _require_time(self, now_s: float) -> None:
        if self.deadline_s is not None and now_s >= self.deadline_s:
            raise Expired("the request's deadline passed before its body was complete")

    def _found(self, part: Part) -> None:
        """Go on with the file of a form."""
        assert self._served is not None
        self._run(kind_of_part(part, self._served), part.body, admitted=True)

    def _made(self, made: tuple[Item, bool]) -> None:
        """Queue the input. The time since the body was complete, without decoding, was spent waiting for a thread."""
        self.item, self._batched = made
        self.queued_s = time.perf_counter()
        self.service.metrics.decode.observe(self._decode_s)
        self.service.submit(self)

    # Threads.

    def _offload(
        self, pool: "Workers[Request]", work: Callable[[], object], then: Callable[[Any], None]
    ) -> None:
        """Have a thread do something, and go on with what it returns."""
        self._next, self._pool = then, pool
        pool.submit(self, work)

    def worked(self, outcome: object, run_s: float) -> None:
        """Go on after a thread; ``outcome`` is what its work returned or raised, which took ``run_s``."""
        then = self._next
        self._next = self._pool = None
        if self._ended or then is None:
            return
        if self.bound_s is None:
            self._decode_s += run_s
        if isinstance(outcome, RequestError):
            self.refuse(outcome)
        elif isinstance(outcome, BaseException):
            self.fail(outcome)
        else:
            try:
                then(outcome)
            except RequestError as error:
                self.refuse(error)
            except Exception:  # noqa: BLE001 - as above
                self.fail()

    # From a batch to the answer.

    @property
    def waited_s(self) -> float:
        """Seconds in which the request waited for a decoding thread and for its batch."""
        assert self._whole_s is not None
        bound_s = self.queued_s if self.bound_s is None else self.bound_s
        return max(0.0, bound_s - self._whole_s - self._decode_s)

    def computed(self) -> None:
        """Answer with the outcome of the batch."""
        if self._ended:
            return
        if isinstance(self.outcome, RequestError):
            self.refuse(self.outcome)
            return
        start_s = time.perf_counter()
        try:
            served, result = self._served, self.outcome
            assert served is not None
            assert result is not None
            write = partial(answer_body, result, self._kind, served, batched=self._batched)
            if takes_long(result, self._kind, served):
                self._offload(self.service.writers, write, partial(self._answer, start_s))
                return
            body = write()
        except Exception:  # noqa: BLE001 - as above; the batch's other answers must not wait
            self.fail()
            return
        self._answer(start_s, body)

    def _answer(self, start_s: float, body: bytes) -> None:
        """Answer with a result whose bytes were begun at ``start_s``."""
        end_s = time.perf_counter()
        self._encode_s = end_s - start_s
        self.service.metrics.encode.observe(self._encode_s)
        self._finish(Outcome.OK, end_s - self.start_s, 200, body)

    # Every end.

    def refuse(self, error: RequestError, fault: BaseException | None = None) -> None:
        """Answer with an error; ``fault`` is our own, where there is one, and is logged."""
        if self._ended:
            return
        total_s = time.perf_counter() - self.start_s
        status = self.service.settings.overload_status if isinstance(error, Overloaded) else error.status
        more = header_lines(error.headers())
        self._finish(error.outcome, total_s, status, error_body(error), more, str(error), fault)

    def fail(self, error: BaseException | None = None) -> None:
        """Answer for our own fault: ``error``, or the exception that is being handled."""
        fault = error or sys.exception()
        if self._ended:
            structlog.get_logger("tailgate.request").error(FAILED, exc_info=fault)
        else:
            self.refuse(RequestError(FAILED), fault)

    def abandon(self, outcome: Outcome = Outcome.CANCELLED) -> None:
        """Note that nobody waits for the answer: count the request, and compute nothing that is not bound yet."""
        if not self._ended:
            total_s = time.perf_counter() - self.start_s
            self._end(outcome, total_s)
            self.service.journal.note(outcome, total_s, self._facts)

    def _expire(self) -> None:
        """Answer 504: the deadline has passed. What is bound to a batch is computed and answered."""
        self._timer = None
        # Afterwards a batch has the request, or will never have it.
        self.service.withdraw(self)
        if self.bound_s is not None:
            return
        if self._whole_s is None:
            stage = "before its body was complete"
        elif self.item is None:
            stage = "while it waited to be decoded"
        else:
            stage = "while it waited in the queue"
        self.refuse(Expired(f"the request's deadline passed {stage}"))

    def _finish(
        self,
        outcome: Outcome,
        total_s: float,
        status: int,
        body: bytes,
        more: bytes = b"",
        reason: str | None = None,
        fault: BaseException | None = None,
    ) -> None:
        journal = self.service.journal
        slow = total_s >= journal.slow_s
        if self.request_id is None and (slow or status >= FIRST_ERROR):
            self.request_id = new_id()
        if self.request_id is not None:
            more = id_line(self.request_id) + more
        lines = b"server-timing: %b\r\n%b" % (self._timing(total_s), more)
        self._end(outcome, total_s)
        # Answered first: the client must not depend on a line in the log.
        self.reply(Answer.json(status, body, lines))
        if slow or status != 200:
            journal.note(outcome, total_s, partial(self._facts, status, reason, fault), fault)

    def _end(self, outcome: Outcome, total_s: float) -> None:
        """Count the request before its answer leaves, so that a scrape after the answer always holds it."""
        self._ended = True
        service = self.service
        if self.waiting:
            service.withdraw(self)
        if self._pool is not None:
            self._pool.drop(self)
        if self._timer is not None:
            self._timer.cancel()
        # An idle connection keeps its last request, and must not keep the request's data.
        self.item = self.outcome = self._next = self._pool = self._timer = self._body = None
        if self._held_bytes:
            service.give_back(self._held_bytes)
        service.metrics.count(outcome, total_s)
        service.leave()

    def _facts(
        self, status: int | None = None, reason: str | None = None, fault: BaseException | None = None
    ) -> Facts:
        """Return what the log says of the request; milliseconds, as in Server-Timing."""
        facts: Facts = {"request_id": self.request_id and self.request_id.decode()}
        if status is not None:
            facts["status"] = status
        if reason is not None:
            facts["reason"] = reason
        if fault is not None:
            facts["exc_info"] = fault
        if self._whole_s is not None:
            facts["body_ms"] = round((self._whole_s - self.start_s) * 1e3, 3)
        if self.computed_s is not None:
            stages = self.waited_s, self._decode_s, self.computed_s, self._encode_s
            for name, seconds in zip(
                ("queue_ms", "decode_ms", "compute_ms", "encode_ms"), stages, strict=True
            ):
                facts[name] = round(seconds * 1e3, 3)
            facts["batch_size"] = self.batch_size
        return facts

    def _timing(self, total_s: float) -> bytes:
        """Return the value of Server-Timing; durations are in milliseconds, as the standard has it."""
        if self.computed_s is None:
            return b"total;dur=%.3f" % (total_s * 1e3)
        return (
            b'queue;dur=%.3f, decode;dur=%.3f, compute;dur=%.3f, encode;dur=%.3f, batch;desc="%d", total;dur=%.3f'
            % (
                self.waited_s * 1e3,
                self._decode_s * 1e3,
                self.computed_s * 1e3,
                self._encode_s * 1e3,
                self.batch_size,
                total_s * 1e3,
            )
        )
