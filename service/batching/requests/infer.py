"""An inference request of the Open Inference Protocol, or of KServe's first version: several items in, one answer out.

Each item waits and is computed as a :class:`~tailgate.service.batching.requests.row.Row`, in any batch. The request is answered with the
results of all items, or with the error of the first that fails. One deadline holds for all, and a client that leaves takes all
of them back.
"""

from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING

from tailgate.service.batching.requests.request import Request
from tailgate.service.batching.requests.row import Row
from tailgate.service.codec.images import decode_image
from tailgate.service.codec.inputs import OCTETS
from tailgate.service.codec.intent import Intent, infer_intent_of
from tailgate.service.codec.message import Answer, Headers
from tailgate.service.codec.oip import codings, first_version, reply
from tailgate.service.codec.oip.body import Known, Read, read_body, read_items, reads_long, takes_long
from tailgate.service.codec.oip.call import Call
from tailgate.service.codec.oip.paths import Address, require_model
from tailgate.service.codec.oip.reply import Written
from tailgate.service.errors import Expired, ItemFailed, Outcome, RequestError
from tailgate.service.models.items import Result
from tailgate.service.models.spec import Served

if TYPE_CHECKING:
    from tailgate.service.batching.pipeline import Pipeline
    from tailgate.service.batching.service import Service

_OCTETS = OCTETS.encode()
# What waits for a thread or for a batch.
Waiting = Request | Row


