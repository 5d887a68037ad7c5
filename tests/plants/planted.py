"""Planted slowdowns: model factories that do the same work again, to show that the gate notices.

They burn processor time and never sleep, since a sleep would not move the processor seconds of a request. Used as::

    PYTHONPATH=tests/plants TAILGATE_MODEL=planted:three_times pytest scenarios -m perf
"""

import dataclasses

from torch import Tensor, nn

from service.models import Model
from service.models.load import load_model
from service.settings import Settings


class Again(nn.Module):
    """A module that does its work several times and answers once."""

    def __init__(self, module: nn.Module, times: int) -> None:
        super().__init__()
        self.module = module
        self.times = times

    def forward(self, batch: Tensor) -> Tensor:
        """Return what the module returns."""
        for _ in range(self.times - 1):
            self.module(batch)
        answer: Tensor = self.module(batch)
        return answer


def repeated(settings: Settings, times: int) -> Model:
    """Return the demonstration model, doing its work ``times`` times."""
    demo = load_model(settings.model_copy(update={"model": "demo"}))
    return dataclasses.replace(demo, module=Again(demo.module, times))


def three_times(settings: Settings) -> Model:
    """Return the demonstration model with three times its work."""
    return repeated(settings, 3)
