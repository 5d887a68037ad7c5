"""One request's way without a transport: counted once, answered once or not at all."""

import contextlib
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from tailgate.service.batching.in_flight import InFlight
from tailgate.service.batching.pipeline import Pipeline
from tailgate.service.batching.requests.body import Body
from tailgate.service.batching.requests.journal import Journal
from tailgate.service.batching.requests.request import Request
from tailgate.service.batching.service import Service
from tailgate.service.codec.inputs import Kind
from tailgate.service.codec.intent import Intent
from tailgate.service.codec.message import Answer, RequestHeaders, header_lines
from tailgate.service.errors import (
    BadInput,
    BytesFull,
    DeviceLost,
    Expired,
    Late,
    ModelFailure,
    Outcome,
    QueueFull,
    Unavailable,
    UnknownCoding,
)
from tailgate.service.metrics import Metrics
from tailgate.service.models import TensorSpec
from tailgate.service.models.items import Result
from tailgate.service.models.spec import Served
from tailgate.service.settings import load_settings

SERVED = Served("stub", TensorSpec((4,), np.dtype(np.float32)), None, None)
BODY = np.arange(4, dtype=np.float32).tobytes()
RESULT = Result(np.ones(4, np.float32), [], [])


class Pool:
    """Threads whose work ends when the test says so."""

    def __init__(self, refusal):
        self.refusal, self.waiting, self.dropped = refusal, [], []

    def submit(self, request, work):
        if self.refusal:
            raise self.refusal
        self.waiting.append(request)

    def drop(self, request):
        self.dropped.append(request)

    def come_back(self, outcome, run_s=0.5):
        self.waiting.pop().worked(outcome, run_s)


class StubService:
    """A service, and what its requests pass, whose decoding threads and batches are the test."""

    served = SERVED

    def __init__(self, refusal=None):
        self.settings = load_settings({})
        self.metrics = Metrics((), 8, list)
        self.journal = Journal(None, later=lambda *_: None)
        self.traces = None
        self.in_flight = InFlight(2**30)
        self.pipeline = self.admission = self.dispatcher = self
        self.refusal = refusal
        self.submitted, self.withdrawn, self.timers = [], [], []
        self.decoders, self.writers = Pool(refusal), Pool(refusal)

    def require_ready(self, *, admitted=False):
        return self

    def turn_away(self):
        return 1

    def admit(self, timeout_s, spent_s=0.0, *, decoded):
        if self.refusal:
            raise self.refusal

    def submit(self, request):
        if self.refusal:
            raise self.refusal
        request.waiting = True
        self.submitted.append(request)

    def withdraw(self, request):
        if request.waiting:
            request.waiting = False
            self.withdrawn.append(request)

    def call_later(self, delay_s, function):
        self.timers.append(function)
        return SimpleNamespace(cancel=lambda: None)

    def counted(self):
        outcomes = {outcome: count for outcome, count in self.metrics.requests.items() if count}
        observed = {
            outcome: sum(each.counts) for outcome, each in self.metrics.request.items() if sum(each.counts)
        }
        assert outcomes == observed
        return outcomes


def begun(service, reply, timeout_s=None, kind=Kind.PIXELS):
    """Return a request whose head has been read."""
    request = Request(service, reply)
    request._intend(Intent(kind, None, None, timeout_s))
    return request


def complete(request, body):
    request.take(body)
    request.complete()


def end(service, outcome, computed_s=0.01):
    """End the request as the dispatcher and the service would."""
    (request,) = service.submitted
    request.outcome, request.computed_s, request.batch_size = outcome, computed_s, 3
    request.bound_s, request.waiting = request.queued_s, False
    request.computed()


EVENTS = {
    "decoded": lambda service, _: service.decoders.come_back((np.zeros(4, np.float32), Kind.TENSOR, True)),
    "not decoded": lambda service, _: service.decoders.come_back(BadInput("no")),
    "decoder failed": lambda service, _: service.decoders.come_back(MemoryError()),
    "computed": lambda service, _: end(service, RESULT),
    "not encodable": lambda service, _: end(service, None),
    "model failed": lambda service, _: end(service, ModelFailure("no")),
    "expired": lambda service, _: service.timers.pop()(),
    "gone": lambda _, request: request.abandon(),
    "refused": lambda _, request: request.refuse(BadInput("no")),
    "failed": lambda _, request: request.refuse(ValueError()),
}
NEEDS_DECODING = {"decoded", "not decoded", "decoder failed"}
NEEDS_BATCH = {"computed", "not encodable", "model failed"}


