"""Which connection has to end, as a table; and the room that is made for a new one."""

import pytest
from serving import metric_samples

from tailgate.service.errors import Cut
from tailgate.service.http.limits import MAX_LINGERING, Guard, overdue
from tailgate.service.http.state import State
from tailgate.service.metrics import Metrics
from tailgate.service.settings import load_settings

SETTINGS = load_settings({}, header_timeout_s=10, body_timeout_s=30, write_timeout_s=20, keep_alive_s=75)
CUT = "tailgate_connections_cut_total"


@pytest.mark.parametrize(
    ("state", "for_s", "unsent_s", "reason"),
    [
        (State.NEW, 10, None, None),
        (State.NEW, 10.1, None, Cut.IDLE),
        (State.HEAD, 10, None, None),
        (State.HEAD, 10.1, None, Cut.SLOW_HEAD),
        (State.BODY, 30, None, None),
        (State.BODY, 30.1, None, Cut.SLOW_BODY),
        (State.DROPPING, 30.1, None, Cut.SLOW_BODY),
        (State.IN_HAND, 1e6, None, None),
        (State.IN_HAND, 1e6, 20.1, Cut.SLOW_READER),
        (State.IDLE, 75, None, None),
        (State.IDLE, 75.1, None, Cut.IDLE),
        (State.IDLE, 0, 20, None),
        (State.IDLE, 0, 20.1, Cut.SLOW_READER),
        (State.LINGERING, 1e6, None, None),
        (State.LINGERING, 1e6, 20.1, Cut.SLOW_READER),
        (State.CLOSED, 1e6, None, None),
    ],
)
def test_a_connection_ends_when_its_client_takes_longer_than_it_may(state, for_s, unsent_s, reason):
    assert overdue(SETTINGS, state, for_s, unsent_s) is reason


class FakeConnection:
    def __init__(self, since_s, *, idle=True):
        self.since_s, self.idle, self.ended, self.reviewed = since_s, idle, None, []

    def is_idle(self):
        return self.idle and self.ended is None

    def review(self, now_s):
        self.reviewed.append(now_s)

    def cut(self, reason):
        self.ended = reason


class FakeLoop:
    def __init__(self):
        self.now_s, self.timers, self.delays_s = 0.0, [], []

    def time(self):
        return self.now_s

    def call_later(self, delay_s, function, *arguments):
        self.delays_s.append(delay_s)
        self.timers.append(lambda: function(*arguments))
        return object()

    def ring(self):
        self.now_s += 1
        timers, self.timers = self.timers, []
        for timer in timers:
            timer()


@pytest.fixture
def loop():
    return FakeLoop()


def guard(connections=4):
    return Guard(load_settings({}, max_connections=connections), Metrics((), 1, tuple))


def test_the_longest_idle_is_closed_to_make_room_for_a_new_one(loop):
    all_ = guard()
    old = [FakeConnection(since_s) for since_s in (3, 1, 2, 4)]
    assert all(all_.enter(each, loop) for each in old)
    assert all_.enter(FakeConnection(9), loop)
    assert [each.ended for each in old] == [None, Cut.SHED, None, None]
    assert all_.metrics.connections == 4


def test_a_busy_one_is_never_closed_and_where_all_are_busy_the_new_one_is_refused(loop):
    all_ = guard()
    busy = [FakeConnection(since_s, idle=False) for since_s in range(4)]
    assert all(all_.enter(each, loop) for each in busy)
    new = FakeConnection(9)
    assert not all_.enter(new, loop)
    all_.leave(new)
    assert {each.ended for each in busy} == {None}
    all_.leave(busy[0])
    assert all_.enter(new, loop)


def test_how_many_are_open_and_why_others_ended_is_told(loop):
    all_ = guard()
    for since_s in range(3):
        all_.enter(FakeConnection(since_s), loop)
    all_.metrics.cuts[Cut.SLOW_HEAD] += 2
    samples = metric_samples(all_.metrics.render().decode())
    assert samples[("tailgate_connections", ())] == 3
    told = {labels[0][1]: count for (name, labels), count in samples.items() if name == CUT}
    assert told == {reason.value: 2 if reason is Cut.SLOW_HEAD else 0 for reason in Cut}


class CountedConnection(FakeConnection):
    asked = 0

    def is_idle(self):
        CountedConnection.asked += 1
        return super().is_idle()


@pytest.mark.parametrize("idle", [0, 1, 64], ids=["none idle", "one idle", "all idle"])
def test_a_connection_beyond_the_cap_costs_no_look_over_all_others(loop, idle):
    all_ = guard(connections=64)
    for number in range(64):
        assert all_.enter(CountedConnection(number, idle=number < idle), loop)
    all_.enter(CountedConnection(99), loop)
    CountedConnection.asked = 0
    entered = [all_.enter(CountedConnection(99), loop) for _ in range(1000)]
    assert entered == [idle > 0] * 1000
    assert CountedConnection.asked <= 1000


