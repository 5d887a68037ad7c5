"""The slowest request of a report is found in the service's log by its id."""

from edges import pixels, two_edges
from structlog.testing import capture_logs

from tailgate.harness.load import Generator, LoadSettings
from tailgate.harness.load.settings import read_id_prefix
from tailgate.harness.load.wire.request_id import draw_prefix
from tailgate.harness.observe.machine import MachineDelta
from tailgate.harness.observe.slot_result import phase_result
from tailgate.harness.observe.window import PhaseRecord
from tailgate.harness.scenario.arrivals import Constant
from tailgate.harness.scenario.payloads.payload import Payload
from tailgate.harness.scenario.plan import draw_plan
from tailgate.harness.scenario.scenario import Phase, Scenario
from tailgate.harness.target.asking.metric_names import MetricNames
from tailgate.service.batching.requests.journal import Journal

PAYLOAD = Payload("pixels", pixels(), "application/octet-stream", path="/predict")
PHASES = (
    Phase("warm-up", Constant(100.0), requests=5, measured=False),
    Phase("steady", Constant(200.0), requests=40),
)


def test_the_slowest_request_of_a_report_is_in_the_log_and_no_head_with_another_id_is_parsed(
    tmp_path, monkeypatch
):
    plan = draw_plan(Scenario("sample", "for tests", PHASES, ()), (PAYLOAD,), 1)
    with two_edges(monkeypatch, slow_request_ms=0) as edges, capture_logs() as lines:
        # A line for each, so that the test does not depend on what is slow on this machine.
        monkeypatch.setattr(edges.service, "journal", Journal(0, later=lambda _, end: end()))
        host, port = edges.hot
        settings = LoadSettings(host, port, connections_warm=1, connections_max=1, id_prefix=draw_prefix())
        with Generator(plan, settings, tmp_path / "load") as generator:
            reports = [generator.run_phase(index) for index in range(len(PHASES))]
            samples = generator.samples()
        edges.rest()
        assert edges.repeated.count(False) == 1
    steady = samples[samples["phase"] == 1]
    result = phase_result(
        40,
        PhaseRecord(PHASES[1], steady),
        reports[1],
        MachineDelta(1.0, None, None, None, None, None),
        MetricNames(),
        read_id_prefix(tmp_path / "load"),
    )
    assert result.slowest.latency_s == result.client.max_s
    (line,) = (each for each in lines if each.get("request_id") == result.slowest.request_id)
    assert (line["event"], line["status"]) == ("a request was slow", 200)
    assert 0 <= line["total_ms"] / 1e3 <= result.slowest.latency_s
    assert len({each["request_id"] for each in lines if each["event"] == "a request was slow"}) == 45
