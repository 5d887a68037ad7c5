"""Which run report, judge and samples mean: the one that is named, or the newest, and what is said of one that was cut short."""

import dataclasses
import fcntl
import os
import sys

import orjson
import pytest
from sample_records import write_samples

from tailgate.harness import cli
from tailgate.harness.results import file as results_file
from tailgate.harness.results import folder
from tailgate.harness.results.fault import Cause, Fault
from tailgate.harness.testing import run_result, samples

FIRST, SECOND, NEWEST = (f"2026110{day}T100000Z-00000{day}" for day in (1, 2, 3))


@pytest.fixture
def tailgate(monkeypatch, capsys, tmp_path):
    """Return a function that runs the command in a project with two runs."""
    monkeypatch.setenv("PERF_PLUGINS", "scenarios")
    monkeypatch.setenv("TERM", "dumb")
    (tmp_path / "src").mkdir()
    monkeypatch.chdir(tmp_path)
    for name in (FIRST, SECOND):
        keep(tmp_path / ".perf" / name)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["tailgate", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        captured = capsys.readouterr()
        return left.value.code, captured.out, captured.err

    return run


def keep(run, **changes):
    """Write the results of a run into its folder."""
    results_file.write(run_result(run_id=run.name, **changes), run / results_file.RESULTS)
    return run


def reported(said):
    """Return which run a report in JSON is of."""
    return orjson.loads(said[1])["run"]["run_id"]


@pytest.mark.parametrize("here", [".", "src", ".perf"])
def test_without_a_word_the_newest_run_is_meant(tailgate, monkeypatch, tmp_path, here):
    monkeypatch.chdir(tmp_path / here)
    assert reported(tailgate("report", "--json")) == SECOND
    # It needs more of the run than this one has kept.
    assert f"{SECOND}/" in tailgate("judge")[2]
    assert tailgate("report", "--html")[1] == f"{tmp_path / '.perf' / SECOND / 'report.html'}\n"


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        (".perf", SECOND),
        (f".perf/{FIRST}", FIRST),
        (f".perf/{FIRST}/results.json", FIRST),
        (FIRST, FIRST),
    ],
)
def test_a_run_is_named_by_its_folder_its_name_or_its_file(tailgate, word, meant):
    assert reported(tailgate("report", word, "--json")) == meant


def test_two_runs_of_one_second_are_told_apart_by_which_changed_last(tmp_path):
    names = ["20261101T100000Z-ffffff", "20261101T100000Z-000000"]
    for when, name in enumerate(names):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (when, when))
    assert [path.name for path in folder.runs(tmp_path)] == names


def test_where_no_run_was_made_it_is_said_how_to_make_one(tailgate, tmp_path, monkeypatch):
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setattr("tailgate.harness.cli.runs.newest.output_folder", lambda: empty / ".perf")
    for command in ("report", "judge", "samples"):
        status, out, error = tailgate(command)
        assert (status, out) == (2, "")
        assert error.startswith(f"tailgate: there is no run in {empty / '.perf'}; make one with tailgate run")


def test_a_newest_run_without_results_is_not_passed_over_in_silence(tailgate, tmp_path):
    (tmp_path / ".perf" / NEWEST).mkdir()
    status, out, error = tailgate("report")
    assert (status, out) == (3, "")
    older = tmp_path / ".perf" / SECOND
    assert error == (
        f"tailgate: the run {NEWEST} was cut short in its first scenario, so it has no results; "
        f"the newest run with results is {older}\n"
    )


def test_a_run_that_goes_on_is_said_to_go_on(tailgate, tmp_path):
    output = tmp_path / ".perf"
    (output / NEWEST).mkdir()
    with (output / folder.LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert (
            f"the run {NEWEST} is still going on, and none of its scenarios has ended" in tailgate("judge")[2]
        )
        keep(output / NEWEST, planned=3)
        assert (
            tailgate("report")[2] == f"run {NEWEST} is still going on: 1 of 3 scenarios are in the results\n"
        )
        assert tailgate("report", FIRST)[2] == ""


def test_a_run_that_was_killed_is_said_to_be_cut_short(tailgate, tmp_path):
    keep(tmp_path / ".perf" / NEWEST, planned=4)
    for form in ([], ["--format=markdown"]):
        status, out, error = tailgate("report", *form)
        assert (status, error) == (0, f"run {NEWEST} was cut short: 1 of 4 scenarios are in the results\n")
        assert "cut short" not in out
    said = orjson.loads(tailgate("report", "--json")[1])
    assert said["cut_short"] == "was cut short: 1 of 4 scenarios are in the results"


def test_a_run_that_a_key_ended_is_said_to_be_interrupted(tailgate, tmp_path):
    scenario = run_result().scenarios[0]
    ended = dataclasses.replace(scenario, faults=(Fault(Cause.INTEGRITY, "cut short by KeyboardInterrupt"),))
    keep(tmp_path / ".perf" / NEWEST, planned=2, scenarios=(ended,))
    assert tailgate("report")[2] == (
        f"run {NEWEST} was interrupted (Ctrl-C) in scenario steady: 1 of 2 scenarios are in the results\n"
    )


@pytest.mark.parametrize("planned", [None, 1])
def test_of_a_whole_run_nothing_is_said(tailgate, tmp_path, planned):
    keep(tmp_path / ".perf" / NEWEST, planned=planned)
    assert tailgate("report")[2] == ""


def test_samples_of_the_newest_run_are_written_though_it_has_no_results(tailgate, tmp_path):
    run = tmp_path / ".perf" / NEWEST
    (run / "steady-head-0").mkdir(parents=True)
    write_samples(run / "steady-head-0" / "samples.bin", samples([0.1, 0.2, 0.3]))
    status, out, _ = tailgate("samples")
    assert status == 0
    assert len(out.splitlines()) == 4
    said = orjson.loads(tailgate("samples", "--json")[1])
    assert (said["slot"], len(said["samples"])) == ("steady-head-0", 3)
    assert said["samples"][0]["outcome"] == "OK"
    assert said["samples"][0]["queue_s"] is None


def test_of_several_slots_one_must_be_named(tailgate, tmp_path):
    for name, count in (("burst-head-0", 1), ("steady-head-0", 2)):
        (tmp_path / ".perf" / SECOND / name).mkdir()
        write_samples(tmp_path / ".perf" / SECOND / name / "samples.bin", samples([0.1] * count))
    status, _, error = tailgate("samples")
    assert status == 2
    assert "holds 2 slots; say which with --slot=NAME: burst-head-0, steady-head-0" in error
    assert len(tailgate("samples", "--slot=steady-head-0")[1].splitlines()) == 3
    assert "holds no slot 'ramp'; there are burst-head-0" in tailgate("samples", "--slot=ramp")[2]
    assert len(tailgate("samples", f".perf/{SECOND}/burst-head-0")[1].splitlines()) == 2


def test_a_run_without_records_has_none_to_write(tailgate):
    status, out, error = tailgate("samples")
    assert (status, out) == (3, "")
    assert "holds no raw records" in error