def test_while_the_cap_is_reached_one_that_becomes_idle_makes_room_at_once(loop):
    all_ = guard()
    busy = [FakeConnection(0, idle=False) for _ in range(4)]
    assert all(all_.enter(each, loop) for each in busy)
    assert not all_.enter(FakeConnection(0), loop)
    assert all_.full
    for each in (busy[2], busy[1], busy[2]):
        each.idle = True
        all_.rest(each)
    assert all_.enter(FakeConnection(0, idle=False), loop)
    assert all_.enter(FakeConnection(0, idle=False), loop)
    assert not all_.enter(FakeConnection(0), loop)
    assert [each.ended for each in busy] == [None, Cut.SHED, Cut.SHED, None]


def test_one_that_became_idle_without_a_word_is_found_by_the_next_look(loop):
    all_ = guard()
    slow = FakeConnection(0, idle=False)
    for each in (slow, *(FakeConnection(0, idle=False) for _ in range(3))):
        all_.enter(each, loop)
    assert not all_.enter(FakeConnection(0), loop)
    slow.idle = True
    loop.ring()
    assert all_.enter(FakeConnection(0), loop)
    assert slow.ended is Cut.SHED


def test_below_the_cap_nobody_need_say_that_it_is_idle(loop):
    all_ = guard()
    old = [FakeConnection(number) for number in range(4)]
    assert all(all_.enter(each, loop) for each in [*old, FakeConnection(9)])
    assert all_.full
    all_.leave(old[1])
    loop.ring()
    assert not all_.full


def test_one_timer_looks_at_all_connections_as_long_as_there_are_any(loop):
    all_ = guard()
    first, second = FakeConnection(0), FakeConnection(0)
    all_.enter(first, loop)
    all_.enter(second, loop)
    assert len(loop.timers) == 1
    loop.ring()
    all_.leave(first)
    loop.ring()
    assert (first.reviewed, second.reviewed) == ([1], [1, 2])
    all_.leave(second)
    loop.ring()
    assert loop.timers == []
    all_.enter(first, loop)
    assert len(loop.timers) == 1


def test_many_connections_are_looked_at_in_slices_so_that_requests_are_served_between_them(loop, monkeypatch):
    monkeypatch.setattr("tailgate.service.http.limits.SLICE", 2)
    all_ = guard(connections=9)
    connections = [FakeConnection(0) for _ in range(5)]
    for each in connections:
        all_.enter(each, loop)
    looked = []
    for _ in range(4):
        loop.ring()
        looked.append(sum(len(each.reviewed) for each in connections))
    assert looked == [2, 4, 5, 7]
    assert loop.delays_s == [1.0, 0, 0, 1.0, 0]


def test_a_connection_that_ends_between_two_slices_is_not_looked_at(loop, monkeypatch):
    monkeypatch.setattr("tailgate.service.http.limits.SLICE", 1)
    all_ = guard()
    connections = [FakeConnection(0), FakeConnection(0)]
    for each in connections:
        all_.enter(each, loop)
    loop.ring()
    for each in connections:
        all_.leave(each)
    loop.ring()
    assert sum(len(each.reviewed) for each in connections) == 1
    assert loop.timers == []


def test_one_that_was_not_let_in_takes_no_place_and_is_looked_at_until_it_has_ended(loop):
    all_ = guard(connections=1)
    old, new = FakeConnection(0, idle=False), FakeConnection(0)
    assert all_.enter(old, loop)
    assert not all_.enter(new, loop)
    assert all_.linger(new, loop)
    assert all_.metrics.connections == 1
    all_.leave(old)
    loop.ring()
    assert new.reviewed == [1]
    all_.leave(new)
    loop.ring()
    assert loop.timers == []


def test_one_that_was_let_in_lingers_in_its_own_place(loop):
    all_ = guard(connections=1)
    old = FakeConnection(0)
    assert all_.enter(old, loop)
    assert all_.linger(old, loop)
    assert all_.metrics.connections == 1
    assert all_.enter(FakeConnection(0), loop)
    assert old.ended is Cut.SHED


def test_only_so_many_may_linger(loop):
    all_ = guard(connections=1)
    many = [FakeConnection(0) for _ in range(MAX_LINGERING + 1)]
    assert [all_.linger(each, loop) for each in many] == [True] * MAX_LINGERING + [False]
    all_.leave(many[0])
    assert all_.linger(many[-1], loop)


def test_at_the_end_of_the_drain_time_those_that_are_not_idle_are_ended(loop):
    all_ = guard()
    idle, busy = FakeConnection(0), FakeConnection(0, idle=False)
    all_.enter(idle, loop)
    all_.enter(busy, loop)
    all_.give_up()
    assert (idle.ended, busy.ended) == (None, Cut.DRAIN)
