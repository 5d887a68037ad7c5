"""Which pixels of a picture the model sees: torchvision's ``Resize`` and ``CenterCrop``, to the pixel. Pure."""

import math
from typing import NamedTuple

# Scaled whole, a strip that is longer than so many times its width would be many times what the model takes.
STRIP = 4
# How far Pillow's bicubic filter looks, in pixels of the coarser of its two grids; the bilinear one looks half as far.
REACH = 2

# EXIF's orientations of a picture that lies on its side.
SIDEWAYS = (5, 6, 7, 8)

Box = tuple[float, float, float, float]  # left, top, right, bottom


class Span(NamedTuple):
    """One axis of a picture: a part of it is scaled, and a part of the scaled one is cut out."""

    near: int  # first pixel of the part that is scaled
    far: int  # behind its last
    begin: float  # where scaling begins, in pixels from ``near``
    end: float
    scaled: int  # pixels after scaling
    first: int  # first of these that the model sees


def upright(box: Box, size: tuple[int, int], orientation: object) -> Box:
    """Return where ``box`` lies after its picture, of ``size`` afterwards, has been turned from an EXIF orientation."""
    left, top, right, bottom = box
    if orientation in SIDEWAYS:
        left, top, right, bottom = top, left, bottom, right
    if orientation in (2, 3, 6, 7):
        left, right = size[0] - right, size[0] - left
    if orientation in (3, 4, 7, 8):
        top, bottom = size[1] - bottom, size[1] - top
    return left, top, right, bottom


def spans(full: tuple[int, int], box: Box, size: int, resize: int) -> tuple[Span, Span]:
    """Return how a picture's width and height become ``size`` pixels each.

    Args:
        full: the picture's size in its file, on which the reference's whole pixels depend.
        box: where it lies among the decoded pixels; a JPEG decoded at a fraction ends within its last ones.
        size: pixels that the model sees, per side.
        resize: pixels that the shorter side is scaled to, at least ``size``.
    """
    left, top, right, bottom = box
    scaled = [resize * side // min(full) for side in full]
    return _span(left, right, scaled[0], size, resize), _span(top, bottom, scaled[1], size, resize)


def _span(begin: float, end: float, scaled: int, size: int, resize: int) -> Span:
    first = round((scaled - size) / 2)
    pixels = math.ceil(end)
    if scaled <= STRIP * resize:
        return Span(0, pixels, begin, end, scaled, first)
    length = end - begin
    begin, end = begin + first * length / scaled, begin + (first + size) * length / scaled
    margin = REACH * max(1.0, length / scaled) + 1
    near, far = max(0, math.floor(begin - margin)), min(pixels, math.ceil(end + margin))
    return Span(near, far, begin - near, end - near, size, 0)
