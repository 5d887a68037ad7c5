"""The simulations of the gate and the naive rules, on made-up rows: that they count what they say."""

import dataclasses

import msgspec
import numpy as np
import orjson
import pytest
from calibration_rows import quiet_blocks
from comparison_rows import arm, row, rows
from typer.testing import CliRunner

from benchmarks.gate import coverage, estimators, naive
from benchmarks.gate.simulation import __main__ as command
from benchmarks.gate.simulation.effects import EFFECTS, GATES, UNCHANGED, measured, plant
from benchmarks.gate.simulation.machines import (
    block_rows,
    calibrated,
    disturbed,
    pair_rows,
    shown_by_pairs,
)
from benchmarks.gate.simulation.synthetic import Condition, conditions, simulate
from tailgate.harness.compare.blocks.row import append_rows, ln_ratio
from tailgate.harness.compare.calibration.calibration import calibrate
from tailgate.harness.compare.decision.design import plan_design
from tailgate.harness.compare.lens import LENSES, find_lens
from tailgate.harness.errors import UsageError
from tailgate.harness.results import file as results_file
from tailgate.harness.results.verdict import Verdict

DESIGN = plan_design(GATES)
QUIET = calibrated(command.CALIBRATION)
MACHINES = disturbed(QUIET)


@pytest.mark.parametrize("name", MACHINES)
def test_an_unchanged_service_rarely_fails_on_any_machine(name):
    tally = simulate(Condition(name, MACHINES[name], UNCHANGED, DESIGN, 60))
    assert tally.share(Verdict.FAIL)[1] <= DESIGN.alpha


def test_ten_per_cent_on_everything_are_seen_on_a_quiet_machine():
    tally = simulate(Condition("planted", QUIET, EFFECTS["all +10 %"], DESIGN, 40))
    assert tally.share(Verdict.FAIL)[0] >= 0.95


def test_a_made_up_machine_has_the_noise_it_is_told_to_have():
    shown = shown_by_pairs(QUIET, np.random.default_rng(0), 4000)
    made = block_rows(shown, QUIET)
    for lens, sigma in zip(("cpu", "p50", "p95", "p99"), QUIET.noise, strict=True):
        assert np.std([ln_ratio(find_lens(lens), each) for each in made]) == pytest.approx(sigma, rel=0.05)
    pairs = pair_rows(shown, QUIET)
    assert len(pairs) == 4000 * QUIET.pairs
    assert sum(each.load_s for each in pairs) == pytest.approx(sum(each.load_s for each in made))


def test_the_noise_of_a_calibration_becomes_the_machines(tmp_path):
    blocks, pairs = quiet_blocks(40)
    found = calibrate(blocks, pairs, LENSES)
    path = tmp_path / "calibration.json"
    path.write_bytes(orjson.dumps({"calibration": results_file.to_json(found)}))
    machine = calibrated(path)
    assert machine.noise == tuple(sight.noise.sigma for sight in found.sights[:4])
    assert (machine.pairs, machine.windows, machine.load_s, machine.wall_s) == (4, 2, 16.0, 22.0)
    assert machine.requests == 1040
    assert "40 good blocks" in machine.origin


@pytest.mark.parametrize("text", ["", "{}", '{"calibration": {"sights": []}}'])
def test_a_file_that_is_no_calibration_is_refused(tmp_path, text):
    path = tmp_path / "calibration.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"no calibration\.json"):
        calibrated(path)


def test_everything_that_is_simulated_has_enough_runs_that_one_in_a_hundred_can_be_told():
    asked = conditions(QUIET, 20_000, DESIGN)
    assert {one.runs for one in (*asked["unchanged, by blocks"], *asked["unchanged, by pairs"])} == {20_000}
    assert len({one.name for part in asked.values() for one in part}) == sum(map(len, asked.values()))


