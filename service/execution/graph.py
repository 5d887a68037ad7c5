"""The graph that the executor runs: bytes in, numbers out.

Normalisation stands inside, so that one byte per channel travels instead of four; so does the choice of the most likely
labels, once per batch instead of once per request on the event loop.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import nn

from tailgate.service.models import ImageInput, Model

# Of a dict in an error's text.
MOST_NAMES = 8


class GraphOutput(NamedTuple):
    """One batch's results."""

    outputs: torch.Tensor  # N×…, the model's own; floats in FP32 or FP64
    probabilities: torch.Tensor  # N×k, descending, of a classifier; else N×0
    classes: torch.Tensor  # N×k indices into the labels


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


class NotOneTensor(TypeError):
    """The model returned something else than one dense tensor of numbers."""


class Cast(nn.Module):
    """A batch of tensors in the model's precision; integers and bool stay what they are."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Return the batch."""
        return batch.to(self.dtype) if batch.is_floating_point() else batch


class ServedGraph(nn.Module):
    """A model with its input's and its output's conversion, in evaluation mode; ``body`` is in that mode already."""

    def __init__(self, model: Model, body: nn.Module, dtype: torch.dtype, top_k: int) -> None:
        super().__init__()
        self.prepare: nn.Module = Cast(dtype) if model.image is None else Normalise(model.image, dtype)
        self.body = body
        self.top_k = min(top_k, len(model.labels)) if model.labels else 0
        # Not by eval(), which goes on to the body: an exported graph refuses it.
        self.training = self.prepare.training = False

    def forward(self, batch: torch.Tensor) -> GraphOutput:
        """Run one batch, as it travels."""
        return self.ranked(self.outputs(batch))

    def outputs(self, batch: torch.Tensor) -> torch.Tensor:
        """Return the model's own output; NotOneTensor for anything but one dense tensor of real numbers."""
        outputs = one_tensor(self.body(self.prepare(batch)))
        return outputs.float() if outputs.is_floating_point() and outputs.itemsize < 4 else outputs

    def ranked(self, outputs: torch.Tensor) -> GraphOutput:
        """Return the outputs with a classifier's most likely labels."""
        if not self.top_k:
            nothing = torch.empty((outputs.shape[0], 0), device=outputs.device)
            return GraphOutput(outputs, nothing, nothing)
        best = outputs.float().softmax(-1).topk(self.top_k)
        return GraphOutput(outputs, best.values, best.indices)


def one_tensor(returned: object) -> torch.Tensor:
    """Return what a model returned; NotOneTensor, with what it is and how to mend the model, for anything else."""
    if not isinstance(returned, torch.Tensor):
        raise NotOneTensor(f"returned {_described(returned)}, expected one tensor; {_remedy(returned)}")
    for kind, mend in (
        ("complex", ".abs() or torch.view_as_real(…)" if returned.is_complex() else None),
        ("quantised", ".dequantize()" if returned.is_quantized else None),
        ("nested", ".to_padded_tensor(…)" if returned.is_nested else None),
        ("sparse", ".to_dense()" if returned.layout != torch.strided else None),
    ):
        if mend is not None:
            raise NotOneTensor(
                f"returned a {kind} tensor, expected a dense one of real numbers; return {mend}"
            )
    return returned


def _described(value: object) -> str:
    name = type(value).__name__
    if value is None:
        return "None"
    if isinstance(value, Mapping):
        return f"a {name} with keys {_names(value)}"
    if names := _names(value):
        return f"a {name} with fields {names}"
    if isinstance(value, list | tuple):
        return f"a {name} of {len(value)} ({', '.join(type(part).__name__ for part in value[:MOST_NAMES])})"
    return f"a {name}"


def _names(value: object) -> list[object]:
    """Return the keys of a mapping, or the fields of a named tuple or a dataclass."""
    if isinstance(value, Mapping):
        return list(value)[:MOST_NAMES]
    fields = getattr(value, "_fields", ()) or getattr(value, "__dataclass_fields__", ())
    return list(fields)[:MOST_NAMES]


def _remedy(value: object) -> str:
    if value is None:
        return "is there a return in forward()?"
    names = _names(value)
    name = "logits" if "logits" in names else next(iter(names), None)
    if isinstance(value, Mapping):
        part = f"[{name!r}]"
    elif names:
        part = f".{name}"
    elif isinstance(value, list | tuple):
        part = "[0]"
    else:
        return "return a torch.Tensor"
    return f"wrap the model in a torch.nn.Module whose forward(x) returns model(x){part}"