@given(
    st.sampled_from([Kind.PIXELS, Kind.TENSOR, None]),
    st.sampled_from([b"", b"x", BODY]),
    st.sampled_from([None, QueueFull(1, 1), Unavailable("no"), ZeroDivisionError()]),
    st.lists(st.sampled_from(list(EVENTS)), max_size=6),
    st.booleans(),
)
def test_whatever_happens_in_whatever_order_a_request_is_counted_once_and_answered_at_most_once(
    form, body, refusal, events, reply_fails
):
    service, answers = StubService(refusal), []

    def reply(answer):
        answers.append(answer)
        if reply_fails:
            raise ConnectionError

    def never_raises():
        return contextlib.suppress(ConnectionError) if reply_fails else contextlib.nullcontext()

    with capture_logs():
        request = Request(service, reply)
        assert service.in_flight.requests == 1
        if form is not None:
            request._intend(Intent(form, None, None, 60.0))
            with never_raises():
                complete(request, body)
        for event in events:
            if event in NEEDS_DECODING and not service.decoders.waiting:
                continue
            if event in NEEDS_BATCH and not service.submitted:
                continue
            if event == "expired" and not service.timers:
                continue
            with never_raises():
                EVENTS[event](service, request)
        request.abandon()
    counted = service.counted()
    assert sum(counted.values()) == 1
    assert service.in_flight.requests == 0
    assert len(answers) == (0 if Outcome.CANCELLED in counted else 1)


@pytest.mark.parametrize(
    ("event", "status", "outcome"),
    [
        ("computed", 200, Outcome.OK),
        ("not encodable", 500, Outcome.ERROR),
        ("model failed", 500, Outcome.ERROR),
        ("expired", 504, Outcome.EXPIRED),
        ("refused", 400, Outcome.BAD_INPUT),
        ("failed", 500, Outcome.ERROR),
    ],
)
def test_the_first_end_is_the_only_one(event, status, outcome):
    service, answers = StubService(), []
    request = begun(service, answers.append, 60.0)
    with capture_logs():
        complete(request, BODY)
        EVENTS[event](service, request)
        for later in ("gone", "computed", "refused", "failed"):
            EVENTS[later](service, request)
    assert [answer.status for answer in answers] == [status]
    assert service.counted() == {outcome: 1}
    assert service.withdrawn == ([] if event in NEEDS_BATCH else service.submitted)


def test_the_request_is_counted_before_its_answer_leaves():
    service, seen = StubService(), []
    request = begun(service, lambda _: seen.append((service.counted(), service.in_flight.requests)))
    complete(request, BODY)
    end(service, RESULT)
    assert seen == [({Outcome.OK: 1}, 0)]
    assert sum(service.metrics.decode.counts) == sum(service.metrics.encode.counts) == 1


def test_a_request_that_is_abandoned_is_withdrawn_and_its_result_is_dropped():
    service, answers = StubService(), []
    request = begun(service, answers.append, 60.0)
    complete(request, BODY)
    request.abandon()
    assert service.withdrawn == service.submitted
    end(service, RESULT)
    assert answers == []
    assert service.counted() == {Outcome.CANCELLED: 1}


LARGE = Result(np.ones(5000, np.float32), [], [])


@pytest.mark.parametrize(
    ("event", "outcome"),
    [
        (lambda service, _: service.writers.come_back(b"{}"), Outcome.OK),
        (lambda service, _: service.writers.come_back(MemoryError()), Outcome.ERROR),
        (EVENTS["gone"], Outcome.CANCELLED),
    ],
)
def test_a_large_answer_is_written_in_a_thread_and_comes_to_one_end(event, outcome):
    service, answers = StubService(), []
    request = begun(service, answers.append, 60.0)
    complete(request, BODY)
    end(service, LARGE)
    assert (answers, service.writers.waiting) == ([], [request])
    with capture_logs():
        event(service, request)
        request.worked(b"{}", 0.5)
        request.abandon()
    assert service.counted() == {outcome: 1}
    assert [answer.body for answer in answers if answer.status == 200] == [b"{}"] * (outcome is Outcome.OK)


