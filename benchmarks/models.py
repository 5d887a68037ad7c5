"""Model factories for ``TAILGATE_MODEL=benchmarks.models:NAME``."""

import numpy as np
import torch
from torch import nn

from tailgate.service.models import Model, TensorSpec

SIDE = 64
LARGE_SIDE = 224


class FirstByte(nn.Module):
    """The cheapest model that still depends on its input: what is left is the server's own cost."""

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Return N×1 from N×H×W×3 bytes."""
        return batch[:, 0, 0, :1].float()


def noop() -> Model:
    """Return a model that takes 64 × 64 × 3 bytes and answers one number."""
    return _noop(SIDE)


def large_noop() -> Model:
    """Return the same for 224 × 224 × 3 bytes."""
    return _noop(LARGE_SIDE)


def _noop(side: int) -> Model:
    return Model(
        name="noop",
        module=FirstByte(),
        weights="none",
        input=TensorSpec((side, side, 3), np.dtype(np.uint8)),
    )


class Wide(nn.Module):
    """A million numbers an item, for nothing but their number."""

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Return N×1,000,000 from N×H×W×3 bytes."""
        return batch[:, 0, 0, :1].float().expand(-1, 1_000_000).contiguous()


def wide() -> Model:
    """Return a model that takes 64 × 64 × 3 bytes and answers a million numbers."""
    return Model(
        name="wide",
        module=Wide(),
        weights="none",
        input=TensorSpec((SIDE, SIDE, 3), np.dtype(np.uint8)),
    )
