"""One request, from its head to its answer. One object carries it through the service.

Both edges drive it: a connection (:mod:`tailgate.service.http.connection`) and the ASGI application
(:mod:`tailgate.service.http.asgi`) call :meth:`Request.begin`, :meth:`~Request.take` and :meth:`~Request.complete` in this
order, and :meth:`~Request.abandon` at any time. The rest is callbacks on the event loop: at 20 µs per request a task would
cost more than everything else. A request is counted once, and answered once or counted as cancelled.
"""

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from tailgate.service.batching.requests.body import Body
from tailgate.service.batching.requests.journal import OWN_WORDS
from tailgate.service.batching.requests.timing import Timeline
from tailgate.service.codec.answers import answer_body, takes_long
from tailgate.service.codec.inputs import PIXELS, Kind, Made, is_decoded, item_of
from tailgate.service.codec.intent import Intent, intent_of
from tailgate.service.codec.message import (
    FIRST_ERROR,
    Answer,
    Headers,
    error_body,
    header_lines,
    require_size,
)
from tailgate.service.codec.request_id import caller_of, id_line, new_id, request_id
from tailgate.service.errors import FAILED, Expired, Outcome, Overloaded, RequestError
from tailgate.service.models.items import Item, Result
from tailgate.service.models.spec import Served

if TYPE_CHECKING:
    from tailgate.service.batching.pipeline import Pipeline
    from tailgate.service.batching.service import Service
    from tailgate.service.batching.workers import Workers

_OK = Outcome.OK  # looking up a member of an enum costs several times as much as a name


