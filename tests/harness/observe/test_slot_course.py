"""A slot as it runs against a server of this test's own: what is scraped, watched, probed, stretched and kept."""

import dataclasses
import re
from types import SimpleNamespace

import orjson
import pytest
from scripted_server import OK, ScriptedServer, target

from tailgate.harness.errors import MeasurementError, UsageError
from tailgate.harness.load import LoadSettings
from tailgate.harness.load.records.samples import Outcome
from tailgate.harness.observe.beside.moments import MOMENTS
from tailgate.harness.observe.beside.probes import Asked, probing_period_s
from tailgate.harness.observe.scrapes import SCRAPES
from tailgate.harness.observe.slot import PROBES, RESOURCES, measure_slot
from tailgate.harness.observe.slot_record import Slot
from tailgate.harness.observe.window import Window
from tailgate.harness.results.fault import Cause
from tailgate.harness.results.yardstick import Yardstick
from tailgate.harness.scenario.arrivals import ClosedLoop, Constant
from tailgate.harness.scenario.behaviour import Behaviour, Disturbers
from tailgate.harness.scenario.payloads.payload import Payload
from tailgate.harness.scenario.plan import draw_plan
from tailgate.harness.scenario.scenario import Criterion, Phase, Scenario
from tailgate.harness.target.asking.metric_names import MetricNames
from tailgate.harness.verdict.faults import check_counts
from tailgate.harness.verdict.judging import failures_of

PATIENCE_S = 60.0
PAYLOAD = Payload("a", b"body", "text/plain", path="/a")


def exposition(*held):
    """Return the answers of a metrics path, one for each reading, that tell so many requests in flight."""
    bodies = [f"# TYPE tailgate_in_flight gauge\ntailgate_in_flight {number}\n".encode() for number in held]
    return [b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body) for body in bodies]


class Metered(ScriptedServer):
    """Answers each request for its metrics with the next of several answers, the last one again and again."""

    def __init__(self, scripts, metrics):
        super().__init__({"/metrics": [metrics[0]], "/health/ready": [OK], **scripts})
        self._metrics = metrics

    def _answer(self, *args):
        # The harness scrapes over one connection, so that the next question waits for the end of this.
        going_on = super()._answer(*args)
        asked = sum(path == "/metrics" for _, path, _ in self.requests)
        self.scripts["/metrics"] = [self._metrics[min(asked, len(self._metrics) - 1)]]
        return going_on


def course(tmp_path, server, *phases, tell=lambda _: None, readings=(), payload=PAYLOAD, **changes):
    names = tuple(phase.name for phase in phases if phase.measured)
    made = Scenario("s", "for tests", phases, (Criterion("p95", 1.0, names),))
    plan = draw_plan(made, [payload], 1)
    settings = LoadSettings("127.0.0.1", server.port, timeout_s=5.0)
    first, *others = map(yard, readings) if readings else [None]
    slot = Slot(made, "head", block=0, start=1, seed=1, yardstick=first)
    read = iter(others).__next__ if readings else None
    return measure_slot(slot, plan, target(server, **changes), settings, tmp_path, tell, read)


def yard(milliseconds):
    return Yardstick(milliseconds / 1e3, milliseconds / 1e3, milliseconds / 1e3, 60)


def lines(path):
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def test_the_yardstick_is_timed_after_each_measured_phase_that_the_next_does_not_follow_without_a_pause(
    tmp_path,
):
    load = Constant(200.0)
    phases = (
        Phase("warm-up", load, requests=2, measured=False),
        Phase("first", load, requests=2),
        Phase("overload", load, requests=2),
        Phase("after", load, requests=2, without_pause=True),
        Phase("last", load, requests=2),
    )
    with Metered({"/a": [OK]}, exposition(0)) as server:
        record = course(tmp_path, server, *phases, readings=(1, 2, 3, 4))
    assert record.faults == ()
    around = [tuple(round(one.seconds * 1e3) for one in phase.yardsticks) for phase in record.phases]
    # The first reading is the one that the load was drawn by, and nothing is read for a warm-up.
    assert around == [(1, 2), (1, 2), (2, 3), (2, 3), (3, 4)]