def test_a_request_that_is_abandoned_while_it_is_decoded_is_not_queued():
    service = StubService()
    request = begun(service, pytest.fail, kind=Kind.TENSOR)
    complete(request, b"{}")
    request.abandon()
    assert service.decoders.dropped == [request]
    EVENTS["decoded"](service, request)
    assert service.submitted == service.withdrawn == []


def test_the_clients_patience_counts_from_the_beginning_of_the_request():
    service = StubService()
    for timeout_s in (None, 60.0):
        complete(begun(service, pytest.fail, timeout_s), BODY)
    patient, hurried = service.submitted
    assert patient.deadline_s is None
    assert hurried.deadline_s == hurried.start_s + 60.0


def test_an_answer_that_cannot_be_given_does_not_keep_the_others_of_its_batch_waiting():
    service = Service(load_settings({}))
    times = SimpleNamespace(predict_s=lambda _: 0.1)
    inference = SimpleNamespace(run=None, pipelined=False)
    engine = SimpleNamespace(served=SERVED, max_batch_size=8, times=times, inference=inference)
    loop = SimpleNamespace(call_soon=None)
    pipeline = Pipeline(engine, service.settings, service.metrics, loop)
    called = []

    class Failing(SimpleNamespace):
        computed_s, waited_s, request_id = 0.1, 0.0, None

        def computed(self):
            called.append(self.number)
            if self.number == 1:
                raise ConnectionError

    with capture_logs() as log:
        pipeline._end([Failing(number=number) for number in range(3)])
    assert called == [0, 1, 2]
    assert [entry["event"] for entry in log] == ["an answer could not be given"]


def test_a_fault_is_answered_before_it_is_logged(monkeypatch):
    service, order = StubService(), []
    request = Request(service, lambda _: order.append("answered"))
    monkeypatch.setattr(service.journal, "note", lambda *_, **__: order.append("logged"))
    request.refuse(ValueError())
    assert order == ["answered", "logged"]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], RequestHeaders("", None, None)),
        (
            [(b"content-type", b"a/b"), (b"content-length", b"12"), (b"x-request-timeout-ms", b"250")],
            RequestHeaders("a/b", 12, 0.25),
        ),
        ([(b"transfer-encoding", b"Chunked")], RequestHeaders("", None, None)),
        ([(b"content-encoding", b"Identity"), (b"accept", b"*/*")], RequestHeaders("", None, None)),
    ],
)
def test_the_headers_that_matter_are_read(headers, expected):
    assert RequestHeaders.read(headers) == expected


@pytest.mark.parametrize("values", [[b"gzip, chunked"], [b"gzip", b"Chunked"], [b"identity,chunked"]])
def test_a_coding_beneath_the_chunks_is_not_implemented(values):
    with pytest.raises(
        UnknownCoding, match=r"Transfer-Encoding: .* is not decoded, only 'chunked' is"
    ) as raised:
        RequestHeaders.read([(b"transfer-encoding", value) for value in values])
    assert raised.value.status == 501


@pytest.mark.parametrize("more", [(), ((b"retry-after", b"7"), (b"accept-encoding", b"identity"))])
def test_an_answer_has_the_headers_of_json_and_of_its_own(more):
    answer = Answer.of(429, b"application/json", b"{}", header_lines(more))
    lines = b"".join(b"%b: %b\r\n" % header for header in more)
    head = (
        b"HTTP/1.1 429 Too Many Requests\r\ndate: x\r\ncontent-type: application/json\r\ncontent-length: 2\r\n"
        + lines
    )
    assert answer.encoded(b"date: x\r\n", close=False) == head + b"\r\n{}"
    assert answer.encoded(b"date: x\r\n", close=True) == head + b"connection: close\r\n\r\n{}"
    assert answer.encoded(b"date: x\r\n", close=False, without_body=True) == head + b"\r\n"


@pytest.mark.parametrize("overload_status", [429, 503])
@pytest.mark.parametrize("refusal", [QueueFull(1, 1), BytesFull(1), Late("late"), Late("late", 1)], ids=repr)
def test_a_refusal_because_of_the_other_requests_has_the_status_that_is_set(refusal, overload_status):
    service, answers = StubService(refusal), []
    service.settings = load_settings({}, overload_status=overload_status)
    Request(service, answers.append).refuse(refusal)
    (answer,) = answers
    assert (answer.status, dict(answer.headers())[b"retry-after"]) == (overload_status, b"1")