def test_the_command_simulates_in_processes_and_writes_every_part_with_its_origin(tmp_path):
    path = tmp_path / "figures.json"
    done = CliRunner().invoke(command.app, ["synthetic", "--runs=2", f"--json={path}"])
    assert done.exit_code == 0, done.output
    assert "worst: " in done.output
    written = orjson.loads(path.read_bytes())
    assert written["origin"] == QUIET.origin
    assert [one["runs"] for one in written["unchanged, by blocks"]] == [2] * len(MACHINES)
    assert len(written["planted slowdowns"]) == 3 * len(EFFECTS)


def test_the_command_replays_a_recording_with_a_tail_as_measured(tmp_path):
    recording, planted, path = (tmp_path / name for name in ("recording", "planted", "figures.json"))
    append_rows(recording, rows(40, run="a"))
    append_rows(planted, [row(head=arm(1.3), run="stall r1")])
    arguments = ["replay", str(recording), f"--planted={planted}", "--runs=2", f"--json={path}"]
    done = CliRunner().invoke(command.app, arguments)
    assert done.exit_code == 0, done.output
    assert "`stall` as measured" in [
        one["name"] for one in orjson.loads(path.read_bytes())["planted slowdowns"]
    ]


def test_the_command_says_of_a_short_recording_what_to_do_instead(tmp_path):
    recording = tmp_path / "recording"
    append_rows(recording, rows(12, run="unchanged r1"))
    done = CliRunner().invoke(command.app, ["replay", str(recording), "--quick"])
    assert done.exit_code == 2
    assert done.stderr.startswith("1 of 1 recordings are shorter than one run (36 good blocks)")
    assert "benchmarks.gate.recording" in done.stderr


def test_a_planted_effect_multiplies_head_alone():
    one = row(head=arm(cpu_s=None, stages_s={"mean": {"queue": 1.0}, "p95": {"queue": 2.0}}))
    planted = plant(one, EFFECTS["all +10 %"])
    assert planted.base == one.base
    assert planted.head.cpu_s is None
    assert planted.head.p95_s == pytest.approx(1.1 * one.head.p95_s)
    assert planted.head.stages_s == {"mean": {"queue": pytest.approx(1.1)}, "p95": {"queue": 2.0}}


def test_a_planted_effect_takes_the_mean_with_the_median():
    one = row(head=arm(mean_s=0.012))
    assert plant(one, {"p50_s": 1.5}).head.mean_s == pytest.approx(0.018)
    assert plant(one, {"p50_s": 1.5, "mean_s": 2.0}).head.mean_s == pytest.approx(0.024)
    assert plant(one, {"p99_s": 1.5}).head.mean_s == 0.012


def test_a_measured_effect_is_the_median_ratio_of_the_case_that_is_asked_for():
    shown = [row(head=arm(worse), run="stall r1") for worse in (1.1, 1.2, 1.6)]
    shown += [row(head=arm(9.0), run="stall r1", void="steal"), row(head=arm(9.0), run="window r2")]
    found = measured(shown, "stall")
    assert found == {name: pytest.approx(1.2) for name in ("cpu_s", "p50_s", "p95_s", "p99_s")}
    assert measured(shown, "leak") is None


def stretch(latencies_s):
    """Return a stretch of six blocks of raw latencies."""
    parts = np.split(latencies_s, 6)
    arms = [arm(p95_s=float(np.quantile(part, 0.95)), mean_s=float(part.mean())) for part in parts]
    return naive.of_arms(arms)


@pytest.mark.parametrize(
    ("factor", "expected"),
    [
        (1.0, (False, False, False, False)),
        (1.09, (False, False, False, True)),
        (1.2, (True, True, False, True)),
        (2.5, (True,) * 4),
    ],
)
def test_each_naive_rule_alarms_where_its_tool_would(factor, expected):
    latencies_s = np.random.default_rng(0).exponential(0.01, 30_000)
    base, head = stretch(latencies_s), stretch(latencies_s * factor)
    assert tuple(rule(base, head) for rule in naive.RULES.values()) == expected


