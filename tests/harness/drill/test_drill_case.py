"""Which commits get a drill, of which case, and what is right to say of it."""

import hashlib
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailgate.harness.drill.case import (
    CASES,
    ROUND,
    find_case,
    is_drawn,
    is_right,
    next_case,
)
from tailgate.harness.errors import UsageError
from tailgate.harness.results.verdict import Verdict

COMMITS = [hashlib.sha1(str(number).encode()).hexdigest() for number in range(2_000)]


def test_about_the_share_of_all_commits_is_drawn_and_each_alike_every_time():
    drawn = [is_drawn(commit, 0.1) for commit in COMMITS]
    assert 150 < sum(drawn) < 250
    assert drawn == [is_drawn(commit, 0.1) for commit in COMMITS]
    assert all(is_drawn(commit, 1) for commit in COMMITS)


def test_a_larger_share_draws_what_a_smaller_one_draws():
    assert all(is_drawn(commit, 0.5) for commit in COMMITS if is_drawn(commit, 0.1))


@pytest.mark.parametrize("share", [0, -0.1, 1.1, float("nan")])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(UsageError, match="--share: expected a share of all commits"):
        is_drawn(COMMITS[0], share)


def test_every_four_drills_are_of_all_cases_and_commits_draw_their_order():
    before = []
    for commit in COMMITS[:400]:
        before.append(next_case(commit, before).name)
    rounds = [tuple(before[at : at + 4]) for at in range(0, 400, 4)]
    assert all(Counter(one) == Counter(ROUND) for one in rounds)
    assert len(set(rounds)) == 12  # every order of two alike and two others


@given(st.text(), st.lists(st.sampled_from(sorted(CASES)), max_size=12))
def test_a_case_comes_whatever_the_ledger_holds(commit, before):
    """Drills of a chosen case (--case) may have filled a round with others than it lacks."""
    assert next_case(commit, before).name in CASES


def test_a_case_is_found_by_its_name_and_the_nearest_is_named():
    assert find_case("stall").planted
    with pytest.raises(UsageError, match="--case: there is no case 'stal'; did you mean 'stall'"):
        find_case("stal")


@pytest.mark.parametrize(
    ("case", "verdict", "failing", "right"),
    [
        ("unchanged", Verdict.PASS, (), True),
        ("unchanged", Verdict.INCONCLUSIVE, (), True),
        ("unchanged", Verdict.FAIL, ("cpu",), False),
        ("unchanged", Verdict.INVALID, (), None),
        ("all-5", Verdict.FAIL, ("p50",), True),
        ("all-5", Verdict.FAIL, ("error_rate",), False),
        ("all-5", Verdict.PASS, (), False),
        ("all-5", Verdict.INCONCLUSIVE, (), False),
        ("all-5", Verdict.INVALID, (), None),
        ("stall", Verdict.FAIL, ("p99",), True),
        ("stall", Verdict.FAIL, ("cpu",), False),
        ("stall", Verdict.FAIL, ("cpu", "p99"), True),
    ],
)
def test_a_planted_change_is_caught_by_a_lens_that_it_moves_and_undecided_is_a_miss(
    case, verdict, failing, right
):
    assert is_right(CASES[case], verdict, failing) is right


def test_answers_are_held_by_what_the_case_says():
    assert CASES["unchanged"].delay_s(0.1, 0.1, 0.0) == 0
    assert CASES["all-5"].delay_s(0.1, 0.5, 0.0) == pytest.approx(0.005)
    stall = CASES["stall"]
    assert stall.delay_s(0.1, 0.001, 0.0199) == 0.05
    assert stall.delay_s(0.1, 0.1, 0.0199) == pytest.approx(0.4)
    assert stall.delay_s(0.1, 0.1, 0.02) == 0
