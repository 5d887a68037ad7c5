"""Requests of several items: one answer, one deadline, all or nothing in the queue, and counted once."""

import contextlib
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs
from tickets import Ticket

from tailgate.service.batching.in_flight import InFlight
from tailgate.service.batching.policy import BatchPolicy, BatchQueue
from tailgate.service.batching.requests.infer import InferRequest
from tailgate.service.batching.requests.journal import Journal
from tailgate.service.codec.inputs import Kind
from tailgate.service.codec.intent import InferHead, Intent
from tailgate.service.codec.oip.body import KnownCalls
from tailgate.service.codec.oip.paths import Address
from tailgate.service.errors import BadInput, DeviceLost, ModelFailure, Outcome, QueueFull, Unavailable
from tailgate.service.metrics import Metrics
from tailgate.service.models import ImageInput, TensorSpec
from tailgate.service.models.items import Result
from tailgate.service.models.spec import NamedTensor, Served
from tailgate.service.settings import load_settings

OUTPUT = (NamedTensor("output", TensorSpec((4,), np.dtype(np.float32))),)
SERVED = Served("stub", TensorSpec((4,), np.dtype(np.float32)), None, None, outputs=OUTPUT)
PHOTOS = Served("stub", ImageInput(4).spec, None, ImageInput(4), outputs=OUTPUT)
RESULT = Result(np.ones(4, np.float32), [], [])


class Pool:
    """Threads whose work ends when the test says so."""

    def __init__(self):
        self.waiting, self.dropped = [], []

    def submit(self, request, work):
        request.work = work
        self.waiting.append(request)

    def drop(self, request):
        if request.work is not None:
            request.work = None
            self.waiting.remove(request)
            self.dropped.append(request)

    def come_back(self, outcome):
        request = self.waiting.pop(0)
        request.work = None
        request.worked(outcome, 0.5)


class StubService:
    """A service, and what its requests pass, whose decoding threads and batches are the test."""

    def __init__(self, served=SERVED, refusal=None):
        self.served = served
        self.settings = load_settings({}, max_body_bytes=10_000)
        self.metrics = Metrics((), 8, list)
        self.journal = Journal(None, later=lambda *_: None)
        self.traces = None
        self.known_calls = KnownCalls()
        self.in_flight = InFlight(2**30)
        self.pipeline = self.admission = self.dispatcher = self
        self.refusal = refusal
        self.submitted, self.withdrawn, self.timers, self.admitted = [], [], [], []
        self.decoders, self.writers = Pool(), Pool()

    def require_ready(self, *, admitted=False):
        return self

    def turn_away(self):
        return 1

    def admit(self, timeout_s, spent_s=0.0, *, decoded, items=1):
        self.admitted.append((timeout_s, decoded, items))

    def submit_all(self, rows):
        if self.refusal:
            raise self.refusal
        for row in rows:
            row.waiting = True
        self.submitted += rows

    def submit(self, row):
        self.submit_all([row])

    def withdraw(self, row):
        row.waiting = False
        self.withdrawn.append(row)
        return True

    def call_later(self, delay_s, function):
        timer = SimpleNamespace(
            cancel=lambda: self.timers.remove(function) if function in self.timers else None
        )
        self.timers.append(function)
        return timer

    def bind(self, *rows):
        for row in rows:
            row.bound_s, row.waiting, row.batch_size = row.queued_s, False, 3

    def end(self, outcome, *rows):
        """End rows as the dispatcher and the service would."""
        self.bind(*rows)
        for row in rows:
            row.outcome, row.computed_s = outcome, 0.01
        for row in rows:
            row.computed()


def body_of(rows, parameters=b"{}"):
    numbers = b",".join([b"1,2,3,4"] * rows)
    return b'{"inputs":[{"name":"input","shape":[%d,4],"datatype":"FP32","data":[%b]}],"parameters":%b}' % (
        rows,
        numbers,
        parameters,
    )


def begun(service, reply, *, timeout_s=None, accepted=None):
    request = InferRequest(service, reply)
    request._intend(Intent(Kind.TENSOR, None, None, timeout_s, InferHead(False, None, None, accepted)))
    return request


def send(request, body):
    request.take(body)
    request.complete()


def told(answers):
    (answer,) = answers
    return answer.status, answer.body


def test_all_items_go_at_once_and_the_last_one_answers_in_the_order_of_the_request():
    service, answers = StubService(), []
    send(begun(service, answers.append), body_of(3))
    rows = service.submitted
    assert [row.index for row in rows] == [0, 1, 2]
    assert service.admitted[-1] == (None, False, 3)
    for number in (2, 0, 1):
        assert answers == []
        service.end(Result(np.full(4, number, np.float32), [], []), rows[number])
    status, body = told(answers)
    assert status == 200
    assert b'"shape":[3,4],"data":[0.0,0.0,0.0,0.0,1.0,1.0,1.0,1.0,2.0,2.0,2.0,2.0]' in body
    assert b'batch;desc="3"' in answers[0].lines
    assert service.in_flight.requests == service.in_flight.bytes == 0