def with_mean(one):
    named = {name: getattr(one, name) for name in ("base", "head")}
    return dataclasses.replace(
        one, **{name: dataclasses.replace(of, mean_s=of.p50_s * 1.2) for name, of in named.items()}
    )


def test_a_sequential_run_is_fooled_by_drift_that_alternation_cancels():
    drifting = [with_mean(row(index, arm(1 + 0.02 * index), arm(1 + 0.02 * index))) for index in range(40)]
    found = naive.alarms([drifting[start : start + 24] for start in range(17)], UNCHANGED)
    assert found["single run, p95 +10 %"] == 1
    assert found["github-action-benchmark, 200 %"] == 0


def test_the_table_sets_the_rules_beside_the_gate():
    shown = [with_mean(one) for one in rows(50, sigma=0.5)]
    found = naive.beside_the_gate(shown, 6)
    assert [one.rule for one in found] == [naive.THE_GATE, *naive.RULES]
    assert {one.apart for one in found[1:]} == {4}
    assert all(list(one.misses) == list(naive.EFFECTS) for one in found)
    table = naive.table(found, ("all +5 %",)).splitlines()
    assert [line.count("|") for line in table] == [4] * (2 + len(found))
    assert "of 4 runs apart" in table[3]


def test_a_median_is_not_taken_for_a_mean():
    with pytest.raises(UsageError, match="no mean latency"):
        naive.of_arms([arm()])


def test_simulated_requests_queue_behind_each_other_and_head_is_slower_by_its_work():
    random = np.random.default_rng(0)
    shown = estimators.latencies(estimators.MACHINES["no stalls"], random, (200, 2, 200), work=1.1)
    # A lone request of base takes 4 ms of work and 1 ms of network; waiting is on top of that.
    assert 0.003 < shown[:, 0].min(axis=(1, 2)).mean() < 0.005 < np.median(shown[:, 0]) < 0.008
    assert np.median(shown[:, 1]) / np.median(shown[:, 0]) == pytest.approx(1.10, abs=0.03)


@pytest.mark.parametrize("share", [0.5, 0.95, 0.99])
def test_every_estimator_is_about_nought_without_a_change_and_above_with_one(share):
    same, slower = (
        estimators.latencies(
            estimators.MACHINES["no stalls"], np.random.default_rng(1), (150, 4, 130), work=work
        )
        for work in (1.0, 1.2)
    )
    for usual, moved in zip(
        estimators.estimates(same, share).values(),
        estimators.estimates(slower, share).values(),
        strict=True,
    ):
        assert abs(np.mean(usual)) < 4 * np.std(usual) / np.sqrt(len(usual))
        assert np.mean(moved) > 0.1


def test_the_tables_of_estimators_have_a_line_for_each():
    lines = estimators.measured(estimators.Cut(2, 60, common=True), 12)
    assert len(lines) == len(estimators.MACHINES) * (6 + 5 + 5)
    assert len(estimators.table(lines).splitlines()) == 2 + len(lines)
    head, _, *rows = estimators.spreads(lines, [("p50", "no stalls"), ("p99", "many stalls")]).splitlines()
    assert head == "| | p50, no stalls | p99, many stalls |"
    assert len(rows) == 6
    assert rows[-1].endswith("% | – |")


def test_the_coverage_of_budgets_has_a_line_for_each_queue(monkeypatch, tmp_path):
    for name, value in {"STRETCHES": 1, "STRETCH": 20_000, "SIZES": (200,), "UTILISATIONS": (0.3,)}.items():
        monkeypatch.setattr(coverage, name, value)
    coverage.main(10, tmp_path / "coverage.json")
    kept = orjson.loads((tmp_path / "coverage.json").read_bytes())["cells"]
    assert len(coverage.table(msgspec.convert(kept, list[coverage.Cell])).splitlines()) == 2 + 2 * 2
