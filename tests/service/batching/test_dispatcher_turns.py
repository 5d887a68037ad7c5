"""The dispatcher's thread and the event loop taking turns in virtual time: any order of events, and nothing is lost.

The thread runs only when the test lets it, up to the point where it waits or computes; these are the points at which the
other side can do anything. Time passes when the test says so.
"""

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tickets import Ticket

from tailgate.service.batching.dispatcher import Dispatcher
from tailgate.service.batching.policy import BatchPolicy
from tailgate.service.errors import QueueFull, Unavailable

PATIENCE_S = 30


class Turns:
    """Hands the turn between two threads: exactly one of them runs."""

    def __init__(self):
        self._mine, self._theirs = threading.Semaphore(0), threading.Semaphore(0)

    def give(self):
        """Let the dispatcher run until it gives the turn back."""
        self._theirs.release()
        assert self._mine.acquire(timeout=PATIENCE_S)

    def take(self):
        """Wait for the turn; in the dispatcher's thread."""
        assert self._theirs.acquire(timeout=PATIENCE_S)

    def give_back(self):
        self._mine.release()


class World:
    """A dispatcher, a clock that stands still, and an event loop whose deferred calls the test runs."""

    def __init__(self, policy, **options):
        self.policy, self.now_s, self.closed = policy, 0.0, False
        self.accepted, self.withdrawn, self.expired = [], [], []
        self.turns = Turns()
        self.notified, self.until_s, self.waits = False, None, False
        self.computing, self.deferred, self.batches, self.delivered = None, [], [], []
        self.dispatcher = Dispatcher(
            policy, self._compute, self.delivered.extend, lambda: self.now_s, self.deferred.append, **options
        )
        self.dispatcher._bell = self
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        self.turns.give()

    def _run(self):
        self.turns.take()
        self.dispatcher._thread._target()
        self.turns.give_back()

    # What the dispatcher takes for its bell.

    def release(self):
        assert not self.notified, "rung twice for one sleep"
        self.notified = True

    def acquire(self, timeout=-1):
        """Sleep until it has rung, which is not undone, or until a time; a bell that has rung does not sleep."""
        if not self.notified:
            self.until_s = None if timeout == -1 else self.now_s + timeout
            self.waits = True
            self.turns.give_back()
            self.turns.take()
            self.waits = False
        rung, self.notified = self.notified, False
        return rung

    def _compute(self, items):
        self.computing = list(items)
        self.batches.append(self.computing)
        self.turns.give_back()
        self.turns.take()
        self.computing = None
        return [item * 2 for item in items]

    # What the test does.

    def settle(self):
        """Let the thread go on where it has been woken."""
        while self.waits and (self.notified or (self.until_s is not None and self.now_s >= self.until_s)):
            self.turns.give()

    def loop_turn(self):
        """Let the event loop run what was put off."""
        deferred, self.deferred[:] = tuple(self.deferred), []
        for each in deferred:
            each()
        self.settle()

    def submit(self, deadline_s=None):
        """Send one more request, which may be refused."""
        ticket = Ticket(len(self.accepted), self.now_s, deadline_s)
        try:
            self.dispatcher.submit(ticket)
            self.accepted.append(ticket)
        except QueueFull:
            assert self.dispatcher.waiting == self.policy.queue_capacity
        except Unavailable:
            assert self.closed

    def expire(self):
        """Let the timers of late requests ring, which end those that no batch has."""
        for ticket in self.accepted:
            if ticket.deadline_s is None or ticket.deadline_s > self.now_s:
                continue
            self.dispatcher.withdraw(ticket)
            if ticket.bound_s is None and ticket not in self.expired + self.withdrawn:
                self.expired.append(ticket)

    def withdraw(self, number):
        """Take back one of the requests so far, if it still waits."""
        if self.accepted and self.dispatcher.withdraw(ticket := self.accepted[number % len(self.accepted)]):
            self.withdrawn.append(ticket)

    def passes(self, seconds):
        """Let time pass."""
        self.now_s += seconds
        self.settle()

    def close(self):
        self.closed = True
        self.dispatcher.close()
        self.settle()

    def finish(self):
        """Let the batch that runs end."""
        if self.computing is not None:
            self.turns.give()
            self.settle()


