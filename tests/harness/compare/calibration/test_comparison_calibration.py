"""A calibration says what can be seen in how long, and its proposal is one that can be read again."""

import dataclasses
import math
import tomllib

import msgspec
import pytest
from calibration_rows import quiet_blocks

from tailgate.harness.compare.calibration import proposal
from tailgate.harness.compare.calibration.calibration import Division, calibrate, divide, sight_of
from tailgate.harness.compare.calibration.noise import Noise
from tailgate.harness.compare.calibration.proposal import Subject
from tailgate.harness.compare.decision.design import plan_design
from tailgate.harness.compare.decision.power import POWER, prospect
from tailgate.harness.compare.lens import LENSES, find_lens, override
from tailgate.harness.errors import MeasurementError, UsageError
from tailgate.harness.results.file import to_json
from tailgate.harness.scenario.budgets import parse_budgets

CPU = find_lens("cpu")
SUBJECT = Subject(
    scenario="steady",
    budget_keys=("rate", "p95", "p99"),
    date="2026-11-22T10:00:00Z",
    machine="a processor",
    target="service",
    yardstick_s=0.0125,
)


def noise(sigma, lens=CPU, start=None, pair=None):
    return Noise(lens, 24, sigma, sigma * 0.8, sigma * 1.3, start, pair)


@pytest.fixture(scope="module")
def found():
    return calibrate(*quiet_blocks(24), LENSES)


def test_more_time_and_less_noise_see_smaller_changes():
    calm, loud = sight_of(noise(0.01), LENSES, 20.0), sight_of(noise(0.03), LENSES, 20.0)
    smallest = list(calm.smallest.values())
    assert smallest == sorted(smallest, reverse=True)
    assert all(calm.smallest[minutes] < loud.smallest[minutes] for minutes in calm.smallest)
    assert all(
        calm.minutes[change] <= (math.inf if loud.minutes[change] is None else loud.minutes[change])
        for change in calm.minutes
    )
    assert calm.tolerance < loud.tolerance
    assert calm.passes > loud.passes


@pytest.mark.parametrize("change", [0.02, 0.05, 0.10])
def test_the_time_that_is_told_is_that_of_a_look_that_a_comparison_has(change):
    design = plan_design(LENSES)
    minutes = sight_of(noise(0.02), LENSES, 60.0).minutes[f"{change:g}"]
    fails = prospect(design, CPU, 0.02, change).fails
    if minutes is None:
        assert max(fails) < POWER
    else:
        number = [look.blocks for look in design.looks].index(round(minutes))
        assert fails[number] >= POWER
        assert number == 0 or fails[number - 1] < POWER


def test_a_change_that_no_look_sees_is_seen_after_no_time():
    minutes = sight_of(noise(0.05), LENSES, 1.0).minutes
    assert (minutes["0.02"], minutes["0.1"] is None) == (None, False)


def test_before_the_first_look_nothing_is_seen_and_after_the_last_nothing_more():
    first, *_, last = (look.blocks for look in plan_design(LENSES).looks)
    assert sight_of(noise(0.01), LENSES, 300.0 / (first - 1)).smallest["5"] is None
    assert sight_of(noise(0.01), LENSES, 300.0 / first).smallest["5"] is not None
    smallest = sight_of(noise(0.01), LENSES, 600.0 / last).smallest
    assert smallest["10"] == smallest["20"]


def test_the_tolerance_that_is_proposed_passes_unchanged_code():
    sight = sight_of(noise(0.03), LENSES, 20.0)
    design = plan_design(LENSES)

    def passes(tolerance):
        lens = dataclasses.replace(CPU, tolerance=tolerance)
        return prospect(design, lens, sight.noise.high, 0.0).passes[-1]

    assert passes(sight.tolerance) >= POWER > passes(sight.tolerance - 0.005)
    assert sight.tolerance / 0.005 == pytest.approx(round(sight.tolerance / 0.005))


def test_too_few_blocks_see_nothing_and_too_much_noise_never_does():
    sight = sight_of(noise(3.0), LENSES, 100.0)
    assert sight.smallest["5"] is None
    assert sight.minutes["0.02"] is None
    assert sight.tolerance is None


def test_a_change_within_the_margin_is_never_seen():
    (lens, *_) = override(LENSES, ["cpu.margin=2%"])
    assert sight_of(noise(0.001, lens), LENSES, 20.0).minutes["0.02"] is None


def test_costly_starts_and_noisy_pairs_ask_for_long_blocks():
    quiet_starts = divide([noise(0.03, start=0.002, pair=0.05)], start_s=6.0, pair_s=4.0, pairs=2)
    noisy_starts = divide([noise(0.03, start=0.05, pair=0.01)], start_s=1.0, pair_s=4.0, pairs=2)
    assert quiet_starts.pairs > 8
    assert quiet_starts.gain > 1.5
    assert noisy_starts.pairs == 1
    # Cochran's optimum: sqrt(start / pair) times the ratio of the deviations.
    assert divide([noise(0.03, start=0.01, pair=0.05)], 4.0, 4.0, 4).pairs == 5


