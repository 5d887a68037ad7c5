"""The rule of batching by a table, and the queue in virtual time over everything that can happen to it."""

import heapq
import itertools
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tickets import Ticket

from tailgate.service.batching.policy import BatchPolicy, BatchQueue, Take, Wait, next_batch
from tailgate.service.batching.returning import LARGEST_SHARE
from tailgate.service.errors import QueueFull, Unavailable

SAVED_S = 6  # by one batch in place of two
AT_ONCE = BatchPolicy(max_batch_size=4, queue_capacity=8)
WINDOW = BatchPolicy(max_batch_size=4, queue_capacity=8, max_wait_s=2.0)


def decide(policy, waiting, oldest_s, now_s, **options):
    held = Wait() if oldest_s is None else Wait(oldest_s + policy.max_wait_s, policy.full)
    return next_batch(policy, waiting, held, now_s, **options)


@pytest.mark.parametrize(
    ("policy", "waiting", "oldest_s", "now_s", "closed", "decision"),
    [
        (AT_ONCE, 0, None, 5.0, False, Wait()),  # nothing waits: only a change matters
        (AT_ONCE, 1, 5.0, 5.0, False, Take(1)),  # a lone request is never delayed
        (AT_ONCE, 3, 1.0, 5.0, False, Take(3)),  # take what waits
        (AT_ONCE, 4, 1.0, 5.0, False, Take(4)),
        (AT_ONCE, 7, 1.0, 5.0, False, Take(4)),  # up to the cap
        (WINDOW, 0, None, 5.0, False, Wait()),
        (WINDOW, 1, 5.0, 5.0, False, Wait(7.0, 4)),
        (WINDOW, 3, 4.0, 5.0, False, Wait(6.0, 4)),  # the window counts from the oldest
        (WINDOW, 3, 3.0, 5.0, False, Take(3)),  # exactly over
        (WINDOW, 1, 1.0, 5.0, False, Take(1)),  # long over: the executor was busy meanwhile
        (WINDOW, 4, 5.0, 5.0, False, Take(4)),  # full: no reason to wait
        (WINDOW, 6, 5.0, 5.0, False, Take(4)),
        (WINDOW, 1, 5.0, 5.0, True, Take(1)),  # nobody else will come
        (WINDOW, 0, None, 5.0, True, Wait()),
    ],
)
def test_who_goes_now(policy, waiting, oldest_s, now_s, closed, decision):
    assert decide(policy, waiting, oldest_s, now_s, closed=closed) == decision


@pytest.mark.parametrize(
    ("deadline_s", "decision"),
    [
        (8.0, Wait(7.0, 4)),  # it can be kept after the window
        (7.0, Take(2)),  # the window would be held open until it is too late
        (5.5, Take(2)),
    ],
)
def test_a_window_is_not_held_open_for_longer_than_somebody_can_wait(deadline_s, decision):
    assert decide(WINDOW, 2, 5.0, 5.0, deadline_s=deadline_s) == decision


@pytest.mark.parametrize(("waiting", "decision"), [(1, Wait(7.0, 2)), (2, Take(2))])
@pytest.mark.parametrize("busy", [False, True])
def test_a_queue_that_takes_nobody_else_is_as_good_as_a_full_batch(waiting, decision, busy):
    policy = BatchPolicy(max_batch_size=4, queue_capacity=2, max_wait_s=2.0)
    expected = Wait() if busy and isinstance(decision, Wait) else decision
    assert decide(policy, waiting, 5.0, 5.0, busy=busy) == expected


@pytest.mark.parametrize(
    ("policy", "waiting", "closed", "decision"),
    [
        (AT_ONCE, 0, False, Wait()),
        (AT_ONCE, 3, False, Wait()),  # others may still join: it is not bound before the executor is free
        (AT_ONCE, 4, False, Take(4)),  # full: nothing to gain by waiting
        (AT_ONCE, 7, False, Take(4)),
        (AT_ONCE, 3, True, Take(3)),  # nobody else will come
        (WINDOW, 3, False, Wait()),  # its window is over, and the executor is busy still
        (WINDOW, 4, False, Take(4)),
    ],
)
def test_who_is_put_together_behind_a_batch_that_runs(policy, waiting, closed, decision):
    oldest_s = 1.0 if waiting else None
    assert decide(policy, waiting, oldest_s, 5.0, closed=closed, busy=True) == decision


