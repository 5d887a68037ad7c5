"""A photograph's bytes to the model's pixels. Runs in the decoding threads, never on the event loop.

Some kilobytes can cost minutes or gigabytes, so limits hold before a decoder runs: on pixels and sides by the header, on a
JPEG's scans, on EXIF bytes, and on Pillow's reads. Only errors in Pillow's reading mean a damaged file.
"""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

from tailgate.service.codec.cropping import spans, upright
from tailgate.service.codec.scaling import square_of
from tailgate.service.errors import BadInput, RequestError, TooLarge, Unsupported
from tailgate.service.memory import fault_in, give_back_freed_memory
from tailgate.service.models.spec import ImageInput

# Formats that browsers and cameras send; the others of Pillow are more parser than use.
FORMATS = ("JPEG", "PNG", "WEBP")
CONTENT_TYPES = ("image/jpeg", "image/png", "image/webp")
# What a JPEG can have. Pillow makes a pointer per row under the interpreter lock: a PNG of 1 × 50 million pixels took 31 bytes
# per pixel and stopped the event loop for 0.4 s.
MAX_SIDE = 65_535
# A JPEG decoded at 1/2, 1/4 or 1/8 costs a fraction, and has a coarser filter than Pillow's. Left at least twice as large as
# needed, as by Image.thumbnail, photographs differ from the reference by 0.1 to 0.4 of 255 levels in the mean and by up to 9
# in single pixels, and 224 of 226 crops had the same most likely label (benchmarks.limits.photographs). At 1.5 times the
# needed size 222 had, and at the needed size 217; there it was 0.2 to 2.2 levels, and up to 49.
DRAFT_GAP = 2
# Freed memory of larger pictures is given back: at 16 bytes per pixel, each thread keeps 64 MB at most.
KEPT_PIXELS = 4_000_000
# Each scan of a progressive JPEG goes through the whole picture, and can be 10 bytes long: 1,000 of them at 36 megapixels,
# 0.3 MB, took 23 s ("Two Issues with the JPEG Standard", libjpeg-turbo). Encoders write about 10.
MAX_SCANS, SCAN_MARKER, END_MARKER = 100, b"\xff\xda", b"\xff\xd9"
# Pillow walks through markers and chunks in Python, and over padding byte by byte. An 8 MB PNG takes 4,000.
MAX_READS = 50_000
# What one segment of a JPEG holds. Pillow makes an object of each number: 16 MB of them hold the interpreter for seconds.
MAX_EXIF_BYTES = 64 * 2**10
EXIF_SEGMENT = b"Exif\0\0"
# Where a PNG holds EXIF as text, in hexadecimal digits and lines of 72 of them.
EXIF_TEXT = "Raw profile type exif"


def is_picture(body: bytes | bytearray) -> bool:
    """Tell whether the bytes begin as a file of one of the formats."""
    return body.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")) or _is_webp(body)


def decode_image(body: bytes | bytearray, target: ImageInput, max_pixels: int) -> NDArray[np.uint8]:
    """Return size × size × 3 bytes: upright, scaled and cropped as the model was trained.

    Raises:
        BadInput: the bytes are not a whole image.
        TooLarge: more pixels than ``max_pixels`` or a side beyond ``MAX_SIDE``, found out before any is decoded.
        Unsupported: another format.
    """
    file = _File(body)
    outcome = _decoded(file, target, max_pixels)
    # No frame of a traceback holds the picture any more, of a refusal neither.
    if file.unpacked > KEPT_PIXELS:
        give_back_freed_memory()
    if isinstance(outcome, RequestError):
        raise outcome
    return outcome


