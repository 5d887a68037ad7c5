"""Which spans a request has, whose children they are, and that nobody waits for them."""

import threading
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from structlog.testing import capture_logs

from tailgate.service.batching.requests import traces as traces_module
from tailgate.service.batching.requests.infer import InferRequest
from tailgate.service.batching.requests.request import Request
from tailgate.service.batching.requests.row import Row
from tailgate.service.batching.requests.spans import spans_to
from tailgate.service.batching.requests.timing import Timeline
from tailgate.service.batching.requests.traces import MOST_WAITING, Ended, Traces, require_traces
from tailgate.service.codec.request_id import Caller
from tailgate.service.errors import ConfigurationError, Outcome

TRACE_ID, SPAN_ID = 0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7
KEPT, NOT_KEPT = Caller(TRACE_ID, SPAN_ID, 1), Caller(TRACE_ID, SPAN_ID, 0)
COMPUTED = {
    "whole_s": 1.1,
    "decode_s": 0.1,
    "queued_s": 1.2,
    "bound_s": 1.5,
    "computed_s": 0.4,
    "encode_s": 0.05,
}


def request(kind=Request, caller=None, **times):
    """Return a request with some times, which began at second 1."""
    service = SimpleNamespace(in_flight=SimpleNamespace(requests=0))
    made = kind(service, pytest.fail)
    made.start_s, made.caller = 1.0, caller
    for name, value in times.items():
        setattr(made, name, value)
    return made


class Kept:
    """Traces whose spans are kept in memory, and whose thread is the test's."""

    def __init__(self):
        self.exporter = InMemorySpanExporter()
        self.spans = spans_to(SimpleSpanProcessor(self.exporter))
        self.soon = []
        self.traces = Traces(
            SimpleNamespace(make=self.make, close=self.spans.close),
            lambda _, function: self.soon.append(function),
        )

    def make(self, batches, ended):
        self.spans.make(batches, ended)

    def turn(self):
        """Do what the event loop and the thread would do next."""
        for function in self.soon:
            function()
        self.soon.clear()
        while not self.traces._given.empty():
            self.make(*self.traces._given.get())

    def finished(self, name=None):
        return [span for span in self.exporter.get_finished_spans() if name in (None, span.name)]


@pytest.fixture
def kept(monkeypatch):
    for name in ("OTEL_TRACES_SAMPLER", "OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_SDK_DISABLED"):
        monkeypatch.delenv(name, raising=False)
    return Kept()


def test_a_request_has_a_span_for_each_stage_and_each_is_its_child(kept):
    ended = request(**COMPUTED, request_id=b"the-one", batch_size=3)
    kept.traces.note(ended, Outcome.OK, 1.0, 200)
    kept.turn()
    *stages, whole = kept.finished()
    assert [span.name for span in stages] == ["body", "decode", "queue", "compute", "encode"]
    assert {span.parent.span_id for span in stages} == {whole.context.span_id}
    assert (whole.name, whole.parent, whole.kind.name) == ("predict", None, "SERVER")
    assert dict(whole.attributes) == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "tailgate.batch.size": 3,
        "tailgate.outcome": "ok",
        "tailgate.request_id": "the-one",
    }
    lasted = {span.name: (span.end_time - span.start_time) / 1e9 for span in (*stages, whole)}
    expected = {"body": 0.1, "decode": 0.1, "queue": 0.3, "compute": 0.4, "encode": 0.05, "predict": 1.0}
    assert lasted == pytest.approx(expected, abs=1e-6)


def test_a_trace_goes_on_with_its_callers_id_and_the_flag_decides(kept):
    for caller in (KEPT, NOT_KEPT):
        kept.traces.note(request(caller=caller, **COMPUTED), Outcome.OK, 1.0, 200)
    kept.turn()
    assert {span.context.trace_id for span in kept.finished()} == {TRACE_ID}
    (whole,) = kept.finished("predict")
    assert (whole.parent.span_id, whole.parent.is_remote) == (SPAN_ID, True)


def test_without_a_caller_the_sampler_decides(monkeypatch):
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_always_off")
    kept = Kept()
    for caller in (None, KEPT):
        ended = request(caller=caller, **COMPUTED)
        kept.traces.note_batch([ended])
        kept.traces.note(ended, Outcome.OK, 1.0, 200)
    kept.turn()
    assert [span.parent.span_id for span in kept.finished("predict")] == [SPAN_ID]
    assert len(kept.finished("batch")) == 1


