"""The history: a line per run, and which runs can be held beside one another."""

import dataclasses

import pytest
from compared_results import compared
from comparison_rows import rows

from tailgate.harness.results import history
from tailgate.harness.results.run import Code
from tailgate.harness.results.verdict import Better, Verdict
from tailgate.harness.testing import criterion_result, run_result
from tailgate.harness.units import Unit


def run(day, criteria=None, **changes):
    fields = {"run_id": f"run-{day}", "started_at": f"2026-11-{day:02}T10:00:00Z"}
    return run_result(criteria, **(fields | changes))


def test_a_run_that_was_recorded_is_read_again(tmp_path):
    path = tmp_path / history.HISTORY
    code = Code("0123456789abcdef0123456789abcdef01234567", None, dirty=True)
    first, second = (
        run(1, code=code, settings={"target": "service", "against": None}),
        run(2, duration_s=None),
    )
    for one in (first, second):
        history.record(one, path)
    assert history.read(path) == (history.entry_of(first), history.entry_of(second))
    assert history.read(path)[0].load == {"target": "service"}
    assert history.read(path)[0].points["steady"]["p95 (client)"].limit == 0.1


def test_a_run_that_judged_nothing_has_a_line_too(tmp_path):
    empty = run_result([], slots=(), scenarios=(), arms=(), yardstick_before=None)
    history.record(empty, tmp_path / "h")
    assert history.read(tmp_path / "h") == (history.entry_of(empty),)


def test_of_a_comparison_the_changes_are_kept_as_shares_of_base():
    points = history.entry_of(compared(rows(60, worse=1.12))).points["compare"]
    p50 = points["p50"]
    assert (p50.verdict, p50.unit, p50.better) == (Verdict.FAIL, Unit.SHARE, Better.LOWER)
    assert p50.value == pytest.approx(0.12, abs=0.03)
    assert p50.limit == 0.05
    assert abs(points["error_rate"].value) < 1e-9


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b'{"run": "x"}', b'{"run": 1}', b"\xff"])
def test_a_line_that_is_no_run_is_passed_over(tmp_path, line):
    path = tmp_path / "h"
    history.record(run(1), path)
    with path.open("ab") as file:
        file.write(line + b"\n")
    history.record(run(2), path)
    assert [entry.run for entry in history.read(path)] == ["run-1", "run-2"]


def test_fields_of_a_later_version_are_left_alone(tmp_path):
    path = tmp_path / "h"
    history.record(run(1), path)
    path.write_bytes(path.read_bytes().replace(b'{"run"', b'{"later": {"x": 1}, "run"'))
    assert [entry.run for entry in history.read(path)] == ["run-1"]


def test_there_is_no_history_where_there_is_no_file(tmp_path):
    assert history.read(tmp_path / "none") == ()


OTHER = [
    {"machine": {"processor": "Other"}},
    {"settings": {"target": "http://elsewhere"}},
    {"settings": {"target": "service", "against": "main"}},
    {"settings": {"target": "service", "request": "GET /"}},
    {"profile": dataclasses.replace(run_result().profile, name="smoke")},
]


@pytest.mark.parametrize("other", OTHER)
def test_only_runs_of_the_same_load_on_the_same_machine_are_alike(other):
    same = {"settings": {"target": "service"}}
    entries = [history.entry_of(one) for one in (run(3, **same), run(1, **same), run(2, **(same | other)))]
    now = history.entry_of(run(5, **same))
    assert [one.run for one in history.alike([*entries, now], now)] == ["run-1", "run-3", "run-5"]


def test_runs_that_came_later_are_not_before_a_run_that_is_reported_again():
    entries = [history.entry_of(run(day)) for day in (1, 2, 3)]
    assert [one.run for one in history.alike(entries, entries[1])] == ["run-1", "run-2"]


def test_what_was_judged_otherwise_is_still_the_same_load():
    first = run(1, settings={"target": "service", "inconclusive": "fail", "output": "/a"})
    second = run(
        2, [criterion_result("p99")], settings={"target": "service", "inconclusive": "warn", "output": "/b"}
    )
    entries = [history.entry_of(one) for one in (first, second)]
    assert len(history.alike(entries, entries[1])) == 2
