"""One request's way without a transport: counted once, answered once or not at all."""

import contextlib
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from tailgate.service.batching import Ticket
from tailgate.service.call import Call
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
from tailgate.service.items import Result
from tailgate.service.lifecycle import Service
from tailgate.service.message import Answer, Head
from tailgate.service.metrics import Metrics
from tailgate.service.models import TensorSpec
from tailgate.service.protocol import Form, Served
from tailgate.service.settings import load_settings

SERVED = Served("stub", TensorSpec((4,), np.dtype(np.float32)), None, None)
BODY = np.arange(4, dtype=np.float32).tobytes()
RESULT = Result(np.ones(4, np.float32), [], [])


class StubService:
    """A service whose decoding threads and batches are the test."""

    def __init__(self, refusal=None):
        self.settings = load_settings({})
        self.metrics = Metrics((), 8, list)
        self.in_flight = 0
        self.refusal = refusal
        self.decoding, self.submitted, self.withdrawn = [], [], []

    def require_ready(self, *, admitted=False):
        return SERVED

    def admit(self, timeout_s, spent_s=0.0, *, decoded):
        if self.refusal:
            raise self.refusal

    def submit(self, ticket):
        if self.refusal:
            raise self.refusal
        self.submitted.append(ticket)

    def withdraw(self, ticket):
        self.withdrawn.append(ticket)

    def offload(self, then, function, *arguments, **_):
        if self.refusal:
            raise self.refusal
        self.decoding.append(lambda outcome, run_s=0.5: then(outcome, run_s))

    def write_out(self, then, function, *arguments):
        self.decoding.append(lambda outcome: then(outcome, 0.5))

    def hold(self, size):
        """There is room for any body."""

    give_back = hold

    def leave(self):
        self.in_flight -= 1
        assert self.in_flight == 0

    def counted(self):
        outcomes = {outcome: count for outcome, count in self.metrics.requests.items() if count}
        observed = {
            outcome: sum(each.counts) for outcome, each in self.metrics.request.items() if sum(each.counts)
        }
        assert outcomes == observed
        return outcomes


def head(timeout_s=None):
    return Head("", None, timeout_s)


def end(service, outcome, computed_s=0.01):
    """End the ticket as the batcher would."""
    (ticket,) = service.submitted
    ticket.outcome, ticket.bound_s, ticket.computed_s, ticket.batch_size = (
        outcome,
        ticket.queued_s,
        computed_s,
        3,
    )
    ticket.ended(ticket)


EVENTS = {
    "decoded": lambda service, _: service.decoding.pop()((np.zeros(4, np.float32), True)),
    "not decoded": lambda service, _: service.decoding.pop()(BadInput("no")),
    "decoder failed": lambda service, _: service.decoding.pop()(MemoryError()),
    "computed": lambda service, _: end(service, RESULT),
    "not encodable": lambda service, _: end(service, None),
    "model failed": lambda service, _: end(service, ModelFailure("no")),
    "expired": lambda service, _: end(service, Expired("no")),
    "gone": lambda _, call: call.abandon(),
    "refused": lambda _, call: call.refuse(BadInput("no")),
    "failed": lambda _, call: call.fail(ValueError()),
}
NEEDS_DECODING = {"decoded", "not decoded", "decoder failed"}
NEEDS_TICKET = {"computed", "not encodable", "model failed", "expired"}


