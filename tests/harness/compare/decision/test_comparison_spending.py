"""Error spent over looks: the published figures, and simulation of the exact test under the levels found."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailgate.harness.compare.decision import signed_rank, spending
from tailgate.harness.errors import UsageError
from tailgate.harness.statistics import share_interval

SIZES = st.lists(st.integers(1, 60), min_size=1, max_size=6, unique=True).map(
    lambda sizes: tuple(sorted(sizes))
)


def boundaries(sizes, levels):
    return [-NormalDist().inv_cdf(level) * math.sqrt(size) for size, level in zip(sizes, levels, strict=True)]


def test_a_single_look_may_spend_everything():
    assert spending.nominal_levels((20,), 0.01) == pytest.approx((0.01,), abs=1e-9)


def test_four_looks_at_half_a_percent_have_the_levels_of_the_design_notes():
    levels = spending.nominal_levels((10, 16, 24, 32), 0.005)
    assert levels == pytest.approx((0.0021, 0.0014, 0.0016, 0.0016), abs=5e-5)


def test_five_equal_looks_have_lan_and_demets_boundaries():
    """Lan-DeMets Pocock-type, one-sided 0.025: 2.438, 2.427, 2.410, 2.397, 2.386 (Jennison & Turnbull; R's ldbounds)."""
    levels = spending.nominal_levels((1, 2, 3, 4, 5), 0.025)
    assert [-NormalDist().inv_cdf(level) for level in levels] == pytest.approx(
        [2.438, 2.427, 2.410, 2.397, 2.386], abs=2e-3
    )


@settings(max_examples=25, deadline=None)
@given(SIZES, st.sampled_from([0.002, 0.01, 0.05]))
def test_all_looks_together_spend_exactly_alpha(sizes, alpha):
    upper = boundaries(sizes, spending.nominal_levels(sizes, alpha))
    found = spending.crossing(sizes, [-math.inf] * len(sizes), upper)
    assert sum(found.above) == pytest.approx(alpha, rel=1e-6)
    assert found.below == (0.0,) * len(sizes)


@settings(max_examples=25, deadline=None)
@given(SIZES, st.floats(-1, 1))
def test_crossing_mirrors_with_the_drift(sizes, drift):
    wide = boundaries(sizes, [0.02] * len(sizes))
    narrow = [-bound / 2 for bound in wide]
    found = spending.crossing(sizes, narrow, wide, drift)
    mirrored = spending.crossing(sizes, [-bound for bound in wide], [-bound for bound in narrow], -drift)
    assert found.above == pytest.approx(mirrored.below, abs=1e-9)
    assert found.below == pytest.approx(mirrored.above, abs=1e-9)


def test_crossing_agrees_with_simulated_sums():
    sizes, drift, runs = (12, 18, 26, 36), 0.4, 20_000
    upper, lower = boundaries(sizes, [0.01] * 4), [-4.0, -2.0, 0.0, 2.0]
    sums = np.cumsum(np.random.default_rng(1).normal(drift, 1, (runs, 36)), axis=1)[
        :, [size - 1 for size in sizes]
    ]
    above, below = np.zeros(4), np.zeros(4)
    going = np.ones(runs, dtype=bool)
    for look in range(4):
        high, low = going & (sums[:, look] > upper[look]), going & (sums[:, look] < lower[look])
        above[look], below[look] = high.mean(), low.mean()
        going &= ~(high | low)
    found = spending.crossing(sizes, lower, upper, drift)
    assert found.above == pytest.approx(above, abs=0.012)
    assert found.below == pytest.approx(below, abs=0.012)


def test_the_exact_test_at_these_levels_spends_no_more_than_alpha():
    """20,000 seeded runs without a change, at a coarse alpha so that a fault would show."""
    sizes, alpha, runs = (8, 12, 18), 0.05, 20_000
    levels = spending.nominal_levels(sizes, alpha)
    values = np.random.default_rng(11).standard_t(4, (runs, sizes[-1]))
    rejected = np.zeros(runs, dtype=bool)
    for size, level in zip(sizes, levels, strict=True):
        first, second = np.triu_indices(size)
        counts = (values[:, first] + values[:, second] <= 0).sum(axis=1)
        rejected |= counts <= signed_rank.critical_count(size, level)
    assert share_interval(int(rejected.sum()), runs, 0.999).low <= alpha


@pytest.mark.parametrize("sizes", [(), (0, 3), (3, 3), (5, 4)])
def test_looks_that_do_not_ascend_are_refused(sizes):
    with pytest.raises(UsageError, match="ascend"):
        spending.nominal_levels(sizes, 0.01)


@pytest.mark.parametrize("alpha", [0, 0.5, -1, 2])
def test_an_alpha_that_is_no_error_rate_is_refused(alpha):
    with pytest.raises(UsageError, match="one-sided level"):
        spending.nominal_levels((5,), alpha)
