"""A batch that fails: who gets which answer, and how many runs that takes."""

import math
import weakref

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from serving import running
from structlog.testing import capture_logs

from tailgate.service.errors import DeviceLost, ModelFailure
from tailgate.service.execution.graph import GraphOutput
from tailgate.service.execution.isolate import Inference
from tailgate.service.models.items import non_finite_rows

POISON = -1.0


class Squares:
    """An executor that squares each item and fails on a batch with a negative one."""

    pipelined = False

    def __init__(self):
        self.runs = []

    def run(self, items):
        self.runs.append(len(items))
        batch = torch.tensor(np.stack(items))
        if bool((batch < 0).any()):
            raise RuntimeError("negative")
        return GraphOutput(batch**2, batch.softmax(-1), torch.zeros_like(batch).long())


def items(numbers):
    return [np.array([number], np.float32) for number in numbers]


def answers(results):
    return [
        type(result) if isinstance(result, ModelFailure) else float(result.outputs[0]) for result in results
    ]


@pytest.mark.parametrize(
    "numbers",
    [
        [3],
        [POISON],
        [1, 2, 3, 4, 5],
        [POISON, 2, 3, 4],
        [1, 2, 3, 4, 5, 6, POISON],
        [1, POISON, 3, POISON, 5],
        [POISON] * 6,
    ],
)
def test_only_the_items_that_make_the_model_fail_get_the_error(numbers):
    expected = [ModelFailure if number == POISON else number**2 for number in numbers]
    assert answers(Inference(Squares()).run(items(numbers))) == expected


@settings(deadline=None)
@given(st.lists(st.sampled_from([POISON, 1.0, 2.0, 3.0]), min_size=1, max_size=40))
def test_the_number_of_runs_is_bounded_by_the_number_of_bad_items(numbers):
    executor = Squares()
    results = Inference(executor).run(items(numbers))
    assert answers(results) == [ModelFailure if number == POISON else number**2 for number in numbers]
    bad = numbers.count(POISON)
    assert len(executor.runs) <= 1 + bad * 2 * math.ceil(math.log2(len(numbers)))
    assert len(executor.runs) <= 2 * len(numbers) - 1


def test_a_batch_that_does_not_fail_is_run_once():
    executor = Squares()
    Inference(executor).run(items(range(8)))
    assert executor.runs == [8]


def test_a_model_with_fewer_rows_than_items_answers_nobody_with_anothers_result():
    class Forgetful(Squares):
        def run(self, items):
            return GraphOutput(*(part[:3] for part in super().run(items)))

    executor = Forgetful()
    assert answers(Inference(executor).run(items([1, 2, 3, 4, 5]))) == [1, 4, 9, 16, 25]


def test_a_result_holds_the_labels_beside_the_outputs():
    (result,) = Inference(Squares()).run(items([2]))
    assert (result.outputs.tolist(), result.probabilities, result.classes) == ([4.0], [1.0], [0])


# Memory that is too small.


class Small(Squares):
    """The same on a device whose memory holds a few items."""

    def __init__(self, room):
        super().__init__()
        self.room = room

    def run(self, items):
        if len(items) > self.room:
            self.runs.append(-len(items))
            raise torch.cuda.OutOfMemoryError("tried to allocate more than there is")
        return super().run(items)


class Clock:
    now_s = 0.0

    def __call__(self):
        return self.now_s


def inference_of(executor, **options):
    freed, clock = [], Clock()
    return Inference(executor, free_memory=lambda: freed.append(1), clock=clock, **options), freed, clock


@pytest.mark.parametrize(
    ("room", "runs"),
    [
        (8, [8]),
        (4, [-8, 4, 4]),
        (3, [-8, -4, 2, 2, 2, 2]),
        (1, [-8, -4, -2, 1, 1, 1, 1, 1, 1, 1, 1]),
    ],
)
def test_a_batch_that_does_not_fit_is_run_in_halves_and_fails_once_a_size(room, runs):
    executor = Small(room)
    inference, freed, _ = inference_of(executor)
    assert answers(inference.run(items(range(8)))) == [number**2 for number in range(8)]
    assert executor.runs == runs
    assert inference.out_of_memory == len(freed) == len([run for run in runs if run < 0])


def test_batches_stay_halved_for_a_minute_and_then_double_until_they_fit_as_they_come():
    executor = Small(4)
    inference, _, clock = inference_of(executor)
    inference.run(items(range(16)))
    executor.runs.clear()
    executor.room = 16  # whoever had the memory has gone
    for now_s, runs in ((59.9, [4, 4, 4, 4]), (60.0, [8, 8]), (120.0, [16]), (1e6, [16])):
        clock.now_s = now_s
        inference.run(items(range(16)))
        assert executor.runs == runs
        executor.runs.clear()


def test_a_larger_batch_that_is_tried_again_too_early_costs_one_run_and_halves_it_for_another_minute():
    executor = Small(4)
    inference, _, clock = inference_of(executor)
    inference.run(items(range(8)))
    clock.now_s = 60.0
    executor.runs.clear()
    assert len(inference.run(items(range(8)))) == 8
    assert executor.runs == [-8, 4, 4]
    clock.now_s = 119.0
    executor.runs.clear()
    inference.run(items(range(8)))
    assert executor.runs == [4, 4]


