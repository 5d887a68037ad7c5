"""Failed requests: bursts are one event, and no failure at all passes."""

import itertools

import numpy as np
import pytest
from comparison_rows import REQUESTS, arm, row
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tailgate.harness.compare.blocks.row import ArmRow
from tailgate.harness.compare.decision.error_share import compare_shares, design_effect, p_more_failures
from tailgate.harness.compare.decision.lens_result import judge_lens
from tailgate.harness.compare.lens import find_lens
from tailgate.harness.results.comparison import Look
from tailgate.harness.results.verdict import Verdict
from tailgate.harness.statistics import share_interval

COUNTS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=8)


def blocks(counts):
    return [row(index, arm(failed=base), arm(failed=head)) for index, (base, head) in enumerate(counts)]


@given(COUNTS)
def test_p_is_the_share_of_all_sign_flips_that_sum_to_as_much(counts):
    differences = [head - base for base, head in counts]
    flips = itertools.product(*([-1, 1] for _ in differences))
    sums = [sum(sign * abs(each) for sign, each in zip(signs, differences, strict=True)) for signs in flips]
    assert p_more_failures(blocks(counts)) == pytest.approx(
        np.mean([each >= sum(differences) for each in sums])
    )


def test_twenty_failures_of_one_stall_are_one_event():
    assert p_more_failures(blocks([(0, 20)] + [(0, 0)] * 11)) == 0.5
    # The pooled binomial test would have called it.
    assert stats.binomtest(20, 20, 0.5, alternative="greater").pvalue < 1e-5


def test_a_failure_in_every_block_of_head_is_more_in_each():
    assert p_more_failures(blocks([(0, 1)] * 12)) == 2.0**-12
    assert p_more_failures(blocks([(1, 0)] * 12)) == 1.0
    assert p_more_failures(blocks([(1, 1)] * 12)) == 1.0


def test_a_margin_is_taken_off_each_block():
    assert p_more_failures(blocks([(0, 10)] * 12), margin=9 / REQUESTS) == 2.0**-12
    assert p_more_failures(blocks([(0, 10)] * 12), margin=10 / REQUESTS) == 1.0


def test_without_a_failure_twelve_blocks_bound_the_difference_to_a_tenth_of_a_point():
    change = compare_shares(blocks([(0, 0)] * 12), 0.0, 0.0009, 0.022)
    assert change.difference == 0
    assert 0 < change.high < 0.001
    assert change.p == 1.0


def test_independent_failures_have_no_design_effect_and_bursts_have_one():
    random = np.random.default_rng(5)
    even = [arm(failed=int(count)) for count in random.binomial(REQUESTS, 0.02, 200)]
    bursts = [arm(failed=0)] * 180 + [arm(failed=140)] * 20
    assert design_effect(even) == pytest.approx(1.0, abs=0.3)
    assert design_effect(bursts) == pytest.approx(140, rel=0.15)
    assert design_effect([arm()] * 5) == 1.0
    assert design_effect([arm(failed=3)]) == 1.0


def test_nothing_sent_is_nothing_known():
    assert compare_shares([row(base=ArmRow(0, 0))], 0.0, 0.01, 0.01) is None


@settings(max_examples=50)
@given(COUNTS)
def test_the_bounds_hold_the_difference_and_mirror_when_the_arms_are_swapped(counts):
    change = compare_shares(blocks(counts), 0.0, 0.01, 0.01)
    mirrored = compare_shares(blocks([(head, base) for base, head in counts]), 0.0, 0.01, 0.01)
    assert change.low <= change.difference <= change.high
    assert (change.low, change.high) == pytest.approx((-mirrored.high, -mirrored.low))


@pytest.mark.parametrize("clustered", [False, True])
def test_the_upper_bound_covers_the_difference(clustered):
    """1,000 seeded comparisons of 12 blocks with equal true shares of 1 %; bursts hit a whole tenth of a block."""
    random = np.random.default_rng(2)
    misses = 0
    for _ in range(1000):
        if clustered:
            counts = 70 * random.binomial(1, 0.1, (12, 2))
        else:
            counts = random.binomial(REQUESTS, 0.01, (12, 2))
        misses += compare_shares(blocks(counts.tolist()), 0.0, 0.01, 0.05).high < 0
    assert share_interval(misses, 1000, 0.999).low <= 0.05


def test_a_fail_by_few_failures_in_each_block_says_what_it_stands_on_and_contradicts_no_end():
    lens = find_lens("error_rate")
    result = judge_lens(lens, blocks([(0, 1)] * 12), Look(12, 0.0009, 0.022))
    assert result.verdict is Verdict.FAIL
    assert result.reason == (
        "beyond: head failed more requests than base in 12 of 12 blocks, and fewer in 0, p = 0.00024; over all of them "
        "0.14 percentage points more"
    )
    assert result.low == 0
    assert result.low < result.change < result.high


def test_a_burst_that_the_test_does_not_believe_leaves_the_lower_end_at_the_margin():
    result = judge_lens(find_lens("error_rate"), blocks([(0, 100)] * 5), Look(5, 0.01, 0.05))
    assert result.verdict is Verdict.INCONCLUSIVE
    assert result.low == 0