def test_a_yardstick_that_fails_between_two_phases_ends_the_slot_and_keeps_what_there_is(tmp_path):
    def broken():
        raise MeasurementError("the yardstick gave no result")

    phases = (Phase("first", Constant(200.0), requests=2), Phase("second", Constant(200.0), requests=2))
    made = Scenario("s", "for tests", phases, (Criterion("p95", 1.0, ("first",)),))
    settings = LoadSettings("127.0.0.1", 1, timeout_s=5.0)
    with Metered({"/a": [OK]}, exposition(0)) as server:
        slot = Slot(made, "head", block=0, start=1, seed=1, yardstick=yard(1))
        settings = dataclasses.replace(settings, port=server.port)
        plan = draw_plan(made, [PAYLOAD], 1)
        record = measure_slot(slot, plan, target(server), settings, tmp_path, read_yardstick=broken)
    assert [phase.phase.name for phase in record.phases] == ["first"]
    assert record.phases[0].yardsticks is None
    assert [fault.text for fault in record.faults] == ["the yardstick gave no result"]


def test_the_servers_resources_are_read_while_a_phase_runs_and_kept(tmp_path):
    with Metered({"/a": [OK]}, exposition(0)) as server:
        record = course(tmp_path, server, Phase("load", Constant(50.0), requests=30))
    (phase,) = record.phases
    assert record.faults == ()
    assert len(phase.resources) >= 1
    assert phase.resources[0].rss_bytes > 2**20
    kept = lines(tmp_path / RESOURCES)
    assert [line["rss_bytes"] for line in kept] == [reading.rss_bytes for reading in phase.resources]
    assert {line["phase"] for line in kept} == {0}
    assert len(lines(tmp_path / SCRAPES)) == 2
    assert phase.probes == ()


def test_a_server_elsewhere_has_no_resources(tmp_path):
    with Metered({"/a": [OK]}, exposition(0)) as server:
        record = course(tmp_path, server, Phase("load", Constant(50.0), requests=5), pids=None)
    assert record.phases[0].resources == ()


def test_a_probed_phase_asks_for_readiness_and_metrics_meanwhile(tmp_path):
    with Metered({"/a": [OK]}, exposition(0)) as server:
        record = course(tmp_path, server, Phase("load", Constant(50.0), requests=30, probes=12))
    probes = record.phases[0].probes
    assert {probe.asked for probe in probes} == set(Asked)
    assert {probe.status for probe in probes} == {200}
    assert len(lines(tmp_path / PROBES)) == len(probes)


def test_a_target_without_a_readiness_path_is_asked_for_its_metrics_alone(tmp_path):
    settings = SimpleNamespace(readiness_path=None, metric_names=MetricNames())
    with Metered({"/a": [OK]}, exposition(0)) as server:
        phase = Phase("load", Constant(50.0), requests=30, probes=12)
        record = course(tmp_path, server, phase, settings=settings)
    assert {probe.asked for probe in record.phases[0].probes} == {Asked.METRICS}


def test_metrics_are_read_and_probed_where_the_first_reading_was_redirected_to(tmp_path):
    moved = b"HTTP/1.1 307 M\r\nlocation: /metrics\r\ncontent-length: 0\r\n\r\n"
    with Metered({"/a": [OK], "/old": [moved]}, exposition(0)) as server:
        url = f"http://127.0.0.1:{server.port}/old"
        phase = Phase("load", Constant(50.0), requests=30, probes=12)
        record = course(tmp_path, server, phase, metrics_url=url)
        asked = [path for _, path, _ in server.requests if path != "/a"]
    assert record.faults == ()
    assert asked.count("/old") == 1
    assert {probe.status for probe in record.phases[0].probes} == {200}


@pytest.mark.parametrize(
    ("length_s", "expected_s"), [(60.0, 0.2), (13.2, 0.2), (3.3, 0.05), (0.1, 0.02), (0.0, 0.2)]
)
def test_a_short_phase_is_asked_in_more_often_within_reason_and_a_closed_loop_as_usual(length_s, expected_s):
    assert probing_period_s(66, length_s) == pytest.approx(expected_s)


def test_a_phase_cannot_be_asked_in_less_often_than_never():
    with pytest.raises(UsageError, match="probes is a number from 0 on, got -1"):
        Phase("load", Constant(50.0), requests=30, probes=-1)


