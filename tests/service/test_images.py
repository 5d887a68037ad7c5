"""Photographs of every kind that a camera or a browser sends, and bytes that only claim to be one."""

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from service.errors import BadInput, TooLarge, Unsupported
from service.images import decode_image
from service.models import ImageInput

WHOLE = ImageInput(16, crop=1.0)
MANY = 50_000_000
RED, GREEN, BLUE, WHITE = (200, 0, 0), (0, 200, 0), (0, 0, 200), (200, 200, 200)


def encoded(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def quarters(size=64):
    """Red and green above, blue and white below."""
    pixels = np.empty((size, size, 3), np.uint8)
    half = size // 2
    pixels[:half, :half], pixels[:half, half:] = RED, GREEN
    pixels[half:, :half], pixels[half:, half:] = BLUE, WHITE
    return Image.fromarray(pixels)


def corners(pixels):
    """Return what stands in the four quarters, by the name of the nearest colour."""
    names = {"red": RED, "green": GREEN, "blue": BLUE, "white": WHITE}
    size = len(pixels)
    near, far = size // 4, size - 1 - size // 4
    seen = []
    for y, x in ((near, near), (near, far), (far, near), (far, far)):
        distance = {
            name: np.abs(pixels[y, x].astype(int) - np.array(colour)).sum() for name, colour in names.items()
        }
        seen.append(min(distance, key=distance.get))
    return seen


UPRIGHT = ["red", "green", "blue", "white"]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_each_format_gives_the_same_picture(kind):
    pixels = decode_image(encoded(quarters(), kind), WHOLE, MANY)
    assert (pixels.shape, pixels.dtype) == ((16, 16, 3), np.uint8)
    assert corners(pixels) == UPRIGHT


def test_a_picture_of_the_models_size_is_taken_pixel_for_pixel():
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    assert np.array_equal(decode_image(encoded(Image.fromarray(pixels)), WHOLE, MANY), pixels)


@pytest.mark.parametrize(
    ("orientation", "stored_as"),
    [
        (1, None),
        (2, Image.Transpose.FLIP_LEFT_RIGHT),
        (3, Image.Transpose.ROTATE_180),
        (4, Image.Transpose.FLIP_TOP_BOTTOM),
        (5, Image.Transpose.TRANSPOSE),
        (6, Image.Transpose.ROTATE_90),
        (7, Image.Transpose.TRANSVERSE),
        (8, Image.Transpose.ROTATE_270),
    ],
)
def test_a_photograph_is_turned_upright_by_its_exif_orientation(orientation, stored_as):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = quarters() if stored_as is None else quarters().transpose(stored_as)
    assert corners(decode_image(encoded(stored, "JPEG", exif=exif), WHOLE, MANY)) == UPRIGHT


@pytest.mark.parametrize("mode", ["RGBA", "P", "CMYK"])
def test_other_kinds_of_colour_become_the_same_picture(mode):
    body = encoded(quarters().convert(mode), "JPEG" if mode == "CMYK" else "PNG")
    assert corners(decode_image(body, WHOLE, MANY)) == UPRIGHT


@pytest.mark.parametrize("mode", ["L", "LA", "1"])
def test_grey_and_black_and_white_have_equal_channels(mode):
    pixels = decode_image(encoded(quarters().convert(mode)), WHOLE, MANY)
    assert np.array_equal(pixels[..., 0], pixels[..., 2])
    assert pixels[12, 12, 0] > pixels[4, 4, 0]


def test_sixteen_bits_of_grey_are_scaled_and_not_clipped():
    grey = Image.fromarray(np.full((16, 16), 0x80FF, np.uint16))
    assert set(decode_image(encoded(grey), WHOLE, MANY).ravel()) == {0x80}


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_of_an_animated_picture_the_first_frame_counts(kind):
    frames = [quarters(), Image.new("RGB", (64, 64))]
    body = encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=10)
    assert corners(decode_image(body, WHOLE, MANY)) == UPRIGHT


@pytest.mark.parametrize("size", [(200, 64), (64, 200), (640, 640), (3, 5), (1, 1)])
def test_any_shape_is_scaled_and_cut_to_the_models_square(size):
    assert decode_image(encoded(Image.new("RGB", size, RED)), WHOLE, MANY).shape == (16, 16, 3)


def test_the_middle_is_cut_out_of_a_wide_picture():
    wide = Image.new("RGB", (300, 100), BLUE)
    wide.paste(quarters(100), (100, 0))
    assert corners(decode_image(encoded(wide), WHOLE, MANY)) == UPRIGHT


def test_a_crop_leaves_the_border_out():
    framed = Image.new("RGB", (100, 100), WHITE)
    framed.paste(Image.new("RGB", (80, 80), RED), (10, 10))
    pixels = decode_image(encoded(framed), ImageInput(16, crop=0.75), MANY)
    assert np.array_equal(np.unique(pixels.reshape(-1, 3), axis=0), [RED])


def test_a_large_jpeg_decoded_at_a_fraction_is_still_the_same_picture():
    pixels = decode_image(encoded(quarters(1024), "JPEG"), WHOLE, MANY)
    assert corners(pixels) == UPRIGHT


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_truncated_picture_is_damaged(kind, share):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    whole = encoded(noise, kind)
    with pytest.raises(BadInput, match=r"the image is damaged: |not an image"):
        decode_image(whole[: int(len(whole) * share)], WHOLE, MANY)


def png_header(width, height):
    """A PNG that claims its size and brings hardly any pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(("width", "height"), [(101, 100), (10_000, 10_000), (2**31 - 1, 2**31 - 1)])
def test_huge_dimensions_are_refused_from_the_header_alone(width, height):
    with pytest.raises(TooLarge, match=r"pixels|too large"):
        decode_image(png_header(width, height), WHOLE, 10_000)


def test_as_many_pixels_as_allowed_are_taken():
    assert decode_image(encoded(Image.new("RGB", (100, 100))), WHOLE, 10_000).shape == (16, 16, 3)


@pytest.mark.parametrize("body", [b"hello", b"\0" * 100, b"<svg/>", encoded(Image.new("RGB", (9, 9)), "GIF")])
def test_what_is_no_image_of_a_served_format_is_unsupported(body):
    with pytest.raises(Unsupported, match="not an image in any of JPEG, PNG, WEBP"):
        decode_image(body, WHOLE, MANY)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(["PNG", "JPEG", "WEBP"]),
    places=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), min_size=1, max_size=20),
)
def test_damaged_bytes_give_a_picture_or_a_refusal_and_nothing_else(kind, places):
    damaged = bytearray(encoded(quarters(32), kind))
    for place, value in places:
        damaged[place % len(damaged)] = value
    try:
        pixels = decode_image(bytes(damaged), WHOLE, 100_000)
    except (BadInput, TooLarge, Unsupported):
        return
    assert pixels.shape == (16, 16, 3)
