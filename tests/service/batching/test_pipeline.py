"""Two batches under way: the dispatcher's second loop in virtual time, over a device that the test lets finish."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs
from test_dispatcher_turns import EVENTS, LONGEST_WAIT_S, PATIENCE_S, World, events, policies
from tickets import Ticket

from tailgate.service.batching.forecast import Running
from tailgate.service.batching.policy import BatchPolicy
from tailgate.service.errors import ModelFailure
from tailgate.service.execution.graph import GraphOutput
from tailgate.service.execution.isolate import Inference


class Device(World):
    """Begins batches at once and ends them, in order, when the test says so; items in ``poison`` fail on it."""

    def __init__(self, policy, poison_begin=(), poison_finish=(), expected_s=0.0):
        self.under_way, self.behind, self.refused = [], [], []
        self._poison_begin, self._poison_finish = set(poison_begin), set(poison_finish)
        self.expected_s, self.expected_end_s = expected_s, {}
        super().__init__(policy, begin=self._begin, expected_s=lambda _: expected_s)

    def _begin(self, items):
        if self.under_way:
            end_s = self.dispatcher.running.start_s + self.expected_s
            self.expected_end_s |= dict.fromkeys(items, max(self.now_s, end_s))
        if self._poison_begin & set(items):
            self.refused.append(list(items))
            raise RuntimeError("refused")
        if self.under_way:
            self.behind.append((len(items), self.closed))
        self.under_way.append(list(items))
        assert len(self.under_way) <= 2
        return lambda: self._finish(list(items))

    def hurried(self):
        """Tell whether somebody in the next batch may not be able to wait for the one that runs."""
        end_s = max(self.now_s, self.dispatcher.running.start_s + self.expected_s)
        following = list(self.dispatcher._queue._waiting)[: self.policy.max_batch_size]
        return any(ticket.deadline_s is not None and ticket.deadline_s <= end_s for ticket in following)

    def _finish(self, items):
        assert self.under_way[0] == items, "out of order"
        # Nothing that could stand behind this batch waits elsewhere.
        assert (
            len(self.under_way) == 2
            or self.dispatcher.waiting < self.policy.full
            or self._poison_begin
            or self.hurried()
        )
        try:
            answers = self._compute(items)
            if self._poison_finish & set(items):
                raise RuntimeError("failed")
            return answers
        finally:
            self.under_way.pop(0)


def drain(world):
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


numbers = st.sets(st.integers(0, 30), max_size=4)


@settings(max_examples=1000, deadline=None)
@given(policies, events, numbers, numbers, st.sampled_from([0.0, 1.0, 3.0]))
def test_every_accepted_request_ends_once_and_in_order_whatever_happens_to_either_batch(
    policy, happening, poison_begin, poison_finish, expected_s
):
    with capture_logs():
        world = Device(policy, poison_begin, poison_finish, expected_s)
        for what, number in happening:
            EVENTS[what](world, number)
            # An idle device leaves nobody waiting but for a time that will end.
            rung = not world.deferred
            assert not (rung and world.waits and world.dispatcher.waiting and policy.max_wait_s == 0.0)
            assert not (rung and world.waits and world.dispatcher.waiting and world.until_s is None)
        drain(world)

    assert len(world.delivered) == len(set(map(id, world.delivered)))
    assert {*map(id, world.delivered)} == {*map(id, world.accepted)} - {
        *map(id, world.withdrawn + world.expired)
    }
    computed = [item for batch in world.batches for item in batch]
    assert computed == sorted(computed)
    batches = world.batches + world.refused
    bound = [item for batch in batches for item in batch]
    assert len(bound) == len(set(bound))
    assert all(len(batch) <= policy.max_batch_size for batch in batches)
    # Bound behind another only where it had nothing to gain by waiting.
    assert all(size == policy.full or closed for size, closed in world.behind)
    for ticket in world.delivered:
        if isinstance(ticket.outcome, ModelFailure):
            (batch,) = [batch for batch in batches if ticket.item in batch]
            assert (poison_begin | poison_finish) & set(batch)
        else:
            assert ticket.outcome == ticket.item * 2
    assert not {ticket.item for ticket in world.expired} & set(bound)
    # Nothing is computed whose deadline has passed when it begins, unless the batch before it took longer than expected.
    for ticket in world.delivered:
        if ticket.bound_s is not None and ticket.deadline_s is not None:
            expected_end_s = world.expected_end_s.get(ticket.item, ticket.bound_s)
            assert ticket.deadline_s > expected_end_s
    # Each batch's time is its own: the executor is never counted twice.
    ended = [ticket for ticket in world.delivered if ticket.bound_s is not None]
    times = sorted({(ticket.bound_s, ticket.bound_s + ticket.computed_s) for ticket in ended})
    assert all(later[0] >= earlier[1] for earlier, later in itertools.pairwise(times))
    assert world.dispatcher.running is None


def test_a_full_batch_is_begun_behind_one_that_runs_and_a_smaller_one_waits_for_its_end():
    world = Device(BatchPolicy(2, 8))
    submit(world, 2)
    world.loop_turn()
    assert world.under_way == [[0, 1]]
    submit(world, 3)
    world.finish()
    assert world.under_way == [[2, 3]]
    world.now_s += 4
    submit(world, 1)
    world.finish()
    assert world.under_way == [[4, 5]]
    submit(world, 4)
    world.finish()
    assert world.under_way == [[6, 7], [8, 9]]
    assert world.dispatcher.running == Running(2, 4.0, behind=2)
    submit(world, 1)
    world.now_s += 3
    world.finish()
    assert world.under_way == [[8, 9]]  # one more waits, which others may still join
    assert world.dispatcher.running == Running(2, 7.0)
    assert [ticket.computed_s for ticket in world.accepted[6:8]] == [3.0, 3.0]
    assert [ticket.bound_s for ticket in world.accepted[8:10]] == [7.0, 7.0]
    drain(world)
    assert [ticket.outcome for ticket in world.delivered] == [2 * number for number in range(11)]


@pytest.mark.parametrize(("deadline_s", "computed"), [(3.0, False), (3.5, True)])
def test_a_batch_is_not_begun_behind_one_that_is_expected_to_outlast_a_deadline_in_it(deadline_s, computed):
    world = Device(BatchPolicy(2, 8), expected_s=3.0)
    submit(world, 2)
    world.loop_turn()
    submit(world, 3)
    hurried = Ticket(5, world.now_s, deadline_s)
    world.accepted.append(hurried)
    world.dispatcher.submit(hurried)
    world.finish()
    assert world.under_way == ([[2, 3], [4, 5]] if computed else [[2, 3]])
    world.now_s += 3  # as long as expected
    world.finish()
    assert world.under_way[:1] == ([[4, 5]] if computed else [[4]])
    drain(world)
    assert (hurried in world.expired) is not computed


def submit(world, count):
    for _ in range(count):
        number = len(world.accepted)
        ticket = Ticket(number, world.now_s)
        world.accepted.append(ticket)
        world.dispatcher.submit(ticket)


# Inference: what fails on the way through a device is run again as any other batch.


class Squares:
    """Squares, begun and finished apart; may fail at either end, or for a batch with a negative item, or by its size."""

    def __init__(self, fails_at=None, room=99):
        self.begun, self.runs = 0, []
        self._fails_at, self._room = fails_at, room

    name = "squares"

    pipelined = True

    def plan(self, measured_s):
        """Nothing to plan."""

    def run(self, items):
        self.runs.append(len(items))
        if len(items) > self._room:
            raise torch.OutOfMemoryError("too many")
        batch = torch.tensor(np.stack(items))
        if bool((batch < 0).any()):
            raise RuntimeError("negative")
        return GraphOutput(batch**2, torch.zeros(len(items), 0), torch.zeros(len(items), 0).long())

    def begin(self, items):
        self.begun += 1
        if self._fails_at == "begin":
            raise RuntimeError("refused")
        executor = self

        def finish():
            if executor._fails_at == "finish":
                raise SystemExit(3)
            output = executor.run(items)
            executor.runs.pop()
            rows = 1 if executor._fails_at == "rows" else len(items)
            return GraphOutput(*(part[:rows] for part in output))

        return finish


def answers(results):
    return [None if isinstance(result, ModelFailure) else float(result.outputs[0]) for result in results]


@settings(deadline=None)
@given(
    st.lists(st.lists(st.sampled_from([-1.0, 1.0, 2.0]), min_size=1, max_size=9), min_size=1, max_size=4),
    st.sampled_from([None, "begin", "finish", "rows"]),
    st.integers(1, 9),
)
def test_each_item_gets_its_own_answer_wherever_its_batch_fails(batches, fails_at, room):
    inference = Inference(Squares(fails_at, room))
    assert inference.pipelined
    for batch in batches:
        finish = inference.begin([np.array([number], np.float32) for number in batch])
        assert answers(finish()) == [None if number < 0 else number**2 for number in batch]


def test_a_batch_that_goes_well_is_run_once():
    executor = Squares()
    inference = Inference(executor)
    assert answers(inference.begin([np.array([3.0], np.float32)])()) == [9]
    assert (executor.begun, executor.runs, inference.failed_runs) == (1, [], 0)


@pytest.mark.parametrize("fails_at", ["begin", "finish", "rows"])
def test_a_batch_that_fails_on_its_way_is_counted_and_said_though_it_is_answered_in_the_end(fails_at):
    inference = Inference(Squares(fails_at))
    with capture_logs() as log:
        assert answers(inference.begin([np.array([3.0], np.float32)] * 2)()) == [9, 9]
    assert inference.failed_runs == 1
    assert [entry["event"] for entry in log] == ["a batch failed and is run again"]


def test_after_too_little_memory_larger_batches_are_run_in_parts_and_nothing_is_begun_for_them():
    executor = Squares(room=2)
    inference = Inference(executor, clock=lambda: 0.0)
    four, two = ([np.array([1.0], np.float32)] * size for size in (4, 2))
    assert answers(inference.begin(four)()) == [1] * 4
    assert (executor.begun, inference.out_of_memory) == (1, 1)
    assert answers(inference.begin(four)()) == [1] * 4
    assert executor.begun == 1
    inference.begin(two)()
    assert executor.begun == 2
