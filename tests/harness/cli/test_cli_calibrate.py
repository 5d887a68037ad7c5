"""``tailgate calibrate`` writes its answer beside the run, and touches nobody's budgets."""

import dataclasses
import math
import tomllib

import orjson
import pytest
from calibration_rows import quiet_blocks
from typer.testing import CliRunner

from tailgate.harness.cli.app import app
from tailgate.harness.cli.calibrate import NEVER
from tailgate.harness.compare import answer
from tailgate.harness.compare.blocks import disturbance
from tailgate.harness.compare.blocks.row import append_rows, ln_ratio, read_rows
from tailgate.harness.compare.calibration.noise import pairs_of
from tailgate.harness.compare.decision.decision import judge
from tailgate.harness.compare.decision.design import plan_design
from tailgate.harness.compare.lens import find_lens
from tailgate.harness.errors import MeasurementError, UsageError
from tailgate.harness.results import file as results_file
from tailgate.harness.results import ledger
from tailgate.harness.results.comparison import ComparisonResult
from tailgate.harness.results.fault import Cause, Fault
from tailgate.harness.results.run import ArmResult, ScenarioResult
from tailgate.harness.results.slot import MachineUse, PhaseResult, Quantiles, SlotResult
from tailgate.harness.results.verdict import Verdict
from tailgate.harness.testing import fake_server_spec, run_result

SIDES = (ArmResult("head", "service", {"revision": "abc"}), ArmResult("base", "service", {"revision": "abc"}))


def phase(name, row, *, measured=True):
    """Return what one arm's slot came to, as results hold it."""
    return PhaseResult(
        name=name,
        measured=measured,
        duration_s=2.0,
        intended=row.requests,
        requests=row.requests,
        outcomes={"ok": row.requests - 1, "timeout": 1},
        offered_per_s=130.0,
        achieved_per_s=130.0,
        client=Quantiles(row.requests, row.p50_s, row.p95_s, 0.02, 0.03),
        machine=MachineUse(server_cpu_s_per_request=row.cpu_s / row.requests),
    )


def course(arm, block, rows):
    """Return an arm's way through a block: its warm-up, and a slot a row."""
    phases = [phase(f"slot {number + 1}", row) for number, row in enumerate(rows)]
    warm_up = phase("warm-up", rows[0], measured=False)
    return SlotResult(scenario="compare", arm=arm, block=block, start=1, seed=1, phases=(warm_up, *phases))


def kept_run(folder, *, run="r1", arms=SIDES, faults=(), comparisons=1, processors=None):
    """Write the results of a comparison of code with itself; return its rows and pairs."""
    rows, pairs = quiet_blocks(12, run=run)
    rows = [dataclasses.replace(row, processors=processors) for row in rows]
    slots = [
        course(arm, row.index, [getattr(pair, arm) for pair in pairs if pair.index == row.index])
        for row in rows
        for arm in ("head", "base")
    ]
    design = plan_design()
    comparison = ComparisonResult(
        decision=judge(rows, design), design=design, attributions=(), rows="blocks-compare.jsonl"
    )
    scenario = ScenarioResult(
        name="compare",
        seed=7,
        verdict=comparison.decision.verdict,
        criteria=(),
        reproduce="",
        faults=faults,
        comparison=comparison if comparisons else None,
    )
    result = run_result(run_id=run, scenarios=(scenario,), slots=tuple(slots), arms=arms)
    folder.mkdir()
    results_file.write(result, folder / results_file.RESULTS)
    append_rows(folder / comparison.rows, rows)
    return result, rows, pairs


def calibrate(*arguments):
    return CliRunner().invoke(app, ["calibrate", *map(str, arguments)], catch_exceptions=False)


def test_the_pairs_of_a_run_are_its_slots_side_by_side(tmp_path):
    result, _, pairs = kept_run(tmp_path / "run")
    found = pairs_of(result, "compare")
    assert len(found) == len(pairs) == 48
    for name in ("cpu", "p50", "p95"):
        lens = find_lens(name)
        assert [ln_ratio(lens, pair) for pair in found] == pytest.approx(
            [ln_ratio(lens, pair) for pair in pairs]
        )
    assert (found[-1].run, found[-1].index, found[0].base.failed) == ("r1", 11, 1)
    # Too few requests in a slot for it.
    assert found[0].base.p99_s is None
    assert pairs_of(result, "steady") == ()


def test_a_block_of_which_one_side_is_missing_has_no_pairs(tmp_path):
    result, _, _ = kept_run(tmp_path / "run")
    assert len(pairs_of(dataclasses.replace(result, slots=result.slots[1:]), "compare")) == 44


def test_a_kept_run_is_calibrated_from_without_measuring(tmp_path):
    _, rows, _ = kept_run(tmp_path / "run")
    done = calibrate("--from", tmp_path / "run")
    assert done.exit_code == 0
    assert "12 good blocks of 12" in done.output
    assert "calibration.toml (budgets stay as they are)" in done.output.replace("\n", "")
    document = orjson.loads((tmp_path / "run" / "calibration.json").read_bytes())
    (cpu, *_) = document["calibration"]["sights"]
    sigma = math.sqrt(sum(ln_ratio(find_lens("cpu"), row) ** 2 for row in rows) / 12)
    assert cpu["noise"]["sigma"] == pytest.approx(sigma)
    assert cpu["noise"]["pair"] > 0
    assert document["subject"]["target"] == "service"
    assert document["advice"]
    assert tomllib.loads((tmp_path / "run" / "calibration.toml").read_text())["tool"]
    assert read_rows(tmp_path / "run" / "calibration-blocks.jsonl") == tuple(rows)


