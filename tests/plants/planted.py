"""Planted regressions: model factories that answer as their model does and cost more, to show that the gate notices.

Used as::

    PYTHONPATH=tests/plants TAILGATE_MODEL=planted:more_5 TAILGATE_INPUT_SIZE=64 pytest tailgate/scenarios -m perf

Two regressions need no factory: ``TAILGATE_MAX_WAIT_MS=5`` plants a batching window, ``TAILGATE_MAX_BATCH_SIZE=1`` turns
batching off.
"""

import dataclasses
import time
from collections.abc import Callable

import torch
from extra_work import Again, Leaking, More, MoreOfAll, StallEvery, burn
from torch import nn

from tailgate.service.models import Model
from tailgate.service.models.folding import fold_batch_norm
from tailgate.service.models.load import load_model
from tailgate.service.settings import Settings

MOBILENET = "torchvision:mobilenet_v3_small"

STALL_EVERY, STALL_S = 50, 0.05
LEAK_BYTES = 64 * 1024
SLOWER_START = 0.4


def three_times(settings: Settings) -> Model:
    """Return the demonstration model with three times its work."""
    return _planted("demo", settings, lambda module: Again(module, 3))


def unchanged(settings: Settings) -> Model:
    """Return MobileNetV3-small with nothing planted: what a factory itself costs, which should be nothing."""
    return _planted(MOBILENET, settings, lambda module: module)


def more_2(settings: Settings) -> Model:
    """Return MobileNetV3-small with 2 % more of its work."""
    return _planted(MOBILENET, settings, lambda module: More(module, 0.02))


def more_5(settings: Settings) -> Model:
    """Return MobileNetV3-small with 5 % more of its work."""
    return _planted(MOBILENET, settings, lambda module: More(module, 0.05))


def more_10(settings: Settings) -> Model:
    """Return MobileNetV3-small with 10 % more of its work."""
    return _planted(MOBILENET, settings, lambda module: More(module, 0.10))


def all_5(settings: Settings) -> Model:
    """Return MobileNetV3-small that makes all work of the process 5 % more."""
    return _planted(MOBILENET, settings, lambda module: MoreOfAll(module, 0.05))


def all_10(settings: Settings) -> Model:
    """Return MobileNetV3-small that makes all work of the process 10 % more."""
    return _planted(MOBILENET, settings, lambda module: MoreOfAll(module, 0.10))


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
