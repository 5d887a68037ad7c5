"""The simulations of the gate and the naive rules, on made-up rows: that they count what they say."""

import numpy as np
import pytest
from comparison_rows import arm, row, rows

from benchmarks import gate_estimators, naive
from benchmarks.gate_effects import EFFECTS, GATES, UNCHANGED, plant
from benchmarks.gate_noise import MACHINES, QUIET, block_rows, pair_rows, slots
from benchmarks.gate_replay import recordings, replay, windows
from benchmarks.gate_simulation import simulate
from benchmarks.gate_tally import markdown
from harness.comparison.design import plan_design
from harness.comparison.lens import find_lens
from harness.comparison.observation import ln_ratio, swapped
from harness.errors import UsageError
from harness.verdict import Verdict

DESIGN = plan_design(GATES)


@pytest.mark.parametrize("name", MACHINES)
def test_an_unchanged_service_rarely_fails_on_any_machine(name):
    tally = simulate(name, MACHINES[name], UNCHANGED, DESIGN, 60)
    assert tally.share(Verdict.FAIL)[1] <= DESIGN.alpha


def test_five_per_cent_on_everything_are_seen_on_a_quiet_machine():
    tally = simulate("planted", QUIET, EFFECTS["all +5 %"], DESIGN, 40)
    assert tally.share(Verdict.FAIL)[0] >= 0.95


def test_a_made_up_machine_has_the_noise_it_is_told_to_have():
    shown = slots(QUIET, np.random.default_rng(0), 4000)
    ratios = [ln_ratio(find_lens("p95"), each) for each in block_rows(shown)]
    assert np.std(ratios) == pytest.approx(0.11 * np.sqrt(2 / QUIET.pairs), rel=0.05)
    assert len(pair_rows(shown)) == 4000 * QUIET.pairs
    assert sum(each.load_s for each in pair_rows(shown)) == sum(each.load_s for each in block_rows(shown))


def test_windows_are_contiguous_and_only_rename_the_arms():
    recorded = [*rows(20, run="a"), *rows(9, seed=1, run="b"), *rows(3, seed=2, run="c")]
    runs = recordings(recorded, 5)
    assert [len(run) for run in runs] == [20, 9]
    found = list(windows(runs, 6, 200, np.random.default_rng(0)))
    assert {window[0].run for window in found} == {"a", "b"}
    renamed = 0
    for window in found:
        start, run = window[0].index, [each for each in recorded if each.run == window[0].run]
        for one, original in zip(window, run[start : start + 6], strict=True):
            assert one in (original, swapped(original))
            renamed += one.base == original.head
    assert 0.4 < renamed / 1200 < 0.6


def test_a_recording_that_is_too_short_is_refused():
    with pytest.raises(UsageError, match="the longest has 4: record more"):
        recordings(rows(4), 12)


def test_replay_finds_no_change_where_there_is_none_and_what_was_planted():
    tallies = {tally.name: tally for tally in replay(rows(60), DESIGN, unchanged_runs=40, planted_runs=20)}
    assert tallies["unchanged"].share(Verdict.FAIL)[1] <= DESIGN.alpha
    assert tallies["all +10 %"].share(Verdict.FAIL)[0] == 1
    assert tallies["unchanged"].document()["runs"] == 40
    assert "| unchanged | 40 |" in markdown(tallies.values())


def test_a_planted_effect_multiplies_head_alone():
    one = row(head=arm(cpu_s=None, stages_s={"mean": {"queue": 1.0}, "p95": {"queue": 2.0}}))
    planted = plant(one, EFFECTS["all +10 %"])
    assert planted.base == one.base
    assert planted.head.cpu_s is None
    assert planted.head.p95_s == pytest.approx(1.1 * one.head.p95_s)
    assert planted.head.stages_s == {"mean": {"queue": pytest.approx(1.1)}, "p95": {"queue": 2.0}}


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
    latencies_s = np.random.default_rng(0).exponential(0.01, 5000)
    base, head = naive.of_latencies(latencies_s), naive.of_latencies(latencies_s * factor)
    assert tuple(rule(base, head) for rule in naive.RULES.values()) == expected


def test_a_sequential_run_is_fooled_by_drift_that_alternation_cancels():
    drifting = [row(index, arm(1 + 0.02 * index), arm(1 + 0.02 * index)) for index in range(40)]
    found = naive.alarms(drifting, 12, UNCHANGED, runs=30)
    assert found["single run, p95 +10 %"] == 30
    assert found["github-action-benchmark, 200 %"] == 0


def test_the_table_sets_the_rules_beside_the_gate():
    table = naive.beside_the_gate(rows(50, sigma=0.5), 6, runs=20).splitlines()
    assert len(table) == 3 + len(naive.RULES)
    assert table[2].startswith("| tailgate's gate | ")
    assert all(line.count("|") == table[0].count("|") for line in table)


def test_the_mean_of_a_row_is_the_sum_of_its_stages_or_else_its_median():
    told = naive.of_arms([arm(stages_s={"mean": {"queue": 0.001, "compute": 0.004}})])
    assert told.mean_s == pytest.approx(0.005)
    assert naive.of_arms([arm()]).mean_s == 0.010


def test_simulated_requests_queue_behind_each_other_and_head_is_slower_by_its_work():
    random = np.random.default_rng(0)
    shown = gate_estimators.latencies(gate_estimators.MACHINES["no stalls"], random, (200, 2, 200), work=1.1)
    # A lone request of base takes 4 ms of work and 1 ms of network; waiting is on top of that.
    assert 0.003 < shown[:, 0].min(axis=(1, 2)).mean() < 0.005 < np.median(shown[:, 0]) < 0.008
    assert np.median(shown[:, 1]) / np.median(shown[:, 0]) == pytest.approx(1.10, abs=0.03)


@pytest.mark.parametrize("share", [0.5, 0.95, 0.99])
def test_every_estimator_is_about_nought_without_a_change_and_above_with_one(share):
    same, slower = (
        gate_estimators.latencies(
            gate_estimators.MACHINES["no stalls"], np.random.default_rng(1), (150, 4, 130), work=work
        )
        for work in (1.0, 1.2)
    )
    for usual, moved in zip(
        gate_estimators.estimates(same, share).values(),
        gate_estimators.estimates(slower, share).values(),
        strict=True,
    ):
        assert abs(np.mean(usual)) < 4 * np.std(usual) / np.sqrt(len(usual))
        assert np.mean(moved) > 0.1


def test_the_table_of_estimators_has_a_line_for_each():
    lines = gate_estimators.table(12, 2, 60).splitlines()
    assert len(lines) == 2 + len(gate_estimators.MACHINES) * (6 + 5 + 5)
