"""Photographs of every kind that a camera or a browser sends, and bytes that only claim to be one."""

import contextlib
import io
import struct
import tracemalloc
import weakref
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tailgate.service.codec import images
from tailgate.service.codec.images import (
    MAX_EXIF_BYTES,
    MAX_READS,
    MAX_SCANS,
    MAX_SIDE,
    decode_image,
    is_picture,
)
from tailgate.service.errors import BadInput, TooLarge, Unsupported
from tailgate.service.models import ImageInput

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
    pixels = decode_image(encoded(framed), ImageInput(16, crop=0.5), MANY)
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


def test_a_picture_without_pixels_is_damaged():
    png, jpeg = encoded(quarters()), encoded(quarters(), "JPEG")
    place, size = next(idats(png))
    for body in (png[:place] + png[place + 12 + size :], jpeg[: jpeg.index(b"\xff\xda")] + b"\xff\xd9"):
        # An older Pillow does not open such a JPEG.
        with pytest.raises(BadInput, match=r"the image is damaged: it has no pixels|not an image"):
            decode_image(body, WHOLE, MANY)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_with(*chunks, depth=8, colour=2, row=b"\0" * 24):
    """An 8 × 8 PNG of equal rows with further chunks before its pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, depth, colour, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress((b"\0" + row) * 8))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + pixels + chunk(b"IEND", b"")


def png_header(width, height):
    """A PNG that claims its size and brings hardly any pixels."""

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(("width", "height"), [(101, 100), (10_000, 10_000), (2**31 - 1, 2**31 - 1)])
def test_huge_dimensions_are_refused_from_the_header_alone(width, height):
    with pytest.raises(TooLarge, match=r"pixels|too large"):
        decode_image(png_header(width, height), WHOLE, 10_000)


@pytest.mark.parametrize(
    "body", [png_header(1, MAX_SIDE + 1), png_header(49_999_999, 1), png_header(2, 24_999_999)]
)
def test_a_side_that_no_picture_has_is_refused_from_the_header_alone(body):
    with pytest.raises(TooLarge, match=rf"the image has \d+ x \d+ pixels, and at most {MAX_SIDE} per side"):
        decode_image(body, WHOLE, MANY)


@pytest.mark.parametrize("size", [(1, MAX_SIDE), (MAX_SIDE, 1)])
def test_a_side_of_the_largest_length_is_taken(size):
    assert set(decode_image(encoded(Image.new("L", size, 9)), WHOLE, MANY).ravel()) == {9}


def webps():
    """Return a WebP of each of its three kinds, 40 × 30 pixels, and where its size stands."""
    image, more = Image.new("RGB", (40, 30)), Image.new("RGB", (40, 30), RED)
    return {
        "lossy": encoded(image, "WEBP"),
        "lossless": encoded(image, "WEBP", lossless=True),
        "extended": encoded(image, "WEBP", save_all=True, append_images=[more]),
    }


@pytest.mark.parametrize("body", webps().values(), ids=webps())
def test_a_webp_that_is_too_large_is_refused_before_pillow_makes_room_for_it(monkeypatch, body):
    assert decode_image(body, WHOLE, 1200).shape == (16, 16, 3)
    monkeypatch.setattr(Image, "open", None)
    with pytest.raises(TooLarge, match="40 x 30 pixels, and at most 1199"):
        decode_image(body, WHOLE, 1199)


@pytest.mark.parametrize("length", [0, 11, 12, 20, 29, 30])
@pytest.mark.parametrize("body", webps().values(), ids=webps())
def test_a_webp_whose_header_is_cut_off_is_refused(body, length):
    with pytest.raises((BadInput, Unsupported)):
        decode_image(body[:length], WHOLE, MANY)


def test_as_many_pixels_as_allowed_are_taken():
    assert decode_image(encoded(Image.new("RGB", (100, 100))), WHOLE, 10_000).shape == (16, 16, 3)


@pytest.mark.parametrize("body", [b"hello", b"\0" * 100, b"<svg/>", encoded(Image.new("RGB", (9, 9)), "GIF")])
def test_what_is_no_image_of_a_served_format_is_unsupported(body):
    with pytest.raises(Unsupported, match="not an image in any of JPEG, PNG, WEBP"):
        decode_image(body, WHOLE, MANY)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_file_is_known_by_its_first_bytes(kind):
    body = encoded(quarters(), kind)
    assert is_picture(body)
    assert is_picture(bytearray(body))
    assert not is_picture(body[1:])
    assert not is_picture(encoded(quarters(), "GIF"))


STEPS = ["spans", "upright", "_orientation", "_scalable", "square_of"]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize(
    "error", [ValueError("box offset can't be negative"), TypeError(), OSError(), MemoryError()]
)
def test_an_error_of_our_own_is_not_called_damage_of_the_picture(monkeypatch, step, error):
    def broken(*_):
        raise error

    monkeypatch.setattr(images, step, broken)
    with pytest.raises(type(error)) as raised:
        decode_image(encoded(quarters()), WHOLE, MANY)
    assert raised.value is error


def test_no_memory_for_the_pixels_is_not_called_damage_either(monkeypatch):
    def full(*_):
        raise MemoryError

    monkeypatch.setattr(Image.core, "fill", full)
    with pytest.raises(MemoryError):
        decode_image(encoded(quarters()), WHOLE, MANY)


BOMB = zlib.compress(b"\0" * 50_000_000)


@pytest.mark.parametrize(
    "bomb",
    [
        chunk(b"zTXt", b"k\0\0" + BOMB),
        chunk(b"iTXt", b"k\0\1\0\0\0" + BOMB),
        chunk(b"iCCP", b"k\0\0" + BOMB),
    ],
    ids=["zTXt", "iTXt", "iCCP"],
)
def test_compressed_metadata_of_a_png_are_not_inflated_beyond_a_megabyte(bomb):
    with pytest.raises(BadInput, match="too large"):
        decode_image(png_with(bomb), WHOLE, MANY)


def test_pixels_beyond_a_pngs_size_are_not_inflated():
    bomb = png_with()[:33] + chunk(b"IDAT", BOMB) + chunk(b"IEND", b"")
    tracemalloc.start()
    try:
        assert decode_image(bomb, WHOLE, MANY).shape == (16, 16, 3)
        assert tracemalloc.get_traced_memory()[1] < 5 * 2**20
    finally:
        tracemalloc.stop()


JPEG = encoded(quarters(), "JPEG")


@pytest.mark.parametrize(
    "body",
    [
        png_with(chunk(b"tEXt", b"k\0v") * MAX_READS),
        JPEG[:2] + b"\xff\xfe\0\2" * MAX_READS + JPEG[2:],
        JPEG[:2] + b"\xff" * MAX_READS + JPEG[2:],
    ],
    ids=["chunks", "comments", "padding"],
)
def test_a_file_of_more_parts_than_any_picture_is_refused_before_all_are_looked_at(body):
    with pytest.raises(BadInput, match="too many parts"):
        decode_image(body, WHOLE, MANY)


def test_a_picture_in_many_small_parts_is_a_picture():
    pixels = np.random.default_rng(0).integers(0, 256, (1000, 1000, 3), dtype=np.uint8)
    whole = encoded(Image.fromarray(pixels))
    data = b"".join(whole[place + 8 : place + 8 + size] for place, size in idats(whole))
    pieces = b"".join(chunk(b"IDAT", data[at : at + 8192]) for at in range(0, len(data), 8192))
    body = whole[:33] + pieces + chunk(b"IEND", b"")
    assert np.array_equal(decode_image(body, WHOLE, MANY), decode_image(whole, WHOLE, MANY))


def idats(body):
    """Yield place and size of each IDAT chunk."""
    place = 8
    while place < len(body):
        (size,) = struct.unpack(">I", body[place : place + 4])
        if body[place + 4 : place + 8] == b"IDAT":
            yield place, size
        place += size + 12


def with_scans(count):
    """A progressive JPEG whose last scan, of some bytes, comes again and again."""
    body = encoded(Image.new("RGB", (64, 64)), "JPEG", progressive=True)
    last = body[body.rindex(b"\xff\xda") : -2]
    return body[:-2] + last * (count - body.count(b"\xff\xda")) + body[-2:]


def test_a_jpeg_of_endless_scans_is_refused_since_each_goes_through_the_whole_picture():
    assert decode_image(with_scans(MAX_SCANS), WHOLE, MANY).shape == (16, 16, 3)
    with pytest.raises(BadInput, match=f"the JPEG has {MAX_SCANS + 1} scans, and at most {MAX_SCANS}"):
        decode_image(with_scans(MAX_SCANS + 1), WHOLE, MANY)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0",
        b"Exif\0\0" + b"\xff" * 1000,
        b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x04\0\0\0abc\0\0\0\0\0",
        b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x63\0\0\0\x08\0\0\0",
        b"Exif\0\0II*\0\xff\xff\xff\x7f",
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff",
    ],
    ids=["empty", "no TIFF", "a text", "99", "beyond the end", "more tags than bytes"],
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_an_orientation_that_means_nothing_turns_nothing(exif, kind):
    assert corners(decode_image(encoded(quarters(), kind, exif=exif), WHOLE, MANY)) == UPRIGHT


def exif_of(size, orientation=6):
    """So many bytes of EXIF: an orientation, and a tag of as many numbers as fill the rest."""
    entries = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    numbers = (size - 8 - 2 - 2 * 12 - 4) // 8
    entries += struct.pack("<HHII", 0x011A, 5, numbers, 8 + 2 + 2 * 12 + 4)
    block = b"II*\0" + struct.pack("<IH", 8, 2) + entries + bytes(4)
    return block.ljust(size, b"\1")


def text_of(exif):
    digits = exif.hex()
    lines = "\n".join(digits[place : place + 72] for place in range(0, len(digits), 72))
    return chunk(b"tEXt", b"Raw profile type exif\0" + f"\nexif\n{len(exif):8}\n{lines}\n".encode())


def after_start(body, *parts):
    """Put parts behind a JPEG's start, or in front of a PNG's end."""
    place = 2 if body.startswith(b"\xff\xd8") else body.rindex(b"IEND") - 4
    return body[:place] + b"".join(parts) + body[place:]


def segments(exif):
    pieces = [exif[place : place + 60_000] for place in range(0, len(exif), 60_000)]
    return [b"\xff\xe1" + struct.pack(">H", 8 + len(piece)) + b"Exif\0\0" + piece for piece in pieces]


def bare_jpeg():
    """A JPEG without JFIF's segment: Pillow looks for its resolution in EXIF while it opens it."""
    whole = encoded(quarters(), "JPEG")
    return whole[:2] + whole[20:]


