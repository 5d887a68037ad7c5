"""Batches of any size from buckets of fixed sizes, at the least cost."""

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailgate.service.execution.cuda import bucket_sizes, cheapest_covers

COSTS = st.dictionaries(st.integers(1, 20), st.floats(1e-4, 1.0), min_size=1, max_size=6)


@pytest.mark.parametrize(
    ("largest", "sizes"),
    [(1, (1,)), (2, (1, 2)), (6, (1, 2, 4, 6)), (8, (1, 2, 4, 8)), (33, (1, 2, 4, 8, 16, 32, 33))],
)
def test_buckets_are_the_powers_of_two_and_the_largest(largest, sizes):
    assert bucket_sizes(largest) == sizes


@pytest.mark.parametrize(
    ("count", "milliseconds", "cover"),
    [
        (12, {1: 1, 2: 2, 4: 4, 8: 8, 16: 16}, (8, 4)),  # nothing is saved by a larger one: no padding
        (12, {1: 5, 2: 5, 4: 6, 8: 7, 16: 8}, (16,)),  # nearly all is the launch: padded
        (12, {1: 5, 2: 6, 4: 8, 8: 12, 16: 20}, (16,)),  # 20 either way: one launch is enough
        (9, {1: 3, 2: 4, 4: 6, 8: 10, 16: 18}, (8, 1)),
        (15, {1: 3, 2: 4, 4: 6, 8: 10, 16: 18}, (16,)),
        (8, {1: 1, 2: 2, 4: 3, 8: 9}, (4, 4)),  # beyond the cache it is dearer again
        (5, {8: 1}, (8,)),
        (20, {8: 1}, (8, 8, 8)),
        (1, {1: 2, 2: 1}, (2,)),
        (0, {1: 1}, ()),
    ],
)
def test_the_cheapest_way_to_run_a_batch(count, milliseconds, cover):
    assert cheapest_covers(count, {size: ms / 1e3 for size, ms in milliseconds.items()})[count] == cover


@settings(deadline=None)
@given(st.integers(1, 40), COSTS)
def test_a_cover_holds_exactly_the_batch_and_no_bucket_of_it_is_empty(count, cost_s):
    cover = cheapest_covers(count, cost_s)[count]
    assert list(cover) == sorted(cover, reverse=True)
    assert set(cover) <= set(cost_s)
    assert sum(cover) >= count
    assert sum(cover[:-1]) < count


@settings(deadline=None)
@given(st.integers(1, 24), COSTS)
def test_no_other_combination_costs_less(count, cost_s):
    @cache
    def least(rest):
        if rest <= 0:
            return 0.0
        return min(seconds + least(rest - bucket) for bucket, seconds in cost_s.items())

    cover = cheapest_covers(count, cost_s)[count]
    assert sum(cost_s[bucket] for bucket in cover) == pytest.approx(least(count))