def test_a_relative_phase_is_sent_at_a_multiple_of_what_was_measured(tmp_path):
    told = []
    phases = (
        Phase("saturated", ClosedLoop(1), requests=50),
        Phase("twice", Constant(2.0), requests=50, relative_to="saturated"),
    )
    with Metered({"/a": [OK]}, exposition(0)) as server:
        record = course(tmp_path, server, *phases, tell=told.append)
    saturated, twice = (phase.samples for phase in record.phases)
    seconds = (saturated["done_ns"].max() - saturated["intended_ns"].min()) / 1e9
    intended_s = (twice["intended_ns"].max() - twice["intended_ns"].min()) / 1e9
    assert 49 / intended_s == pytest.approx(2 * 50 / seconds, rel=0.001)
    assert re.search(r"phase twice, 50 requests at [\d,.]+/s", told[1])


def test_a_capacity_of_nothing_ends_the_slot_as_a_broken_measurement(tmp_path):
    phases = (
        Phase("saturated", ClosedLoop(1), requests=3),
        Phase("twice", Constant(2.0), requests=5, relative_to="saturated"),
    )
    with Metered({"/a": ["close"]}, exposition(0)) as server:
        record = course(tmp_path, server, *phases)
    assert len(record.phases) == 1
    assert [fault.cause for fault in record.faults] == [Cause.INTEGRITY]
    assert "0 good answers in" in record.faults[0].text


def test_after_clients_that_left_the_books_are_read_when_nothing_is_held_any_more(tmp_path, monkeypatch):
    monkeypatch.setattr("tailgate.harness.observe.scrapes.DRAIN_S", PATIENCE_S)
    leaving = Phase("load", Constant(100.0), requests=20, disturbers=(Disturbers(Behaviour.LEAVES, 0.5),))
    with Metered({"/a": [OK]}, exposition(0, 3, 1, 0)) as server:
        record = course(tmp_path, server, leaving)
    assert record.faults == ()
    told = [line["text"].split()[-1] for line in lines(tmp_path / SCRAPES)]
    assert told == ["0", "3", "1", "0"]
    (phase,) = record.phases
    assert set(phase.samples["behaviour"]) == {Behaviour.WAITS}
    assert set(phase.disturbers["outcome"]) <= {Outcome.LEFT, Outcome.OK}
    assert len(phase.every_sample) == 20


def counting(*counts):
    """Return the answers of a metrics path, one for each reading, that tell so many requests."""
    text = "# TYPE tailgate_requests_total counter\ntailgate_requests_total {}\n"
    bodies = [text.format(count).encode() for count in counts]
    return [b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body) for body in bodies]


def test_a_server_that_counts_when_its_answer_has_left_is_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr("tailgate.harness.observe.scrapes.COUNTING_S", PATIENCE_S)
    with Metered({"/a": [OK]}, counting(0, 18, 19, 20)) as server:
        record = course(tmp_path, server, Phase("load", Constant(100.0), requests=20))
    (phase,) = record.phases
    assert phase.server.total("tailgate_requests_total") == 20
    assert phase.own_scrapes == len(lines(tmp_path / SCRAPES)) - 1 == 3
    assert check_counts(Window(record.phases)) == []


def test_the_scrapes_of_the_harness_are_counted_phase_by_phase(tmp_path):
    phases = [Phase(name, Constant(100.0), requests=20) for name in ("one", "two")]
    with Metered({"/a": [OK]}, counting(0, 21, 22, 43)) as server:
        record = course(tmp_path, server, *phases)
    assert [phase.own_scrapes for phase in record.phases] == [1, 1]
    assert check_counts(Window(record.phases)) == []


def test_a_metric_that_the_user_names_and_that_is_not_there_ends_the_slot_at_once(tmp_path):
    phases = [Phase(name, Constant(100.0), requests=5) for name in ("one", "two")]
    names = MetricNames(requests_total="answers")
    settings = SimpleNamespace(readiness_path="/health/ready", metric_names=names)
    with Metered({"/a": [OK]}, counting(0, 5)) as server:
        record = course(tmp_path, server, *phases, settings=settings)
    assert len(record.phases) == 1
    (fault,) = record.faults
    assert "no counter 'answers', which --perf-metric=requests_total=answers names" in fault.text


def test_a_server_that_counts_no_request_ends_the_slot_at_once_with_the_names_that_it_seems_to_use(tmp_path):
    phases = [Phase(name, Constant(100.0), requests=5) for name in ("one", "two")]
    body = b'# TYPE http_requests_total counter\nhttp_requests_total{handler="/a"} %d\nhttp_requests_total{handler="/m"} 1\n'
    answers = [b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body % n), body % n) for n in (1, 6)]
    settings = SimpleNamespace(readiness_path="/health/ready", metric_names=MetricNames())
    with Metered({"/a": [OK]}, answers) as server:
        record = course(tmp_path, server, *phases, settings=settings)
    assert len(record.phases) == 1
    (fault,) = record.faults
    told = "--perf-metric=request_seconds= --perf-metric='requests_total=http_requests_total{handler=\"/a\"}'"
    assert fault.text.endswith(f"they seem to be called so here: {told}")
    assert check_counts(Window(record.phases)) == [fault]


