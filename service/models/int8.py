"""Linear layers in int8: weights rounded once per output, inputs per row as they come.

PyTorch's own dynamic quantisation has one scale for a whole batch, and one large input takes the digits of all others in it:
an input 1,000 times as large moved its neighbours' outputs by 0.95 of the largest. A scale per row makes an answer its
input's own. Convolutions stay in FP32: quantised statically, the demonstration model names another label for 16 % of crops.
"""

import copy

import torch
from torch import nn

from tailgate.service.errors import ConfigurationError

LARGEST = 127
# A row or a weight of zeros alone is divided by this.
TINY = torch.finfo(torch.float32).tiny


class RowwiseLinear(nn.Module):
    """What a linear layer computes, within half a step of its weights and half a step of its input's row."""

    rounded: torch.Tensor
    steps: torch.Tensor
    bias: torch.Tensor | None

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        rounded, steps = to_int8(linear.weight.detach())
        self.register_buffer("rounded", rounded.t().contiguous())
        self.register_buffer("steps", steps.flatten())
        self.register_buffer("bias", None if linear.bias is None else linear.bias.detach())

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Map …×inputs to …×outputs; NaN and infinity in a row reach the row's outputs."""
        rounded, steps = to_int8(batch.flatten(0, -2))
        sums = torch._int_mm(rounded, self.rounded)  # noqa: SLF001 - what PyTorch's quantisation library calls, too
        outputs = sums.float() * steps * self.steps
        if self.bias is not None:
            outputs += self.bias
        return outputs.reshape(*batch.shape[:-1], -1)


def to_int8(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return each row in whole steps, and each row's step as a column."""
    steps = rows.abs().amax(1, keepdim=True).clamp_min(TINY) / LARGEST
    return (rows / steps).round().to(torch.int8), steps


def in_int8(module: nn.Module, name: str) -> nn.Module:
    """Return a copy with its linear layers in int8; ConfigurationError for the model of that name where there are none.

    Those of attention stay as they are: PyTorch's kernels take their weights without calling them.
    """
    copied = nn.Sequential(copy.deepcopy(module))  # around it, so that a lone layer has a parent
    made: dict[nn.Module, RowwiseLinear] = {}
    for parent in list(copied.modules()):
        for place, child in list(parent.named_children()):
            if type(child) is nn.Linear and child.weight.dtype == torch.float32:
                made.setdefault(child, RowwiseLinear(child))
                setattr(parent, place, made[child])
    if not made:
        raise ConfigurationError(
            f"TAILGATE_PRECISION: int8 is for linear layers in FP32, and {name} has none that could be replaced; use bf16 or fp32"
        )
    return copied[0]
