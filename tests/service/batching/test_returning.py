"""Whether a free executor waits for those who have just been answered, by rounds of closed and open loops."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tickets import Ticket

from benchmarks.limits.simulation import Both, Closed, Open
from benchmarks.limits.waiting import BATCH_TIMES, CAP, simulate
from tailgate.service.batching.policy import BatchPolicy, BatchQueue, Wait
from tailgate.service.batching.returning import ROUNDS, Returning

FIXED_S = 4.0  # t(n) = 4 + n: two batches of any sizes cost 4 more than one


def returning():
    return Returning(lambda size: FIXED_S + size)


def play(rounds, found=None):
    """Play rounds of (size of the batch that ended, seconds from its end to each arrival); return the state and the time."""
    found, now_s = found or returning(), 0.0
    for size, arrivals in rounds:
        found.ended(now_s, size)
        for after_s in arrivals:
            found.arrived(now_s + after_s)
        now_s += 100.0
    return found, now_s


ALL_BACK = (2, (0.5, 1.0))


def test_where_all_usually_come_back_in_time_it_waits_for_half_of_what_that_saves():
    found, now_s = play([ALL_BACK] * 5)
    found.ended(now_s, 2)
    assert found.away == 2
    assert found.until_s(waiting=1, room=7) == now_s + FIXED_S / 2


@pytest.mark.parametrize(
    "usual",
    [
        (2, (0.5, 2.5)),  # the last comes later than waiting is worth
        (2, (0.5,)),  # one has left
        (2, ()),
        (2, (0.5, 1.0, 1.5)),  # another one came: they come independently of the answers
        (2, (0.5, 1.0, 90.0)),  # late, yet before the round's end
    ],
)
def test_where_others_come_or_not_all_in_time_it_does_not_wait(usual):
    found, now_s = play([usual] * 5)
    found.ended(now_s, 2)
    assert found.until_s(waiting=1, room=7) < now_s


def test_nothing_is_waited_for_before_a_batch_has_ended():
    found = returning()
    found.arrived(1.0)
    assert found.until_s(waiting=1, room=7) < 1.0


def test_a_lone_client_is_never_kept_waiting():
    found, now_s = play([(1, (1.0,))] * 10)
    found.ended(now_s, 1)
    found.arrived(now_s + 1.0)
    assert found.until_s(waiting=1, room=7) < now_s


def test_the_wait_ends_when_all_are_back():
    found, now_s = play([ALL_BACK] * 5)
    found.ended(now_s, 2)
    found.arrived(now_s + 0.1)
    assert found.until_s(waiting=2, room=6) > now_s
    found.arrived(now_s + 0.2)
    assert found.until_s(waiting=3, room=5) < now_s


def test_nobody_is_waited_for_who_has_no_room_in_the_batch():
    found, now_s = play([ALL_BACK] * 5)
    found.ended(now_s, 2)
    assert found.until_s(waiting=8, room=0) < now_s


def test_most_of_the_last_rounds_decide_and_older_ones_are_forgotten():
    alone = (2, ())
    found, now_s = play([ALL_BACK] * 100 + [alone] * (ROUNDS // 2 - 1))
    found.ended(now_s, 2)
    assert found.until_s(1, 7) > now_s
    found, now_s = play([ALL_BACK] * 100 + [alone] * (ROUNDS // 2 + 1))
    found.ended(now_s, 2)
    assert found.until_s(1, 7) < now_s


@given(
    st.lists(st.tuples(st.integers(1, 8), st.lists(st.floats(0, 99), max_size=10).map(sorted)), max_size=40),
    st.integers(1, 8),
    st.integers(1, 8),
)
def test_no_wait_is_longer_than_half_of_what_it_saves(rounds, size, waiting):
    found, now_s = play(rounds)
    found.ended(now_s, size)
    until_s = found.until_s(waiting, 8)
    assert until_s == -math.inf or until_s == now_s + FIXED_S / 2


def test_the_queue_waits_for_as_many_as_are_away_and_a_deadline_ends_that():
    queue = BatchQueue(BatchPolicy(8, 8, max_wait_s=None), lambda size: FIXED_S + size)
    for number in range(3):
        queue.ended(10.0 * number, 2)
        queue.put(Ticket("back", 10.0 * number + 0.5))
        queue.put(Ticket("back", 10.0 * number + 1.0))
        assert len(queue.take(10.0 * number + 5.0)[0]) == 2
    queue.ended(30.0, 2)
    queue.put(Ticket("a", 30.5))
    assert queue.take(30.5) == ([], Wait(32.0, 2))
    queue.put(Ticket("b", 30.5, deadline_s=31.5))
    batch, _ = queue.take(30.6)
    assert [ticket.item for ticket in batch] == ["a", "b"]


@pytest.mark.parametrize("model", BATCH_TIMES)
@pytest.mark.parametrize("clients", [1, 2, 8, 24])
def test_a_closed_loop_is_served_as_fast_as_by_the_best_window(model, clients):
    rates = [
        simulate(BATCH_TIMES[model], Closed(clients), window_ms, 1500, 0.03).rate_per_s
        for window_ms in (0, 1, None)
    ]
    assert rates[-1] >= 0.9 * max(rates)


@pytest.mark.parametrize("model", BATCH_TIMES)
@pytest.mark.parametrize("load", [0.1, 0.5, 0.9])
def test_an_open_loop_waits_no_longer_than_without_a_rule(model, load):
    rate_per_s = load * CAP / BATCH_TIMES[model](CAP)
    without, ruled = (
        simulate(BATCH_TIMES[model], Open(rate_per_s, 2001), window_ms, 2000).p99_s for window_ms in (0, None)
    )
    assert ruled <= 1.1 * without


def test_others_beside_a_closed_loop_make_it_no_slower_than_without_a_rule():
    for model, batch_s in BATCH_TIMES.items():
        clients = Both(Closed(8), Open(0.1 * CAP / batch_s(CAP), 2000))
        without, ruled = (
            simulate(batch_s, clients, window_ms, 2000, 0.03).rate_per_s for window_ms in (0, None)
        )
        assert ruled >= 0.95 * without, model