@pytest.mark.parametrize("answered_first", [True, False])
def test_a_batch_is_linked_to_its_requests_and_they_to_it(kept, answered_first):
    """Requests may be answered in the batch's turn, before it (their clients left) or after it (a thread wrote)."""
    batch = [request(caller=caller, **COMPUTED) for caller in (KEPT, NOT_KEPT, None)]
    steps = [
        lambda: [kept.traces.note(each, Outcome.OK, 1.0, 200) for each in batch],
        lambda: kept.traces.note_batch(batch),
    ]
    for step in steps if answered_first else steps[::-1]:
        step()
        kept.turn()
    (span,) = kept.finished("batch")
    requests = kept.finished("predict")
    assert {link.context.span_id for link in span.links} == {each.context.span_id for each in requests}
    assert len(requests) == 2
    assert (span.parent, span.attributes["tailgate.batch.size"]) == (None, 3)
    if not answered_first:
        links = [link.context.span_id for each in kept.finished("compute") for link in each.links]
        assert links == [span.context.span_id] * 2


def test_a_batch_of_requests_that_are_not_traced_has_no_span(kept):
    batch = [request(caller=NOT_KEPT, **COMPUTED) for _ in range(3)]
    kept.traces.note_batch(batch)
    kept.turn()
    assert kept.finished() == []


def test_a_large_batch_is_linked_to_all_its_requests(kept):
    kept.traces.note_batch([request(**COMPUTED) for _ in range(300)])
    kept.turn()
    (span,) = kept.finished("batch")
    assert len(span.links) == 300


def test_a_request_of_several_inputs_is_linked_once_to_each_of_its_batches(kept):
    owner = request(InferRequest, **COMPUTED)
    rows = [Row(owner, index, None, 1.1) for index in range(3)]
    for row in rows:
        row.bound_s, row.computed_s = 1.5, 0.2
    for batch in (rows[:2], rows[2:]):
        kept.traces.note_batch(batch)
    kept.traces.note(owner, Outcome.OK, 1.0, 200)
    kept.turn()
    (compute,) = kept.finished("compute")
    assert [link.context.span_id for link in compute.links] == [
        span.context.span_id for span in kept.finished("batch")
    ]
    assert [span.attributes["tailgate.batch.size"] for span in kept.finished("batch")] == [2, 1]
    assert [len(span.links) for span in kept.finished("batch")] == [1, 1]
    assert len(kept.finished("infer")) == 1


@pytest.mark.parametrize(
    ("outcome", "status", "code"),
    [
        (Outcome.OK, 200, "UNSET"),
        (Outcome.BAD_INPUT, 422, "UNSET"),
        (Outcome.FULL, 429, "UNSET"),
        (Outcome.ERROR, 500, "ERROR"),
        (Outcome.EXPIRED, 504, "ERROR"),
        (Outcome.CANCELLED, None, "UNSET"),
    ],
)
def test_a_span_tells_how_its_request_ended(kept, outcome, status, code):
    kept.traces.note(request(whole_s=1.1), outcome, 0.2, status)
    kept.turn()
    whole = kept.finished()[-1]
    assert whole.attributes["tailgate.outcome"] == outcome.value
    assert whole.attributes.get("http.response.status_code") == status
    assert whole.status.status_code.name == code


TIMES = st.floats(0, 3)


@given(
    total_s=TIMES,
    times=st.fixed_dictionaries(
        {},
        optional={
            "whole_s": TIMES,
            "decode_s": TIMES,
            "work_since_s": TIMES,
            "queued_s": TIMES,
            "bound_s": TIMES,
            "computed_s": TIMES,
            "encode_s": TIMES,
        },
    ),
)
def test_the_stages_of_any_request_lie_within_it_in_order_and_without_overlap(total_s, times):
    timeline = Timeline()
    timeline.start_s = 1.0
    for name, value in times.items():
        setattr(timeline, name, value)
    stages = timeline.stages(1.0 + total_s)
    points = [1.0, *(point for stage in stages for point in stage[1:]), 1.0 + total_s]
    assert points == sorted(points)
    assert sum(end_s - begin_s for _, begin_s, end_s in stages) <= total_s + 1e-9