def test_the_queue_refuses_one_more_than_its_capacity_and_says_what_to_do():
    queue = BatchQueue(BatchPolicy(max_batch_size=1, queue_capacity=2))
    queue.put(Ticket("a", 0.0))
    queue.put(Ticket("b", 0.0))
    with pytest.raises(QueueFull, match=r"2 requests wait already, and at most 2 may .* try again later"):
        queue.put(Ticket("c", 0.0))


def test_a_closed_queue_refuses_and_still_gives_what_it_holds():
    queue = BatchQueue(WINDOW)
    queue.put(Ticket("a", 0.0))
    queue.close()
    with pytest.raises(Unavailable, match="stopping"):
        queue.put(Ticket("b", 0.0))
    tickets, _ = queue.take(0.0)
    assert [ticket.item for ticket in tickets] == ["a"]


def test_a_deadline_inside_the_window_ends_it_for_all_who_wait():
    queue = BatchQueue(WINDOW)
    patient, hurried = Ticket("a", 0.0), Ticket("b", 0.5, deadline_s=1.5)
    queue.put(patient)
    assert queue.take(0.0) == ([], Wait(2.0, 4))
    queue.put(hurried)
    assert queue.take(0.5) == ([patient, hurried], None)


def test_a_deadline_that_has_gone_with_its_request_ends_no_window():
    queue = BatchQueue(WINDOW)
    queue.put(gone := Ticket("a", 0.0, deadline_s=0.5))
    queue.put(Ticket("b", 0.0))
    queue.withdraw(gone)
    assert queue.take(0.0) == ([], Wait(2.0, 4))


def test_a_request_whose_deadline_has_passed_is_never_bound():
    queue = BatchQueue(AT_ONCE)
    queue.put(late := Ticket("a", 0.0, deadline_s=0.5))
    assert queue.take(0.5) == ([], Wait())
    queue.put(late_too := Ticket("b", 0.0, deadline_s=0.25))
    queue.put(patient := Ticket("c", 0.0, deadline_s=0.75))
    assert queue.take(0.5) == ([patient], None)
    assert [each.bound_s for each in (late, late_too, patient)] == [None, None, 0.5]
    assert not queue.withdraw(late)


def test_a_ticket_that_is_withdrawn_twice_or_bound_already_is_not_there():
    queue = BatchQueue(AT_ONCE)
    first, second = Ticket("a", 0.0), Ticket("b", 0.0)
    queue.put(first)
    queue.put(second)
    assert queue.withdraw(first)
    assert not queue.withdraw(first)
    assert queue.take(0.0) == ([second], None)
    assert not queue.withdraw(second)


# From here on: the queue under an executor in virtual time. Times are whole numbers, so that nothing is rounded.


@dataclass
class Request:
    arrives_s: int
    deadline_after_s: int | None
    gives_up_after_s: int | None