@pytest.mark.parametrize(
    ("error", "status", "outcome"),
    [(ModelFailure("no"), 500, Outcome.ERROR), (DeviceLost("gone"), 503, Outcome.UNAVAILABLE)],
)
def test_one_bad_item_fails_the_whole_answer_with_its_index_and_takes_the_others_back(error, status, outcome):
    service, answers = StubService(), []
    send(begun(service, answers.append), body_of(4))
    first, second, third, fourth = service.submitted
    service.end(RESULT, first)
    service.end(error, third)
    assert told(answers) == (status, b'{"error":"item 2: %b"}' % str(error).encode())
    assert service.withdrawn == [second, fourth]
    service.end(RESULT, second, fourth)
    assert len(answers) == 1
    assert service.metrics.requests[outcome] == 1


def test_the_error_of_a_lone_item_has_no_index():
    service, answers = StubService(), []
    send(begun(service, answers.append), body_of(1))
    service.end(ModelFailure("no"), *service.submitted)
    assert told(answers) == (500, b'{"error":"no"}')


def test_a_client_that_leaves_takes_all_items_back_that_no_batch_has():
    service, answers = StubService(), []
    request = begun(service, answers.append)
    send(request, body_of(3))
    rows = list(service.submitted)
    service.bind(rows[0])
    request.abandon()
    assert service.withdrawn == rows[1:]
    service.end(RESULT, *rows)
    assert answers == []
    assert service.metrics.requests[Outcome.CANCELLED] == 1


@pytest.mark.parametrize("bound", [0, 2, 3])
def test_one_deadline_holds_for_all_items_and_what_is_bound_as_a_whole_is_answered(bound):
    service, answers = StubService(), []
    send(begun(service, answers.append, timeout_s=60.0), body_of(3))
    rows = service.submitted
    assert {row.deadline_s for row in rows} != {None}
    assert len({row.deadline_s for row in rows}) == 1
    service.bind(*rows[:bound])
    service.timers.pop()()
    if bound < 3:
        assert answers[0].status == 504
        assert service.withdrawn == rows[bound:]
    else:
        assert answers == []
        service.end(RESULT, *rows)
        assert answers[0].status == 200


@pytest.mark.parametrize(
    ("header_s", "parameter_us", "expected_s"),
    [(None, 2_000_000, 2.0), (1.0, 2_000_000, 1.0), (60.0, 2_000_000, 2.0), (3.0, 0, 3.0)],
)
def test_the_timeout_of_the_json_is_in_microseconds_and_the_shorter_one_holds(
    header_s, parameter_us, expected_s
):
    service, answers = StubService(), []
    request = begun(service, answers.append, timeout_s=header_s)
    send(request, body_of(1, b'{"timeout":%d}' % parameter_us))
    assert service.admitted[-1][0] == pytest.approx(expected_s)
    assert request.deadline_s - request.start_s == pytest.approx(expected_s)
    assert len(service.timers) == 1


def test_a_queue_that_has_no_room_for_all_takes_none():
    queue = BatchQueue(BatchPolicy(max_batch_size=4, queue_capacity=4))
    queue.put_all([Ticket("a", 0.0), Ticket("b", 0.0)])
    with pytest.raises(
        QueueFull, match=r"2 requests wait already, and at most 4 may .*; this one counts as 3, one per item"
    ):
        queue.put_all([Ticket("c", 0.0), Ticket("d", 0.0), Ticket("e", 0.0)])
    assert len(queue) == 2
    assert [ticket.item for ticket in queue.take(1.0)[0]] == ["a", "b"]
    queue.close()
    with pytest.raises(Unavailable):
        queue.put_all([Ticket("f", 0.0)])


def test_a_refusal_of_the_queue_is_the_request_s():
    service, answers = StubService(refusal=QueueFull(8, 8)), []
    send(begun(service, answers.append), body_of(2))
    assert answers[0].status == 429


def picture_body(count):
    files = b",".join([b'"AAAA"'] * count)
    return b'{"inputs":[{"name":"input","shape":[%d],"datatype":"BYTES","data":[%b]}]}' % (count, files)


PIXELS = np.zeros((4, 4, 3), np.uint8)


def test_pictures_are_decoded_each_for_itself_and_wait_for_a_batch_as_soon_as_they_are():
    service, answers = StubService(PHOTOS), []
    send(begun(service, answers.append), picture_body(3))
    assert service.admitted[-1] == (None, True, 3)
    service.decoders.come_back(PIXELS)
    assert [row.index for row in service.submitted] == [0]
    service.decoders.come_back(PIXELS)
    service.decoders.come_back(PIXELS)
    service.end(RESULT, *service.submitted)
    assert answers[0].status == 200


