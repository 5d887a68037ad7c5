"""Noise is told apart into what starts and what pairs contribute, and drift stays out of it."""

import dataclasses
import math

import numpy as np
import pytest
from calibration_rows import arm, quiet_blocks
from scipy import stats

from tailgate.harness.compare.blocks.row import BlockRow
from tailgate.harness.compare.calibration.noise import noise_of
from tailgate.harness.compare.lens import find_lens

CPU, P99 = find_lens("cpu"), find_lens("p99")


def test_the_noise_of_a_block_is_its_deviation_about_no_change():
    rows = [
        BlockRow(index, arm(0.0), arm(ln), wall_s=20.0) for index, ln in enumerate((0.03, -0.04, 0.0, 0.05))
    ]
    noise = noise_of(CPU, rows)
    assert noise.sigma == pytest.approx(math.sqrt((0.03**2 + 0.04**2 + 0.05**2) / 4))
    assert noise.blocks == 4
    assert noise.start is None
    assert noise.pair is None


def test_interval_and_trend_are_those_of_scipy():
    rows, _ = quiet_blocks(9, drift=0.02)
    noise = noise_of(CPU, rows)
    square = noise.sigma**2 * 9
    assert noise.low == pytest.approx(math.sqrt(square / stats.chi2.ppf(0.95, 9)))
    assert noise.high == pytest.approx(math.sqrt(square / stats.chi2.ppf(0.05, 9)))
    hours = [(row.index + 1) * row.wall_s / 3600 for row in rows]
    levels = [(math.log(row.base.cpu_s) + math.log(row.head.cpu_s)) / 2 for row in rows]
    assert noise.drift == pytest.approx(np.std(levels, ddof=1))
    assert noise.trend_per_hour == pytest.approx(stats.theilslopes(levels, hours).slope)


def test_both_components_are_found_again():
    rows, pairs = quiet_blocks(2000, start=0.02, pair=0.05, pairs=4)
    noise = noise_of(CPU, rows, pairs)
    assert noise.start == pytest.approx(0.02, rel=0.08)
    assert noise.pair == pytest.approx(0.05, rel=0.03)
    assert noise.sigma == pytest.approx(noise.of_block(4), rel=0.03)


def test_starts_that_add_nothing_are_nil_and_not_negative():
    rows, _ = quiet_blocks(6)
    pairs = [BlockRow(row.index, arm(0.0), arm(ln), run=row.run) for row in rows for ln in (-0.03, 0.03)]
    noise = noise_of(CPU, rows, pairs)
    assert (noise.start, noise.pair) == (0.0, pytest.approx(0.03 * math.sqrt(2)))


def test_its_interval_covers_the_truth_as_often_as_it_says():
    covered = []
    for seed in range(300):
        rows, _ = quiet_blocks(12, start=0.0, pair=0.04, pairs=4, seed=seed)
        noise = noise_of(CPU, rows)
        covered.append(noise.low <= 0.02 <= noise.high)
    # Two ends of 0.95 each; 0.9 - 4 deviations of 300 coins.
    assert np.mean(covered) > 0.9 - 4 * math.sqrt(0.9 * 0.1 / 300)


def test_drift_of_both_sides_is_told_and_leaves_the_noise_alone():
    still, pairs = quiet_blocks(200, drift=0.0)
    moving = [
        dataclasses.replace(
            row,
            base=arm(0.001 * row.index),
            head=arm(0.001 * row.index + math.log(row.head.cpu_s / row.base.cpu_s)),
        )
        for row in still
    ]
    before, after = noise_of(CPU, still, pairs), noise_of(CPU, moving, pairs)
    assert after.sigma == pytest.approx(before.sigma)
    assert after.drift > 5 * before.drift
    # A thousandth each 22 s.
    assert after.trend_per_hour == pytest.approx(0.001 * 3600 / 22, rel=0.05)


def test_void_blocks_and_their_pairs_say_nothing():
    rows, pairs = quiet_blocks(20)
    wild = dataclasses.replace(rows[3], head=arm(2.0), void="the hypervisor took 20 %")
    spoilt = [*rows[:3], wild, *rows[4:]]
    assert noise_of(CPU, spoilt, pairs) == noise_of(
        CPU, [row for row in spoilt if row.void is None], [pair for pair in pairs if pair.index != 3]
    )


def test_a_quantile_that_pairs_are_too_short_for_has_no_components():
    rows, pairs = quiet_blocks(20)
    noise = noise_of(P99, rows, pairs)
    assert noise.sigma > 0
    assert (noise.start, noise.pair, noise.of_block(4)) == (None, None, None)


@pytest.mark.parametrize("lens", ["capacity", "error_rate"])
def test_what_was_not_seen_or_is_no_ratio_has_no_noise(lens):
    assert noise_of(find_lens(lens), *quiet_blocks(20)) is None


def test_one_block_tells_no_noise():
    assert noise_of(CPU, *quiet_blocks(1)) is None


def test_runs_of_their_own_have_no_common_trend():
    first, _ = quiet_blocks(5, run="r1")
    second, _ = quiet_blocks(5, run="r2")
    noise = noise_of(CPU, [*first, *second])
    assert noise.blocks == 10
    assert noise.trend_per_hour is None
    assert noise.drift is not None