HOLDERS = {
    "a PNG": lambda exif: after_start(encoded(quarters()), chunk(b"eXIf", exif)),
    "text of a PNG": lambda exif: after_start(encoded(quarters()), text_of(exif)),
    "a WebP": lambda exif: encoded(quarters(), "WEBP", exif=exif),
    "segments of a JPEG": lambda exif: after_start(bare_jpeg(), *segments(exif)),
}


@pytest.mark.parametrize("hold", HOLDERS.values(), ids=HOLDERS)
def test_exif_beyond_its_bound_is_refused_before_it_is_parsed(monkeypatch, hold):
    parsed, load = [], Image.Exif.load

    def noted(self, data):
        parsed.append(len(data))
        load(self, data)

    large, small = hold(exif_of(1_000_000)), hold(exif_of(MAX_EXIF_BYTES - 1000))
    monkeypatch.setattr(Image.Exif, "load", noted)
    with pytest.raises(BadInput, match=f"more than {MAX_EXIF_BYTES} bytes of EXIF"):
        decode_image(large, WHOLE, MANY)
    assert parsed == []
    turned = decode_image(small, WHOLE, MANY)
    assert parsed
    assert corners(turned) == ["blue", "red", "white", "green"]


def scan_per_colour():
    """A grey JPEG of 256 × 256 pixels that is not progressive and has a scan for each of its colours.

    Of each block it says that nothing changes: in the usual codes these are 001010 for brightness, and 0000 for a colour.
    """
    whole = encoded(Image.new("RGB", (256, 256)), "JPEG", subsampling=0)
    scans = [
        b"\xff\xda\0\x08\1" + bytes([number, table, 0, 63, 0]) + data
        for number, table, data in ((1, 0, b"\x28\xa2\x8a" * 256), (2, 17, bytes(512)), (3, 17, bytes(512)))
    ]
    return whole[: whole.index(b"\xff\xda")] + b"".join(scans) + whole[-2:]


