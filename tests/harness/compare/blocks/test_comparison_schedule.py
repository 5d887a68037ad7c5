"""The schedule of a comparison: frozen values, and what every schedule balances."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailgate.harness.compare.blocks.schedule import SEEDS, Arm, plan_block

seeds = st.integers(0, 2**40)
indices = st.integers(0, 500)
pairs = st.integers(1, 12)


windows = st.lists(st.integers(1, 9), min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("seed", "index", "order", "launched_first", "plan_seed"),
    [
        (0, 0, "bhhbhbhb bhbhhbhb bh", "head", 1121323794),
        (0, 1, "hbhbhbbh hbhbbhbh hb", "base", 1447969461),
        (1, 0, "hbbhbhbh bhbhbhbh hb", "base", 1114088975),
        (12345, 7, "hbhbhbhb bhhbbhbh bh", "base", 972917707),
    ],
)
def test_a_block_of_a_seed_is_the_same_for_ever(seed, index, order, launched_first, plan_seed):
    plan = plan_block(seed, index, 3)
    assert (plan.order((4, 4, 1)), plan.launched_first.value, plan.seed) == (order, launched_first, plan_seed)


@given(seeds, indices, windows)
def test_each_pair_of_windows_has_one_of_each_arm(seed, index, counts):
    plan = plan_block(seed, index, len(counts))
    order = plan.order(counts).split()
    assert [len(pair) for pair in order] == [2 * count for count in counts]
    for pair, letters in enumerate(order):
        for window, first in enumerate(plan.first(pair, counts[pair])):
            two = letters[2 * window : 2 * window + 2]
            assert (two[0], set(two)) == (first.value[0], set("bh"))


@given(seeds, indices, st.integers(1, 20), st.integers(1, 20))
def test_more_windows_leave_the_coins_of_the_others(seed, index, few, more):
    few, more = sorted((few, more))
    plan = plan_block(seed, index, 2)
    assert plan.first(1, more)[:few] == plan.first(1, few)


@given(seeds, indices)
def test_who_is_launched_first_alternates_from_block_to_block(seed, index):
    one, next_one = plan_block(seed, index, 1), plan_block(seed, index + 1, 1)
    assert one.launched_first is next_one.launched_first.other


@given(seeds, indices, pairs, pairs)
def test_more_pairs_leave_the_coins_of_the_others(seed, index, few, more):
    few, more = sorted((few, more))
    short, long = plan_block(seed, index, few), plan_block(seed, index, more)
    assert long.coins[:few] == short.coins
    assert long.seed == short.seed
    assert 0 <= long.seed < SEEDS


def test_the_coins_are_fair_and_blocks_send_different_plans():
    plans = [plan_block(7, index, 4) for index in range(500)]
    coins = [arm for plan in plans for pair in range(4) for arm in plan.first(pair, 4)]
    # 8,000 fair coins: four standard deviations are 179, for neighbours that are alike as for heads.
    assert abs(coins.count(Arm.HEAD) - 4_000) < 180
    assert abs(sum(one is other for one, other in itertools.pairwise(coins)) - 4_000) < 180
    assert len({plan.seed for plan in plans}) == len(plans)
    assert plans[0] != plan_block(8, 0, 4)
