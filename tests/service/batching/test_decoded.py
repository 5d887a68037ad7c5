"""How large a batch is worth waiting for while inputs are decoded on the model's processors."""

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tickets import Ticket

from tailgate.service.batching.decoded import PATIENCE, Coming, worthwhile
from tailgate.service.batching.policy import BatchPolicy, BatchQueue, Wait

FIXED, EACH = 2.0, 1.0


def batch_s(size):
    return FIXED + EACH * size


def mean_s(total, size, decode_s):
    """Return after how long an input is answered in the mean, if they are decoded and computed in batches of a size, in turns."""
    now_s = answered_s = 0.0
    left = total
    while left:
        batch = min(size, left)
        now_s += batch * decode_s + batch_s(batch)
        answered_s += batch * now_s
        left -= batch
    return answered_s / total


@pytest.mark.parametrize("decode_s", [0.25, 1.0, 4.0])
@pytest.mark.parametrize("total", [1, 2, 5, 16, 64])
def test_the_size_costs_a_burst_at_most_a_quarter_more_than_the_best(total, decode_s):
    best = min(mean_s(total, size, decode_s) for size in range(1, total + 1))
    size = worthwhile(1, Coming(total - 1, decode_s), batch_s)
    assert mean_s(total, max(1, size), decode_s) <= 1.25 * best


@given(
    waiting=st.integers(1, 64),
    count=st.integers(0, 64),
    each_s=st.floats(0, 10),
    fixed_s=st.floats(0, 10),
    per_item_s=st.floats(0, 10),
)
def test_it_is_never_more_than_there_are(waiting, count, each_s, fixed_s, per_item_s):
    size = worthwhile(waiting, Coming(count, each_s), lambda n: fixed_s + per_item_s * n)
    assert 0 <= size <= waiting + count


def queue(coming, max_wait_s=None):
    return BatchQueue(BatchPolicy(32, 64, max_wait_s), batch_s, lambda: coming)


def test_the_executor_waits_for_pictures_until_there_are_enough_or_they_are_too_late():
    coming = deque(Coming(count, 1.0) for count in range(15, 7, -1))
    asked = BatchQueue(BatchPolicy(32, 64, None), batch_s, coming.popleft)
    asked.put(Ticket(None, 10.0))
    assert asked.take(10.0) == ([], Wait(10.0 + PATIENCE * 8, 8))
    for number in range(6):
        asked.put(Ticket(None, 11.0 + number))
        assert not asked.take(11.0 + number)[0]
    asked.put(Ticket(None, 17.0))
    assert len(asked.take(17.0)[0]) == 8


def test_pictures_that_do_not_come_are_not_waited_for_any_longer():
    asked = queue(Coming(15, 1.0))
    asked.put(Ticket(None, 10.0))
    _, wait = asked.take(10.0)
    assert len(asked.take(wait.until_s)[0]) == 1


@pytest.mark.parametrize("coming", [Coming(), Coming(3, 100.0)])
def test_it_takes_at_once_whoever_waits_where_nothing_is_decoded_or_decoding_is_dearer_than_a_batch(coming):
    asked = queue(coming)
    asked.put(Ticket(None, 10.0))
    assert len(asked.take(10.0)[0]) == 1


def test_a_window_of_no_time_takes_at_once():
    asked = queue(Coming(15, 1.0), max_wait_s=0.0)
    asked.put(Ticket(None, 10.0))
    assert len(asked.take(10.0)[0]) == 1
