"""The line through the measured times of batches, and the largest batch that pays."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.batch_times import WORTHWHILE, fit, worthwhile_cap

SIZES = (1, 2, 4, 8, 16, 32)
positive = st.floats(1e-6, 1.0)


def line(per_item_s, fixed_s, sizes=SIZES):
    return {size: per_item_s * size + fixed_s for size in sizes}


@given(positive, positive, st.sets(st.integers(1, 4096), min_size=2, max_size=12))
def test_times_on_a_line_give_the_line(per_item_s, fixed_s, sizes):
    times = fit(line(per_item_s, fixed_s, sorted(sizes)))
    for size in sizes:
        assert times.predict_s(size) == pytest.approx(per_item_s * size + fixed_s, rel=1e-6)


def test_the_fit_is_of_relative_errors_so_that_a_tenth_counts_the_same_at_every_size():
    small_off, large_off = line(1e-3, 1e-3), line(1e-3, 1e-3)
    small_off[1] *= 1.1
    large_off[32] *= 1.1
    for measured in (small_off, large_off):
        times = fit(measured)
        assert all(times.predict_s(size) == pytest.approx(measured[size], rel=0.1) for size in SIZES)
    assert fit(small_off).fixed_s == pytest.approx(1.15e-3, rel=0.1)


@given(positive, positive, st.lists(st.floats(-0.05, 0.05), min_size=len(SIZES), max_size=len(SIZES)))
def test_noise_of_five_percent_moves_no_fitted_time_by_more_than_twice_that(per_item_s, fixed_s, noise):
    measured = {
        size: seconds * (1 + each)
        for (size, seconds), each in zip(line(per_item_s, fixed_s).items(), noise, strict=True)
    }
    times = fit(measured)
    assert all(times.predict_s(size) == pytest.approx(measured[size], rel=0.2) for size in SIZES)


@given(st.dictionaries(st.integers(1, 64), st.floats(1e-6, 10), min_size=1, max_size=8))
def test_neither_part_is_ever_negative_and_what_was_measured_is_kept_in_order(measured):
    times = fit(measured)
    assert times.per_item_s >= 0
    assert times.fixed_s >= 0
    assert list(times.measured_s.items()) == sorted(measured.items())


def test_one_size_says_nothing_of_a_fixed_part():
    times = fit({4: 0.02})
    assert (times.per_item_s, times.fixed_s) == (pytest.approx(0.005), 0)


@pytest.mark.parametrize(
    ("measured_ms", "per_item_ms", "fixed_ms"),
    [
        ({1: 1, 2: 4, 4: 16}, 2, 0),  # dearer the larger: all of it is each request's own
        ({1: 8, 2: 4, 4: 2}, 0, 4),  # cheaper the larger: all of it is the batch's
        ({1: 4.1, 2: 4.0, 4: 4.0, 8: 4.0, 16: 3.9, 32: 3.9}, 0, 4),  # launches alone, and some noise
    ],
)
def test_where_noise_has_bent_the_line_the_wrong_way_all_of_the_cost_is_of_one_kind(
    measured_ms, per_item_ms, fixed_ms
):
    times = fit({size: value / 1e3 for size, value in measured_ms.items()})
    assert times.per_item_s == pytest.approx(per_item_ms / 1e3)
    assert times.fixed_s == pytest.approx(fixed_ms / 1e3)


@pytest.mark.parametrize(
    ("measured_ms", "objective_ms", "cap"),
    [
        ({1: 10, 2: 11, 4: 13, 8: 17, 16: 25, 32: 41}, None, 32),  # the fixed part is most of it: all pays
        ({1: 10, 2: 20, 4: 40, 8: 80}, None, 1),  # nothing is saved: each is served at once
        ({1: 10, 2: 15, 4: 25, 8: 48, 16: 95, 32: 189}, None, 8),  # 6 ms a request, and 5.9 beyond
        ({1: 10, 2: 12, 4: 20, 8: 60}, None, 4),  # beyond the cache of the processor it is dearer again
        ({1: 10, 2: 11, 4: 13, 8: 17, 16: 25, 32: 41}, 50, 16),  # waits for one batch, is in the next
        ({1: 10, 2: 11, 4: 13, 8: 17, 16: 25, 32: 41}, 49.9, 8),
        ({1: 10, 2: 11, 4: 13, 8: 17, 16: 25, 32: 41}, 1000, 32),
        ({1: 10, 2: 11, 4: 13}, 5, 1),  # it cannot be kept: the smallest is the least late
        ({1: 10, 2: 20, 4: 40}, 1000, 1),  # an objective is no reason to batch
        ({8: 10}, None, 8),
    ],
)
def test_the_largest_batch_that_pays(measured_ms, objective_ms, cap):
    measured = {size: value / 1e3 for size, value in measured_ms.items()}
    assert worthwhile_cap(measured, None if objective_ms is None else objective_ms / 1e3) == cap


@given(
    st.dictionaries(st.integers(1, 64), st.floats(1e-6, 10), min_size=1, max_size=8),
    st.none() | st.floats(1e-6, 30),
)
def test_the_cap_was_measured_keeps_the_objective_and_is_nearly_the_cheapest(measured, objective_s):
    cap = worthwhile_cap(measured, objective_s)
    allowed = [
        size for size, seconds in measured.items() if objective_s is None or 2 * seconds <= objective_s
    ]
    if not allowed:
        assert cap == min(measured)
        return
    assert cap in allowed
    cheapest = min(measured[size] / size for size in allowed)
    assert measured[cap] / cap <= cheapest * (1 + WORTHWHILE)
    assert all(measured[size] / size > cheapest * (1 + WORTHWHILE) for size in allowed if size < cap)
