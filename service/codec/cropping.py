"""Which pixels of a picture the model sees: torchvision's ``Resize`` and ``CenterCrop``, to the pixel. Pure."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Scaled whole, a strip that is longer than so many times its width would be many times what the model takes.
STRIP = 4
# How far Pillow's bicubic filter looks, in pixels of the coarser of its two grids; the bilinear one looks half as far.
REACH = 2

# EXIF's orientations of a picture that is stored on its side, and of one whose columns or rows are stored in reverse.
SIDEWAYS, COLUMNS_REVERSED, ROWS_REVERSED = (5, 6, 7, 8), (2, 3, 7, 8), (3, 4, 6, 7)


class Span(NamedTuple):
    """One axis of a picture: a part of it is scaled, and a part of the scaled one is cut out."""

    near: int  # first pixel of the part that is scaled
    far: int  # behind its last
    begin: float  # where scaling begins, in pixels from ``near``; 0 for a side that is scaled whole
    end: float
    scaled: int  # pixels after scaling
    first: int  # first of these that the model sees


def spans(
    full: tuple[int, int], extent: tuple[float, float], size: int, resize: int, orientation: object = 1
) -> tuple[Span, Span]:
    """Return how a picture's width and height, as they are stored, become ``size`` pixels each.

    Args:
        full: the picture's size in its file, on which the reference's whole pixels depend.
        extent: its size in decoded pixels; a JPEG decoded at a fraction ends within its last ones.
        size: pixels that the model sees, per side.
        resize: pixels that the shorter side is scaled to, at least ``size``.
        orientation: as EXIF has it, or any other value for an upright picture.
    """
    across, down = (resize * side // min(full) for side in full)
    return (
        _span(extent[0], across, size, resize, backwards=orientation in COLUMNS_REVERSED),
        _span(extent[1], down, size, resize, backwards=orientation in ROWS_REVERSED),
    )


def upright(pixels: NDArray[np.uint8], orientation: object) -> NDArray[np.uint8]:
    """Return rows × columns turned from an EXIF orientation; any other value turns nothing."""
    if orientation in ROWS_REVERSED:
        pixels = pixels[::-1]
    if orientation in COLUMNS_REVERSED:
        pixels = pixels[:, ::-1]
    return pixels.swapaxes(0, 1) if orientation in SIDEWAYS else pixels


def _span(length: float, scaled: int, size: int, resize: int, *, backwards: bool) -> Span:
    first = round((scaled - size) / 2)
    if backwards:
        first = scaled - size - first
    pixels = math.ceil(length)
    if scaled <= STRIP * resize:
        return Span(0, pixels, 0, length, scaled, first)
    begin, end = first * length / scaled, (first + size) * length / scaled
    margin = REACH * max(1.0, length / scaled) + 1
    near, far = max(0, math.floor(begin - margin)), min(pixels, math.ceil(end + margin))
    return Span(near, far, begin - near, end - near, size, 0)