class InferRequest(Request):
    """A request of one client's batch; ``address`` is None where its head has been seen before."""

    verb = "infer"

    _known: Known | None = None
    _rows: "list[Row] | tuple[()]" = ()
    _missing: int = 0  # items without a result

    def __init__(
        self, service: "Service", reply: Callable[[Answer], None], address: Address | None = None
    ) -> None:
        super().__init__(service, reply)
        self._address = address

    def _meaning(self, headers: Headers, served: Served) -> Intent:
        assert self._address is not None
        require_model(self._address, served.name)
        most = self._service.settings.max_body_bytes
        return infer_intent_of(headers, most, first=self._address.first)

    # From the body to batches.

    def _run(self, body: bytes | bytearray | memoryview, *, admitted: bool) -> None:
        """Read the body, here or in a thread; the arguments are those of :meth:`Request._run`."""
        service, intent, size = self._service, self.intent, len(body)
        try:
            assert intent is not None
            head = intent.infer
            assert head is not None
            if not admitted:
                self._held_bytes = service.in_flight.hold(size)
            pipeline = self._pipeline = service.require_ready(admitted=admitted)
            now_s = perf_counter()
            self._require_time(now_s)
            served = pipeline.served
            known = pipeline.known_calls.met(head, body)
            if known is not None and not takes_long(size, served):
                assert head.header_length is not None
                read = read_items(known, memoryview(body)[head.header_length :], size)
                self.decode_s = perf_counter() - now_s
                self._begin_rows(read)
                return
            work = partial(read_body, head, body, served, service.settings, pipeline.known_calls)
            if reads_long(head, size, served):
                pipeline.admission.admit(intent.timeout_s, now_s - self.start_s, decoded=True)
                self._offload(pipeline.decoders, work, self._begin_rows)
            else:
                read = work()
                self.decode_s = perf_counter() - now_s
                self._begin_rows(read)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client is answered
            self.refuse(error)

    def _begin_rows(self, read: Read) -> None:
        """Send all items on their way; RequestError where they are not taken."""
        service, pipeline, self._known = self._service, self._pipeline, read.known
        call, whole_s = read.known.call, self.whole_s
        assert whole_s is not None
        if read.size > self._held_bytes:  # it was packed
            self._held_bytes += service.in_flight.hold(read.size - self._held_bytes)
        if call.timeout_s is not None:
            deadline_s = self.start_s + call.timeout_s
            if self.deadline_s is None or deadline_s < self.deadline_s:
                self._expect_until(deadline_s)
        now_s = self.queued_s = perf_counter()
        self._require_time(now_s)
        timeout_s = None if self.deadline_s is None else self.deadline_s - self.start_s
        pipeline.admission.admit(timeout_s, now_s - self.start_s, decoded=call.pictures, items=call.rows)
        self._missing = call.rows
        if call.pictures:
            self._rows = [Row(self, index, None, whole_s) for index in range(call.rows)]
            self._decode(pipeline, read.pictures)
            return
        service.metrics.decode.observe(self.decode_s, 1, self.request_id, now_s)
        rows = self._rows = []
        for item in read.items:
            row = Row(self, len(rows), item, whole_s)
            row.queued_s, row.decode_s = now_s, self.decode_s
            rows.append(row)
        if len(rows) == 1:
            pipeline.dispatcher.submit(rows[0])
        else:
            pipeline.dispatcher.submit_all(rows)

    def _decode(self, pipeline: "Pipeline", pictures: Sequence[bytes]) -> None:
        image, most = pipeline.served.image, self._service.settings.max_image_pixels
        assert image is not None
        for row, picture in zip(self._rows, pictures, strict=True):
            pipeline.decoders.submit(row, partial(decode_image, picture, image, most))

    def row_decoded(self, row: Row, outcome: object) -> None:
        """Go on with what decoding a row returned or raised."""
        if self._ended:
            return
        if isinstance(outcome, BaseException):
            self._refuse_row(row, outcome)
            return
        try:
            row.item, row.queued_s = outcome, perf_counter()
            self._service.metrics.decode.observe(row.decode_s, 1, row.request_id, row.queued_s)
            self._pipeline.dispatcher.submit(row)
        except Exception as error:  # noqa: BLE001 - as above
            self.refuse(error)

    # From batches to the answer.

    def row_computed(self, row: Row) -> None:
        """Go on with a row's outcome; the last one answers."""
        if self._ended:
            return
        if isinstance(row.outcome, RequestError):
            self._refuse_row(row, row.outcome)
            return
        self._missing -= 1
        if not self._missing:
            try:
                self._write()
            except Exception as error:  # noqa: BLE001 - as above; the batch's other answers must not wait
                self.refuse(error)

    def _refuse_row(self, row: Row, error: BaseException) -> None:
        if isinstance(error, RequestError) and len(self._rows) > 1:
            error = ItemFailed(row.index, error)
        self.refuse(error)

    def _write(self) -> None:
        start_s = perf_counter()
        rows, known, pipeline = self._rows, self._known, self._pipeline
        assert known is not None
        self._note_times(rows)
        call, frame = known
        results = [row.outcome for row in rows if isinstance(row.outcome, Result)]
        if frame is not None and not frame.takes_long:
            body = reply.framed(frame, call, results)
            if body is not None:
                self._pack(start_s, frame.lines, body)
                return
        write = partial(self._reply_body(), call, results, pipeline.served)
        if reply.takes_long(call, results):
            self._offload(pipeline.writers, write, partial(self._written, start_s))
        else:
            self._written(start_s, write())

    def _note_times(self, rows: Sequence[Row]) -> None:
        """Note what the log and Server-Timing say: from the first batch's begin to the last one's end."""
        first = rows[0]
        self.bound_s, self.computed_s, self.batch_size = first.bound_s, first.computed_s, first.batch_size
        if len(rows) > 1:
            ends_s = [
                row.bound_s + row.computed_s for row in rows if row.bound_s and row.computed_s is not None
            ]
            self.bound_s = min(row.bound_s or 0.0 for row in rows)
            self.computed_s = max(ends_s) - self.bound_s
            self.batch_size = max(row.batch_size for row in rows)
        if first.work_since_s:  # it was a picture
            self.decode_s += max(row.decode_s for row in rows)
            self.work_since_s, self.queued_s = first.work_since_s, max(row.queued_s for row in rows)

    def _reply_body(self) -> Callable[[Call, Sequence[Result], Served], Written]:
        assert self.intent is not None
        assert self.intent.infer is not None
        return first_version.reply_body if self.intent.infer.first else reply.reply_body

    def _written(self, start_s: float, written: Written) -> None:
        length = written.header_length
        self._pack(start_s, b"" if length is None else reply.length_line(length), written.body)

    def _pack(self, start_s: float, lines: bytes, body: bytes) -> None:
        """Give the answer the coding that its client likes, in a thread, where it is worth it.

        ``lines`` say how much of the body is JSON; empty for all of it.
        """
        assert self.intent is not None
        assert self.intent.infer is not None
        coding = self.intent.infer.accepted
        content_type = _OCTETS if lines else self.content_type
        if coding is None or len(body) < codings.LEAST_BYTES:
            self._send(start_s, content_type, lines, body)
            return
        lines += b"content-encoding: %b\r\nvary: accept-encoding\r\n" % coding
        self._offload(
            self._pipeline.writers,
            partial(codings.encoded, body, coding),
            partial(self._send, start_s, content_type, lines),
        )

    def _send(self, start_s: float, content_type: bytes, lines: bytes, body: bytes) -> None:
        end_s = perf_counter()
        self.encode_s = end_s - start_s
        self._service.metrics.encode.observe(self.encode_s, 1, self.request_id, end_s)
        self.content_type = content_type
        self._finish(Outcome.OK, end_s - self.start_s, 200, body, lines)

    # The end.

    def _expire(self) -> None:
        """Answer 504: the deadline has passed. What is bound to batches as a whole is computed and answered."""
        self._timer = None
        rows = self._rows
        self._withdraw()
        if rows and all(row.bound_s is not None for row in rows):
            return
        stage = "before its body was complete" if self.whole_s is None else "while its items waited"
        self.refuse(Expired(f"the request's deadline passed {stage}"))

    def _withdraw(self) -> None:
        """Take back all items that wait for a thread or for a batch."""
        for row in self._rows:
            if row.waiting:
                self._pipeline.dispatcher.withdraw(row)
            elif row.work is not None:
                self._pipeline.decoders.drop(row)

    def _end(self, outcome: Outcome, total_s: float) -> None:
        super()._end(outcome, total_s)
        self._rows, self._known = (), None