class _File(io.BytesIO):
    """A file with a limit on reads, and on EXIF in segments of a JPEG, which Pillow reads whole while it opens the file."""

    def __init__(self, body: bytes | bytearray) -> None:
        super().__init__(body)
        self.body = body
        self.place = 0  # behind what was read last
        self.unpacked = 0  # pixels that the decoder holds at once
        self._reads = self._exif_bytes = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes; BadInput for more parts, or more EXIF, than any picture has."""
        self._reads += 1
        if self._reads > MAX_READS:
            raise BadInput(f"the image is made of too many parts: more than {MAX_READS} reads for its parts")
        data = super().read(size)
        self.place = self.tell()
        if data.startswith(EXIF_SEGMENT):
            self._exif_bytes += len(data)
            _limit_exif(self._exif_bytes)
        return data


def _decoded(file: _File, target: ImageInput, max_pixels: int) -> NDArray[np.uint8] | RequestError:
    """Return the pixels, or a refusal without a traceback, which would hold the picture."""
    try:
        image = _open(file, max_pixels)
        full = image.size
        extent = _load(image, file, target.resize * DRAFT_GAP)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - damage leads Pillow's parsers into errors of any type
        return _refusal(error, max_pixels)
    return _fit(image, full, extent, target)


def _refusal(error: Exception, max_pixels: int) -> RequestError:
    if isinstance(error, RequestError):
        return error.with_traceback(None)
    if isinstance(error, UnidentifiedImageError):
        return Unsupported(f"the body is not an image in any of {', '.join(FORMATS)}")
    if isinstance(error, Image.DecompressionBombError):
        return TooLarge(
            f"the image is far too large: at most {max_pixels} pixels are taken (TAILGATE_MAX_IMAGE_PIXELS)"
        )
    return BadInput(f"the image is damaged: {error}")


def _open(file: _File, max_pixels: int) -> ImageFile.ImageFile:
    canvas = _canvas(file.body)
    if canvas is not None:
        _limit_size(canvas, max_pixels)
    image = Image.open(file, formats=FORMATS)
    _limit_size(image.size, max_pixels)
    return image


def _is_webp(body: bytes | bytearray) -> bool:
    return body[:4] == b"RIFF" and body[8:12] == b"WEBP"


def _canvas(body: bytes | bytearray) -> tuple[int, int] | None:
    """Return the size of a WebP by RFC 9649, sections 2.5 to 2.7; None where its header tells none.

    Pillow makes room for two canvases while it opens one: 1.4 GB for 150 bytes that claim 16,383 × 10,900 pixels.
    """
    header = bytes(body[:30])
    if not _is_webp(header) or len(header) < 30:
        return None
    kind, number = header[12:16], int.from_bytes
    if kind == b"VP8X":
        return number(header[24:27], "little") + 1, number(header[27:30], "little") + 1
    if kind == b"VP8L":
        bits = number(header[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return number(header[26:28], "little") & 0x3FFF, number(header[28:30], "little") & 0x3FFF


def _limit_size(size: tuple[int, int], max_pixels: int) -> None:
    width, height = size
    told = f"the image has {width} x {height} pixels, and at most"
    if width * height > max_pixels:
        raise TooLarge(f"{told} {max_pixels} are taken (TAILGATE_MAX_IMAGE_PIXELS)")
    if max(size) > MAX_SIDE:
        raise TooLarge(f"{told} {MAX_SIDE} per side are taken")


def _limit_exif(size: int) -> None:
    """Refuse large EXIF; left unread, its picture would not stand upright as in other readers."""
    if size > MAX_EXIF_BYTES + len(EXIF_SEGMENT):
        raise BadInput(
            f"the image has more than {MAX_EXIF_BYTES} bytes of EXIF metadata; save it without them"
        )


def _load(image: ImageFile.ImageFile, file: _File, enough: int) -> tuple[float, float]:
    """Decode, a JPEG at a fraction whose shorter side is ``enough``; return the picture's size in decoded pixels."""
    file.unpacked = image.width * image.height
    one_scan = image.format in ("JPEG", "MPO") and _scans(file) == 1
    drafted = image.draft("RGB", (enough, enough))
    if one_scan:  # of several scans the decoder keeps the coefficients of the whole picture
        file.unpacked = image.width * image.height
    if not image.tile and image.format != "WEBP":  # Pillow looks only while it has no room for pixels
        raise BadInput("the image is damaged: it has no pixels")
    if image.mode != "I;16":
        # Pillow would clear the pixels under the interpreter lock. It fills a new picture without it, except I;16.
        image.im = Image.new(image.mode, image.size).im
    if image.format == "WEBP" and file.unpacked > KEPT_PIXELS:
        fault_in(4 * file.unpacked)  # Pillow copies a WebP's canvas while it holds the lock
    image.load()
    _limit_exif(len(image.info.get("exif", b"")))
    _limit_exif(len(image.info.get(EXIF_TEXT, "")) * 36 // 73)
    return image.size if drafted is None else drafted[1][2:]


def _scans(file: _File) -> int:
    """Return how many scans a JPEG has that was read up to its first; BadInput for too many."""
    further = file.body.count(SCAN_MARKER, file.place)
    if not further:
        return 1
    if further >= MAX_SCANS:
        raise BadInput(
            f"the JPEG has {1 + further} scans, and at most {MAX_SCANS} are taken; save it as baseline JPEG"
        )
    # Phones put further pictures behind the first.
    return 1 + file.body.count(SCAN_MARKER, file.place, file.body.find(END_MARKER, file.place))


def _fit(
    image: Image.Image, full: tuple[int, int], extent: tuple[float, float], target: ImageInput
) -> NDArray[np.uint8]:
    """Scale the shorter side to ``target.resize``, cut out the middle, and turn it upright.

    ``full`` is the picture's size in its file, and ``extent`` is its size in decoded pixels.
    """
    orientation = _orientation(image)
    across, down = spans(full, extent, target.size, target.resize, orientation)
    part = (across.near, down.near, across.far, down.far)
    if part != (0, 0, *image.size):  # a long strip
        image = image.crop(part)
    square = square_of(_scalable(image), across, down, target.size, target.resampling)
    return np.ascontiguousarray(upright(square, orientation))


def _orientation(image: Image.Image) -> object:
    """Return the orientation of the picture's EXIF, any value that EXIF can hold; None where it cannot be read."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - metadata fail like images, in any way; the pixels are there
        return None


def _scalable(image: Image.Image) -> Image.Image:
    """Return the picture in RGB, or in grey of 8 or 16 bits, which can be averaged; transparency is dropped."""
    image.info.pop("transparency", None)  # Pillow would warn of what is dropped
    if image.mode in ("RGB", "L", "I;16"):
        return image
    return image.convert("L" if image.mode in ("1", "LA") else "RGB")