@pytest.mark.parametrize(("outcome", "status"), [(BadInput("damaged"), 400), (MemoryError(), 500)])
def test_a_picture_that_cannot_be_decoded_fails_the_request_and_drops_the_others(outcome, status):
    service, answers = StubService(PHOTOS), []
    send(begun(service, answers.append), picture_body(3))
    rows = list(service.decoders.waiting)
    service.decoders.come_back(PIXELS)
    with capture_logs():
        service.decoders.come_back(outcome)
    assert answers[0].status == status
    if status == 400:
        assert answers[0].body == b'{"error":"item 1: damaged"}'
    assert service.withdrawn == rows[:1]
    assert service.decoders.dropped == rows[2:]


def test_a_large_answer_is_packed_in_a_thread_where_the_client_likes_it_and_a_small_one_is_not():
    for rows, coding in ((1, None), (100, b"gzip")):
        service, answers = StubService(), []
        request = begun(service, answers.append, accepted=b"gzip")
        send(request, body_of(rows))
        service.end(RESULT, *service.submitted)
        if coding is not None:
            service.writers.come_back(b"packed")
            assert answers[0].body == b"packed"
        assert (b"content-encoding: gzip\r\nvary: accept-encoding" in answers[0].lines) == (
            coding is not None
        )


def test_the_head_of_a_known_request_needs_no_address_and_another_model_s_is_refused():
    service, answers = StubService(), []
    request = InferRequest(service, answers.append, Address("other", None, "infer"))
    request.begin([(b"content-length", b"5")])
    assert told(answers) == (404, b"{\"error\":\"unknown model 'other'; this service has one, 'stub'\"}")
    head = Intent(Kind.TENSOR, None, None, None, InferHead(False, None, None, None))
    again = InferRequest(service, answers.append)
    again.repeat(head, b"HEAD" + body_of(1), 4)
    assert len(service.submitted) == 1


def _unbound(service):
    return [row for row in service.submitted if row.waiting]


EVENTS = {
    "read": lambda service, _: service.decoders.come_back(PIXELS),
    "not read": lambda service, _: service.decoders.come_back(BadInput("no")),
    "decoder failed": lambda service, _: service.decoders.come_back(MemoryError()),
    "one computed": lambda service, _: service.end(RESULT, _unbound(service)[0]),
    "all computed": lambda service, _: service.end(RESULT, *_unbound(service)),
    "bound": lambda service, _: service.bind(_unbound(service)[0]),
    "model failed": lambda service, _: service.end(ModelFailure("no"), _unbound(service)[-1]),
    "not encodable": lambda service, _: service.end(Result(None, [], []), *_unbound(service)),
    "written": lambda service, _: service.writers.come_back(b"packed"),
    "expired": lambda service, _: service.timers.pop()(),
    "gone": lambda _, request: request.abandon(),
    "failed": lambda _, request: request.refuse(ValueError()),
}
NEEDS = {
    **dict.fromkeys(("read", "not read", "decoder failed"), lambda service: service.decoders.waiting),
    **dict.fromkeys(
        ("one computed", "all computed", "bound", "model failed", "not encodable"),
        _unbound,
    ),
    "written": lambda service: service.writers.waiting,
    "expired": lambda service: service.timers,
}


@given(
    st.sampled_from([SERVED, PHOTOS]),
    st.integers(1, 4),
    st.sampled_from([None, QueueFull(1, 1), Unavailable("no"), ZeroDivisionError()]),
    st.lists(st.sampled_from(list(EVENTS)), max_size=10),
    st.booleans(),
)
def test_whatever_happens_in_whatever_order_a_request_of_items_is_counted_once_and_answered_at_most_once(
    model, rows, refusal, events, reply_fails
):
    service, answers = StubService(model, refusal), []

    def reply(answer):
        answers.append(answer)
        if reply_fails:
            raise ConnectionError

    def never_raises():
        return contextlib.suppress(ConnectionError) if reply_fails else contextlib.nullcontext()

    with capture_logs():
        request = begun(service, reply, timeout_s=60.0, accepted=b"gzip")
        with never_raises():
            send(request, body_of(rows) if model is SERVED else picture_body(rows))
        for event in events:
            if NEEDS.get(event, lambda _: True)(service):
                with never_raises():
                    EVENTS[event](service, request)
        request.abandon()
    assert sum(service.metrics.requests.values()) == 1
    assert service.in_flight.requests == service.in_flight.bytes == 0
    assert len(answers) == (0 if service.metrics.requests[Outcome.CANCELLED] else 1)
    assert not _unbound(service)
    assert not service.decoders.waiting
