"""A model as the service sees it: what one item looks like on the way in and what it means on the way out."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # importing PyTorch takes seconds, in which the service is to be live already
    from torch import nn

Resampling = Literal["bilinear", "bicubic"]
# NumPy's kinds of types that JSON can write and PyTorch can take: floats, integers of both kinds, bool.
KINDS = "fiub"
LARGEST_ITEM_BYTES = 8
# The names of an input and an output that the model itself does not name.
INPUT, OUTPUT = "input", "output"


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Shape and type of one item, without the batch dimension.

    Attributes:
        shape: sides of 1 or more; ``()`` for a single number.
        dtype: as NumPy takes one: ``np.dtype(np.float32)``, ``np.float32`` or ``"float32"``.
        nbytes: bytes of one item.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    nbytes: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Convert the type, and refuse what no request could bring."""
        dtype = np.dtype(self.dtype)
        if not isinstance(self.shape, Iterable) or any(
            not isinstance(side, int | np.integer) or side < 1 for side in self.shape
        ):
            raise ValueError(
                f"TensorSpec: expected a shape of positive whole numbers without the batch dimension, got {self.shape!r}"
            )
        if dtype.kind not in KINDS or dtype.itemsize > LARGEST_ITEM_BYTES or not dtype.isnative:
            raise ValueError(
                f"TensorSpec: expected a type of floats, whole numbers or bool of at most 64 bits, got {dtype}"
            )
        object.__setattr__(self, "shape", tuple(map(int, self.shape)))
        object.__setattr__(self, "dtype", dtype)
        object.__setattr__(self, "nbytes", math.prod(self.shape) * dtype.itemsize)

    def __str__(self) -> str:
        """``uint8[224, 224, 3]``."""
        return f"{self.dtype}{list(self.shape)}"


class NamedTensor(NamedTuple):
    """One input or output of a model, of one item."""

    name: str
    spec: TensorSpec


# Of each input in a record; no type of an item is larger, so a part can be read as numbers where it lies.
ALIGNMENT = 8


def places(specs: Iterable[TensorSpec]) -> list[int]:
    """Return where in a record of several inputs each begins, and last where the record ends."""
    return list(accumulate((-(-spec.nbytes // ALIGNMENT) * ALIGNMENT for spec in specs), initial=0))


def record_spec(specs: Iterable[TensorSpec]) -> TensorSpec:
    """Return the item that several inputs make together: a record of bytes, so that a batch is one tensor and one copy."""
    return TensorSpec((places(specs)[-1],), np.dtype(np.uint8))


def pack(arrays: Sequence[NDArray[Any]], specs: Sequence[TensorSpec]) -> NDArray[np.uint8]:
    """Return one record per row of the inputs, each of which is n × its spec."""
    count, begins = len(arrays[0]), places(specs)
    records = np.zeros((count, begins[-1]), np.uint8)
    for array, spec, begin in zip(arrays, specs, begins[:-1], strict=True):
        rows = np.ascontiguousarray(array, spec.dtype).reshape(count, -1)
        records[:, begin : begin + spec.nbytes] = rows.view(np.uint8)
    return records


@dataclass(frozen=True, slots=True)
class ImageInput:
    """How a photograph becomes an item.

    The shorter side is scaled to ``resize`` pixels and the middle square is cut out, as by torchvision's ``Resize`` and
    ``CenterCrop``. Pixels travel as uint8; ``(pixel / 255 - mean) / std`` happens inside the model's graph.

    Attributes:
        size: pixels per side.
        crop: share of the scaled shorter side that the model sees, at most 1.
        mean: per channel (red, green, blue), of pixels in 0..1.
        std: per channel, of pixels in 0..1.
        resampling: ``bilinear`` or ``bicubic``, as the model was trained.
    """

    size: int
    crop: float = 0.875
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    resampling: Resampling = "bilinear"

    def __post_init__(self) -> None:
        """Refuse a square that cannot be cut out of any picture."""
        if self.size < 1 or not 0 < self.crop <= 1:
            raise ValueError(
                f"ImageInput: expected a size of at least 1 and a crop above 0 and at most 1, "
                f"got {self.size} and {self.crop}"
            )
        if self.resampling not in get_args(Resampling):
            raise ValueError(
                f"ImageInput: expected a resampling of {' or '.join(get_args(Resampling))}, got {self.resampling!r}"
            )

    @property
    def resize(self) -> int:
        """Pixels of the scaled shorter side; exactly ``resize`` of a recipe with ``crop = size / resize``."""
        return round(self.size / self.crop)

    @property
    def spec(self) -> TensorSpec:
        """The item: height × width × 3 bytes."""
        return TensorSpec((self.size, self.size, 3), np.dtype(np.uint8))


@dataclass(frozen=True, slots=True)
class Model:
    """What a model factory returns.

    Attributes:
        name: for people and metadata.
        module: takes a batch. With ``image``: normalised float N×3×H×W; otherwise N×``input.shape`` as sent. With several
            ``inputs``: each by its name. It returns a tensor, or several as a tuple or a dict, each of N rows.
        weights: where the weights come from, such as ``random (seed 0)``: said in logs, metadata and reports.
        image: how photographs become items; None for a model that takes tensors only.
        input: one item; None with ``image``, whose pixels are the item.
        inputs: in place of ``input``: one or several items by name.
        labels: one for each output of a classifier; None for any other model.
        assumed: the factory returned a bare module, and the input is a guess.
    """

    name: str
    module: "nn.Module"
    weights: str
    image: ImageInput | None = None
    input: TensorSpec | None = None
    inputs: Mapping[str, TensorSpec] | None = None
    labels: tuple[str, ...] | None = None
    assumed: bool = False

    def __post_init__(self) -> None:
        """Refuse a model whose input is not known."""
        given = [each for each in (self.image, self.input, self.inputs) if each is not None]
        if len(given) != 1:
            told = "both or neither" if self.inputs is None else "several of them"
            raise ValueError(f"model {self.name!r}: give either image, input or inputs, got {told}")
        if self.inputs is not None and (not self.inputs or not all(map(str.isidentifier, self.inputs))):
            raise ValueError(
                f"model {self.name!r}: inputs: expected names of arguments of the module, got {list(self.inputs)}"
            )

    @property
    def named_inputs(self) -> tuple[NamedTensor, ...]:
        """All inputs by name, in the order of the item's bytes."""
        if self.inputs is not None:
            return tuple(NamedTensor(*each) for each in self.inputs.items())
        spec = self.input if self.image is None else self.image.spec
        assert spec is not None
        return (NamedTensor(INPUT, spec),)

    @property
    def item(self) -> TensorSpec:
        """Shape and type of one item: the input's, or a record of several."""
        specs = [tensor.spec for tensor in self.named_inputs]
        return specs[0] if len(specs) == 1 else record_spec(specs)


@dataclass(frozen=True, slots=True)
class Served:
    """What the service knows of a :class:`Model` to take requests for it, also where PyTorch is not loaded."""

    name: str
    item: TensorSpec
    labels: tuple[str, ...] | None
    image: ImageInput | None
    inputs: tuple[NamedTensor, ...] = ()
    """all inputs, in the order of the item's bytes; where none is named, one that is called ``input``"""
    outputs: tuple[NamedTensor, ...] = ()
    """all outputs, as the warm-up saw them"""

    def __post_init__(self) -> None:
        """Name the one input of a model that has no name for it."""
        if not self.inputs:
            object.__setattr__(self, "inputs", (NamedTensor(INPUT, self.item),))
