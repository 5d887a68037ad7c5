"""The history as it is read: which runs stand beside each other, and where a level changed."""

import dataclasses
import sys

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailgate.harness import cli
from tailgate.harness.measures import levels
from tailgate.harness.report import history as shown_history
from tailgate.harness.report.history import grouped, sparkline
from tailgate.harness.results import history
from tailgate.harness.results.run import Code
from tailgate.harness.results.verdict import Verdict
from tailgate.harness.testing import criterion_result, run_result

BRANCH, MACHINE = "main", {"processor": "Example 9000", "processors": 2}


def run(number, value=0.08, *, branch=BRANCH, criteria=None, **changes):
    """Return the line of a run: the later the number, the later the run."""
    hour, day = number % 24, 1 + number // 24
    fields = {
        "run_id": f"run-{number:03}",
        "started_at": f"2026-11-{day:02}T{hour:02}:00:00Z",
        "code": Code(f"{number:010x}" + 30 * "0", branch, dirty=number % 2 == 1),
        "machine": MACHINE,
        "settings": {"target": "http://h"},
    }
    made = criteria if criteria is not None else [criterion_result(value=value, limit=0.1)]
    return history.entry_of(run_result(made, **(fields | changes)))


def steps(*parts):
    """Return values that wander a little around each of these levels, so many runs long."""
    return [level * (1 + 0.01 * ((place * 7) % 5 - 2)) for level, count in parts for place in range(count)]


def entries(values, **changes):
    return [run(number, value, **changes) for number, value in enumerate(values)]


OTHER = [
    {"machine": {"processor": "Other"}},
    {"settings": {"target": "http://elsewhere"}},
    {"settings": {"target": "http://h", "against": "main"}},
    {"profile": dataclasses.replace(run_result().profile, name="smoke")},
    {"branch": "faster"},
    {"branch": None},
]


@pytest.mark.parametrize("other", OTHER)
def test_runs_of_another_machine_load_profile_or_branch_are_never_beside_each_other(other):
    groups = grouped([run(1), run(2, **other), run(3), run(4, **other)])
    assert [[one.run for one in group.runs] for group in groups] == [
        ["run-001", "run-003"],
        ["run-002", "run-004"],
    ]


def test_the_order_of_the_lines_and_lines_that_stand_twice_do_not_matter():
    lines = entries(steps((0.08, 9)))
    assert grouped([*reversed(lines), *lines]) == grouped(lines)


def test_a_level_that_changed_points_at_the_commit_from_which_on():
    values = steps((0.08, 15), (0.1, 15))
    (group,) = grouped(entries(values))
    ((change,),) = [trend.changes for trend in group.trends]
    assert (change.run, change.commit[:10], change.worse) == ("run-015", f"{15:010x}", True)
    assert change.share == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize(("before", "after"), [(0.1, 0.08), (0.08, 0.1)])
def test_worse_is_what_the_criterion_calls_worse(before, after):
    (group,) = grouped(entries(steps((before, 15), (after, 15))))
    assert group.trends[0].changes[0].worse is (after > before)


def test_a_single_slow_run_is_no_level():
    values = steps((0.08, 30))
    values[20] = 5.0
    (group,) = grouped(entries(values))
    assert group.trends[0].changes == ()


