"""Planted regressions: model factories that answer as their model does and cost more, to show that the gate notices.

Used as::

    PYTHONPATH=tests/plants TAILGATE_MODEL=planted:work_5 TAILGATE_INPUT_SIZE=64 pytest scenarios -m perf

Two regressions need no factory: ``TAILGATE_MAX_WAIT_MS=5`` plants a batching window, ``TAILGATE_MAX_BATCH_SIZE=1`` turns
batching off.
"""

import dataclasses
import time
from collections.abc import Callable, Collection

import torch
from extra_work import Again, Leaking, StallEvery, burn, repeat_layers
from torch import fx, nn

from service.models import Model
from service.models.folding import fold_batch_norm
from service.models.load import load_model
from service.settings import Settings

MOBILENET = "torchvision:mobilenet_v3_small"

# Layers of MobileNetV3-small that run twice. What a layer costs depends on the batch (depthwise ones are dear at 1 and
# cheap at 32, pointwise ones the other way round), so they are chosen such that their sum is the same share of the
# model's processor time at 1, 4, 16 and 32 inputs of 64 pixels. ``python -m benchmarks.gate_plants`` measures it. Two
# measurements on a disturbed machine of two processors, each good to about a percentage point, gave:
#
#            1 input      4            16            32
#   work_2   0.5, 2.2 %   1.6, 2.3 %   2.8,  3.2 %   2.6, 2.6 %
#   work_5   4.2, 5.0 %   5.2, 5.4 %   5.1,  5.4 %   5.0, 6.3 %
#   work_10  8.1, 10.7 %  7.6, 9.6 %   9.5, 10.6 %   9.4, 9.7 %
LAYERS_2 = ("features.3.block.2.0", "features.4.block.2.fc2", "features.7.block.2.fc1")
LAYERS_5 = (
    "features.4.block.0.0",
    "features.5.block.2.fc2",
    "features.7.block.2.fc1",
    "features.9.block.0.0",
    "features.11.block.1.0",
)
LAYERS_10 = (
    "features.4.block.0.0",
    "features.4.block.1.0",
    "features.4.block.2.fc1",
    "features.5.block.2.fc1",
    "features.7.block.0.0",
    "features.7.block.1.0",
    "features.7.block.2.fc2",
    "features.9.block.0.0",
    "features.11.block.0.0",
)
STALL_EVERY, STALL_S = 50, 0.05
LEAK_BYTES = 64 * 1024
SLOWER_START = 0.4


def three_times(settings: Settings) -> Model:
    """Return the demonstration model with three times its work."""
    return _planted("demo", settings, lambda module: Again(module, 3))


def unchanged(settings: Settings) -> Model:
    """Return MobileNetV3-small with nothing planted: what a factory itself costs, which should be nothing."""
    return _planted(MOBILENET, settings, lambda module: module)


def work_2(settings: Settings) -> Model:
    """Return MobileNetV3-small with 2 % more of its work."""
    return _planted(MOBILENET, settings, lambda module: _repeated(module, LAYERS_2))


def work_5(settings: Settings) -> Model:
    """Return MobileNetV3-small with 5 % more of its work."""
    return _planted(MOBILENET, settings, lambda module: _repeated(module, LAYERS_5))


def work_10(settings: Settings) -> Model:
    """Return MobileNetV3-small with 10 % more of its work."""
    return _planted(MOBILENET, settings, lambda module: _repeated(module, LAYERS_10))


def stall(settings: Settings) -> Model:
    """Return MobileNetV3-small that works 50 ms longer for every 50th input, and so for those in its batch."""
    return _planted(MOBILENET, settings, lambda module: StallEvery(module, STALL_EVERY, STALL_S))


def leak(settings: Settings) -> Model:
    """Return MobileNetV3-small that keeps 64 KiB for each input."""
    return _planted(MOBILENET, settings, lambda module: Leaking(module, LEAK_BYTES))


def slow_start(settings: Settings) -> Model:
    """Return MobileNetV3-small after two fifths more of the processor time that the process had used until then."""
    model = _planted(MOBILENET, settings, lambda module: module)
    burn(time.process_time() * SLOWER_START)
    return model


def _planted(name: str, settings: Settings, plant: Callable[[nn.Module], nn.Module]) -> Model:
    """Load a model, fold it as the service would, and change its module.

    Folded here, because the service cannot fold what is planted, and a model that is not folded is slower by more than
    the plant.
    """
    model = load_model(settings.model_copy(update={"model": name}))
    assert model.image is not None
    example = torch.zeros(2, 3, model.image.size, model.image.size)
    return dataclasses.replace(model, module=plant(fold_batch_norm(model.module, example)))


def _repeated(module: nn.Module, layers: Collection[str]) -> nn.Module:
    assert isinstance(module, fx.GraphModule)
    return repeat_layers(module, layers)