EVENTS = {
    "submit": lambda world, _: world.submit(),
    "late": lambda world, number: world.submit(world.now_s + number),
    "expire": lambda world, _: world.expire(),
    "withdraw": lambda world, number: world.withdraw(number),
    "turn": lambda world, _: world.loop_turn(),
    "finish": lambda world, _: world.finish(),
    "pass": lambda world, number: world.passes(number),
    "close": lambda world, _: world.close(),
}
policies = st.builds(
    BatchPolicy, st.integers(1, 5), st.integers(1, 8), max_wait_s=st.sampled_from([0.0, None, 1.0, 5.0])
)
LONGEST_WAIT_S = 5.0
events = st.lists(
    st.tuples(
        st.sampled_from(
            ["submit", "submit", "submit", "late", "expire", "withdraw", "turn", "finish", "pass", "close"]
        ),
        st.integers(0, 5),
    ),
    max_size=40,
)


@settings(max_examples=1000, deadline=None)
@given(policies, events)
def test_every_accepted_request_ends_exactly_once_whatever_takes_its_turn_when(policy, happening):
    world = World(policy, expected_s=lambda size: 6.0 + size)
    for what, number in happening:
        EVENTS[what](world, number)
        # Work-conserving: once the bell has rung, a free executor leaves nobody waiting but for a time that will end.
        rung = not world.deferred
        assert not (rung and world.waits and world.dispatcher.waiting and policy.max_wait_s == 0.0)
        assert not (rung and world.waits and world.dispatcher.waiting and world.until_s is None)
    world.loop_turn()
    world.passes(LONGEST_WAIT_S)
    while world.computing is not None:
        world.finish()
        world.passes(LONGEST_WAIT_S)
    assert world.dispatcher.waiting == 0
    world.close()
    world.thread.join(PATIENCE_S)
    assert not world.thread.is_alive()
    world.expire()

    assert len(world.delivered) == len(set(map(id, world.delivered)))
    assert {*map(id, world.delivered)} == {*map(id, world.accepted)} - {
        *map(id, world.withdrawn + world.expired)
    }
    computed = [item for batch in world.batches for item in batch]
    assert computed == sorted(set(computed))
    assert all(len(batch) <= policy.max_batch_size for batch in world.batches)
    for ticket in world.delivered:
        assert ticket.outcome == ticket.item * 2
        assert ticket.deadline_s is None or ticket.deadline_s > ticket.bound_s
    assert not {ticket.item for ticket in world.expired} & set(computed)


def test_requests_of_one_turn_of_the_loop_go_as_one_batch_and_wake_the_thread_once():
    world = World(BatchPolicy(8, 8))
    for number in range(3):
        world.dispatcher.submit(Ticket(number, world.now_s))
    assert (len(world.deferred), world.batches) == (1, [])
    world.loop_turn()
    assert world.batches == [[0, 1, 2]]
    world.dispatcher.submit(Ticket(3, world.now_s))
    assert world.deferred == []  # nobody sleeps
    world.finish()  # the executor that becomes free needs no bell
    assert world.batches[1:] == [[3]]
    world.finish()
    world.loop_turn()
    assert len(world.delivered) == 4
    world.close()


@pytest.mark.parametrize("accepted", [0, 1])
def test_a_request_that_is_refused_rings_for_nobody(accepted):
    world = World(BatchPolicy(8, 1))
    for number in range(accepted):
        world.dispatcher.submit(Ticket(number, world.now_s))
    world.deferred.clear()
    world.dispatcher._rung = False
    if not accepted:
        world.dispatcher.close()
    with pytest.raises((QueueFull, Unavailable)):
        world.dispatcher.submit(Ticket(9, world.now_s))
    assert world.deferred == []
    world.close()
    world.finish()