@pytest.mark.parametrize("count", [2, levels.FEWEST - 1])
def test_with_few_runs_nobody_guesses(count):
    (group,) = grouped(entries(steps((0.08, count // 2), (8.0, count - count // 2))))
    assert group.trends[0].changes is None


def test_a_change_across_machines_is_never_found():
    here = entries(steps((0.08, 20)))
    there = [run(100 + place, 0.2, machine={"processor": "Other"}) for place in range(20)]
    assert [trend.changes for group in grouped([*here, *there]) for trend in group.trends] == [(), ()]


def test_what_an_invalid_run_measured_is_no_part_of_a_trend():
    broken = criterion_result(value=9.0, verdict=Verdict.INVALID)
    (group,) = grouped([run(1), run(2, criteria=[broken]), run(3)])
    assert group.trends[0].runs == ("run-001", "run-003")


def test_a_criterion_without_any_number_has_no_trend():
    none = criterion_result(value=None, verdict=Verdict.INCONCLUSIVE)
    (group,) = grouped([run(1, criteria=[none]), run(2, criteria=[none])])
    assert group.trends == ()


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=60))
def test_a_sparkline_has_a_bar_per_value_the_least_lowest(values):
    line = sparkline(values)
    assert len(line) == len(values)
    if min(values) < max(values):
        assert line[values.index(min(values))] == "▁"
        assert line[values.index(max(values))] == "█"


@pytest.fixture
def tailgate(monkeypatch, capsys, tmp_path):
    """Return a function that writes a history, and runs the command on it."""
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.chdir(tmp_path)

    def command(lines, *words):
        (tmp_path / ".perf").mkdir(exist_ok=True)
        text = b"".join(orjson.dumps(history.to_json(line)) + b"\n" for line in lines)
        (tmp_path / ".perf" / history.HISTORY).write_bytes(text)
        monkeypatch.setattr(sys, "argv", ["tailgate", "history", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        captured = capsys.readouterr()
        return left.value.code, captured.out, captured.err

    return command


def test_the_history_says_what_changed_since_which_commit(tailgate):
    status, out, error = tailgate(entries(steps((0.08, 15), (0.1, 15))))
    assert (status, error) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("branch main: 30 runs; profile default; target http://h; machine Example 9000")
    assert "run-029" in out
    assert "run-019" not in out
    assert f"→ steady, p95 (client): worse since 2026-11-01, commit {15:010x}, run run-015: +25.0 %" in out
    assert "from 80.0 ms to 100 ms" in out
    assert "\x1b" not in out


def test_with_few_runs_the_history_says_so(tailgate):
    _, out, _ = tailgate(entries(steps((0.08, 4))))
    assert out.splitlines()[-1] == f"{shown_history.LOOKED_FOR}; this group has 4"
    _, out, _ = tailgate(entries(steps((0.08, 20))))
    assert out.splitlines()[-1] == "no level changed in 20 runs"


def test_without_the_package_the_history_says_so(tailgate, monkeypatch):
    monkeypatch.setattr(levels, "available", lambda: False)
    _, out, _ = tailgate(entries(steps((0.08, 20))))
    assert out.splitlines()[-1].startswith(shown_history.NO_PACKAGE)


def test_the_history_of_a_branch_or_a_scenario_can_be_asked_for(tailgate):
    lines = [run(1), run(2, branch="faster"), run(3)]
    assert "run-002" not in tailgate(lines, "--branch=main")[1]
    assert "run-001" not in tailgate(lines, "--branch=faster")[1]
    status, out, error = tailgate(lines, "--branch=none", "--scenario=steady")
    assert (status, out) == (2, "")
    assert "no run of scenario 'steady' and branch 'none' is among the 3 in " in error
    assert tailgate(lines, "--scenario=ramp")[0] == 2


def test_so_many_runs_are_listed(tailgate):
    _, out, _ = tailgate(entries(steps((0.08, 9))), "--last=2")
    assert [word for word in out.split() if word.startswith("run-")] == ["run-007", "run-008"]


def test_programs_get_groups_with_their_runs_and_trends(tailgate):
    lines = entries(steps((0.08, 15), (0.1, 15)))
    status, out, _ = tailgate(lines, "--json")
    (group,) = orjson.loads(out)["groups"]
    assert (status, len(group["runs"]), group["branch"]) == (0, 30, "main")
    (trend,) = group["trends"]
    assert (trend["scenario"], trend["criterion"], trend["unit"]) == ("steady", "p95 (client)", "s")
    assert trend["changes"][0]["run"] == "run-015"
    assert orjson.loads(tailgate(lines[:3], "--json")[1])["groups"][0]["trends"][0]["changes"] is None


def test_where_there_is_no_history_programs_get_an_empty_one_and_people_are_told(tailgate):
    assert orjson.loads(tailgate([], "--json")[1])["groups"] == []
    status, out, error = tailgate([])
    assert (status, out) == (2, "")
    assert "there is no history in " in error


def test_words_of_others_are_shown_as_text(tailgate):
    hostile = "feature/\x1b[31mred"
    _, out, _ = tailgate([run(1, branch=hostile), run(2, branch=hostile)])
    assert "\x1b" not in out
    assert "feature/\\x1b[31mred" in out
