"""The cap after an out-of-memory error: halved at once, given back by doubling."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailgate.service.execution.isolate import HOLD_S, cap_after


@pytest.mark.parametrize(("failed", "size"), [(32, 16), (33, 16), (3, 1), (2, 1), (1, 1)])
def test_a_batch_that_did_not_fit_halves_the_cap_and_one_item_may_always_try(failed, size):
    assert cap_after(failed, 0.0) == size


@pytest.mark.parametrize(
    ("minutes", "size"),
    [(0, 4), (0.99, 4), (1, 8), (1.5, 8), (2, 16), (3, 32), (60, 4 * 2**12), (1e9, 4 * 2**12)],
)
def test_the_cap_doubles_each_minute_without_another_failure(minutes, size):
    assert cap_after(8, minutes * HOLD_S) == size


@given(st.integers(1, 4096), st.floats(0, 1e6), st.floats(0, 1e6))
def test_the_cap_never_shrinks_by_waiting_and_is_never_below_one(failed, first_s, later_s):
    early, late = sorted((first_s, later_s))
    assert 1 <= cap_after(failed, early) <= cap_after(failed, late)