class Request(Timeline):
    """A request of ``POST /predict``. All methods are called on the event loop, and none raises.

    ``reply`` takes the answer; it is called at most once, on the event loop.
    """

    takes_body = True
    verb = "predict"  # the name of its span
    content_type = b"application/json"  # of the answer

    intent: Intent | None = None  # None before begin(), and where the head was refused
    deadline_s: float | None = None  # after it the answer is useless
    _timer: asyncio.TimerHandle | None = None  # rings at the deadline
    _body: Body | None = None
    _held_bytes: int = 0
    _pipeline: "Pipeline"  # set when the body is complete
    # For a thread.
    work: Callable[[], object] | None = None  # None once a thread has it
    _next: Callable[[Any], None] | None = None  # goes on with what the work returns
    _pool: "Workers | None" = None
    # For a batch.
    _kind: Kind = PIXELS
    _batched: bool = False  # the input came with a batch dimension
    item: Item | None = None
    waiting: bool = False  # it is in the queue
    outcome: Result | RequestError | None = None
    _ended: bool = False

    def __init__(self, service: "Service", reply: Callable[[Answer], None]) -> None:
        self._service = service
        self._reply = reply
        self.start_s = time.perf_counter()
        service.in_flight.requests += 1

    # The head and the body.

    def begin(self, headers: Headers) -> None:
        """Check the head; a request that cannot be served is refused before its body is read."""
        service = self._service
        self.request_id = request_id(headers)
        if service.traces is not None:
            self.caller = caller_of(headers)
        try:
            pipeline = service.require_ready()
            self._accept(pipeline, self._meaning(headers, pipeline.served))
        except Exception as error:  # noqa: BLE001 - whatever it is, the client is answered
            self.refuse(error)

    def begin_again(self, intent: Intent, request_id: bytes | None) -> None:
        """Do the same for a head that has been seen before, and meant this; only the id may be another."""
        self.request_id = request_id
        try:
            self._accept(self._service.require_ready(), intent)
        except Exception as error:  # noqa: BLE001 - as above
            self.refuse(error)

    def _meaning(self, headers: Headers, served: Served) -> Intent:
        return intent_of(headers, served, self._service.settings.max_body_bytes)

    def _accept(self, pipeline: "Pipeline", intent: Intent) -> None:
        self._service.in_flight.require_room(intent.length or 0)
        self._intend(intent)
        # Of an inference request only the body tells.
        decoded = intent.infer is None and is_decoded(intent.kind, pipeline.served.item)
        pipeline.admission.admit(intent.timeout_s, decoded=decoded)

    def take(self, piece: bytes) -> None:
        """Take a piece of the body."""
        if self._ended:
            return
        body = self._body = self._body or Body()
        try:
            require_size(body.size + len(piece), self._service.settings.max_body_bytes)
            self._held_bytes += self._service.in_flight.hold(len(piece))
            body.add(piece)
        except RequestError as error:
            self.refuse(error)

    def complete(self) -> None:
        """Run the request: the last byte of its body has come."""
        if not self._ended:
            self.whole_s = time.perf_counter()
            self._run(b"" if self._body is None else self._body.whole(), admitted=True)

    def repeat(self, intent: Intent, message: bytes, head_size: int, request_id: bytes | None = None) -> None:
        """Run a whole request, a head of ``head_size`` bytes and its body, whose head has been seen before and meant this."""
        self.request_id = request_id
        self.whole_s = self.start_s
        self._intend(intent)
        # Pixels are copied once only, into the batch; decoders take bytes.
        viewed = intent.kind is PIXELS or intent.infer is not None
        body = memoryview(message)[head_size:] if viewed else message[head_size:]
        self._run(body, admitted=False)

    def _intend(self, intent: Intent) -> None:
        self.intent = intent
        if intent.timeout_s is not None:
            self._expect_until(self.start_s + intent.timeout_s)

    def _expect_until(self, deadline_s: float) -> None:
        """Set the deadline, in place of an earlier one."""
        if self._timer is not None:
            self._timer.cancel()
        self.deadline_s = deadline_s
        delay_s = max(0.0, deadline_s - time.perf_counter())
        self._timer = self._service.call_later(delay_s, self._expire)

    # From the body to a batch.

    def _run(self, body: bytes | bytearray | memoryview, *, admitted: bool) -> None:
        """Make an input of a whole body, and queue it.

        ``admitted``: the head was taken while the service was ready, and the body has come and been counted since.
        """
        intent, service = self.intent, self._service
        try:
            assert intent is not None
            if not admitted:
                self._held_bytes = service.in_flight.hold(len(body))
            pipeline = self._pipeline = service.require_ready(admitted=admitted)
            now_s = time.perf_counter()
            self._require_time(now_s)
            served = pipeline.served
            decoded = is_decoded(intent.kind, served.item)
            # Others may have come since the head.
            pipeline.admission.admit(intent.timeout_s, now_s - self.start_s, decoded=decoded)
            limit = service.settings.max_image_pixels
            if decoded:
                make = partial(item_of, intent.kind, body, served, limit, intent.boundary)
                self._offload(pipeline.decoders, make, self._made)
            else:
                made = item_of(intent.kind, body, served, limit)
                self.decode_s = time.perf_counter() - now_s
                self._made(made)
        except Exception as error:  # noqa: BLE001 - as above
            self.refuse(error)

    def _require_time(self, now_s: float) -> None:
        if self.deadline_s is not None and now_s >= self.deadline_s:
            raise Expired("the request's deadline passed before its body was complete")

    def _made(self, made: Made) -> None:
        """Queue the input. The time since the body was complete, without decoding, was spent waiting for a thread."""
        self.item, self._kind, self._batched = made
        self.queued_s = time.perf_counter()
        self._service.metrics.decode.observe(self.decode_s, 1, self.request_id, self.queued_s)
        self._pipeline.dispatcher.submit(self)

    # Threads.

    def _offload(self, pool: "Workers", work: Callable[[], object], then: Callable[[Any], None]) -> None:
        self._next, self._pool = then, pool
        pool.submit(self, work)

    def worked(self, outcome: object, run_s: float) -> None:
        """Go on after a thread; ``outcome`` is what its work returned or raised, which took ``run_s``."""
        then = self._next
        self._next = self._pool = None
        if self._ended or then is None:
            return
        if self.bound_s is None:
            self.decode_s = run_s
        if isinstance(outcome, BaseException):
            self.refuse(outcome)
            return
        try:
            then(outcome)
        except Exception as error:  # noqa: BLE001 - as above
            self.refuse(error)

    # From a batch to the answer.

    def computed(self) -> None:
        """Answer with the outcome of the batch."""
        outcome = self.outcome
        if self._ended:
            return
        if isinstance(outcome, RequestError):
            self.refuse(outcome)
            return
        start_s = time.perf_counter()
        try:
            assert outcome is not None
            pipeline, kind = self._pipeline, self._kind
            served = pipeline.served
            if takes_long(outcome, kind, served):
                write = partial(answer_body, outcome, kind, served, batched=self._batched)
                self._offload(pipeline.writers, write, partial(self._answer, start_s))
                return
            body = answer_body(outcome, kind, served, batched=self._batched)
        except Exception as error:  # noqa: BLE001 - as above; the batch's other answers must not wait
            self.refuse(error)
            return
        self._answer(start_s, body)

    def _answer(self, start_s: float, body: bytes) -> None:
        """Answer with a result whose bytes were begun at ``start_s``."""
        end_s = time.perf_counter()
        self.encode_s = end_s - start_s
        self._service.metrics.encode.observe(self.encode_s, 1, self.request_id, end_s)
        self._finish(_OK, end_s - self.start_s, 200, body)

    # Every end.

    def refuse(self, error: BaseException) -> None:
        """Answer with an error; any but a RequestError is our own fault, which is logged."""
        fault = None if isinstance(error, RequestError) else error
        if self._ended:
            if fault is not None:
                structlog.get_logger("tailgate.request").error(FAILED, exc_info=fault)
            return
        told = error if isinstance(error, RequestError) else RequestError(FAILED)
        total_s = time.perf_counter() - self.start_s
        status = told.status
        if isinstance(told, Overloaded):
            status = self._service.settings.overload_status
            if told.retry_after_s is None:
                told.retry_after_s = self._service.turn_away()
        more = header_lines(told.headers())
        reason = str(told) if told.outcome in OWN_WORDS else None
        self._finish(told.outcome, total_s, status, error_body(told), more, reason, fault)

    def abandon(self, outcome: Outcome = Outcome.CANCELLED) -> None:
        """Note that nobody waits for the answer: count the request, and compute nothing that is not bound yet."""
        if not self._ended:
            total_s = time.perf_counter() - self.start_s
            self._end(outcome, total_s)
            service = self._service
            journal = service.journal
            journal.note(outcome, total_s, self.log_facts, drawn=journal.share > 0 and journal.draws())
            if service.traces is not None:
                service.traces.note(self, outcome, total_s)

    def _expire(self) -> None:
        """Answer 504: the deadline has passed. What is bound to a batch is computed and answered."""
        self._timer = None
        # Afterwards a batch has the request, or will never have it.
        if self.whole_s is not None:
            self._pipeline.dispatcher.withdraw(self)
        if self.bound_s is None:
            stage = "in the queue" if self.item is not None else "to be decoded"
            where = "before its body was complete" if self.whole_s is None else f"while it waited {stage}"
            self.refuse(Expired(f"the request's deadline passed {where}"))

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
        journal, traces = self._service.journal, self._service.traces
        slow = total_s >= journal.slow_s
        drawn = journal.share > 0 and journal.draws()
        if self.request_id is None and (slow or drawn or status >= FIRST_ERROR):
            self.request_id = new_id()
        if self.request_id is not None:
            more = id_line(self.request_id) + more
        lines = self.server_timing(total_s) + more
        self._end(outcome, total_s)
        # Answered first: the client must not depend on a line in the log.
        self._reply(Answer.of(status, self.content_type, body, lines))
        if slow or drawn or status != 200:
            journal.note(outcome, total_s, partial(self.log_facts, status, reason), fault, drawn=drawn)
        if traces is not None:
            traces.note(self, outcome, total_s, status)

    def _end(self, outcome: Outcome, total_s: float) -> None:
        """Count the request before its answer leaves, so that a scrape after the answer always holds it."""
        self._ended = True
        self._withdraw()
        if self._pool is not None:
            self._pool.drop(self)
        if self._timer is not None:
            self._timer.cancel()
        # An idle connection keeps its last request, and must not keep the request's data.
        self.item = self.outcome = self._next = self._pool = self._timer = self._body = None
        service = self._service
        service.metrics.count(outcome, total_s, self.request_id, self.start_s + total_s)
        service.in_flight.leave(self._held_bytes)

    def _withdraw(self) -> None:
        """Take back what waits for a batch."""
        if self.waiting:
            self._pipeline.dispatcher.withdraw(self)