def test_an_item_that_does_not_fit_even_alone_is_told_so_after_one_run_and_the_next_batch_is_served():
    executor = Small(0)
    inference, _, _ = inference_of(executor)
    (failed,) = inference.run(items([3]))
    assert str(failed) == "this input does not fit into the device's memory"
    assert executor.runs == [-1]
    executor.room = 2
    assert answers(inference.run(items([3, 4]))) == [9, 16]


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([POISON, 1.0, 2.0]), min_size=1, max_size=20),
    st.lists(st.integers(1, 20), min_size=1, max_size=3),
)
def test_whatever_fits_and_whatever_fails_each_item_gets_its_own_answer(numbers, rooms):
    executor = Small(0)
    inference, _, clock = inference_of(executor)
    for room in rooms:
        executor.room = room
        clock.now_s += 45
        expected = [ModelFailure if number == POISON else number**2 for number in numbers]
        assert answers(inference.run(items(numbers))) == expected


def test_what_the_failed_batch_held_is_given_up_before_memory_is_freed():
    """An exception keeps its frames and their tensors alive for as long as it is handled."""

    class Holding(Small):
        def run(self, items):
            ballast = Ballast()
            held.append(weakref.ref(ballast))
            return super().run(items)

    held, alive = [], []
    inference = Inference(Holding(1), free_memory=lambda: alive.append([ref() is not None for ref in held]))
    inference.run(items([1, 2]))
    assert alive == [[False]]


class Ballast:
    """Something that can be watched."""


# A device that fails for good.


class Asserting(Squares):
    """Fails on a negative item as CUDA does on an assertion in a kernel; ``sticky``: and on everything after it."""

    name = "asserting"

    def __init__(self, *, sticky, pipelined=False):
        super().__init__()
        self.pipelined = pipelined
        self.sticky, self.failed = sticky, False

    def plan(self, measured_s):
        """Nothing to plan."""

    def run(self, items):
        self.check()
        try:
            return super().run(items)
        except RuntimeError:
            self.failed = self.sticky
            raise torch.AcceleratorError("CUDA error: device-side assert triggered\nand advice") from None

    def begin(self, items):
        return lambda: self.run(items)

    def check(self):
        if self.failed:
            raise torch.AcceleratorError("CUDA error: device-side assert triggered\nand advice")


@pytest.mark.parametrize("pipelined", [False, True])
def test_a_device_that_has_failed_is_told_once_and_asked_for_nothing_more(pipelined):
    executor = Asserting(sticky=True, pipelined=pipelined)
    inference = Inference(executor, check_device=executor.check)

    def run(numbers):
        return inference.begin(items(numbers))() if pipelined else inference.run(items(numbers))

    with capture_logs() as log:
        assert answers(run([1, 2])) == [1, 4]
        assert inference.broken is None
        for numbers in ([1, POISON, 3, 4], [5], [6, 7]):
            assert answers(run(numbers)) == [DeviceLost] * len(numbers)
    assert executor.runs == [2, 4]  # nothing is halved
    assert inference.broken.startswith(
        "the device has failed (CUDA error: device-side assert triggered), and"
    )
    assert [entry["event"] for entry in log if entry["log_level"] == "error"] == ["not live"]


def test_a_device_that_works_on_after_an_error_has_its_batch_halved_as_any():
    executor = Asserting(sticky=False)
    inference = Inference(executor, check_device=executor.check)
    assert answers(inference.run(items([1, POISON]))) == [1, ModelFailure]
    assert inference.broken is None


@pytest.mark.asyncio
async def test_a_service_whose_device_has_failed_is_neither_live_nor_ready():
    async with running() as server:
        executor = Asserting(sticky=True)
        server.service.pipeline.engine.inference._executor = executor
        server.service.pipeline.engine.inference._check_device = executor.check
        answered = await server.predict([POISON, 2, 3, 4])
        live, ready = [await server.client.get(f"/health/{name}") for name in ("live", "ready")]
        refused = await server.predict([1, 2, 3, 4])
    statuses = [each.status_code for each in (answered, live, ready, refused)]
    assert statuses == [503, 503, 503, 503]
    assert "the device has failed" in live.json()["reason"]


# Outputs that are no numbers.

BAD = [math.nan, math.inf, -math.inf]


class Roots(Squares):
    """Answers with what it was given, as it is."""

    def run(self, items):
        self.runs.append(len(items))
        batch = torch.tensor(np.stack(items))
        return GraphOutput(batch, torch.zeros(len(items), 0), torch.zeros(len(items), 0).long())


@pytest.mark.parametrize("value", BAD)
def test_an_output_that_is_no_number_fails_its_own_item_only_and_runs_nothing_again(value):
    executor = Roots()
    inference = Inference(executor)
    with capture_logs() as log:
        first = inference.run(items([1, value, 3, value]))
        assert answers(inference.run(items([value, 5]))) == [ModelFailure, 5]
    assert answers(first) == [1, ModelFailure, 3, ModelFailure]
    assert "holds NaN or infinity" in str(first[1])
    assert first[1].status == 500
    assert executor.runs == [4, 2]
    assert inference.non_finite_outputs == 3
    assert len(log) == 1  # a model gone wrong would fill the disk


@pytest.mark.parametrize(("setting", "counted"), [("count", 1), ("ignore", 0)])
def test_a_setting_lets_such_outputs_through(setting, counted):
    inference = Inference(Roots(), setting)
    first, second = inference.run(items([1, math.inf]))
    assert (first.outputs[0], second.outputs[0]) == (1, math.inf)
    assert inference.non_finite_outputs == counted


@settings(deadline=None)
@given(st.lists(st.lists(st.sampled_from([1.0, 3e38, -3e38, *BAD]), min_size=3, max_size=3), max_size=6))
def test_the_rows_that_are_found_are_those_with_a_value_that_is_no_number(values):
    outputs = np.array(values, np.float32).reshape(len(values), 3)
    expected = [row for row, each in enumerate(values) if not all(map(math.isfinite, each))]
    assert non_finite_rows(outputs) == expected
