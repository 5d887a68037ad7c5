"""A replica in virtual time, held to the service's own queue."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from virtual_service import recorded

from tailgate.harness.sizing.replica import Deviations, Replica, by_size, serve

TIMES = st.dictionaries(st.integers(1, 40), st.floats(1e-4, 0.1), min_size=1, max_size=6)


@given(TIMES, st.integers(1, 40), st.floats(0.05, 1.3), st.integers(0, 10**6))
def test_random_arrivals_wait_as_long_as_in_the_service_s_own_queue(known, cap, load, seed):
    replica, rng = Replica.of_times(known, cap), np.random.default_rng(seed)
    arrivals_s = np.cumsum(rng.exponential(1 / (load * replica.saturated_per_s), 300))
    table = replica.batch_s.tolist()
    # Who comes independently of the answers is not waited for; so the service's rule of waiting is out of the way.
    world = recorded(table.__getitem__, cap, arrivals_s, waits=False)
    assert serve(replica, arrivals_s, rng).latencies_s == pytest.approx(world.latencies_s, rel=1e-9)


@given(TIMES, st.integers(1, 40), st.lists(st.floats(0, 1), min_size=1, max_size=200), st.floats(0, 0.01))
def test_all_are_served_in_order_in_batches_that_are_not_too_large_and_do_not_overlap(
    known, cap, times_s, gap_s
):
    replica = replace(Replica.of_times(known, cap), gap_s=gap_s)
    arrivals_s = np.sort(times_s)
    course = serve(replica, arrivals_s, np.random.default_rng(0))
    assert (course.waits_s >= 0).all()
    assert course.latencies_s == pytest.approx(course.waits_s + replica.batch_s[course.sizes])
    starts_s, first = np.unique((arrivals_s + course.waits_s).round(12), return_index=True)
    assert (np.diff(first) <= cap).all()
    ends_s = starts_s + replica.batch_s[course.sizes[first]]
    assert (starts_s[1:] >= ends_s[:-1] + gap_s - 1e-9).all()


@given(TIMES, st.integers(1, 60))
def test_t_of_n_goes_through_the_known_times_and_never_falls_beyond_them(known, cap):
    table = by_size(known, cap)
    assert table.shape == (cap + 1,)
    for size, seconds in known.items():
        if size <= cap:
            assert table[size] == pytest.approx(seconds)
    assert (np.diff(table[max(known) :]) >= 0).all()


def drawn(noise, count, seed=0):
    """Return the batches that a course of so many takes from each group."""
    return [list(islice(again, count)) for again in noise.again(np.random.default_rng(seed))]


def test_the_deviations_of_a_run_come_again_in_pieces_of_an_eighth_of_it():
    noise = Deviations(np.zeros(2, int), np.zeros(80, int), np.zeros(80), np.arange(81), np.zeros(80))
    (picked,) = drawn(noise, 160)
    assert np.mean((np.diff(picked) % 80) == 1) > 0.85
    # Eight pieces are a run; then they come again, so that two long courses differ by as much as two runs.
    assert picked[:80] == picked[80:]
    assert len({tuple(drawn(noise, 80, seed)[0]) for seed in range(9)}) == 9


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.integers(0, 99))
def test_a_batch_deviates_as_one_of_its_own_group_does_even_if_no_piece_has_one(groups, seed):
    noise = Deviations(np.arange(4), np.array(groups), *[np.zeros(len(groups))] * 3)
    for group, picked in enumerate(drawn(noise, 50, seed)):
        assert group not in groups or {groups[one] for one in picked} == {group}


def test_a_request_deviates_as_the_one_that_came_at_its_place_in_its_batch():
    requests_s = np.array([1.0, 2.0, 3.0, 9.0])
    noise = Deviations(np.zeros(4, int), np.zeros(2, int), np.zeros(2), np.array([0, 3, 4]), requests_s)
    places = np.array([0.0, 0.5, 0.99, 0.0, 0.99])
    assert noise.of_requests(np.array([0, 0, 0, 1, 1]), places).tolist() == [1, 2, 3, 9, 9]


def test_a_request_takes_the_rest_of_its_batch_s_size_on_top():
    batch_s, rest_s = np.array([0, 0.010, 0.015]), np.array([0, 0.001, 0.002])
    replica = Replica(batch_s, rest_s, Deviations.none(2), gap_s=0.003)
    course = serve(replica, np.array([0.0, 0.001, 0.002, 0.003]), np.random.default_rng(0))
    assert course.sizes.tolist() == [2, 2, 2, 2]
    assert course.waits_s == pytest.approx([0.003, 0.002, 0.019, 0.018])
    assert course.latencies_s == pytest.approx([0.020, 0.019, 0.036, 0.035])


def test_a_request_misses_the_batch_that_begins_while_it_is_on_its_way_into_the_queue():
    replica = Replica.of_times({1: 0.010, 2: 0.010}, 2)
    late = replace(replica, entry_s=0.002)
    arrivals_s = np.array([0.0, 0.009])
    assert serve(replica, np.append(arrivals_s, 0.010), np.random.default_rng(0)).sizes.tolist() == [1, 2, 2]
    course = serve(late, np.append(arrivals_s, 0.011), np.random.default_rng(0))
    assert course.sizes.tolist() == [1, 1, 1]
    assert course.waits_s == pytest.approx([0.002, 0.003, 0.011])


def test_times_of_batches_go_on_in_a_line_below_and_beyond_the_known_sizes():
    assert by_size({4: 6.0, 8: 10.0}, 10)[[1, 4, 8, 10]].tolist() == [3.0, 6.0, 10.0, 12.0]
    # They never fall as sizes grow, and shrink at most in proportion to them.
    assert by_size({4: 6.0, 8: 5.0}, 10)[[1, 4, 8, 10]].tolist() == [6.0, 6.0, 5.0, 5.0]
    assert by_size({4: 4.0, 8: 40.0}, 10)[[1, 2, 4]].tolist() == [1.0, 2.0, 4.0]
    assert by_size({4: 6.0}, 8).tolist() == [6.0] * 9
