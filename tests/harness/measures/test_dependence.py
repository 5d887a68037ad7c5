"""Samples that come in runs: what they are worth, the law of a count of them, and intervals that allow for it."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from tailgate.harness import statistics
from tailgate.harness.measures import dependence

SHARES = st.sampled_from([0.5, 0.9, 0.95, 0.99])
CONFIDENCES = st.sampled_from([0.9, 0.99, 0.9995])
LATENCIES = st.lists(st.floats(0, 1e3) | st.just(math.inf), min_size=1, max_size=200).map(np.array)
MARKS = st.lists(st.booleans(), max_size=200).map(lambda values: np.array(values, dtype=bool))


@pytest.mark.parametrize("run", [1, 2, 5, 20])
def test_samples_that_come_in_runs_are_worth_about_as_many_as_there_are_runs(run):
    beyond = np.repeat(np.random.default_rng(5).random(10_000) < 0.05, run)
    # For runs of r the sum 1 + 2 (1 - 1/r) + 2 (1 - 2/r) + ... is r.
    assert dependence.effective_samples(beyond) == pytest.approx(10_000, rel=0.2)


@given(st.lists(MARKS, max_size=3))
def test_samples_are_never_worth_more_than_there_are(stretches):
    n = sum(map(len, stretches))
    worth = dependence.effective_samples(*stretches)
    assert worth <= n
    assert worth > 0 or not n


def test_what_phases_differ_by_is_no_run():
    """Three rates of a ramp: most slow requests are in the last, because it was asked for most."""
    rng = np.random.default_rng(3)
    phases = [rng.random(2_000) < share for share in (0.0, 0.01, 0.2)]
    assert dependence.effective_samples(*phases) > 5_000
    assert dependence.effective_samples(np.concatenate(phases)) < 100


@given(st.integers(1, 400), st.data(), st.floats(0.001, 0.999))
def test_without_correlation_the_count_is_binomial(n, data, share):
    count = data.draw(st.integers(-1, n))
    got = dependence.chain_at_most(count, n, share, worth=n)
    assert got == pytest.approx(stats.binom.cdf(count, n, share), abs=1e-12)


@given(st.integers(2, 300), st.floats(0.01, 0.99), st.floats(1.01, 50))
@settings(max_examples=25)
def test_the_law_of_a_count_rises_to_one_and_has_the_mean_of_its_share(n, share, time):
    law = [dependence.chain_at_most(count, n, share, n / time) for count in range(-1, n + 1)]
    assert law[0] == 0.0
    assert law[-1] == 1.0
    assert all(after >= before - 1e-9 for before, after in itertools.pairwise(law))
    # The mean of a count is the sum of the probabilities that it is larger.
    assert sum(1 - value for value in law[1:-1]) == pytest.approx(n * share, rel=1e-6)


def test_the_law_of_a_count_is_that_of_a_simulated_chain():
    n, share, time, runs = 200, 0.05, 4.0, 20_000
    apart = 2 / (time + 1)
    rng = np.random.default_rng(1)
    marked = rng.random(runs) < share
    counts = marked.astype(int)
    for _ in range(n - 1):
        draw = rng.random(runs)
        marked = np.where(marked, draw >= (1 - share) * apart, draw < share * apart)
        counts += marked
    for count in (0, 3, 10, 30):
        # Four standard errors of the simulation.
        assert dependence.chain_at_most(count, n, share, n / time) == pytest.approx(
            np.mean(counts <= count), abs=0.015
        )


@given(st.integers(1, 2_000), SHARES, CONFIDENCES)
@example(2, 0.9, 0.99)
@settings(max_examples=40)
def test_where_nothing_is_correlated_the_ranks_are_those_of_independent_samples(n, share, confidence):
    ranks = dependence.quantile_ranks([np.full(n, 0.1)], share, confidence)
    # A probability that is the error itself, as P(Bin(2, 0.9) = 0) = 0.01 is, may be rounded to either side of it.
    alone = [statistics.quantile_ranks(n, share, 1 - (1 - confidence) * by) for by in (1 - 1e-9, 1, 1 + 1e-9)]
    assert ranks.low in {each.low for each in alone}
    assert ranks.high in {each.high for each in alone}
    assert ranks.worth == n


@given(LATENCIES, SHARES, CONFIDENCES)
@settings(max_examples=40)
def test_runs_never_narrow_an_interval(values, share, confidence):
    alone = statistics.quantile_interval(values, share, confidence)
    low, high, worth = dependence.quantile_interval([values], share, confidence)
    assert low is None or low <= alone.low
    assert high is None or high >= alone.high
    assert 0 < worth <= len(values)


def test_a_server_that_is_late_nearly_always_is_surely_late_however_its_requests_come():
    """A queue without end: each request waits longer than the one before, and nothing is as correlated as that."""
    growing = np.linspace(0.0, 6.0, 200)
    low, high, worth = dependence.quantile_interval([growing], 0.95, 0.9995)
    assert worth < 10
    assert low > 1.0
    assert high is None


def test_one_stall_is_no_proof_that_a_server_is_late_and_none_that_it_is_not():
    seconds = np.full(1_000, 0.1)
    seconds[300:400] = 5.0
    low, high, _ = dependence.quantile_interval([seconds], 0.95, 0.99)
    assert low == 0.1
    assert high is None or high == 5.0


@given(st.lists(MARKS, min_size=1, max_size=3), CONFIDENCES)
@settings(max_examples=40)
def test_the_interval_of_a_share_holds_it_and_is_no_narrower_than_of_independent_hits(stretches, confidence):
    n, hits = sum(map(len, stretches)), sum(int(part.sum()) for part in stretches)
    got = dependence.share_interval(stretches, confidence)
    alone = statistics.share_interval(hits, n, confidence)
    if not n:
        assert got[:2] == alone == (None, None)
        return
    assert got.low <= alone.low + 1e-9 <= hits / n + 1e-9
    assert got.high >= alone.high - 1e-9 >= hits / n - 1e-9


@pytest.mark.parametrize(
    ("share", "worth", "needed"), [(0.95, 1.0, 90), (0.99, 1.0, 459), (0.99, 0.25, 1148)]
)
def test_as_many_requests_as_are_said_to_be_needed_bound_a_quantile(share, worth, needed):
    assert dependence.requests_needed(share, 0.99, 1_000, 1_000 * worth) == needed
    for n, bounded in ((needed - 1, False), (needed, True)):
        assert (dependence.chain_at_most(0, n, 1 - share, n * worth) <= 0.01) == bounded


def queue(rng, n, utilisation):
    """Return the times in a single server's line of n requests: Poisson arrivals, equal service times of 1."""
    arrivals = np.cumsum(rng.standard_exponential(n)) / utilisation
    steps = np.concatenate([[0.0], np.cumsum(1.0 - np.diff(arrivals))])
    return steps - np.minimum.accumulate(steps) + 1.0


@pytest.mark.parametrize(("share", "limit"), [(0.95, 3.05), (0.99, 4.33)])
def test_in_a_queue_ends_err_far_less_often_than_those_of_independent_requests(share, limit):
    """Half busy; the limit is the true quantile, of ten million requests. benchmarks/gate/coverage.py has the figures."""
    rng, runs = np.random.default_rng(2), 150
    samples = [queue(rng, 2_500, 0.5)[500:] for _ in range(runs)]

    def errs(intervals):
        """Return how often the lower end lies above the limit, and how often the upper one below it."""
        lows, highs, *_ = zip(*intervals, strict=True)
        too_high = sum(low is not None and low > limit for low in lows)
        return too_high / runs, sum(high is not None and high < limit for high in highs) / runs

    alone = errs(statistics.quantile_interval(seconds, share, 0.99) for seconds in samples)
    in_runs = errs(dependence.quantile_interval([seconds], share, 0.99) for seconds in samples)
    assert min(alone) > 0.06
    assert max(in_runs) < 0.06