def with_preview(body):
    """A JPEG with another in its metadata."""
    return after_start(body, b"\xff\xe2" + struct.pack(">H", 2 + len(JPEG)) + JPEG)


def noisy(kind, **options):
    pixels = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    return encoded(Image.fromarray(pixels), kind, **options)


LOSSLESS = noisy("WEBP", lossless=True)
LARGE = {
    "a PNG": noisy("PNG"),
    "a WebP": noisy("WEBP"),
    "a wide JPEG, which is decoded whole": encoded(Image.new("RGB", (2000, 33)), "JPEG"),
    "a progressive JPEG": noisy("JPEG", progressive=True),
    "a JPEG of a scan per colour": scan_per_colour(),
    "a PNG that is cut off": noisy("PNG")[:-1000],
    "a WebP whose pixels are none": LOSSLESS[:26].ljust(len(LOSSLESS), b"\0"),
    "a progressive JPEG that is cut off": noisy("JPEG", progressive=True)[:-1000],
    "a PNG with too much EXIF": after_start(noisy("PNG"), chunk(b"eXIf", exif_of(1_000_000))),
}
SMALL = {
    "a small PNG": encoded(quarters(64)),
    "a JPEG that is decoded at a fraction": noisy("JPEG"),
    "a JPEG with a preview": with_preview(noisy("JPEG")),
    "a JPEG with a second picture behind": noisy("MPO", save_all=True, append_images=[quarters(256)]),
    "no picture": b"hello",
    "a PNG of which too many pixels are claimed": png_header(10_000, 10_000),
}


