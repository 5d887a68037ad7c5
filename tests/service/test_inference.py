"""A batch that fails: who gets which answer, and how many runs that takes."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from service.errors import ModelFailure
from service.graph import GraphOutput
from service.inference import Inference

POISON = -1.0


class Squares:
    """An executor that squares each item and fails on a batch with a negative one."""

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
        ModelFailure if isinstance(result, ModelFailure) else float(result.outputs[0]) for result in results
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


@given(st.lists(st.sampled_from([POISON, 1.0, 2.0, 3.0]), min_size=1, max_size=40))
def test_the_number_of_runs_is_bounded_by_the_number_of_bad_items(numbers):
    executor = Squares()
    results = Inference(executor).run(items(numbers))
    assert answers(results) == [ModelFailure if number == POISON else number**2 for number in numbers]
    bad = numbers.count(POISON)
    assert len(executor.runs) <= 1 + bad * 2 * math.ceil(math.log2(len(numbers) + 1))
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
