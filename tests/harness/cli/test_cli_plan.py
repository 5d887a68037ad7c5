"""``tailgate plan``: what it prints, for people and for programs, and with which status it ends."""

import sys

import orjson
import pytest

from tailgate.harness import cli
from tailgate.harness.cli.runs import plan

TIMES = "--batch-times=1:5ms,8:9ms,32:22ms"


@pytest.fixture
def planned(monkeypatch, capsys, tmp_path):
    """Return a function that runs the command in an empty folder and gives its status, standard output and standard error."""
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(plan, "REQUESTS", 1_000)
    monkeypatch.setattr(plan, "COURSES", 10)
    monkeypatch.chdir(tmp_path)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["tailgate", "plan", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        captured = capsys.readouterr()
        return left.value.code, captured.out, captured.err

    return run


def test_a_plan_has_a_table_by_load_the_knee_the_replicas_and_the_numbers_of_the_manifests(planned):
    status, out, error = planned(TIMES, "--objective=50ms", "--rate=4000/s")
    assert (status, error) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "one replica, from --batch-times: t(1) 5.00 ms, t(8) 9.00 ms, t(32) 22.0 ms"
    assert sum(line.lstrip()[:3].rstrip("% ").isdigit() for line in lines) >= 10
    assert "an interval holds 98 % of 10 simulated runs of 1,000 requests" in lines
    told = orjson.loads(planned(TIMES, "--objective=50ms", "--rate=4000/s", "--json")[1])
    replicas, capacity = told["plan"]["replicas"], told["plan"]["capacity_per_s"]
    assert f"replicas for 4,000/s: {replicas}" in lines
    assert (replicas - 1) * capacity < 4_000 <= replicas * capacity
    numbers = told["manifest"]
    assert numbers["replicas"] == replicas
    assert numbers["settings"] == {"TAILGATE_MAX_BATCH_SIZE": 32, "TAILGATE_LATENCY_OBJECTIVE_MS": 50.0}
    assert "TAILGATE_LATENCY_OBJECTIVE_MS=50" in out


def test_where_no_number_of_replicas_keeps_the_objective_the_plan_fails_and_says_so(planned):
    status, out, _ = planned(TIMES, "--objective=4ms", "--rate=100/s")
    assert status == 1
    assert "no number of replicas keeps p99 within 4.00 ms" in out
    told = orjson.loads(planned(TIMES, "--objective=4ms", "--json")[1])
    assert (told["plan"]["replicas"], told["manifest"]) == (None, None)


def test_a_trace_says_the_rate_and_how_requests_come(planned, tmp_path):
    rows = "\n".join(f"{0.002 * number:.3f}" for number in range(1_500))
    (tmp_path / "arrivals.csv").write_text(f"time_s\n{rows}\n")
    told = orjson.loads(planned(TIMES, "--trace=arrivals.csv", "--json")[1])
    assert told["plan"]["rate_per_s"] == pytest.approx(500)
    assert told["plan"]["replicas"] == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "there is no run in "),
        (("gone",), "the run 'gone' does not exist"),
        ((TIMES, "gone"), "leave one of them out"),
        (
            (TIMES, "--objective=50"),
            "--objective: got '50', expected a quantity above 0, such as --objective=50ms",
        ),
        ((TIMES, "--objective=0ms"), "--objective: got '0ms'"),
        ((TIMES, "--objective=3 yd"), "--objective: got '3 yd'"),
        ((TIMES, "--objective=soon"), "--objective: got 'soon'"),
        ((TIMES, "--rate=4000"), "--rate: got '4000', expected a quantity above 0, such as --rate=400/s"),
        ((TIMES, "--rate=1ms"), "--rate: got '1ms'"),
        ((TIMES, "--burstiness=0"), "burstiness must be above 0"),
        ((TIMES, "--burstiness=nan"), "burstiness must be a finite number"),
        ((TIMES, "--trace=gone.csv"), "trace gone.csv"),
        ((TIMES, "--trace=gone.csv", "--burstiness=2"), "leave one of them out"),
    ],
)
def test_what_cannot_be_planned_as_asked_is_refused_with_what_was_expected(planned, words, said):
    status, out, error = planned(*words)
    assert (status, out) == (2, "")
    assert said in error