def test_the_best_division_is_no_gain_over_itself_and_never_too_short_for_a_quantile():
    known = [noise(0.03, start=0.01, pair=0.05)]
    assert divide(known, 4.0, 4.0, 5) == Division(5, 1.0)
    assert divide(known, 4.0, 4.0, 5, least=8).pairs == 8
    assert divide([noise(0.03)], 4.0, 4.0, 5) is None


def test_all_that_was_measured_is_summarised(found):
    assert [sight.noise.lens.name for sight in found.sights] == [
        "cpu",
        "p50",
        "p95",
        "p99",
        "memory",
        "start_up",
    ]
    assert (found.blocks, found.pairs, found.windows) == (24, 4, 2)
    assert (found.slot_requests, found.block_wall_s) == (260, 22.0)
    assert found.rate_per_s == pytest.approx(130.0)
    assert found.cpu_s.middle == pytest.approx(0.004, rel=0.05)
    assert found.busy_share == pytest.approx(0.52, rel=0.05)
    assert found.quantiles_s["p95"].low <= 0.010 <= found.quantiles_s["p95"].high
    assert found.steal_share.middle == 0.01


def test_void_blocks_are_counted_by_reason_and_one_good_block_is_too_few():
    rows, pairs = quiet_blocks(4)
    void = [dataclasses.replace(row, void="the generator was late") for row in rows[:3]]
    assert calibrate([*rows, *void], pairs, LENSES).voided == {"the generator was late": 3}
    with pytest.raises(MeasurementError, match="two good blocks at the least, got 1 of 4"):
        calibrate([*void, rows[3]], pairs, LENSES)


def test_without_pairs_and_without_a_gate():
    rows, _ = quiet_blocks(6)
    found = calibrate(rows, (), LENSES)
    assert (found.pairs, found.division) == (4, None)
    with pytest.raises(UsageError, match="no lens gates"):
        calibrate(rows, (), [dataclasses.replace(CPU, gates=False)])


def test_it_becomes_json_and_comes_back(found):
    assert msgspec.convert(to_json(found), type(found)) == found


def test_the_proposal_is_read_by_those_who_would_use_it(found):
    table = tomllib.loads(proposal.toml(found, SUBJECT))
    lenses = override(LENSES, table["tool"]["pytest"]["ini_options"]["perf_lens"])
    proposed = {sight.noise.lens.name: sight.tolerance for sight in found.sights if sight.noise.lens.gates}
    assert {lens.name: lens.tolerance for lens in lenses if lens.name in proposed} == pytest.approx(proposed)
    budgets = parse_budgets(table["tool"]["tailgate"]["budgets"]).quantities("steady", "cpu", "fp32")
    largest = found.quantiles_s["p95"].high
    assert budgets["p95"].resolve(None) >= 1.25 * largest
    assert budgets["p95"].resolve(None) <= 1.25 * largest * 1.1


def test_its_budgets_in_yardsticks_are_further_off(found):
    text = proposal.toml(found, SUBJECT)
    (line,) = [line.removeprefix("# ") for line in text.splitlines() if line.startswith('# "steady"')]
    budgets = parse_budgets(tomllib.loads(line)).quantities("steady", "cpu", "fp32")
    assert budgets["p99"].resolve(0.0125) >= 1.6 * found.quantiles_s["p99"].high
    assert "yd" not in proposal.toml(found, dataclasses.replace(SUBJECT, yardstick_s=None))


def test_a_scenario_without_absolute_limits_gets_no_budgets(found):
    text = proposal.toml(found, dataclasses.replace(SUBJECT, budget_keys=("rate",)))
    assert tomllib.loads(text)["tool"]["tailgate"]["budgets"] == {}
    assert "calibrate with --scenario steady" in text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"voided": {"the generator was late": 9, "steal": 1}}, "most often because the generator was late"),
        (
            {"division": Division(9, 1.8)},
            "9 pairs in each, in place of 4, would see the same change 1.80 times as fast",
        ),
        ({"division": Division(5, 1.02)}, "4 pairs in each are near the best"),
        ({"division": None}, "could not be told apart"),
        ({"rate_per_s": 240.0}, "try 12"),
        ({"rate_per_s": 50.0}, "would give more samples"),
        ({"rate_per_s": 130.0}, "which is a good rate"),
        (
            {},
            "2.00 s and 260 requests of each arm, in 2 windows of 1.00 s by turns. 4 pairs need at least 0.962 s of each",
        ),
        ({"windows": 1}, "2.00 s and 260 requests of each arm, in one piece. 4 pairs need"),
    ],
)
def test_the_advice_says_what_to_do(found, changes, said):
    assert any(said in line for line in proposal.advice(dataclasses.replace(found, **changes)))


def test_a_lens_that_cannot_keep_its_tolerance_is_named():
    rows, pairs = quiet_blocks(24, start=0.15)
    lines = proposal.advice(calibrate(rows, pairs, LENSES))
    assert any(line.startswith("cpu: unchanged code passes 3 % only") for line in lines)
    assert not any(line.startswith("p99:") for line in lines)


def test_a_change_planted_into_the_blocks_widens_the_noise():
    assert calibrate(*quiet_blocks(24, change=0.1), LENSES).sights[0].noise.sigma > math.log(1.09)
