"""One rule over an interval, and the verdict of the whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailgate.harness.measures.measure import Estimate
from tailgate.harness.results.verdict import SEVERITY, Better, Verdict, worst
from tailgate.harness.verdict.judge import decide

PASS, FAIL, INCONCLUSIVE, INVALID = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.INVALID
ENDS = st.none() | st.floats(allow_nan=False)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


def estimate(low, high):
    return Estimate(None, low, high, 100, 0.99)


@pytest.mark.parametrize(
    ("low", "high", "lower_is_better", "higher_is_better"),
    [
        (1.0, 4.0, PASS, FAIL),
        (1.0, 5.0, PASS, INCONCLUSIVE),  # exactly on the limit is within it
        (5.0, 9.0, INCONCLUSIVE, PASS),
        (6.0, 9.0, FAIL, PASS),
        (4.0, 6.0, INCONCLUSIVE, INCONCLUSIVE),
        (5.0, 5.0, PASS, PASS),
        (None, 4.0, PASS, FAIL),
        (None, 6.0, INCONCLUSIVE, INCONCLUSIVE),
        (6.0, None, FAIL, PASS),
        (4.0, None, INCONCLUSIVE, INCONCLUSIVE),
        (None, None, INCONCLUSIVE, INCONCLUSIVE),
        (float("inf"), float("inf"), FAIL, PASS),
    ],
)
def test_an_interval_against_a_limit_of_5(low, high, lower_is_better, higher_is_better):
    assert decide(estimate(low, high), 5.0, Better.LOWER) is lower_is_better
    assert decide(estimate(low, high), 5.0, Better.HIGHER) is higher_is_better


@given(ENDS, ENDS, NUMBERS)
def test_more_is_better_is_the_mirror_of_less_is_better(low, high, limit):
    mirrored = estimate(None if high is None else -high, None if low is None else -low)
    assert decide(estimate(low, high), limit, Better.HIGHER) is decide(mirrored, -limit, Better.LOWER)


@given(st.tuples(NUMBERS, NUMBERS).map(sorted), NUMBERS, st.sampled_from(Better))
def test_an_open_end_never_decides_what_the_closed_one_would_not(ends, limit, better):
    low, high = ends
    closed = decide(estimate(low, high), limit, better)
    for opened in (estimate(None, high), estimate(low, None), estimate(None, None)):
        assert decide(opened, limit, better) in {closed, INCONCLUSIVE}


@given(st.tuples(NUMBERS, NUMBERS).map(sorted), NUMBERS, NUMBERS)
def test_a_looser_limit_never_turns_a_pass_into_something_else(ends, limit, looser):
    low, high = ends
    limit, looser = sorted((limit, looser))
    if decide(estimate(low, high), limit, Better.LOWER) is PASS:
        assert decide(estimate(low, high), looser, Better.LOWER) is PASS


@pytest.mark.parametrize(
    ("verdicts", "whole"),
    [
        ([], INVALID),  # a gate that measured nothing
        ([PASS], PASS),
        ([PASS, INCONCLUSIVE], INCONCLUSIVE),
        ([PASS, FAIL, INCONCLUSIVE], FAIL),
        ([FAIL, INVALID, PASS], INVALID),
    ],
)
def test_the_whole_is_as_bad_as_its_worst_part(verdicts, whole):
    assert worst(verdicts) is whole


def test_every_verdict_has_its_place_in_the_order():
    assert set(SEVERITY) == set(Verdict)