@dataclass
class World:
    """An executor that is free or busy until a known time, and a record of what it saw."""

    policy: BatchPolicy
    durations: itertools.cycle
    queue: BatchQueue = field(init=False)
    busy: bool = False
    freed_s: int = 0
    agenda: list = field(default_factory=list)
    order: itertools.count = field(default_factory=itertools.count)
    accepted: list = field(default_factory=list)
    refused: list = field(default_factory=list)
    ends: list = field(default_factory=list)  # (ticket, how)
    batches: list = field(default_factory=list)  # (start, freed before, tickets)

    def __post_init__(self):
        self.queue = BatchQueue(self.policy, lambda size: SAVED_S + size)

    def at(self, time_s, action, *arguments):
        heapq.heappush(self.agenda, (time_s, next(self.order), action, arguments))

    def run(self):
        while self.agenda:
            now_s, _, action, arguments = heapq.heappop(self.agenda)
            action(now_s, *arguments)
            if not self.busy:
                self.look(now_s)
            self.check(now_s)

    def look(self, now_s):
        batch, wait = self.queue.take(now_s)
        if batch:
            assert wait is None
            self.batches.append((now_s, self.freed_s, batch))
            self.busy = True
            self.at(now_s + next(self.durations), self.done, batch)
        elif wait.until_s is not None:
            assert wait.until_s > now_s
            self.at(wait.until_s, self.nothing)

    def check(self, now_s):
        waiting = len(self.queue)
        assert waiting <= self.policy.queue_capacity
        if waiting and not self.busy:  # only a window that is open keeps a free executor from working
            assert not self.queue.closed
            assert waiting < min(self.policy.max_batch_size, self.policy.queue_capacity)
            end_s = self.latest_start_s(self.waiting()[0].queued_s)
            assert end_s > now_s
            assert all(ticket.deadline_s is None or ticket.deadline_s > end_s for ticket in self.waiting())

    def latest_start_s(self, queued_s):
        """Return until when a free executor may wait for others."""
        if self.policy.max_wait_s is not None:
            return queued_s + self.policy.max_wait_s
        return self.freed_s + LARGEST_SHARE * SAVED_S

    def waiting(self):
        return [ticket for ticket in self.accepted if ticket.waiting]

    def nothing(self, now_s):
        pass

    def arrive(self, now_s, request):
        deadline_s = None if request.deadline_after_s is None else now_s + request.deadline_after_s
        ticket = Ticket(request, now_s, deadline_s)
        try:
            self.queue.put(ticket)
        except QueueFull:
            assert len(self.queue) == self.policy.queue_capacity
            self.refused.append(ticket)
        except Unavailable:
            assert self.queue.closed
            self.refused.append(ticket)
        else:
            assert not self.queue.closed
            self.accepted.append(ticket)
            if deadline_s is not None:
                self.at(deadline_s, self.expire, ticket)
            if request.gives_up_after_s is not None:
                self.at(now_s + request.gives_up_after_s, self.give_up, ticket)

    def give_up(self, now_s, ticket):
        if self.queue.withdraw(ticket):
            self.ends.append((ticket, "withdrawn"))

    def expire(self, now_s, ticket):
        """Do what the timer of a request does."""
        self.queue.withdraw(ticket)
        if ticket.bound_s is None and ticket not in [ended for ended, _ in self.ends]:
            self.ends.append((ticket, "expired"))

    def done(self, now_s, batch):
        self.busy, self.freed_s = False, now_s
        self.queue.ended(now_s, len(batch))
        self.ends += [(ticket, "computed") for ticket in batch]

    def close(self, now_s):
        self.queue.close()


def requests():
    maybe = st.none() | st.integers(0, 12)
    return st.lists(st.builds(Request, st.integers(0, 20), maybe, maybe), max_size=25)


@settings(max_examples=400, deadline=None)
@given(
    policy=st.builds(
        BatchPolicy,
        max_batch_size=st.integers(1, 5),
        queue_capacity=st.integers(1, 8),
        max_wait_s=st.sampled_from([0, None, 1, 4]),
    ),
    wanted=requests(),
    durations=st.lists(st.integers(0, 6), min_size=1, max_size=5),
    close_s=st.integers(0, 40),
)
def test_every_accepted_request_ends_exactly_once_in_order_and_the_executor_never_idles(
    policy, wanted, durations, close_s
):
    world = World(policy, itertools.cycle(durations))
    for request in wanted:
        world.at(request.arrives_s, world.arrive, request)
    world.at(close_s, world.close)
    world.run()

    assert len(world.queue) == 0
    assert len(world.accepted) + len(world.refused) == len(wanted)
    assert sorted(map(id, world.accepted)) == sorted(id(ticket) for ticket, _ in world.ends)
    computed = [ticket for _, _, batch in world.batches for ticket in batch]
    assert computed == [ticket for ticket in world.accepted if ticket in computed]
    for start_s, freed_s, batch in world.batches:
        assert len(batch) <= policy.max_batch_size
        assert {ticket.batch_size for ticket in batch} == {len(batch)}
        assert {ticket.bound_s for ticket in batch} == {start_s}
        assert all(ticket.deadline_s is None or ticket.deadline_s > start_s for ticket in batch)
        longest_s = LARGEST_SHARE * SAVED_S
        ends_s = freed_s + longest_s if policy.max_wait_s is None else batch[0].queued_s + policy.max_wait_s
        assert start_s <= max(ends_s, batch[0].queued_s, freed_s)
