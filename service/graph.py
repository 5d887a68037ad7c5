"""The graph that the executor runs: bytes in, numbers out.

Normalisation stands inside, so that one byte a channel travels and is copied instead of four, and so does the choice
of the most likely labels, once for the whole batch instead of once for each request on the event loop.
"""

from typing import NamedTuple

import torch
from torch import nn

from service.models import ImageInput, Model


class GraphOutput(NamedTuple):
    """One batch's results.

    Attributes:
        outputs: N×…, FP32: the model's own output.
        probabilities: N×k, descending, of a classifier; N×0 of any other model.
        classes: N×k indices into the labels.
    """

    outputs: torch.Tensor
    probabilities: torch.Tensor
    classes: torch.Tensor


class Normalise(nn.Module):
    """N×H×W×3 bytes to N×3×H×W normalised numbers, channels last in memory."""

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(self, image: ImageInput, dtype: torch.dtype) -> None:
        super().__init__()
        mean, std = torch.tensor(image.mean), torch.tensor(image.std)
        # (pixel / 255 - mean) / std = pixel * scale + shift, in FP32, then rounded once.
        self.register_buffer("scale", (1 / (255 * std)).view(1, 3, 1, 1))
        self.register_buffer("shift", (-mean / std).view(1, 3, 1, 1))
        self.dtype = dtype

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the normalised batch in the model's precision."""
        # Permuting the strides of N×H×W×3 *is* the channels-last layout of N×3×H×W: nothing is copied.
        normalised: torch.Tensor = pixels.permute(0, 3, 1, 2).float() * self.scale + self.shift
        return normalised.to(self.dtype)


class Cast(nn.Module):
    """A batch of tensors in the model's precision; integers stay what they are."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Return the batch."""
        return batch.to(self.dtype) if batch.is_floating_point() else batch


class ServedGraph(nn.Module):
    """A model with its input's and its output's conversion."""

    def __init__(self, model: Model, body: nn.Module, dtype: torch.dtype, top_k: int) -> None:
        super().__init__()
        self.prepare: nn.Module = Cast(dtype) if model.image is None else Normalise(model.image, dtype)
        self.body = body
        self.top_k = min(top_k, len(model.labels)) if model.labels else 0

    def forward(self, batch: torch.Tensor) -> GraphOutput:
        """Run one batch, as it travels."""
        outputs = self.body(self.prepare(batch)).float()
        if not self.top_k:
            nothing = outputs.new_empty((outputs.shape[0], 0))
            return GraphOutput(outputs, nothing, nothing)
        best = outputs.softmax(-1).topk(self.top_k)
        return GraphOutput(outputs, best.values, best.indices)