def test_a_request_whose_picture_was_decoded_has_the_wait_for_a_thread(kept):
    times = COMPUTED | {"queued_s": 1.4, "work_since_s": 1.11}
    stages = request(**times).stages(2.0)
    assert [name for name, *_ in stages] == ["body", "decode_queue", "decode", "queue", "compute", "encode"]
    waited_s = sum(stage.end_s - stage.begin_s for stage in stages if stage.name.endswith("queue"))
    assert waited_s == pytest.approx(request(**times).waited_s)


# Nobody waits.


def test_a_request_that_finds_no_room_is_dropped_and_counted(kept):
    for _ in range(MOST_WAITING + 5):
        kept.traces.note(request(), Outcome.OK, 0.1, 200)
    kept.traces.note_batch([request(**COMPUTED)])
    assert kept.traces.dropped == 5
    assert len(kept.soon) == 1
    kept.turn()
    assert len(kept.finished("predict")) == MOST_WAITING
    assert kept.finished("batch") == []


class Thrower:
    """A maker that fails, and tells when it is closed."""

    def __init__(self, hangs=None):
        self.calls, self.hangs, self.closed = 0, hangs, threading.Event()

    def make(self, batches, ended):
        self.calls += len(ended)
        raise ZeroDivisionError

    def close(self):
        if self.hangs is not None:
            self.hangs.wait()
        self.closed.set()


def test_a_fault_is_logged_once_and_the_next_requests_are_tried():
    maker = Thrower()
    traces = Traces(maker, lambda _, hand_over: hand_over())
    traces.start()
    with capture_logs() as lines:
        for _ in range(3):
            traces.note(request(), Outcome.OK, 0.1, 200)
        traces.stop()
    assert [line["event"] for line in lines] == ["requests cannot be traced; this is said once"]
    assert (maker.calls, traces._made) == (3, 3)
    assert maker.closed.is_set()


def test_a_stop_waits_for_a_bounded_time(monkeypatch):
    monkeypatch.setattr(traces_module, "STOP_S", 0.01)
    goes_on = threading.Event()
    traces = Traces(Thrower(goes_on), lambda _, hand_over: hand_over())
    traces.start()
    with capture_logs() as lines:
        traces.stop()
    goes_on.set()
    traces._thread.join()
    assert [line["event"] for line in lines] == ["not all spans were sent"]


def test_what_the_event_loop_has_not_handed_over_is_made_at_the_stop():
    kept = Kept()
    kept.traces.start()
    kept.traces.note(request(), Outcome.OK, 0.1, 200)
    kept.traces.stop()
    assert len(kept.finished("predict")) == 1


# What is asked for.


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "expected http/protobuf, got 'grpc'"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json", "expected http/protobuf, got 'http/json'"),
        ("OTEL_TRACES_EXPORTER", "zipkin", "expected otlp, got 'zipkin'"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318", "expected a URL such as http://localhost:4318"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://", "expected a URL such as http://localhost:4318"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "ftp://x/", "got 'ftp://x/'"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://[", "got 'http://['"),
    ],
)
def test_what_is_not_offered_is_refused_before_anything_starts(name, value, told):
    with pytest.raises(ConfigurationError) as caught:
        require_traces({name: value})
    assert str(caught.value).startswith(f"{name}: ")
    assert told in str(caught.value)


def test_the_usual_variables_are_taken():
    require_traces({})
    require_traces(
        {
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_ENDPOINT": "https://[::1]:4318",
        }
    )


def test_a_missing_package_is_told_with_what_brings_it(monkeypatch):
    monkeypatch.setattr(traces_module, "_PACKAGES", ("opentelemetry.nothing.here",))
    with pytest.raises(ConfigurationError, match=r"pip install 'tailgate\[otel\]'"):
        require_traces({})


@pytest.mark.parametrize(("variable", "name"), [(None, "tailgate"), ("shop", "shop")])
def test_the_service_has_a_name_which_a_variable_may_change(kept, monkeypatch, variable, name):
    if variable:
        monkeypatch.setenv("OTEL_SERVICE_NAME", variable)
    kept = Kept()
    kept.traces.note(request(), Outcome.OK, 0.1, 200)
    kept.turn()
    assert kept.finished()[0].resource.attributes["service.name"] == name


def test_the_maker_keeps_no_request_that_has_gone(kept):
    kept.spans.make([], [Ended(request(), Outcome.OK, 0.1, 200)])
    assert len(kept.spans._begun) == 0
