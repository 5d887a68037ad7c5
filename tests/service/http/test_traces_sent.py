"""The service's spans at a collector: each accepted request has its own, and no collector harms a request."""

import threading

import httpx
import pytest
from collector import accept, collecting, flood, refuse
from edges import PIXELS, Connection, picture, pixels, post, two_edges
from serving import PATIENCE_S
from test_request_ids import with_id

from tailgate.service.batching.requests import traces

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e47{:02x}"
SPAN_ID = "00f067aa0ba902{:02x}"
TENSOR = b'{"inputs": %b}' % str([[[200, 100, 0]] * 8] * 8).encode()


def parent(number, flags="01"):
    return f"traceparent: 00-{TRACE_ID.format(number)}-{SPAN_ID.format(number)}-{flags}".encode()


@pytest.fixture(autouse=True)
def variables(monkeypatch):
    """Send spans soon, whatever the environment of the tests says."""
    for name in ("OTEL_TRACES_SAMPLER", "OTEL_SDK_DISABLED", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "20")


def ask_all(address, requests):
    """Send requests on one connection, so that heads are known; return the statuses."""
    statuses = []
    with Connection(address) as connection:
        for request in requests:
            connection.send(request)
            statuses.append(connection.answer()[0])
    return statuses


REQUESTS = {
    "pixels": PIXELS,
    "a picture": post(picture(), b"image/png"),
    "a tensor": post(TENSOR, b"application/json"),
    "a wrong shape": post(pixels()[1:]),
    "another type": post(b"x", b"text/plain"),
}


@pytest.mark.parametrize("way", ["hot", "plain"])
def test_every_request_has_its_spans_and_goes_on_with_its_callers_trace(monkeypatch, way):
    requests = [each for each in REQUESTS.values() for _ in range(3)]
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        with two_edges(monkeypatch, traces=True) as edges:
            sent = [with_id(each, parent(number)) for number, each in enumerate(requests)]
            statuses = ask_all(getattr(edges, way), sent)
            assert any(edges.repeated) == (way == "hot")
            edges.rest()
    whole = collector.named("predict")
    assert sorted((span.trace_id.hex(), span.parent_span_id.hex()) for span in whole) == [
        (TRACE_ID.format(number), SPAN_ID.format(number)) for number in range(len(requests))
    ]
    assert len(collector.named("encode")) == statuses.count(200) == 9
    assert len(collector.named("decode_queue")) >= 3
    for span in whole:
        stages = [each for each in collector.spans if each.parent_span_id == span.span_id]
        assert {each.trace_id for each in stages} <= {span.trace_id}
        lasted = sum(each.end_time_unix_nano - each.start_time_unix_nano for each in stages)
        assert lasted <= span.end_time_unix_nano - span.start_time_unix_nano
    linked = {link.span_id for span in collector.named("batch") for link in span.links}
    computed = {span.parent_span_id for span in collector.named("compute")}
    assert linked == computed
    batches = {span.span_id for span in collector.named("batch")}
    assert {link.span_id for span in collector.named("compute") for link in span.links} == batches
    assert {each["service.name"] for each in collector.resources} == {"tailgate"}


def test_a_request_in_pieces_goes_on_with_its_callers_trace_and_another_flag_sends_nothing(monkeypatch):
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        with two_edges(monkeypatch, traces=True) as edges, Connection(edges.hot) as connection:
            for number in range(6):
                request = with_id(PIXELS, parent(number, "01" if number % 2 else "00"))
                cut = len(request) - 100
                for piece in (request[:cut], request[cut:]) if number > 2 else (request,):
                    connection.send(piece)
                assert connection.answer()[0] == 200
            edges.rest()
    assert {span.trace_id.hex() for span in collector.named("predict")} == {
        TRACE_ID.format(number) for number in (1, 3, 5)
    }
    assert len(collector.named("batch")) == 3


def test_a_request_without_a_caller_begins_a_trace(monkeypatch):
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        with two_edges(monkeypatch, traces=True) as edges:
            ask_all(edges.hot, [with_id(PIXELS, b"traceparent: no trace"), PIXELS, PIXELS])
            edges.rest()
    assert len({span.trace_id for span in collector.named("predict")}) == 3
    assert {span.parent_span_id for span in collector.named("predict")} == {b""}


def test_without_traces_no_collector_is_asked(monkeypatch):
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        with two_edges(monkeypatch) as edges:
            ask_all(edges.hot, [with_id(PIXELS, parent(0))])
            assert edges.service.traces is None
    assert not collector.asked.is_set()


# Collectors that behave badly.


def test_a_collector_that_refuses_is_said_in_the_log_without_its_secret(monkeypatch, caplog):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=hush")
    with collecting(refuse(400)) as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        with two_edges(monkeypatch, traces=True) as edges:
            assert ask_all(edges.hot, [PIXELS] * 20) == [200] * 20
            edges.rest()
    assert "400" in caplog.text
    assert "hush" not in caplog.text


def test_an_answer_without_an_end_is_not_read(monkeypatch):
    with collecting(flood) as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        with two_edges(monkeypatch, traces=True) as edges:
            assert ask_all(edges.hot, [PIXELS] * 20) == [200] * 20
            assert collector.left.wait(PATIENCE_S)


def test_requests_are_answered_and_the_service_stops_while_a_collector_does_not_answer(monkeypatch):
    goes_on = threading.Event()
    monkeypatch.setattr(traces, "STOP_S", 0.05)

    def hang(collector, handler, body):
        goes_on.wait(PATIENCE_S)

    with collecting(hang) as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        with two_edges(monkeypatch, traces=True) as edges:
            ask_all(edges.hot, [PIXELS])
            assert collector.asked.wait(PATIENCE_S)
            assert ask_all(edges.hot, [PIXELS] * 100) == [200] * 100
        assert not goes_on.is_set()
        goes_on.set()


def test_requests_are_answered_and_the_service_stops_without_a_collector(monkeypatch):
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    with two_edges(monkeypatch, traces=True) as edges:
        assert ask_all(edges.hot, [PIXELS] * 100) == [200] * 100


def test_dropped_requests_are_counted_in_the_metrics(monkeypatch):
    with collecting(accept) as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        with two_edges(monkeypatch, traces=True) as edges:
            monkeypatch.setattr(traces, "MOST_WAITING", 0)
            ask_all(edges.hot, [PIXELS] * 3)
            host, port = edges.hot
            text = httpx.get(f"http://{host}:{port}/metrics").text
    assert "tailgate_traces_dropped_total 3.0" in text