def test_several_runs_are_pooled_and_a_second_time_changes_nothing(tmp_path):
    for name in ("one", "two"):
        kept_run(tmp_path / name, run=name)
    arguments = ("--from", tmp_path / "one", "--from", tmp_path / "two", "--into", tmp_path / "answer")
    assert "24 good blocks of 24" in calibrate(*arguments).output
    calibrate(*arguments)
    assert len(read_rows(tmp_path / "answer" / "calibration-blocks.jsonl")) == 24
    assert len(read_rows(tmp_path / "answer" / "calibration-pairs.jsonl")) == 96


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        (
            {"arms": (SIDES[0], ArmResult("base", "service", {"revision": "def"}))},
            UsageError,
            "two different sides",
        ),
        ({"comparisons": 0}, UsageError, "holds 0 comparisons"),
        ({"faults": (Fault(Cause.INTEGRITY, "it died"),)}, MeasurementError, "is INVALID: it died"),
    ],
)
def test_a_run_that_tells_nothing_of_noise_is_refused(tmp_path, changes, error, said):
    kept_run(tmp_path / "run", **changes)
    with pytest.raises(error, match=said):
        calibrate("--from", tmp_path / "run")


def test_runs_that_shared_processors_and_others_are_not_pooled(tmp_path):
    for name, processors in (("one", None), ("two", 1)):
        kept_run(tmp_path / name, run=name, processors=processors)
    with pytest.raises(UsageError, match="in some blocks both servers shared processors and in others not"):
        calibrate("--from", tmp_path / "one", "--from", tmp_path / "two")


def test_options_of_a_measurement_have_no_meaning_beside_a_kept_run(tmp_path):
    with pytest.raises(UsageError, match="--from measures nothing, so '--seed' cannot be combined"):
        calibrate("--from", tmp_path, "--seed", "3")


def test_a_scenario_that_nobody_brings_is_refused_before_anything_runs(project):
    assert calibrate("--scenario", "stedy").exit_code == 2
    assert not project.pytester.path.joinpath(".perf").exists()


def test_a_calibration_is_of_the_working_tree_and_of_one_scenario(project):
    project.pytester.path.joinpath("tiny.py").write_text(
        TINY.replace('"tiny"', "name").replace(
            'When.NAMED, source="file:body.txt")]',
            'When.NAMED, source="file:body.txt") for name in ("a", "b")]',
        )
    )
    with pytest.raises(UsageError, match="compares the working tree with itself, so 'main' has no meaning"):
        calibrate("main")
    assert calibrate("--plugin", "tiny.py").exit_code == 2
    assert not project.pytester.path.joinpath(".perf").exists()


TINY = """
from tailgate import hookimpl
from tailgate.harness.scenario.arrivals import Constant
from tailgate.harness.compare.load import ComparisonLoad
from tailgate.harness.scenario.scenario import Phase, When

@hookimpl
def tailgate_scenarios(profile):
    phases = (Phase("load", Constant(200.0), requests=20),)
    return [ComparisonLoad("tiny", "a few requests", phases, (), when=When.NAMED, source="file:body.txt")]
"""


def test_a_calibration_measures_the_working_tree_against_itself_and_never_looks(project, monkeypatch):
    for name in ("FOREIGN_MAX", "STEAL_MAX", "LAG_MAX_S"):
        monkeypatch.setattr(disturbance, name, 60.0)
    monkeypatch.setattr(answer.witnesses, "check_witnesses", lambda _: [])
    project.pytester.path.joinpath("tiny.py").write_text(TINY)
    done = calibrate(
        f"--target={fake_server_spec(1.0)}", "--plugin=tiny.py", "--blocks=2", "--scenario=tiny", "--seed=1"
    )
    assert "2 good blocks of 2" in done.output
    assert "next look" not in done.output
    kept = results_file.read(project.results() / results_file.RESULTS)
    (scenario,) = kept.scenarios
    assert scenario.comparison.design.looks[0].blocks == NEVER
    assert (scenario.comparison.decision.look, scenario.verdict) == (0, Verdict.INCONCLUSIVE)
    (cpu, *_) = orjson.loads((project.results() / "calibration.json").read_bytes())["calibration"]["sights"]
    assert (cpu["noise"]["lens"]["name"], cpu["noise"]["blocks"]) == ("cpu", 2)
    # It judged nothing, so it is no run of the gate.
    assert not project.pytester.path.joinpath(".perf", "ledger.jsonl").exists()


def test_a_comparison_is_entered_into_the_ledger_of_its_folder(project, monkeypatch):
    monkeypatch.setattr(answer.witnesses, "check_witnesses", lambda _: [])
    project.pytester.path.joinpath("tiny.py").write_text(TINY)
    spec = fake_server_spec(1.0)
    done = CliRunner().invoke(
        app, ["compare", spec, spec, "--plugin=tiny.py", "--time-limit=0.001", "--seed=1"]
    )
    assert done.exit_code == 4
    (entry,) = ledger.read(project.pytester.path / ".perf" / ledger.LEDGER).entries
    assert (entry.scenario, entry.seed, entry.base, entry.head, entry.case) == ("tiny", 1, spec, spec, "")
    assert entry.blocks + entry.voided == 1