@pytest.mark.parametrize(
    ("body", "large"),
    [(body, True) for body in LARGE.values()] + [(body, False) for body in SMALL.values()],
    ids=[*LARGE, *SMALL],
)
def test_freed_memory_is_given_back_after_a_large_picture_when_nothing_holds_it_any_more(
    monkeypatch, body, large
):
    opened, held = [], []
    real = Image.open

    def noted(*arguments, **options):
        image = real(*arguments, **options)
        opened.append(weakref.ref(image))
        return image

    monkeypatch.setattr(Image, "open", noted)
    monkeypatch.setattr(images, "KEPT_PIXELS", 64 * 64)
    monkeypatch.setattr(images, "give_back_freed_memory", lambda: held.extend(image() for image in opened))
    with contextlib.suppress(BadInput):
        decode_image(body, WHOLE, MANY)
    assert held == ([None] if large else [])


@pytest.mark.parametrize(("kind", "mode"), [("PNG", "RGB"), ("WEBP", "RGB"), ("JPEG", "CMYK"), ("JPEG", "L")])
def test_orientation_counts_in_every_format_and_colour(kind, mode):
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = decode_image(encoded(quarters().convert(mode), kind, exif=exif), WHOLE, MANY)
    plain = decode_image(encoded(quarters().convert(mode), kind), WHOLE, MANY)
    assert np.abs(np.rot90(plain, -1).astype(int) - turned).mean() < 3


@pytest.mark.parametrize("transparency", [3, bytes(range(256))])
def test_a_palette_with_transparent_colours_keeps_its_colours(transparency):
    palette = quarters().convert("P")
    assert corners(decode_image(encoded(palette, transparency=transparency), WHOLE, MANY)) == UPRIGHT


@pytest.mark.parametrize(
    ("colour", "row"),
    [(0, b"\x80\xff" * 8), (2, b"\x80\xff" * 24), (4, b"\x80\xff" * 16), (6, b"\x80\xff" * 32)],
)
def test_sixteen_bits_a_channel_become_eight_in_every_kind_of_png(colour, row):
    assert set(decode_image(png_with(depth=16, colour=colour, row=row), WHOLE, MANY).ravel()) == {0x80}


@pytest.mark.parametrize(
    "frames", [chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0)), chunk(b"acTL", struct.pack(">II", 0, 0))]
)
@pytest.mark.filterwarnings("ignore:Invalid APNG:UserWarning")
def test_an_animation_that_lies_about_its_frames_is_the_picture_that_it_is(frames):
    first = chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 8, 8, 0, 0, 1, 1, 0, 0))
    assert decode_image(png_with(frames, first), WHOLE, MANY).shape == (16, 16, 3)


def test_the_canvas_of_an_animation_counts_as_its_size():
    body = bytearray(encoded(quarters(), "WEBP", save_all=True, append_images=[Image.new("RGB", (64, 64))]))
    place = body.index(b"VP8X") + 12
    body[place : place + 6] = b"\xff\x3f\x00\xff\x3f\x00"
    with pytest.raises(TooLarge):
        decode_image(bytes(body), WHOLE, MANY)


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
