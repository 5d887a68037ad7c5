"""What round trips tell of a clock that nobody here can see, by fake clocks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailgate.harness.load.many.clocks import Trip, drift, read_clock, schedule_error_s

SECOND = 1_000_000_000
delays = st.integers(0, 5_000_000)


def trips_at(now_ns, clock, ways):
    """Ask a clock, by ways of these lengths there and back."""
    for there, back in ways:
        yield Trip(now_ns, clock(now_ns + there), now_ns + there + back)
        now_ns += there + back + 1


@given(
    offset=st.integers(-(10**15), 10**15), ways=st.lists(st.tuples(delays, delays), min_size=1, max_size=20)
)
def test_the_offset_lies_within_half_of_the_smallest_round_trip_however_uneven_the_ways(offset, ways):
    reading = read_clock(trips_at(10 * SECOND, lambda now: now + offset, ways))
    assert abs(reading.offset_ns - offset) <= reading.error_ns
    assert reading.error_ns == -(-min(there + back for there, back in ways) // 2)


@given(ways=st.lists(st.tuples(delays, delays), min_size=1))
def test_one_clock_of_one_kernel_has_no_offset_and_no_error(ways):
    reading = read_clock(trips_at(SECOND, lambda now: now, ways), same=True)
    assert (reading.offset_ns, reading.error_ns) == (0, 0)


def test_a_clock_that_is_said_to_be_the_same_and_is_not_is_read_like_any_other():
    """Two copies of one virtual machine have the same names for their clocks."""
    reading = read_clock(trips_at(SECOND, lambda now: now + SECOND, [(1000, 1000)]), same=True)
    assert (reading.offset_ns, reading.error_ns) == (SECOND, 1000)


@given(
    rate=st.sampled_from([0.99, 0.9985, 0.9995, 1.0, 1.0004, 1.0015, 1.01]),
    seconds=st.integers(1, 3600),
    way=st.integers(0, 200_000),
)
def test_the_drift_of_a_fake_clock_is_never_more_than_what_is_said(rate, seconds, way):
    def clock(now_ns):
        return round(now_ns * rate) + 7 * SECOND

    before = read_clock(trips_at(SECOND, clock, [(way, 0)]))
    after = read_clock(trips_at(SECOND * (seconds + 1), clock, [(0, way)]))
    said, true = drift(before, after), abs(rate - 1)
    # While a question is on its way the clock drifts, too: by nanoseconds.
    under_way = true * way / (seconds * SECOND) + 1e-8
    assert true <= said + under_way
    # Beside the truth, the errors of both readings and what they are apart for.
    assert said <= true + 3 * way / (seconds * SECOND) + under_way
    # What the offset in use was wrong by at the end.
    wrong_ns = abs(clock(after.at_ns) - before.to_there(after.at_ns))
    assert schedule_error_s(before, after) * 1e9 >= wrong_ns - true * way - 2


@pytest.mark.parametrize(
    ("before", "after", "error_ns"),
    [((100, 100), (100, 100), 100), ((300, 300), (50, 50), 300), ((100, 100), (1100, 900), 1100)],
)
def test_the_schedule_is_wrong_by_the_error_of_the_offset_in_use_or_by_what_it_has_moved(
    before, after, error_ns
):
    first = read_clock(trips_at(SECOND, lambda now: now, [before]))
    last = read_clock(trips_at(2 * SECOND, lambda now: now, [after]))
    assert schedule_error_s(first, last) == pytest.approx(error_ns / 1e9)
