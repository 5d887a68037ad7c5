"""How a command of tailgate ends, and what it makes of its words."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tailgate.harness.cli import Status
from tailgate.harness.cli import run as gate
from tailgate.harness.cli.run import refuse_without_target, run, split_sides, status_of, target_of
from tailgate.harness.errors import UsageError
from tailgate.harness.options.reading import parse_options
from tailgate.harness.results.run import ScenarioResult
from tailgate.harness.results.verdict import Verdict
from tailgate.harness.session.command import GateCommand
from tailgate.harness.testing import run_result

OK, FAILED, INTERRUPTED, INTERNAL, USAGE, NONE = range(6)


def came_to(*verdicts, **options):
    """Return what a run of scenarios with these verdicts came to."""
    settings = parse_options(lambda option: options.get(option.field), Path())
    scenarios = tuple(
        ScenarioResult(name=str(index), seed=1, verdict=verdict, criteria=(), reproduce="")
        for index, verdict in enumerate(verdicts)
    )
    result = replace(run_result(), scenarios=scenarios) if verdicts else None
    return GateCommand(settings=settings, result=result)


PASS, FAIL, INCONCLUSIVE, INVALID = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.INVALID


@pytest.mark.parametrize(
    ("pytest_status", "command", "status"),
    [
        (OK, came_to(PASS), Status.PASS),
        (OK, came_to(PASS, PASS), Status.PASS),
        (FAILED, came_to(FAIL), Status.FAIL),
        (FAILED, came_to(PASS, FAIL), Status.FAIL),
        (FAILED, came_to(INCONCLUSIVE, FAIL), Status.FAIL),
        (FAILED, came_to(INCONCLUSIVE, PASS), Status.INCONCLUSIVE),
        (FAILED, came_to(INVALID), Status.UNMEASURED),
        (FAILED, came_to(FAIL, INVALID), Status.UNMEASURED),
        # What the options let pass.
        (OK, came_to(INCONCLUSIVE, inconclusive="pass"), Status.PASS),
        (OK, came_to(INCONCLUSIVE, PASS, inconclusive="warn"), Status.PASS),
        (FAILED, came_to(INCONCLUSIVE, FAIL, inconclusive="pass"), Status.FAIL),
        (OK, came_to(FAIL, enforce="measurement"), Status.PASS),
        # A report that could not be written, a session that could not begin, tests that were skipped.
        (FAILED, came_to(PASS), Status.UNMEASURED),
        (FAILED, came_to(), Status.UNMEASURED),
        (OK, came_to(), Status.UNMEASURED),
        (INTERNAL, came_to(PASS), Status.UNMEASURED),
        # Nothing to run, and what cannot be run.
        (USAGE, GateCommand(), Status.USAGE),
        (NONE, GateCommand(), Status.USAGE),
        (FAILED, replace(came_to(FAIL), refused=True), Status.USAGE),
        # A key, and what pytest itself stops.
        (INTERRUPTED, replace(came_to(INVALID), interrupted=True), Status.INTERRUPTED),
        (INTERRUPTED, replace(GateCommand(), interrupted=True), Status.INTERRUPTED),
        (INTERRUPTED, GateCommand(), Status.UNMEASURED),
    ],
)
def test_a_command_ends_by_what_was_found_out(pytest_status, command, status):
    assert status_of(pytest_status, command) is status


def test_the_statuses_are_those_that_are_documented():
    text = (Path(__file__).parents[3] / "docs" / "reference" / "exit-status.md").read_text()
    for status in Status:
        assert f"| {status.value} | " in text


@pytest.mark.parametrize(
    ("words", "sides", "rest"),
    [
        (["main"], ["main"], []),
        (["main", "."], ["main", "."], []),
        ([], [], []),
        (["main", "--blocks", "12"], ["main"], ["--perf-blocks=12"]),
        (
            ["--blocks=12", "main", "--seed", "3", "service:A=b"],
            ["main", "service:A=b"],
            ["--perf-blocks=12", "--perf-seed=3"],
        ),
        (["main", "--perf-output", "/tmp", "x"], ["main", "x"], ["--perf-output=/tmp"]),
        (["main", "--require-device", "x"], ["main", "x"], ["--perf-require-device"]),
        # Of pytest's options nobody here knows whether a value follows.
        (["main", "-k", "x", "--seed", "3"], ["main"], ["-k", "x", "--perf-seed=3"]),
        (["main", "--junitxml", "out.xml"], ["main"], ["--junitxml", "out.xml"]),
        (["main", "--seed"], ["main"], ["--perf-seed"]),
        (["main", "--see", "3"], ["main"], ["--see", "3"]),
        (["main", "--metrics-path", ""], ["main"], ["--perf-metrics-path="]),
        (["command:app --port {port}"], ["command:app --port {port}"], []),
    ],
)
def test_sides_come_first_and_the_gates_options_may_stand_among_them(words, sides, rest):
    assert split_sides(words) == (sides, rest)


@pytest.mark.parametrize(
    ("word", "target"),
    [
        ("python app.py --port {port}", "command:python app.py --port {port}"),
        ("./serve --at=a:b {fd}", "command:./serve --at=a:b {fd}"),
        ("command:python app.py", "command:python app.py"),
        ("http://h:1/api", "http://h:1/api"),
        ("https://h", "https://h"),
        ("localhost:8000", "http://localhost:8000"),
        ("10.0.0.1:80/api", "http://10.0.0.1:80/api"),
        ("[::1]:80", "http://[::1]:80"),
        ("unix:/run/app.sock", "unix:/run/app.sock"),
        ("service", "service"),
        ("service:MAX_BATCH_SIZE=1", "service:MAX_BATCH_SIZE=1"),
        ("folder:.", "folder:."),
        ("serviced --port {port}", "command:serviced --port {port}"),
    ],
)
def test_a_target_may_leave_out_its_kind(word, target):
    assert target_of(word) == target


@pytest.fixture
def started(monkeypatch):
    """Return the words that pytest would be started with, and its command."""
    started = []
    monkeypatch.setattr(
        gate, "run_gate", lambda command, words: started.append((command, words)) or Status.PASS
    )
    return started


def test_run_is_the_gate_with_a_target(started):
    assert run(["python app.py {port}", "--budget", "p95=80 ms", "-k", "steady"]) is Status.PASS
    ((command, words),) = started
    assert words == ["--perf-budget=p95=80 ms", "-k", "steady", "--perf-target=command:python app.py {port}"]
    assert command.reports
    assert run([]) is Status.PASS
    assert started[1][1] == []


def test_run_takes_one_target(started):
    with pytest.raises(UsageError, match=r"got 2 targets: python app\.py; put a command line in quotes"):
        run(["python", "app.py"])
    assert started == []


def settings_of(root, said=None, ini=None):
    said, ini = said or {}, ini or {}
    return parse_options(lambda one: said.get(one.name), root, lambda one: ini.get(one.name), root)


@pytest.mark.parametrize(
    ("said", "ini"),
    [({"target": "service"}, {}), ({}, {"target": "http://h"}), ({"against": "main"}, {})],
)
def test_a_target_that_is_named_is_taken(tmp_path, said, ini):
    (tmp_path / "main.py").write_text("from fastapi import FastAPI\napp = FastAPI()\n")
    refuse_without_target(settings_of(tmp_path, said, ini))


def test_an_application_without_a_target_is_pointed_at_init(tmp_path):
    (tmp_path / "main.py").write_text("from fastapi import FastAPI\napp = FastAPI()\n")
    with pytest.raises(
        UsageError, match=r"no target is named, and main.py has the FastAPI application 'app': tailgate init"
    ):
        refuse_without_target(settings_of(tmp_path))


def test_without_a_target_the_service_is_meant_where_it_can_run(tmp_path, monkeypatch):
    monkeypatch.setattr(gate, "missing", list)
    refuse_without_target(settings_of(tmp_path))
    monkeypatch.setattr(gate, "missing", lambda: ["torch"])
    with pytest.raises(
        UsageError, match=r"no target is named: tailgate run 'python app.py.* needs torch: pip install"
    ):
        refuse_without_target(settings_of(tmp_path))


def test_a_project_that_makes_errors_of_warnings_can_compare(tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\naddopts = -p no:asyncio\n")
    command = [sys.executable, "-P", "-m", "tailgate.harness.cli", "compare", ".", "--seed=none"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == Status.USAGE
    assert "--perf-seed: expected a whole number" in ended.stderr
    assert "Warning" not in ended.stdout + ended.stderr
