"""Which pixels the model sees: those of torchvision's Resize and CenterCrop, of every size of picture."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image, ImageOps
from torchvision.transforms.functional import _compute_resized_output_size

from tailgate.service.codec.cropping import COLUMNS_REVERSED, ROWS_REVERSED, SIDEWAYS, STRIP, spans, upright
from tailgate.service.codec.images import MAX_SIDE
from tailgate.service.models import ImageInput

SIDES = st.integers(1, MAX_SIDE)
# Every pair of torchvision's recipes has such sizes; 8 and 4,096 are the limits of TAILGATE_INPUT_SIZE.
SIZES = (8, 224, 240, 256, 288, 299, 300, 380, 384, 456, 480, 512, 518, 528, 600, 4096)


def assert_within(axis, pixels, size):
    """The part lies in the picture, the box in the part, as Pillow's single precision has it, and the model's pixels in the scaled part."""
    begin, end = np.float32(axis.begin), np.float32(axis.end)
    assert 0 <= axis.near < axis.far <= pixels
    assert 0 <= begin < end <= np.float32(axis.far - axis.near)
    assert 0 <= axis.first <= axis.first + size <= axis.scaled


@example(4160, 3120, 224, 0, 1)
@example(1, MAX_SIDE, 224, 0, 1)
@example(MAX_SIDE, MAX_SIDE, 8, 0, 8)
@given(SIDES, SIDES, st.sampled_from(SIZES), st.integers(0, 600), st.sampled_from([1, 2, 4, 8]))
def test_of_a_picture_of_any_size_at_any_fraction_the_box_lies_within(width, height, size, more, fraction):
    full = (width, height)
    stored = (-(-width // fraction), -(-height // fraction))
    extent = (width / fraction, height / fraction)
    for orientation in (1, 3):
        axes = spans(full, extent, size, size + more, orientation)
        for axis, pixels in zip(axes, stored, strict=True):
            assert_within(axis, pixels, size)


@pytest.mark.parametrize("size", [224, 480])
def test_the_whole_shorter_side_is_seen_where_resize_and_crop_are_the_same(size):
    for shorter in range(1, 8001):
        for longer in (shorter + 37, 4 * shorter + 1):
            across, down = spans((longer, shorter), (longer, shorter), size, size)
            assert_within(across, longer, size)
            assert (down.begin, down.end, down.scaled, down.first) == (0, shorter, size, 0)


@given(SIDES, SIDES, st.sampled_from(SIZES), st.integers(0, 600))
def test_the_scaled_picture_has_the_references_whole_pixels(width, height, size, more):
    resize = size + more
    scaled_height, scaled_width = _compute_resized_output_size((height, width), [resize])
    reference = zip((width, height), (scaled_width, scaled_height), strict=True)
    axes = spans((width, height), (width, height), size, resize)
    for axis, (pixels, scaled) in zip(axes, reference, strict=True):
        first = round((scaled - size) / 2.0)  # as center_crop has it
        if scaled <= STRIP * resize:
            assert (axis.near, axis.far, axis.begin, axis.end) == (0, pixels, 0, pixels)
            assert (axis.scaled, axis.first) == (scaled, first)
        else:
            assert (axis.scaled, axis.first) == (size, 0)
            assert axis.near + axis.begin == pytest.approx(first * pixels / scaled)
            assert axis.near + axis.end == pytest.approx((first + size) * pixels / scaled)


@pytest.mark.parametrize("orientation", [None, *range(10), "6", b"", 6.5])
def test_pixels_are_turned_as_pillow_turns_them(orientation):
    stored = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    exif = Image.Exif()
    if orientation in range(1, 9):
        exif[0x0112] = orientation
    image = Image.fromarray(stored)
    image.info["exif"] = exif.tobytes()
    assert np.array_equal(upright(stored, orientation), np.asarray(ImageOps.exif_transpose(image)))


@given(st.integers(1, 8), SIDES, SIDES, st.sampled_from(SIZES), st.integers(0, 600))
def test_of_a_turned_picture_the_part_is_seen_that_is_seen_of_the_upright_one(
    orientation, width, height, size, more
):
    stored = spans((width, height), (width, height), size, size + more, orientation)
    sideways = orientation in SIDEWAYS
    full = (height, width) if sideways else (width, height)
    turned = spans(full, full, size, size + more)[:: -1 if sideways else 1]
    for axis, other, backwards, pixels in zip(
        stored,
        turned,
        (orientation in COLUMNS_REVERSED, orientation in ROWS_REVERSED),
        (width, height),
        strict=True,
    ):
        assert axis.scaled == other.scaled
        begin, end = other.near + other.begin, other.near + other.end
        if backwards:
            begin, end = pixels - end, pixels - begin
            assert axis.first == other.scaled - size - other.first
        else:
            assert axis.first == other.first
        assert (axis.near + axis.begin, axis.near + axis.end) == pytest.approx((begin, end))


def test_the_share_of_a_recipe_gives_its_whole_number_back():
    for size in (1, 7, *SIZES):
        for resize in range(size, 2 * size + 1):
            assert ImageInput(size, crop=size / resize).resize == resize


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"size": 0}, "at least 1"),
        ({"size": 8, "crop": 0.0}, "above 0"),
        ({"size": 8, "crop": 1.1}, "at most 1, got 8 and 1.1"),
        ({"size": 8, "crop": float("nan")}, "at most 1"),
        ({"size": 8, "resampling": "nearest"}, "bilinear or bicubic, got 'nearest'"),
    ],
)
def test_a_square_that_no_picture_has_is_refused_where_it_is_described(arguments, told):
    with pytest.raises(ValueError, match=told):
        ImageInput(**arguments)
