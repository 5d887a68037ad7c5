"""Exact intervals of quantiles and shares, against scipy, theory and seeded simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from tailgate.harness import statistics
from tailgate.harness.errors import UsageError

SHARES = st.sampled_from([0.5, 0.9, 0.95, 0.99, 0.999])
CONFIDENCES = st.sampled_from([0.9, 0.95, 0.99, 0.999])
LATENCIES = st.lists(st.floats(0, 1e3) | st.just(math.inf), min_size=1, max_size=300).map(np.array)


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        ([1.0], 0.99, 1.0),
        ([3.0, 1.0, 2.0], 0.5, 2.0),
        ([1.0, 2.0, 3.0, 4.0], 0.5, 2.0),  # the inverse of the distribution function, never a mean of two
        (np.arange(1.0, 201.0), 0.95, 190.0),  # 200 x 0.95 is 190.0 exactly, whatever binary fractions say
        (np.arange(1.0, 1001.0), 0.999, 999.0),
        (np.arange(1.0, 101.0), 0.55, 55.0),  # where 100 x 0.55 is 55.00000000000001 in binary
        ([1.0] * 98 + [math.inf] * 2, 0.99, math.inf),
    ],
)
def test_a_sample_quantile_is_the_least_value_with_its_share_at_or_below(values, share, expected):
    assert statistics.quantile(np.array(values), share) == expected


@given(LATENCIES, SHARES)
def test_a_sample_quantile_agrees_with_numpys_inverted_cdf(values, share):
    got = statistics.quantile(values, share)
    if len(values) * share == round(len(values) * share, 6):
        assert got == np.quantile(values, share, method="inverted_cdf")
    assert np.mean(values <= got) >= share - 1e-12
    assert np.mean(values < got) <= share


@pytest.mark.parametrize(("share", "n"), [(0.5, 20), (0.9, 100), (0.95, 200), (0.99, 1_000), (0.999, 10_000)])
def test_a_point_estimate_wants_ten_samples_beyond_it(share, n):
    assert statistics.least_samples(share) == n


@pytest.mark.parametrize(("share", "n"), [(0.95, 90), (0.99, 459)])
def test_without_a_miss_the_upper_end_exists_from_mlperfs_least_n_on(share, n):
    assert statistics.quantile_ranks(n - 1, share, 0.99).high is None
    assert statistics.quantile_ranks(n, share, 0.99).high == n


@pytest.mark.parametrize("n", [0, 1, 2])
def test_too_few_samples_bound_nothing(n):
    assert statistics.quantile_interval(np.arange(float(n)), 0.5, 0.99) == (None, None)


def test_a_probability_of_exactly_alpha_is_small_enough():
    """One sample is above the median with probability 1/2, which is alpha here."""
    assert statistics.quantile_ranks(1, 0.5, 0.5) == (1, 1)


@given(st.integers(1, 3_000), SHARES, CONFIDENCES)
def test_ranks_are_the_tightest_that_scipys_binomial_allows(n, share, confidence):
    alpha = 1 - confidence + 1e-12
    low, high = statistics.quantile_ranks(n, share, confidence)
    if low is not None:
        assert stats.binom.cdf(low - 1, n, share) <= alpha
    assert stats.binom.cdf(low or 0, n, share) > alpha - 2e-12
    if high is not None:
        assert stats.binom.sf(high - 1, n, share) <= alpha
    last = n if high is None else high - 1
    assert stats.binom.sf(last - 1, n, share) > alpha - 2e-12


@given(st.integers(1, 1_500), SHARES, CONFIDENCES, st.floats(0, 1))
def test_passing_by_the_interval_is_mlperfs_early_stopping_test(n, share, confidence, slow_share):
    """Whatever the number of misses, ``high <= limit`` and the binomial test say the same."""
    misses = round(n * slow_share * 2 * (1 - share)) % (n + 1)
    values = np.r_[np.full(n - misses, 1.0), np.full(misses, 3.0)]
    high = statistics.quantile_interval(values, share, confidence).high
    rejects = stats.binom.cdf(misses, n, 1 - share) <= 1 - confidence + 1e-12
    assert (high is not None and high <= 2.0) == rejects


@given(st.integers(20, 300), st.floats(0.1, 0.9), st.integers(0, 2**32 - 1))
def test_a_limit_just_outside_an_end_is_rejected_by_scipys_quantile_test(n, share, seed):
    values = np.random.default_rng(seed).exponential(size=n)
    low, high = statistics.quantile_interval(values, share, 0.975)
    if high is not None:
        test = stats.quantile_test(values, q=np.nextafter(high, np.inf), p=share, alternative="less")
        assert test.pvalue <= 0.025 + 1e-9
    if low is not None:
        test = stats.quantile_test(values, q=np.nextafter(low, 0), p=share, alternative="greater")
        assert test.pvalue <= 0.025 + 1e-9


@pytest.mark.parametrize("share", [0.5, 0.95, 0.99])
def test_each_end_covers_the_truth_as_often_as_it_claims(share):
    n, repeats, confidence = 1_000, 4_000, 0.95
    samples = np.sort(np.random.default_rng(7).exponential(size=(repeats, n)), axis=1)
    truth = -math.log(1 - share)
    low, high = statistics.quantile_ranks(n, share, confidence)
    missed_low = int(np.sum(samples[:, low - 1] > truth))
    missed_high = int(np.sum(samples[:, high - 1] < truth))
    # 0.05 is the most that is allowed; four standard errors of the simulation are 0.014.
    assert missed_low / repeats <= 0.05 + 0.014
    assert missed_high / repeats <= 0.05 + 0.014


@given(LATENCIES, SHARES, CONFIDENCES)
def test_the_interval_holds_the_point_and_widens_with_confidence(values, share, confidence):
    point = statistics.quantile(values, share)
    narrow = statistics.quantile_interval(values, share, 0.9)
    wide = statistics.quantile_interval(values, share, max(confidence, 0.9))
    assert narrow.low is None or narrow.low <= point
    assert narrow.high is None or narrow.high >= point
    assert wide.low is None or (narrow.low is not None and wide.low <= narrow.low)
    assert wide.high is None or (narrow.high is not None and wide.high >= narrow.high)


@given(LATENCIES, SHARES)
def test_a_slower_request_never_lowers_an_end(values, share):
    slower = np.append(np.sort(values)[1:], math.inf)
    before = statistics.quantile_interval(values, share, 0.9)
    after = statistics.quantile_interval(slower, share, 0.9)
    assert before.low is None or before.low <= after.low
    assert before.high is None or before.high <= after.high


@given(st.data(), st.integers(1, 2_000), CONFIDENCES)
def test_the_interval_of_a_share_is_scipys_exact_one(data, n, confidence):
    hits = data.draw(st.integers(0, n))
    expected = stats.binomtest(hits, n).proportion_ci(2 * confidence - 1, method="exact")
    got = statistics.share_interval(hits, n, confidence)
    assert got.low == pytest.approx(expected.low, rel=1e-6, abs=1e-12)
    assert got.high == pytest.approx(expected.high, rel=1e-6)
    assert 0 <= got.low <= hits / n <= got.high <= 1


def test_a_share_of_nothing_is_unknown():
    assert statistics.share_interval(0, 0, 0.99) == (None, None)


@given(st.integers(0, 100_000), CONFIDENCES)
def test_the_ends_of_a_count_solve_garwoods_equations(count, confidence):
    low, high = statistics.count_interval(count, confidence)
    alpha = 1 - confidence
    assert stats.poisson.cdf(count, high) == pytest.approx(alpha, rel=1e-4)
    if count:
        assert stats.poisson.sf(count - 1, low) == pytest.approx(alpha, rel=1e-4)
    assert low <= count <= high


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: statistics.quantile(np.array([]), 0.5), "0 values"),
        (lambda: statistics.quantile(np.array([1.0, math.nan]), 0.5), "NaN"),
        (lambda: statistics.quantile(np.array([1.0]), 95), "such as 0.95; got 95"),
        (lambda: statistics.quantile_interval(np.array([1.0]), 0.5, 1.0), "got 1.0"),
        (lambda: statistics.quantile_interval(np.array([1.0]), 0.5, 0.01), "got 0.01"),
        (lambda: statistics.least_samples(1.0), "got 1.0"),
        (lambda: statistics.share_interval(3, 2, 0.99), "got 3 of 2"),
        (lambda: statistics.count_interval(-1, 0.99), "got -1"),
    ],
)
def test_nonsense_is_refused_by_name(call, message):
    with pytest.raises(UsageError, match=message):
        call()


@given(st.integers(1, 500), CONFIDENCES, st.floats(0.1, 1e3))
def test_a_sum_of_equal_parts_has_the_interval_of_their_count(count, confidence, part):
    low, high = statistics.count_interval(count, confidence)
    found = statistics.sum_interval(np.full(count, part), confidence)
    assert found == (pytest.approx(low * part, rel=1e-6), pytest.approx(high * part, rel=1e-6))


def test_the_interval_of_a_sum_of_uneven_parts_errs_no_more_often_than_it_says():
    random = np.random.default_rng(7)
    parts = np.array([1.0, 5.0, 50.0])
    mean = 60 * parts.mean()
    runs = [random.choice(parts, random.poisson(60)) for _ in range(2_000)]
    ends = [statistics.sum_interval(run, 0.95) for run in runs]
    assert np.mean([end.low > mean for end in ends]) <= 0.05
    assert np.mean([end.high < mean for end in ends]) <= 0.05


def test_nothing_bounds_a_sum_of_no_parts_from_above():
    assert statistics.sum_interval(np.zeros(0), 0.95) == (0.0, None)
    assert statistics.sum_interval(np.zeros(9), 0.95) == (0.0, None)


def test_a_share_that_was_not_seen_is_bounded_by_about_three_in_n():
    assert statistics.most_unseen(4_000) == pytest.approx(3 / 4_000, rel=0.01)
    # By its definition: such a share stays unseen in 5 runs of 100.
    assert (1 - statistics.most_unseen(37)) ** 37 == pytest.approx(0.05)


def test_more_hits_are_as_rare_as_the_orders_that_have_them():
    # Of the 20 ways to choose who of 6 are hit, one hits these 3 and nobody of base.
    assert statistics.p_more_hits(3, 3, 0, 3) == pytest.approx(1 / 20)
    assert statistics.p_more_hits(0, 3, 3, 3) == pytest.approx(1)
    assert statistics.p_more_hits(60, 4_000, 20, 4_000) < 1e-5 < statistics.p_more_hits(20, 4_000, 20, 4_000)
