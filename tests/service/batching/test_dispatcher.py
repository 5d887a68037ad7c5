"""The thread around the queue, with a computation that runs when the test lets it."""

import queue
import time
from contextlib import contextmanager

import pytest
from tickets import Ticket

from tailgate.service.batching.dispatcher import Dispatcher
from tailgate.service.batching.policy import BatchPolicy
from tailgate.service.errors import ModelFailure, QueueFull, Unavailable

PATIENCE_S = 30
HOURS_S = 7200.0


class Scripted:
    """A computation that says what it was given and waits to be told its end: a value, or an error to raise."""

    def __init__(self):
        self.started = queue.Queue()
        self._ends = queue.Queue()

    def __call__(self, items):
        self.started.put(list(items))
        end = self._ends.get(timeout=PATIENCE_S)
        if isinstance(end, BaseException):
            raise end
        return [item.upper() for item in items] if end is None else end

    def end(self, how=None):
        self._ends.put(how)

    def next_batch(self):
        return self.started.get(timeout=PATIENCE_S)


@contextmanager
def batching(max_batch_size=4, queue_capacity=8, max_wait_s=0.0):
    """Run a dispatcher; at the end it must end by itself when it is closed."""
    compute, delivered = Scripted(), queue.Queue()
    dispatcher = Dispatcher(BatchPolicy(max_batch_size, queue_capacity, max_wait_s), compute, delivered.put)
    dispatcher.start()
    yield dispatcher, compute, lambda: delivered.get(timeout=PATIENCE_S)
    dispatcher.close()
    assert dispatcher.join(PATIENCE_S)
    assert delivered.empty()


def tickets(letters, **options):
    return [Ticket(letter, time.perf_counter(), **options) for letter in letters]


def submit(dispatcher, *several):
    for ticket in several:
        dispatcher.submit(ticket)


def test_a_free_executor_takes_a_lone_request_and_then_all_that_came_meanwhile():
    with batching() as (dispatcher, compute, delivered):
        alone, *others = tickets("abcd")
        submit(dispatcher, alone)
        assert compute.next_batch() == ["a"]
        submit(dispatcher, *others)
        assert dispatcher.waiting == 3
        compute.end()
        assert delivered() == [alone]
        assert compute.next_batch() == ["b", "c", "d"]
        compute.end()
        assert delivered() == others
        assert [ticket.outcome for ticket in (alone, *others)] == ["A", "B", "C", "D"]
        assert [ticket.batch_size for ticket in (alone, *others)] == [1, 3, 3, 3]
        assert all(ticket.queued_s <= ticket.bound_s and ticket.computed_s >= 0 for ticket in others)


def test_a_batch_is_never_larger_than_the_cap():
    with batching(max_batch_size=2) as (dispatcher, compute, delivered):
        submit(dispatcher, *tickets("a"))
        compute.next_batch()
        submit(dispatcher, *tickets("bcdef"))
        sizes = []
        for _ in range(3):
            compute.end()
            delivered()
            sizes.append(len(compute.next_batch()))
        compute.end()
        delivered()
        assert sizes == [2, 2, 1]


def test_a_window_ends_when_the_batch_is_full():
    with batching(max_batch_size=2, max_wait_s=HOURS_S) as (dispatcher, compute, delivered):
        submit(dispatcher, *tickets("ab"))
        assert compute.next_batch() == ["a", "b"]
        compute.end()
        delivered()


def test_a_window_ends_when_nobody_else_can_come():
    with batching(max_wait_s=HOURS_S) as (dispatcher, compute, delivered):
        submit(dispatcher, *tickets("a"))
        dispatcher.close()
        assert compute.next_batch() == ["a"]
        compute.end()
        delivered()


@pytest.mark.parametrize("error", [ValueError("no"), MemoryError(), SystemExit(3), KeyboardInterrupt()])
def test_a_computation_that_raises_anything_answers_its_batch_and_the_next_is_computed(error):
    with batching() as (dispatcher, compute, delivered):
        submit(dispatcher, *tickets("a"))
        compute.next_batch()
        compute.end(error)
        (failed,) = delivered()
        assert isinstance(failed.outcome, ModelFailure)
        submit(dispatcher, *tickets("b"))
        compute.next_batch()
        compute.end()
        assert delivered()[0].outcome == "B"


@pytest.mark.parametrize("outcomes", [[], ["A", "B"]])
def test_a_wrong_number_of_results_is_given_to_nobody(outcomes):
    with batching() as (dispatcher, compute, delivered):
        submit(dispatcher, *tickets("a"))
        compute.next_batch()
        compute.end(outcomes)
        assert isinstance(delivered()[0].outcome, ModelFailure)


def test_closing_finishes_what_was_accepted_and_refuses_the_rest():
    with batching() as (dispatcher, compute, delivered):
        first, *waiting = tickets("abc")
        submit(dispatcher, first)
        compute.next_batch()
        submit(dispatcher, *waiting)
        dispatcher.close()
        with pytest.raises(Unavailable):
            submit(dispatcher, *tickets("d"))
        compute.end()
        assert delivered() == [first]
        compute.next_batch()
        compute.end()
        assert delivered() == waiting


def test_a_request_that_is_withdrawn_while_it_waits_is_never_computed():
    with batching() as (dispatcher, compute, delivered):
        first, second, third = tickets("abc")
        submit(dispatcher, first)
        compute.next_batch()
        submit(dispatcher, second, third)
        assert dispatcher.withdraw(second)
        assert not dispatcher.withdraw(first)
        compute.end()
        delivered()
        assert compute.next_batch() == ["c"]
        compute.end()
        assert delivered() == [third]


def test_a_request_that_is_late_when_its_turn_comes_is_neither_computed_nor_delivered():
    with batching() as (dispatcher, compute, delivered):
        submit(dispatcher, *tickets("a"))
        compute.next_batch()
        (late,), (patient,) = (
            tickets("b", deadline_s=0.0),
            tickets("c", deadline_s=time.perf_counter() + HOURS_S),
        )
        submit(dispatcher, late, patient)
        compute.end()
        delivered()
        assert compute.next_batch() == ["c"]
        compute.end()
        assert delivered() == [patient]
        assert late.bound_s is None


def test_a_full_queue_refuses_while_the_executor_is_busy():
    with batching(queue_capacity=2) as (dispatcher, compute, delivered):
        submit(dispatcher, *tickets("a"))
        compute.next_batch()
        submit(dispatcher, *tickets("bc"))
        with pytest.raises(QueueFull):
            submit(dispatcher, *tickets("d"))
        compute.end()
        delivered()
        assert compute.next_batch() == ["b", "c"]
        compute.end()
        delivered()


def test_a_bell_that_rings_just_after_the_time_is_over_wakes_nobody_a_second_time():
    dispatcher = Dispatcher(BatchPolicy(4, 8, max_wait_s=1.0), list, list, clock=lambda: 0.0)
    dispatcher._asleep = True

    class Bell:
        rung = 0

        def release(self):
            self.rung += 1

        def acquire(self, timeout=-1):
            if timeout == -1:
                self.rung -= 1
                return True
            dispatcher._ring()  # between the end of the wait and the lock
            return False

    dispatcher._bell = Bell()
    dispatcher._sleep(until_s=0.5)
    assert (dispatcher._bell.rung, dispatcher._asleep) == (0, False)