@given(
    st.sampled_from([Form.PIXELS, Form.TENSOR, None]),
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
        call = Call(service, reply)
        assert service.in_flight == 1
        if form is not None:
            with never_raises():
                call.run(head(), form, body)
        for event in events:
            if event in NEEDS_DECODING and not service.decoding:
                continue
            if event in NEEDS_TICKET and not service.submitted:
                continue
            with never_raises():
                EVENTS[event](service, call)
        call.abandon()
    counted = service.counted()
    assert sum(counted.values()) == 1
    assert service.in_flight == 0
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
    call = Call(service, answers.append)
    with capture_logs():
        call.run(head(), Form.PIXELS, BODY)
        EVENTS[event](service, call)
        for later in ("gone", "computed", "refused", "failed"):
            EVENTS[later](service, call)
    assert [answer.status for answer in answers] == [status]
    assert service.counted() == {outcome: 1}
    assert service.withdrawn == []


def test_the_request_is_counted_before_its_answer_leaves():
    service, seen = StubService(), []
    call = Call(service, lambda _: seen.append((service.counted(), service.in_flight)))
    call.run(head(), Form.PIXELS, BODY)
    end(service, RESULT)
    assert seen == [({Outcome.OK: 1}, 0)]
    assert sum(service.metrics.decode.counts) == sum(service.metrics.encode.counts) == 1


def test_a_request_that_is_abandoned_is_withdrawn_and_its_result_is_dropped():
    service, answers = StubService(), []
    call = Call(service, answers.append)
    call.run(head(), Form.PIXELS, BODY)
    call.abandon()
    assert service.withdrawn == service.submitted
    end(service, RESULT)
    assert answers == []
    assert service.counted() == {Outcome.CANCELLED: 1}


LARGE = Result(np.ones(5000, np.float32), [], [])


@pytest.mark.parametrize(
    ("event", "outcome"),
    [
        (lambda service, _: service.decoding.pop()(b"{}"), Outcome.OK),
        (EVENTS["decoder failed"], Outcome.ERROR),
        (EVENTS["gone"], Outcome.CANCELLED),
    ],
)
def test_a_large_answer_is_written_in_a_thread_and_comes_to_one_end(event, outcome):
    service, answers = StubService(), []
    call = Call(service, answers.append)
    call.run(head(), Form.PIXELS, BODY)
    end(service, LARGE)
    assert (answers, len(service.decoding)) == ([], 1)
    with capture_logs():
        event(service, call)
        for late in service.decoding:
            late(b"{}")
        call.abandon()
    assert service.counted() == {outcome: 1}
    assert [answer.body for answer in answers if answer.status == 200] == [b"{}"] * (outcome is Outcome.OK)


def test_a_request_that_is_abandoned_while_it_is_decoded_is_not_queued():
    service = StubService()
    call = Call(service, pytest.fail)
    call.run(head(), Form.TENSOR, b"{}")
    call.abandon()
    EVENTS["decoded"](service, call)
    assert service.submitted == service.withdrawn == []


def test_the_clients_patience_counts_from_the_beginning_of_the_request():
    service = StubService()
    for timeout_s in (None, 60.0):
        Call(service, pytest.fail).run(head(timeout_s), Form.PIXELS, BODY)
        service.in_flight = 0
    patient, hurried = service.submitted
    assert patient.deadline_s is None
    assert hurried.deadline_s <= hurried.queued_s + 60.0


def test_an_answer_that_cannot_be_given_does_not_keep_the_others_of_its_batch_waiting():
    service = Service(load_settings({}))
    called = []
    batch = [Ticket(None, 0.0) for _ in range(3)]

    def ended(ticket):
        called.append(ticket)
        if ticket is batch[1]:
            raise ConnectionError

    for ticket in batch:
        ticket.ended = ended
    with capture_logs() as log:
        service._end(batch)
    assert called == batch
    assert [entry["event"] for entry in log] == ["an answer could not be given"]


def test_a_fault_is_answered_before_it_is_logged(monkeypatch):
    service, order = StubService(), []
    call = Call(service, lambda _: order.append("answered"))
    monkeypatch.setattr(
        "structlog.get_logger", lambda _: SimpleNamespace(error=lambda *_, **__: order.append("logged"))
    )
    call.fail(ValueError())
    assert order == ["answered", "logged"]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], Head("", None, None)),
        (
            [(b"content-type", b"a/b"), (b"content-length", b"12"), (b"x-request-timeout-ms", b"250")],
            Head("a/b", 12, 0.25),
        ),
        ([(b"transfer-encoding", b"Chunked")], Head("", None, None)),
        ([(b"content-encoding", b"Identity"), (b"accept", b"*/*")], Head("", None, None)),
    ],
)
def test_the_headers_that_matter_are_read(headers, expected):
    assert Head.read(headers) == expected


@pytest.mark.parametrize("value", [b"", b"-1", b"1.5", b"1e3", b" 1", "²".encode("latin-1")])
def test_a_length_is_digits(value):
    with pytest.raises(BadInput, match="Content-Length: expected a number"):
        Head.read([(b"content-length", value)])


