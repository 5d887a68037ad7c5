"""From a real run to its verdict: both witnesses agree request for request, or the run is INVALID and says why."""

import dataclasses
import threading

import numpy as np
import prometheus_client
import pytest
from sample_records import samples
from scripted_server import ScriptedServer

from tailgate.harness.load import LoadSettings, PhaseReport, Scheduling, TimerMode
from tailgate.harness.load.records.samples import Outcome
from tailgate.harness.load.report import Lag
from tailgate.harness.measures import built_in_measures
from tailgate.harness.observe.slot import measure_slot
from tailgate.harness.observe.slot_record import Slot, SlotRecord
from tailgate.harness.observe.window import PhaseRecord
from tailgate.harness.results.slot import Loop
from tailgate.harness.results.verdict import Verdict
from tailgate.harness.scenario.arrivals import ClosedLoop, Constant
from tailgate.harness.scenario.payloads.payload import Payload
from tailgate.harness.scenario.plan import draw_plan
from tailgate.harness.scenario.scenario import Criterion, Phase, Scenario
from tailgate.harness.target.settings import TargetSettings
from tailgate.harness.target.spec import UrlTarget
from tailgate.harness.verdict import judging

SCENARIO = Scenario(
    "sample",
    "for tests",
    (
        Phase("warm-up", Constant(500.0), requests=5, measured=False),
        Phase("steady", Constant(500.0), requests=60),
        Phase("probe", ClosedLoop(2), requests=40),
    ),
    (Criterion("p50", 60.0, ("steady",)), Criterion("throughput", 0.001, ("probe",))),
)


