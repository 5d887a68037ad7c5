"""Items into one buffer, through the graph, and out again."""

import numpy as np
import pytest
import tiny_models
import torch

from tailgate.service.execution.executor import BufferedExecutor, eager
from tailgate.service.execution.graph import Cast, Normalise, ServedGraph
from tailgate.service.models import ImageInput


def executor_of(model, top_k=5, max_batch_size=4):
    graph = ServedGraph(model, model.module, torch.float32, top_k)
    return BufferedExecutor("eager", eager(graph, torch.device("cpu")), model.item, max_batch_size)


def test_each_row_of_the_result_belongs_to_the_item_of_that_place():
    executor = executor_of(tiny_models.doubler())
    rows = [np.full(4, number, np.float32) for number in range(4)]
    for count in (4, 1, 3):
        assert executor.run(rows[:count]).outputs.tolist() == [[2.0 * i] * 4 for i in range(count)]


def test_results_stay_as_they_were_when_the_next_batch_runs_even_of_a_model_that_passes_its_input_on():
    executor = executor_of(tiny_models.passing())
    first = executor.run([np.ones(4, np.float32)])
    executor.run([np.zeros(4, np.float32)])
    assert first.outputs.tolist() == [[1.0] * 4]


def test_a_classifier_answers_its_most_likely_labels_first():
    executor = executor_of(tiny_models.colours(), top_k=2)
    greenish = np.broadcast_to(np.array([10, 200, 100], np.uint8), (8, 8, 3))
    result = executor.run([greenish])
    assert result.classes.tolist() == [[1, 2]]
    assert result.probabilities[0, 0] > result.probabilities[0, 1]
    assert result.probabilities.sum() <= 1


def test_a_model_without_labels_has_no_most_likely_one():
    result = executor_of(tiny_models.unlabelled()).run([np.zeros((8, 8, 3), np.uint8)])
    assert result.classes.shape == result.probabilities.shape == (1, 0)


def test_pixels_are_normalised_as_torchvision_does_it():
    image = ImageInput(5)
    pixels = torch.randint(0, 256, (2, 5, 5, 3), dtype=torch.uint8)
    mean, std = torch.tensor(image.mean).view(3, 1, 1), torch.tensor(image.std).view(3, 1, 1)
    expected = (pixels.permute(0, 3, 1, 2) / 255 - mean) / std
    normalised = Normalise(image, torch.float32)(pixels)
    torch.testing.assert_close(normalised, expected, atol=1e-5, rtol=1e-5)
    assert normalised.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(("given", "expected"), [(torch.float32, torch.bfloat16), (torch.int64, torch.int64)])
def test_only_floats_are_put_into_the_models_precision(given, expected):
    assert Cast(torch.bfloat16)(torch.zeros(2, dtype=given)).dtype == expected
