"""The graph that the executor runs: bytes in, numbers out.

Normalisation stands inside, so that one byte per channel travels instead of four; so does the choice of the most likely
labels, once per batch instead of once per request on the event loop.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import nn

from tailgate.service.models import ImageInput, Model, TensorSpec
from tailgate.service.models.spec import OUTPUT, NamedTensor, places

# Of a dict in an error's text.
MOST_NAMES = 8


class GraphOutput(tuple[torch.Tensor, ...]):
    """One batch's results. Outputs beyond the first stand behind the classes, so that all parts are treated alike."""

    __slots__ = ()

    def __new__(cls, *parts: torch.Tensor) -> Self:
        """Return the parts together."""
        return super().__new__(cls, parts)

    @property
    def outputs(self) -> torch.Tensor:
        """N×…, the model's own output, or the first of several; floats in FP32 or FP64."""
        return self[0]

    @property
    def probabilities(self) -> torch.Tensor:
        """N×k, descending, of a classifier; else N×0."""
        return self[1]

    @property
    def classes(self) -> torch.Tensor:
        """N×k indices into the labels."""
        return self[2]

    @property
    def all_outputs(self) -> tuple[torch.Tensor, ...]:
        """All of the model's outputs in its order."""
        return (self[0], *self[3:])


def torch_type(item: TensorSpec) -> torch.dtype:
    """Return PyTorch's name of an item's type."""
    return torch.from_numpy(np.empty(0, item.dtype)).dtype


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


class NoTensors(TypeError):
    """The model returned something else than one or several dense tensors of numbers."""


class Cast(nn.Module):
    """A batch of tensors in the model's precision; integers and bool stay what they are."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Return the batch."""
        return batch.to(self.dtype) if batch.is_floating_point() else batch


class Unpack(nn.Module):
    """Records of several inputs to these by name, floats in the model's precision."""

    def __init__(self, inputs: Sequence[NamedTensor], dtype: torch.dtype) -> None:
        super().__init__()
        self.cast = Cast(dtype)
        begins = places(tensor.spec for tensor in inputs)[:-1]
        self.parts = [
            (name, begin, spec, torch_type(spec)) for (name, spec), begin in zip(inputs, begins, strict=True)
        ]

    def forward(self, records: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return views of the records; each input lies where its numbers can be read in place."""
        return {
            name: self.cast(
                records[:, begin : begin + spec.nbytes].view(kind).reshape(records.shape[0], *spec.shape)
            )
            for name, begin, spec, kind in self.parts
        }


class ServedGraph(nn.Module):
    """A model with its input's and its output's conversion, in evaluation mode; ``body`` is in that mode already."""

    def __init__(self, model: Model, body: nn.Module, dtype: torch.dtype, top_k: int) -> None:
        super().__init__()
        # Of the outputs in their order; None before they are known, for whatever the model returns.
        self.names: tuple[str, ...] | None = None
        self.several = len(model.named_inputs) > 1
        self.prepare: nn.Module = Cast(dtype)
        if model.image is not None:
            self.prepare = Normalise(model.image, dtype)
        elif self.several:
            self.prepare = Unpack(model.named_inputs, dtype)
        self.body = body
        self.top_k = min(top_k, len(model.labels)) if model.labels else 0
        # Not by eval(), which goes on to the body: an exported graph refuses it.
        self.training = self.prepare.training = False

    def forward(self, batch: torch.Tensor) -> GraphOutput:
        """Run one batch, as it travels."""
        outputs = self.outputs(batch)
        names = self.names or tuple(outputs)
        if outputs.keys() != set(names):
            raise NoTensors(f"returned {list(outputs)}, expected {list(names)} as for other inputs")
        return self.ranked([outputs[name] for name in names])

    def outputs(self, batch: torch.Tensor) -> dict[str, torch.Tensor]:
        """Return the model's own outputs by name; NoTensors for anything but dense tensors of real numbers."""
        prepared = self.prepare(batch)
        outputs = named_tensors(self.body(**prepared) if self.several else self.body(prepared))
        return {
            name: output.float() if output.is_floating_point() and output.itemsize < 4 else output
            for name, output in outputs.items()
        }

    def ranked(self, outputs: Sequence[torch.Tensor]) -> GraphOutput:
        """Return the outputs with a classifier's most likely labels, by the first of them."""
        first, *more = outputs
        if not self.top_k:
            nothing = torch.empty((first.shape[0], 0), device=first.device)
            return GraphOutput(first, nothing, nothing, *more)
        best = first.float().softmax(-1).topk(self.top_k)
        return GraphOutput(first, best.values, best.indices, *more)


def named_tensors(returned: object) -> dict[str, torch.Tensor]:
    """Return what a model returned by name; NoTensors, with what it is and how to mend the model, for anything else.

    A dict and a named tuple have names, and the parts of a tuple or a list are ``output_0`` and so on.
    """
    parts: Mapping[Any, object]
    if isinstance(returned, torch.Tensor):
        parts = {OUTPUT: returned}
    elif isinstance(returned, Mapping):
        parts = returned
    elif isinstance(returned, tuple) and hasattr(returned, "_fields"):
        parts = dict(zip(returned._fields, returned, strict=True))
    elif isinstance(returned, list | tuple):
        parts = {f"{OUTPUT}_{place}": part for place, part in enumerate(returned)}
    else:
        parts = {}
    tensors = {str(name): part for name, part in parts.items() if isinstance(part, torch.Tensor)}
    if not tensors or len(tensors) != len(parts):
        raise NoTensors(
            f"returned {_described(returned)}, expected a tensor, or several by name; {_remedy(returned)}"
        )
    for name, tensor in tensors.items():
        _require_dense(tensor, "" if len(tensors) == 1 else f" as {name!r}")
    return tensors


def _require_dense(tensor: torch.Tensor, where: str) -> None:
    for kind, mend in (
        ("complex", ".abs() or torch.view_as_real(…)" if tensor.is_complex() else None),
        ("quantised", ".dequantize()" if tensor.is_quantized else None),
        ("nested", ".to_padded_tensor(…)" if tensor.is_nested else None),
        ("sparse", ".to_dense()" if tensor.layout != torch.strided else None),
    ):
        if mend is not None:
            raise NoTensors(
                f"returned a {kind} tensor{where}, expected a dense one of real numbers; return {mend}"
            )


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
