"""The exact signed-rank test, against scipy, its own symmetries and seeded simulation."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from tailgate.harness.compare.decision import signed_rank
from tailgate.harness.errors import UsageError
from tailgate.harness.statistics import share_interval


def p_greater(values, centre=0.0):
    """Return the one-sided p for "the centre is no greater than this"."""
    averages = signed_rank.walsh_averages(values)
    return signed_rank.null_distribution(len(values))[np.searchsorted(averages, centre, side="right")]


LOG_RATIOS = st.lists(st.floats(-3, 3), min_size=1, max_size=24)
LEVELS = st.sampled_from([0.0005, 0.001, 0.01, 0.025, 0.1, 0.4])


@given(LOG_RATIOS, st.floats(-1, 1))
def test_without_ties_p_is_scipys_exact_one(values, centre):
    shifted = np.array(values) - centre
    sizes = np.abs(shifted)
    # Differences below the rounding of an average are ties to one of the two and none to the other.
    assume(sizes.min() > 1e-9)
    assume(len(values) < 2 or np.diff(np.sort(sizes)).min() > 1e-9)
    expected = stats.wilcoxon(shifted, alternative="greater", method="exact").pvalue
    assert p_greater(values, centre) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("n", [1, 2, 5, 12, 36, 60])
def test_the_null_distribution_counts_subsets_of_ranks(n):
    law = signed_rank.null_distribution(n)
    assert law[0] == 2.0**-n
    assert law[-1] == 1.0
    # Symmetric about its middle: P(T <= t) + P(T <= total - t - 1) = 1.
    assert law[:-1] + law[:-1][::-1] == pytest.approx(1.0, abs=1e-14)


@pytest.mark.parametrize(
    ("level", "n"), [(0.5, 1), (0.25, 2), (2**-11, 11), (0.0009, 11), (0.0008, 11), (0.00048, 12)]
)
def test_the_least_n_is_where_two_to_the_minus_n_attains_the_level(level, n):
    assert signed_rank.least_n(level) == n
    assert signed_rank.critical_count(n, level) is not None
    assert n == 1 or signed_rank.critical_count(n - 1, level) is None


@given(LOG_RATIOS, LEVELS)
def test_a_bound_lies_above_a_centre_exactly_when_the_test_against_it_rejects(values, level):
    centre = signed_rank.bound(values, level, level)
    assert (centre.low > 0) == (p_greater(values) <= level)
    assert (centre.high < 0) == (p_greater([-value for value in values]) <= level)


@given(LOG_RATIOS, LEVELS, LEVELS)
def test_swapping_the_arms_mirrors_estimate_and_bounds(values, low_level, high_level):
    centre = signed_rank.bound(values, low_level, high_level)
    mirrored = signed_rank.bound([-value for value in values], high_level, low_level)
    assert mirrored.estimate == -centre.estimate
    assert (mirrored.low, mirrored.high) == (-centre.high, -centre.low)
    assert (mirrored.low_level, mirrored.high_level) == (centre.high_level, centre.low_level)


@given(LOG_RATIOS, st.floats(-2, 2))
def test_a_change_of_all_blocks_shifts_estimate_and_bounds_by_itself(values, shift):
    centre = signed_rank.bound(values, 0.1, 0.1)
    shifted = signed_rank.bound([value + shift for value in values], 0.1, 0.1)
    for before, after in (
        (centre.estimate, shifted.estimate),
        (centre.low, shifted.low),
        (centre.high, shifted.high),
    ):
        assert after == pytest.approx(before + shift, abs=1e-12)


@given(LOG_RATIOS.flatmap(lambda values: st.tuples(st.just(values), st.permutations(values))))
def test_the_order_of_the_blocks_is_irrelevant(orders):
    assert signed_rank.bound(orders[0], 0.05, 0.05) == signed_rank.bound(orders[1], 0.05, 0.05)


@given(LOG_RATIOS, LEVELS)
def test_the_estimate_lies_between_its_bounds_and_levels_are_never_exceeded(values, level):
    centre = signed_rank.bound(values, level, level)
    assert centre.low <= centre.estimate <= centre.high
    assert max(centre.low_level, centre.high_level) <= level


@given(st.lists(st.sampled_from([-1.0, 0.0, 1.0, 2.0]), min_size=1, max_size=12))
def test_with_ties_and_zeros_the_test_is_never_sharper_than_any_way_of_breaking_them(values):
    jitter = np.random.default_rng(0).normal(0, 1e-9, (50, len(values)))
    broken = [p_greater(np.array(values) + each) for each in jitter]
    assert p_greater(values) >= max(broken) - 1e-12


@pytest.mark.parametrize("law", ["normal", "t3", "discrete"])
def test_bounds_cover_the_centre_as_often_as_they_claim(law):
    """4,000 seeded samples of 12; the count of misses must be possible under the attained level."""
    random = np.random.default_rng(7)
    draw = {
        "normal": lambda: random.normal(0, 1, 12),
        "t3": lambda: random.standard_t(3, 12),
        "discrete": lambda: random.integers(-2, 3, 12).astype(float),
    }[law]
    level = 0.05
    centres = [signed_rank.bound(draw(), level, level) for _ in range(4000)]
    for misses in (sum(centre.low > 0 for centre in centres), sum(centre.high < 0 for centre in centres)):
        interval = share_interval(misses, len(centres), 0.999)
        assert interval.low <= centres[0].low_level
        if law != "discrete":
            assert interval.high >= centres[0].low_level


def test_an_infinite_ratio_is_the_largest_and_no_more():
    finite = [0.1 * step for step in range(1, 13)]
    once = signed_rank.bound([*finite[:-1], math.inf], 0.01, 0.01)
    assert math.isfinite(once.low)
    assert math.isfinite(once.estimate)
    assert once.high == math.inf
    assert signed_rank.bound([math.inf] * 12, 0.01, 0.01).estimate == math.inf
    assert p_greater([math.inf] * 6 + [-math.inf] * 6) > 0.4


def test_too_few_values_bound_nothing():
    centre = signed_rank.bound([0.1, 0.2, 0.3], 0.01, 0.2)
    assert (centre.low, centre.low_level) == (-math.inf, 0.0)
    assert math.isfinite(centre.high)
    assert signed_rank.standard_error([0.1, 0.2, 0.3]) is None


def test_the_standard_error_is_that_of_the_estimate():
    random = np.random.default_rng(3)
    errors = [signed_rank.standard_error(random.normal(0, 1, 18)) for _ in range(400)]
    assert np.mean(errors) == pytest.approx(math.sqrt(math.pi / 3 / 18), rel=0.05)


@pytest.mark.parametrize("values", [[], [math.nan], [0.1, math.nan]])
def test_no_values_and_nan_are_refused(values):
    with pytest.raises(UsageError, match="needs numbers"):
        signed_rank.bound(values, 0.1, 0.1)


@pytest.mark.parametrize("level", [0, 1, -0.1])
def test_a_level_that_is_no_probability_is_refused(level):
    with pytest.raises(UsageError, match="between 0 and 1"):
        signed_rank.least_n(level)