@pytest.mark.parametrize(
    ("refusal", "status"),
    [(Unavailable("no"), 503), (DeviceLost("no"), 503), (Expired("no"), 504), (ModelFailure("no"), 500)],
    ids=repr,
)
def test_no_other_refusal_has_it(refusal, status):
    service, answers = StubService(), []
    service.settings = load_settings({}, overload_status=429)
    Request(service, answers.append).refuse(refusal)
    assert answers[0].status == status


@pytest.mark.parametrize(
    ("form", "began_s", "waited_s", "decode_s"),
    # Its head came at 100 s, its body at 103; a thread had it for half a second of 9 before its batch was bound at 114.
    [(Kind.IMAGE, 103.0, 8.5 + 2.0, 0.5), (Kind.PIXELS, 112.0, 2.0, 0.0)],
)
def test_waiting_for_a_decoding_thread_is_waiting_and_decoding_is_only_what_the_thread_does(
    monkeypatch, form, began_s, waited_s, decode_s
):
    clock = [100.0]
    monkeypatch.setattr(
        "tailgate.service.batching.requests.request.time", SimpleNamespace(perf_counter=lambda: clock[0])
    )
    service, answers = StubService(), []
    request = begun(service, answers.append, kind=form)
    clock[0] = began_s
    complete(request, BODY)
    clock[0] = 112.0
    if form is Kind.IMAGE:
        service.decoders.come_back((np.zeros(4, np.float32), form, False), 0.5)
    request.bound_s, request.computed_s, request.batch_size, request.outcome = 114.0, 3.0, 1, RESULT
    request.waiting = False
    assert request.waited_s == waited_s
    assert service.metrics.decode.sum == decode_s
    clock[0] = 117.0
    request.computed()
    timing = dict(answers[0].headers())[b"server-timing"].decode()
    assert timing == (
        f"queue;dur={waited_s * 1e3:.3f}, decode;dur={decode_s * 1e3:.3f}, compute;dur=3000.000, encode;dur=0.000, "
        'batch;desc="1", total;dur=17000.000'
    )
    upload_s = began_s - 100.0
    assert upload_s + waited_s + decode_s + 3.0 == 17.0


@given(st.lists(st.binary(min_size=1, max_size=25), max_size=12))
def test_a_body_is_whole_in_whatever_pieces_it_comes_and_a_large_one_is_not_copied_again_and_again(pieces):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tailgate.service.batching.requests.body.BLOCK_BYTES", 10)
        body = Body()
        for piece in pieces:
            body.add(piece)
            assert len(body._last) <= max(10, len(piece))
        assert body.size == sum(map(len, pieces))
        assert len(body._blocks) <= 2 * body.size / 10
        assert body.whole() == b"".join(pieces)
        assert body.whole() == b""


def test_pieces_become_one_object_and_a_single_one_is_not_copied():
    piece, body = bytes(50), Body()
    body.add(piece)
    assert body.whole() is piece
    for each in (b"ab", b"c", b"def", b"g"):
        body.add(each)
    whole = body.whole()
    assert type(whole) is bytearray
    assert whole == b"abcdefg"


@pytest.mark.parametrize(
    ("before", "words"),
    [
        (lambda request, service: None, "before its body was complete"),
        (lambda request, service: complete(request, b"x"), "decoded"),
    ],
)
def test_a_deadline_that_passes_is_answered_at_once_with_where_the_request_was(before, words):
    service, answers = StubService(), []
    kind = Kind.IMAGE if words == "decoded" else Kind.PIXELS
    request = begun(service, answers.append, 60.0, kind=kind)
    before(request, service)
    (timer,) = service.timers
    timer()
    request.take(b"late")
    request.complete()
    assert [answer.status for answer in answers] == [504]
    assert words in answers[0].body.decode()
    assert service.counted() == {Outcome.EXPIRED: 1}


def test_a_deadline_that_passes_in_the_queue_withdraws_the_request_and_one_in_a_batch_does_not():
    service, answers = StubService(), []
    waiting, bound = begun(service, answers.append, 60.0), begun(service, pytest.fail, 60.0)
    for request in (waiting, bound):
        complete(request, BODY)
    bound.waiting, bound.bound_s = False, bound.queued_s
    for timer in service.timers:
        timer()
    assert service.withdrawn == [waiting]
    assert [answer.status for answer in answers] == [504]
    assert b"while it waited in the queue" in answers[0].body