@pytest.mark.parametrize("values", [[b"gzip, chunked"], [b"gzip", b"Chunked"], [b"identity,chunked"]])
def test_a_coding_beneath_the_chunks_is_not_implemented(values):
    with pytest.raises(
        UnknownCoding, match=r"Transfer-Encoding: .* is not decoded, only 'chunked' is"
    ) as raised:
        Head.read([(b"transfer-encoding", value) for value in values])
    assert raised.value.status == 501


@pytest.mark.parametrize("more", [(), ((b"retry-after", b"7"), (b"accept-encoding", b"identity"))])
def test_an_answer_has_the_headers_of_json_and_of_its_own(more):
    answer = Answer(429, b"{}", b"total;dur=1.000", more)
    assert answer.headers() == [
        (b"content-type", b"application/json"),
        (b"content-length", b"2"),
        (b"server-timing", b"total;dur=1.000"),
        *more,
    ]
    assert answer.header_lines() == b"".join(b"%b: %b\r\n" % header for header in answer.headers())


@pytest.mark.parametrize("overload_status", [429, 503])
@pytest.mark.parametrize("refusal", [QueueFull(1, 1), BytesFull(1, 1), Late("late", 1)], ids=repr)
def test_a_refusal_because_of_the_other_requests_has_the_status_that_is_set(refusal, overload_status):
    service, answers = StubService(refusal), []
    service.settings = load_settings({}, overload_status=overload_status)
    Call(service, answers.append).refuse(refusal)
    (answer,) = answers
    assert (answer.status, answer.more) == (overload_status, [(b"retry-after", b"1")])


@pytest.mark.parametrize(
    ("refusal", "status"),
    [(Unavailable("no"), 503), (DeviceLost("no"), 503), (Expired("no"), 504), (ModelFailure("no"), 500)],
    ids=repr,
)
def test_no_other_refusal_has_it(refusal, status):
    service, answers = StubService(), []
    service.settings = load_settings({}, overload_status=429)
    Call(service, answers.append).refuse(refusal)
    assert answers[0].status == status


@pytest.mark.parametrize(
    ("form", "began_s", "waited_s", "decode_s"),
    # Its head came at 100 s, its body at 103; a thread had it for half a second of 9 before its batch was bound at 114.
    [(Form.IMAGE, 103.0, 8.5 + 2.0, 0.5), (Form.PIXELS, 112.0, 2.0, 0.0)],
)
def test_waiting_for_a_decoding_thread_is_waiting_and_decoding_is_only_what_the_thread_does(
    monkeypatch, form, began_s, waited_s, decode_s
):
    clock = [100.0]
    monkeypatch.setattr("tailgate.service.call.time", SimpleNamespace(perf_counter=lambda: clock[0]))
    service, answers = StubService(), []
    call = Call(service, answers.append)
    clock[0] = began_s
    call.take(BODY)
    call.run(head(), form, call.whole())
    clock[0] = 112.0
    if form is Form.IMAGE:
        service.decoding.pop()(np.zeros(4, np.float32), 0.5)
    (ticket,) = service.submitted
    ticket.bound_s, ticket.computed_s, ticket.batch_size, ticket.outcome = 114.0, 3.0, 1, RESULT
    assert ticket.waited_s == waited_s
    assert service.metrics.decode.sum == decode_s
    clock[0] = 117.0
    ticket.ended(ticket)
    timing = answers[0].timing.decode()
    assert timing == (
        f"queue;dur={waited_s * 1e3:.3f}, decode;dur={decode_s * 1e3:.3f}, compute;dur=3000.000, encode;dur=0.000, "
        'batch;desc="1", total;dur=17000.000'
    )
    upload_s = began_s - 100.0
    assert upload_s + waited_s + decode_s + 3.0 == 17.0


@given(st.lists(st.binary(min_size=1, max_size=25), max_size=12))
def test_a_body_is_whole_in_whatever_pieces_it_comes_and_a_large_one_is_not_copied_again_and_again(pieces):
    service = StubService()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tailgate.service.call.BLOCK_BYTES", 10)
        call = Call(service, lambda _: None)
        for piece in pieces:
            call.take(piece)
            assert len(call._body) <= max(10, len(piece))
        assert len(call._blocks) <= 2 * sum(map(len, pieces)) / 10
        assert call.whole() == b"".join(pieces)
        assert call.whole() == b""
    call.abandon()
