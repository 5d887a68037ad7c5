"""What an executor is asked before it is trusted: batches of all sizes, and their times, on a clock that only the model moves."""

import numpy as np
import pytest
import tiny_models
from costly import Clock, Costly

from tailgate.service.errors import ConfigurationError
from tailgate.service.execution.executor import BufferedExecutor
from tailgate.service.execution.graph import GraphOutput
from tailgate.service.execution.trials import trial
from tailgate.service.execution.trials.trial import (
    FEWEST_ROUNDS,
    LONGEST_BATCH_S,
    MEASURING_S,
    ROUNDS,
    SETTLED_ROUNDS,
    SETTLED_S,
    measure,
    warm_up,
)
from tailgate.service.settings import LARGEST_CHOSEN_BATCH

ITEMS = [np.full(4, number, np.float32) for number in range(LARGEST_CHOSEN_BATCH)]


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(trial, "time", clock)
    return clock


def executor_of(clock, cost_s):
    module = Costly(clock, cost_s)

    def call(batch):
        return GraphOutput(module(batch), batch[:, :0], batch[:, :0])

    return BufferedExecutor("eager", call, tiny_models.FOUR_FLOATS, LARGEST_CHOSEN_BATCH), module


@pytest.mark.parametrize(
    ("cap", "sizes"),
    [
        (None, [1, 2, 4, 8, 16, 32]),
        (1, [1]),
        (2, [1, 2]),
        (12, [1, 2, 4, 8, 12]),
        (16, [1, 2, 4, 8, 16]),
    ],
)
def test_every_batch_size_up_to_the_cap_and_the_cap_itself_is_run_and_held_against_what_is_expected(
    clock, cap, sizes
):
    executor, module = executor_of(clock, lambda size: size * 1e-3)
    held = []
    found = warm_up(executor, ITEMS, cap, lambda output: held.append(len(output.outputs)))
    assert found == (sizes, "the largest that is tried")
    assert module.sizes == held == sizes


def test_a_batch_that_would_take_long_is_not_tried_unless_the_cap_is_set(clock):
    each_s = LONGEST_BATCH_S / 10
    executor, module = executor_of(clock, lambda size: size * each_s)
    sizes, why = warm_up(executor, ITEMS, None, lambda _: None)
    assert (sizes, max(module.sizes)) == ([1, 2, 4, 8], 8)
    assert why == "a larger batch would take too long to be tried"
    assert warm_up(executor, ITEMS, 16, lambda _: None)[0] == [1, 2, 4, 8, 16]


def test_a_first_run_that_is_slow_for_once_does_not_end_the_trial(clock):
    costs = iter([10.0, *[1e-3] * 10])
    executor, _ = executor_of(clock, lambda _: next(costs))
    assert warm_up(executor, ITEMS, None, lambda _: None)[0] == [1, 2, 4, 8, 16, 32]


@pytest.mark.parametrize("cap", [None, 32])
def test_a_size_that_fails_is_told_with_the_largest_that_works(clock, cap):
    def cost_s(size):
        if size > 16:
            raise AssertionError("Guard failed: input.size()[0] <= 16")
        return 1e-3

    executor, _ = executor_of(clock, cost_s)
    expected = r"a batch of 32 fails, and one of 16 works: set TAILGATE_MAX_BATCH_SIZE=16: .*Guard failed"
    with pytest.raises(ConfigurationError, match=expected):
        warm_up(executor, ITEMS, cap, lambda _: None)


def test_a_batch_that_returns_another_number_of_rows_is_refused():
    executor = BufferedExecutor(
        "eager", lambda batch: GraphOutput(*[batch[:1]] * 3), tiny_models.FOUR_FLOATS, 8
    )
    with pytest.raises(ConfigurationError, match="returned 1 rows for a batch of 2"):
        warm_up(executor, ITEMS, 8, lambda _: None)


# Times.


def test_executors_and_sizes_are_timed_in_turn_so_that_a_slow_minute_falls_on_all(clock):
    order = []

    def costing(name):
        return lambda size: order.append((name, size)) or size * 1e-3

    executors = [(executor_of(clock, costing(name))[0], [1, 2]) for name in ("first", "second")]
    rounds_s = measure(executors, ITEMS, None)
    assert order == [("first", 1), ("first", 2), ("second", 1), ("second", 2)] * ROUNDS
    assert rounds_s == [{1: pytest.approx([1e-3] * ROUNDS), 2: pytest.approx([2e-3] * ROUNDS)}] * 2


SAVING, DEARER = (
    {1: 0.5, 2: 0.5},
    {1: 0.2, 2: 0.8},
)  # shares of a round; a request in a batch of two is twice as dear


@pytest.mark.parametrize(
    ("round_s", "shares", "rounds"),
    [
        (SETTLED_S / 100, SAVING, ROUNDS),
        (SETTLED_S / 3.5, SAVING, 4),
        (SETTLED_S, SAVING, SETTLED_ROUNDS),
        (100, SAVING, SETTLED_ROUNDS),
        (MEASURING_S / 100, DEARER, ROUNDS),
        (MEASURING_S / 5.5, DEARER, 6),
        (MEASURING_S, DEARER, FEWEST_ROUNDS),
        (100, DEARER, FEWEST_ROUNDS),
    ],
)
def test_a_slow_model_is_timed_in_fewer_rounds_and_in_fewest_where_they_agree_on_the_largest_batch(
    clock, round_s, shares, rounds
):
    executor, _ = executor_of(clock, lambda size: round_s * shares[size])
    (seconds,) = measure([(executor, [1, 2])], ITEMS, None)
    assert [len(each) for each in seconds.values()] == [rounds, rounds]


@pytest.mark.parametrize(
    ("times", "rounds"),
    [
        ((1.0, 2.0), SETTLED_ROUNDS),
        ((2.0, 1.0), SETTLED_ROUNDS),
        ((1.0, 1.05), FEWEST_ROUNDS),
        ((1.0,), SETTLED_ROUNDS),
    ],
)
def test_executors_that_are_about_as_fast_as_each_other_are_timed_in_more_rounds(clock, times, rounds):
    executors = [(executor_of(clock, lambda size, of=of: of * SAVING[size])[0], [1, 2]) for of in times]
    for rounds_s in measure(executors, ITEMS, None):
        assert [len(each) for each in rounds_s.values()] == [rounds] * 2


def test_one_executor_whose_largest_batch_is_open_keeps_all_of_them_measured(clock):
    executors = [(executor_of(clock, lambda size, of=of: of[size])[0], [1, 2]) for of in (SAVING, DEARER)]
    for rounds_s in measure(executors, ITEMS, None):
        assert [len(each) for each in rounds_s.values()] == [FEWEST_ROUNDS] * 2


def test_a_set_largest_batch_needs_no_more_rounds_for_it(clock):
    executor, _ = executor_of(clock, lambda size: DEARER[size])
    (seconds,) = measure([(executor, [1, 2])], ITEMS, 2)
    assert [len(each) for each in seconds.values()] == [SETTLED_ROUNDS] * 2
