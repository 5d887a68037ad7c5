"""A model as the service sees it: what one item looks like on the way in and what it means on the way out."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

if TYPE_CHECKING:  # importing PyTorch takes seconds, in which the service is to be live already
    from torch import nn

Resampling = Literal["bilinear", "bicubic"]
# NumPy's kinds of types that JSON can write and PyTorch can take: floats, integers of both kinds, bool.
KINDS = "fiub"
LARGEST_ITEM_BYTES = 8


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
        module: takes a batch. With ``image``: normalised float N×3×H×W; otherwise N×``input.shape`` as sent.
        weights: where the weights come from, such as ``random (seed 0)``: said in logs, metadata and reports.
        image: how photographs become items; None for a model that takes tensors only.
        input: one item; None with ``image``, whose pixels are the item.
        labels: one for each output of a classifier; None for any other model.
        assumed: the factory returned a bare module, and the input is a guess.
    """

    name: str
    module: "nn.Module"
    weights: str
    image: ImageInput | None = None
    input: TensorSpec | None = None
    labels: tuple[str, ...] | None = None
    assumed: bool = False

    def __post_init__(self) -> None:
        """Refuse a model whose input is not known."""
        if (self.image is None) == (self.input is None):
            raise ValueError(f"model {self.name!r}: give either image or input, got both or neither")

    @property
    def item(self) -> TensorSpec:
        """Shape and type of one item."""
        if self.image is not None:
            return self.image.spec
        assert self.input is not None
        return self.input


@dataclass(frozen=True, slots=True)
class Served:
    """What the service knows of a :class:`Model` to take requests for it, also where PyTorch is not loaded."""

    name: str
    item: TensorSpec
    labels: tuple[str, ...] | None
    image: ImageInput | None