def test_a_server_that_keeps_what_its_clients_have_left_is_a_fault(tmp_path, monkeypatch):
    monkeypatch.setattr("tailgate.harness.observe.scrapes.DRAIN_S", 0.0)
    leaving = Phase("load", Constant(100.0), requests=20, disturbers=(Disturbers(Behaviour.LEAVES, 0.5),))
    with Metered({"/a": [OK]}, exposition(0, 3)) as server:
        record = course(tmp_path, server, leaving)
    (fault,) = record.faults
    assert "the server still held 3 requests, by its tailgate_in_flight" in fault.text


@pytest.mark.parametrize(
    ("expect", "outcome", "failures"),
    [
        ("contains:hi", Outcome.OK, []),
        (
            "contains:ho",
            Outcome.WRONG,
            ["20 × wrong answer: the answer is 'hi', expected one that contains 'ho'"],
        ),
    ],
)
def test_the_answers_of_a_phase_are_held_against_what_is_expected_of_them(
    tmp_path, expect, outcome, failures
):
    payload = dataclasses.replace(PAYLOAD, expect=(expect,))
    with ScriptedServer({"/a": [OK]}) as server:
        record = course(
            tmp_path, server, Phase("load", Constant(200.0), requests=20), payload=payload, metrics_url=None
        )
    (phase,) = record.phases
    assert set(phase.samples["outcome"]) == {outcome}
    assert [str(one) for one in failures_of([record])] == failures


def test_the_machine_is_read_beside_the_load_of_each_phase_and_kept(tmp_path):
    phases = [Phase(name, Constant(100.0), requests=5) for name in ("one", "two")]
    with Metered({"/a": [OK]}, exposition(0)) as server:
        course(tmp_path, server, *phases)
    kept = lines(tmp_path / MOMENTS)
    assert {line["phase"] for line in kept} == {0, 1}
    assert all(line["busy_s"] > 0 and line["server_cpu_s"] > 0 for line in kept)
    assert {line["generator_cpu_s"] > 0 for line in kept} == {True}


@pytest.mark.parametrize(
    ("names", "there"),
    [
        (MetricNames(), True),
        (MetricNames(in_flight=None, queue_depth=None), False),
        (MetricNames(in_flight="x"), False),
    ],
)
def test_a_server_that_has_gauges_is_asked_for_them_in_a_phase_that_probes_nothing(
    tmp_path, monkeypatch, names, there
):
    monkeypatch.setattr("tailgate.harness.observe.slot.GAUGES_PERIOD_S", 0.02)
    settings = SimpleNamespace(readiness_path="/health/ready", metric_names=names)
    with Metered({"/a": [OK]}, exposition(0, 2)) as server:
        record = course(tmp_path, server, Phase("load", Constant(50.0), requests=30), settings=settings)
    probes = record.phases[0].probes
    assert bool(probes) is there
    assert {probe.asked for probe in probes} <= {Asked.METRICS}
    assert {probe.in_flight for probe in probes} <= {2.0}
    assert {probe.queued for probe in probes} <= {None}


def test_the_readings_of_the_gauges_are_allowed_for_among_the_requests_that_the_server_counted(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("tailgate.harness.observe.slot.GAUGES_PERIOD_S", 0.02)
    text = "# TYPE tailgate_requests_total counter\ntailgate_requests_total {}\n# TYPE tailgate_in_flight gauge\ntailgate_in_flight 1\n"

    class CountsAll(Metered):
        """A server whose middleware counts the questions for its metrics, too."""

        def _answer(self, *args):
            body = text.format(len(self.requests)).encode()
            self.scripts["/metrics"] = [
                b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
            ]
            return ScriptedServer._answer(self, *args)

    with CountsAll({"/a": [OK]}, exposition(0)) as server:
        record = course(tmp_path, server, Phase("load", Constant(50.0), requests=30))
    assert record.faults == ()
    assert record.phases[0].probes
    assert check_counts(Window(record.phases)) == []
