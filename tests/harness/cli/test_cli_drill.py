"""``tailgate drill``: which gate is run, what is entered into the ledger, and with which status it ends."""

import importlib
import subprocess
import sys
from dataclasses import replace

import pytest
from compared_results import compared
from comparison_rows import rows

from tailgate.harness import cli
from tailgate.harness.cli import Status
from tailgate.harness.drill import ledger
from tailgate.harness.results.verdict import Verdict


@pytest.fixture
def tailgate(monkeypatch, capsys, tmp_path):
    """Return a function that runs a drill whose gate comes to what ``found`` holds; ``asked`` are the options of each gate."""
    monkeypatch.chdir(tmp_path)
    for git in (("init", "-q"), ("commit", "-q", "--allow-empty", "-m", "first")):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *git], check=True)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["tailgate", "drill", *arguments])
        with pytest.raises(SystemExit) as left:
            cli.main()
        captured = capsys.readouterr()
        return left.value.code, captured.out + captured.err

    def gate(of, words):
        run.asked.append((dict(of.plugins), words))
        status, of.result = run.found
        return status

    # The command has the module's name.
    module = importlib.import_module("tailgate.harness.cli.drill")
    monkeypatch.setattr(module, "run_gate", gate)
    run.asked = []
    run.found = (Status.PASS, compared(rows(12)))
    run.drills = lambda: ledger.read(tmp_path / ".perf" / "drills.jsonl")
    return run


SLOW = compared(rows(12, worse=1.3))


def test_a_commit_that_is_not_drawn_costs_nothing(tailgate):
    status, out = tailgate("--share=0.000001")
    assert (status, tailgate.asked, tailgate.drills()) == (0, [], ())
    assert "is not drawn" in out


def test_base_against_base_is_the_gate_as_it_is(tailgate):
    status, out = tailgate("--case=unchanged", "--target=command:serve {port}")
    assert status == 0
    ((plugins, words),) = tailgate.asked
    assert plugins == {}
    assert words[:3] == ["--perf-target=command:serve {port}", "--perf-against=.", "--perf-head=."]
    assert "PASS for base against base: right; it took 0.0 minutes" in out
    (drill,) = tailgate.drills()
    assert (drill.case, drill.verdict, drill.exercised) == ("unchanged", Verdict.PASS, ())


def test_a_planted_change_has_a_proxy_on_both_sides_and_names_the_lenses_that_it_can_move(tailgate):
    tailgate.found = (Status.FAIL, SLOW)
    status, out = tailgate("--case=all-5")
    assert status == 0
    ((plugins, words),) = tailgate.asked
    assert list(plugins) == ["drill"]
    assert words[-2:] == ["--perf-base-env=PERF_DRILL=unchanged", "--perf-head-env=PERF_DRILL=all-5"]
    assert "FAIL for 5 % more of all work: right" in out
    assert "lenses that the change can move: cpu, p50, p95, p99" in out
    assert "to repeat this drill: tailgate drill --case=all-5" in out


def test_two_misses_end_in_an_alarm_that_says_what_is_broken(tailgate):
    assert tailgate("--case=stall")[0] == 0
    status, out = tailgate("--case=stall")
    assert status == Status.FAIL
    assert "BROKEN: a stall of 1 in 50 FAILs in at least 95 % of runs: 2 of 2 drills against it." in out
    assert "drills so far: 2, in 0.0 minutes" in out
    # And it stays one, whichever commit comes.
    assert tailgate("--share=0.000001")[0] == Status.FAIL


def test_what_measured_nothing_is_invalid_and_what_was_refused_is_no_drill(tailgate):
    tailgate.found = (Status.UNMEASURED, None)
    assert tailgate("--case=all-5")[0] == 0
    assert [one.verdict for one in tailgate.drills()] == [Verdict.INVALID]
    tailgate.found = (Status.USAGE, None)
    assert tailgate("--case=all-5")[0] == Status.USAGE
    assert len(tailgate.drills()) == 1


def test_the_ledger_may_lie_anywhere_and_a_line_that_is_none_is_refused(tailgate, tmp_path):
    path = tmp_path / "kept" / "ledger.jsonl"
    assert tailgate("--case=unchanged", f"--ledger={path}")[0] == 0
    assert len(ledger.read(path)) == 1
    path.write_text(path.read_text() + "{}\n")
    status, out = tailgate("--case=unchanged", f"--ledger={path}")
    assert status == Status.UNMEASURED
    assert "line 2 is not a drill" in out
    ledger.append(replace(tailgate_drill(), case="nothing"), tmp_path / "other")
    assert "of the case 'nothing', which is none" in tailgate("--ledger=other", "--case=stall")[1]


def tailgate_drill():
    return ledger.Drill(commit="c", date="d", case="stall", verdict=Verdict.PASS, reason="", minutes=1.0)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["HEAD"], "a drill compares the working tree with itself, so 'HEAD' has no meaning"),
        (["--case=stal"], "there is no case 'stal'; did you mean 'stall'"),
        (["--share=0"], "--share: expected a share of all commits"),
    ],
)
def test_what_has_no_meaning_is_refused_before_anything_runs(tailgate, words, message):
    status, out = tailgate(*words)
    assert status == Status.USAGE
    assert message in out
    assert tailgate.asked == []


def test_without_a_commit_there_is_nothing_to_draw_by(tailgate, monkeypatch, tmp_path_factory):
    monkeypatch.chdir(tmp_path_factory.mktemp("bare"))
    status, out = tailgate()
    assert status == Status.USAGE
    assert "there is no git repository with a commit here" in out
