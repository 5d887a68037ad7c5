"""Model factories for ``TAILGATE_MODEL=benchmarks.models:NAME``."""

import time

import numpy as np
import torch
from torch import nn

from tailgate import Model, TensorSpec

SIDE = 64
LARGE_SIDE = 224
MILLION = 1_000_000
BATCH_S, PICTURE_S = 0.008, 0.0005  # of a device's time


class FirstByte(nn.Module):
    """The cheapest model that depends on its input, so that only the server's own cost remains."""

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Return N×1 from N×H×W×3 bytes."""
        return batch[:, 0, 0, :1].float()


class Wide(FirstByte):
    """The same with a million outputs, to make answers long."""

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Return N×1,000,000 from N×H×W×3 bytes."""
        return super().forward(batch).expand(-1, MILLION).contiguous()


class Elsewhere(FirstByte):
    """The same on a device of its own, whose time is not the processors': it sleeps for as long as a batch takes there."""

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Return N×1 from N×H×W×3 bytes, after a time that is linear in N."""
        time.sleep(BATCH_S + PICTURE_S * len(batch))
        return super().forward(batch)


def noop() -> Model:
    """Return a model that takes 64 × 64 × 3 bytes and answers one number."""
    return _model("noop", FirstByte(), SIDE)


def elsewhere() -> Model:
    """Return a model of 64 × 64 × 3 bytes whose batches of n take 8 ms + n × 0.5 ms, and no processor."""
    return _model("elsewhere", Elsewhere(), SIDE)


def large_noop() -> Model:
    """Return the same for 224 × 224 × 3 bytes."""
    return _model("noop", FirstByte(), LARGE_SIDE)


def wide() -> Model:
    """Return a model that takes 64 × 64 × 3 bytes and answers a million numbers."""
    return _model("wide", Wide(), SIDE)


def _model(name: str, module: nn.Module, side: int) -> Model:
    spec = TensorSpec((side, side, 3), np.dtype(np.uint8))
    return Model(name=name, module=module, weights="none", input=spec)