class Counting(dict):
    """Scripts of a server that counts what it answers, and whose metrics ``lie`` (number of the scrape, text)."""

    def __init__(self, lie):
        self._lie = lie
        self._scrapes = 0
        self._lock = threading.Lock()
        registry = self._registry = prometheus_client.CollectorRegistry()
        prometheus_client.Gauge("process_start_time_seconds", "S.", registry=registry).set(1.7e9)
        self._requests = prometheus_client.Counter("tailgate_requests", "R.", ["outcome"], registry=registry)
        self._seconds = prometheus_client.Histogram("tailgate_request_seconds", "S.", registry=registry)

    def __getitem__(self, path):
        with self._lock:
            if path == "/predict":
                self._requests.labels("ok").inc()
                self._seconds.observe(1e-6)
                return [b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"]
            text = ""
            if path == "/metrics":
                text = self._lie(self._scrapes, prometheus_client.generate_latest(self._registry).decode())
                self._scrapes += 1
            return [f"HTTP/1.1 200 OK\r\ncontent-length: {len(text)}\r\n\r\n{text}".encode()]


def measured(tmp_path, lie=lambda _, text: text, **settings):
    """Run the scenario for real against such a server, and judge it."""
    payloads = [Payload("a", b"body", "text/plain")]
    with ScriptedServer(Counting(lie)) as server:
        target = UrlTarget(f"http://127.0.0.1:{server.port}", TargetSettings(**settings))
        record = measure_slot(
            Slot(SCENARIO, "head", 0, 1, 7),
            draw_plan(SCENARIO, payloads, 7),
            target.start(tmp_path),
            LoadSettings("127.0.0.1", server.port),
            tmp_path,
        )
    return judged(record)


def judged(record):
    return judging.judge_slot(record, built_in_measures(), 0.99, "again")


def integrity(result):
    """Return the faults that no noise explains."""
    return [fault.text for fault in result.faults if fault.cause.value == "integrity"]


# A scrape stands before and one after each of the three phases: numbers 2 and 3 are the steady phase's.
def truth(number, text):
    return text


def restarted(number, text):
    return text.replace("1.7e+09", "1.8e+09") if number == 3 else text


def reset(number, text):
    return text.replace('{outcome="ok"} 65.0', '{outcome="ok"} 3.0') if number == 3 else text


def vanished(number, text):
    kept = [line for line in text.splitlines(keepends=True) if 'outcome="ok"' not in line]
    return "".join(kept) if number == 3 else text


# One too many may be the scrape before the phase, which the harness allows for.
def two_too_many(number, text):
    return text.replace('{outcome="ok"} 65.0', '{outcome="ok"} 67.0') if number == 3 else text


# However often it is asked.
def one_too_few(number, text):
    return text.replace('{outcome="ok"} 65.0', '{outcome="ok"} 64.0') if number >= 3 else text


def test_a_true_server_and_the_client_agree_request_for_request(tmp_path):
    result = measured(tmp_path, truth)
    assert integrity(result) == []
    assert [criterion.n for criterion in result.criteria] == [60, 40]


@pytest.mark.parametrize(
    ("lie", "said"),
    [
        (
            restarted,
            "another server answered: process_start_time_seconds was 1700000000.0",
        ),
        (reset, 'tailgate_requests_total{outcome="ok"} fell, from 5 to 3'),
        (vanished, "vanished from the metrics: did the server restart?"),
        (two_too_many, "phase 'steady': the server counted 62 requests, expected 60"),
        (one_too_few, "phase 'steady': the server counted 59 requests, expected 60"),
    ],
)
def test_a_server_that_is_not_the_same_or_counts_otherwise_makes_the_run_invalid(
    tmp_path, monkeypatch, lie, said
):
    # It counts what it answers before it answers, and will not tell another number later.
    monkeypatch.setattr("tailgate.harness.observe.scrapes.COUNTING_S", 0.0)
    result = measured(tmp_path, lie)
    assert said in " ".join(integrity(result))
    assert result.verdict is Verdict.INVALID
    assert {criterion.verdict for criterion in result.criteria} == {Verdict.INVALID}
    assert all(criterion.reason.startswith("integrity: ") for criterion in result.criteria)


def idle(_, text):
    return text


def used_by_others(number, _):
    return f'# TYPE tailgate_requests counter\ntailgate_requests_total{{outcome="ok"}} {number * 1000}\n'


def of_another_program(*_):
    return "# TYPE node_load1 gauge\nnode_load1 0.5\n"


@pytest.mark.parametrize("metrics", [idle, used_by_others, of_another_program])
def test_a_scrape_of_the_wrong_port_makes_the_run_invalid_and_names_the_option_that_says_where(
    tmp_path, monkeypatch, metrics
):
    monkeypatch.setattr("tailgate.harness.observe.scrapes.COUNTING_S", 0.0)
    with ScriptedServer(Counting(metrics)) as other:
        result = measured(tmp_path, metrics_path=f"http://127.0.0.1:{other.port}/metrics")
    assert result.verdict is Verdict.INVALID
    assert "--perf-metrics-path" in integrity(result)[0]


# Loaded by each interpreter before anything else (site), the generator's among them.
DOUBLE_SPEED = """
import time

true_ns = time.monotonic_ns
began_ns = true_ns()
time.monotonic_ns = lambda: 2 * true_ns() - began_ns
"""


def test_a_generator_whose_clock_runs_too_fast_makes_the_run_invalid(tmp_path, monkeypatch):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(DOUBLE_SPEED)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    result = measured(tmp_path)
    assert result.verdict is Verdict.INVALID
    assert "the clock that times the requests is wrong" in " ".join(integrity(result))
    assert "by CLOCK_MONOTONIC_RAW, allowed is a difference of 0.1%" in " ".join(integrity(result))


SOUND = PhaseReport(
    phase=0,
    name="steady",
    outcomes={outcome: 300 if outcome is Outcome.OK else 0 for outcome in Outcome},
    failures=(),
    start_ns=1,
    end_ns=2,
    lag=Lag(0.0, 0.0, 0.0),
    wall_s=3.0,
    busy_s=0.3,
    cpu_s=0.3,
    run_delay_s=0.01,
    connections_opened=8,
    connections_lost_idle=0,
    stale_retries=0,
    waited_requests=0,
    at_once=None,
    timer=TimerMode.SLEEP,
    scheduling=Scheduling.NORMAL,
    loop=Loop.OPEN,
    processor=None,
)


def fabricated(report, *, lag_s=0.0, measured=True):
    """Judge 300 good requests, a tenth of a second each, that the generator reports so."""
    phase = Phase("steady", Constant(100.0), requests=300, measured=measured)
    other = Phase("other", Constant(100.0), requests=300)
    records = samples(np.full(300, 0.1) + lag_s, lag_s=lag_s)
    scenario = Scenario("sample", "for tests", (phase, other), (Criterion("p95", 0.5, ("other",)),))
    record = SlotRecord(
        slot=Slot(scenario, "head", 0, 1, 7),
        planned=(300, 300),
        phases=(PhaseRecord(phase, records), PhaseRecord(other, samples(np.full(300, 0.1)))),
        reports=(report, SOUND),
        machines=(),
        samples=None,
        faults=(),
    )
    return judged(record)


def test_a_generator_with_time_to_spare_is_believed():
    result = fabricated(SOUND)
    assert (result.verdict, result.faults) == (Verdict.PASS, ())


@pytest.mark.parametrize(
    ("report", "lag_s", "said"),
    [
        (
            {"busy_s": 2.85},
            0.0,
            "the generator was the bottleneck: busy for 95% of its core, allowed are 90%",
        ),
        ({"run_delay_s": 9.0}, 0.0, "the generator was starved: for each request it waited 30 ms"),
        ({}, 0.05, "the generator was late: p99 of its send lag is 50 ms, allowed are 25 ms"),
    ],
)
def test_a_starved_generator_makes_the_run_invalid_and_not_slow(report, lag_s, said):
    result = fabricated(dataclasses.replace(SOUND, **report), lag_s=lag_s)
    assert result.verdict is Verdict.INVALID
    assert result.criteria[0].reason.startswith("noise: ")
    (fault,) = result.faults
    assert said in fault.text
    assert said in judging.reasons([result])[0]


def test_a_starved_warm_up_disturbs_nothing():
    starved = dataclasses.replace(SOUND, busy_s=2.9, run_delay_s=9.0)
    assert fabricated(starved, measured=False).verdict is Verdict.PASS
