"""A picture's pixels scaled, by Pillow's filters, to the square that the model sees.

PyTorch has Pillow's bilinear filter for bytes in vector instructions. To scale 451 × 300 pixels to 224 it took 0.44 of Pillow's
time, its copy of the pixels included, and 0.68 for 1804 × 1200. No pixel differs by more than a level of 255. Its bicubic
filter differs by up to 24 levels on noise, and without AVX2 it is slower and takes the model's threads. Pillow does the rest.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tailgate.service.codec.cropping import Span
from tailgate.service.models.spec import Resampling

FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
# PyTorch scales a copy of the pixels, which takes 10 bytes per pixel while it is made, and the interpreter lock.
COPIED_PIXELS = 4_000_000


def square_of(
    image: Image.Image, across: Span, down: Span, size: int, resampling: Resampling
) -> NDArray[np.uint8]:
    """Return the middle of a picture in RGB, or in grey of 8 or 16 bits, as size × size × 3 bytes."""
    middle = (across.first, down.first, across.first + size, down.first + size)
    if resampling == "bilinear" and _is_fast(image, across, down):
        left, top, right, bottom = middle
        return _scaled_by_pytorch(image, across, down)[top:bottom, left:right]
    box = (across.begin, down.begin, across.end, down.end)
    square = image.resize((across.scaled, down.scaled), FILTERS[resampling], box=box).crop(middle)
    if square.mode == "I;16":
        square = Image.fromarray((np.asarray(square) >> 8).astype(np.uint8))
    return np.asarray(square.convert("RGB"))


def _is_fast(image: Image.Image, across: Span, down: Span) -> bool:
    """Tell whether PyTorch can scale the picture, and has the instructions."""
    import torch  # noqa: PLC0415 - takes seconds; loaded once there is a model

    whole = across.begin == down.begin == 0  # it cannot begin within a pixel
    few = image.width * image.height <= COPIED_PIXELS
    return whole and few and image.mode == "RGB" and torch.backends.cpu.get_cpu_capability().startswith("AVX")


def _scaled_by_pytorch(image: Image.Image, across: Span, down: Span) -> NDArray[np.uint8]:
    import torch  # noqa: PLC0415 - as above

    # As a view by PyTorch: by the strides of one by NumPy it takes pixels for planes, and turns all of them twice.
    pixels = torch.from_numpy(np.array(image)).view(1, image.height, image.width, 3).permute(0, 3, 1, 2)
    # torch.nn.functional.interpolate calls this, but takes no size with a factor: the picture may end within a pixel.
    scaled = torch.ops.aten._upsample_bilinear2d_aa(  # noqa: SLF001
        pixels, [down.scaled, across.scaled], False, down.scaled / down.end, across.scaled / across.end
    )
    rows: NDArray[np.uint8] = scaled.permute(0, 2, 3, 1)[0].numpy()
    return rows
