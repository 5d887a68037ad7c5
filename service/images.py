"""A photograph's bytes to the model's pixels. Runs in the decoding threads, never on the event loop.

A file of some kilobytes can be made to cost minutes or gigabytes, so what a decoder is given is bounded beforehand:
pixels by the header, scans of a JPEG by their markers, EXIF by its size, and the steps in which Pillow walks through
the file's parts.
"""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from service.errors import BadInput, RequestError, TooLarge, Unsupported
from service.models.spec import ImageInput

# Formats that browsers and cameras send; the others of Pillow are more parser than use.
FORMATS = ("JPEG", "PNG", "WEBP")
RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
CONTENT_TYPES = ("image/jpeg", "image/png", "image/webp")
# Each scan of a progressive JPEG goes through the whole picture again, and can be 10 bytes long: 1,000 of
# them at 36 megapixels, 0.3 MB, took 23 s of a processor ("Two Issues with the JPEG Standard", libjpeg-turbo). Encoders write about 10.
MAX_SCANS, SCAN_MARKER = 100, b"\xff\xda"
# Pillow walks through markers and chunks in Python, some reads each, and over padding byte by byte. An 8 MB PNG in the
# usual pieces of 8 KB takes 4,000.
MAX_READS = 50_000
# What one segment of a JPEG can hold, and a camera writes. Pillow makes an object of each of an entry's numbers: 16 MB of
# them, in a PNG or in many segments, are two million, and hold the interpreter for seconds.
MAX_EXIF_BYTES = 64 * 2**10
EXIF_SEGMENT = b"Exif\0\0"
# Where a PNG holds EXIF as text, in hexadecimal digits and lines of 72 of them.
EXIF_TEXT = "Raw profile type exif"


def decode_image(body: bytes, target: ImageInput, max_pixels: int) -> NDArray[np.uint8]:
    """Return size × size × 3 bytes: upright, scaled and cropped as the model was trained.

    Raises:
        BadInput: the bytes are not a whole image.
        TooLarge: more pixels than ``max_pixels``, found out before any is decoded.
        Unsupported: another format.
    """
    try:
        image = Image.open(_Counted(body), formats=FORMATS)
        _limit(image, max_pixels)
        _limit_scans(body)
        return _fit(image, target)
    except (RequestError, MemoryError):
        raise
    except UnidentifiedImageError:
        raise Unsupported(f"the body is not an image in any of {', '.join(FORMATS)}") from None
    except Image.DecompressionBombError:
        raise TooLarge(
            f"the image is far too large: at most {max_pixels} pixels are taken (TAILGATE_MAX_IMAGE_PIXELS)"
        ) from None
    except Exception as error:  # noqa: BLE001 - damage leads Pillow's parsers into errors of any type
        raise BadInput(f"the image is damaged: {error}") from None


class _Counted(io.BytesIO):
    """A file that may be read from so many times, and have so many bytes of EXIF in segments of a JPEG.

    Those Pillow looks into while it opens the file, and it reads each in one go.
    """

    _reads = _exif_bytes = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next bytes.

        Raises:
            BadInput: the file is made of more parts, or has more EXIF, than any picture.
        """
        self._reads += 1
        if self._reads > MAX_READS:
            raise BadInput(f"the image is made of too many parts: more than {MAX_READS} reads for its parts")
        data = super().read(size)
        if data.startswith(EXIF_SEGMENT):
            self._exif_bytes += len(data)
            _limit_exif(self._exif_bytes)
        return data


def _limit_exif(size: int) -> None:
    """Refuse EXIF of so many bytes; to leave it unread would turn pictures that other readers turn upright."""
    if size > MAX_EXIF_BYTES + len(EXIF_SEGMENT):
        raise BadInput(
            f"the image has more than {MAX_EXIF_BYTES} bytes of EXIF metadata; save it without them"
        )


def _limit_scans(body: bytes) -> None:
    """Refuse a JPEG of too many scans."""
    if body.startswith(b"\xff\xd8"):
        scans = body.count(
            SCAN_MARKER
        )  # compressed data cannot hold the marker, a preview in the metadata can
        if scans > MAX_SCANS:
            raise BadInput(
                f"the JPEG has {scans} scans, and at most {MAX_SCANS} are taken; save it as baseline JPEG"
            )


def _limit(image: Image.Image, max_pixels: int) -> None:
    """Refuse what the header alone says is too large."""
    if image.width * image.height > max_pixels:
        raise TooLarge(
            f"the image has {image.width} x {image.height} pixels, and at most {max_pixels} are taken "
            "(TAILGATE_MAX_IMAGE_PIXELS)"
        )


def _fit(image: Image.Image, target: ImageInput) -> NDArray[np.uint8]:
    """Scale the shorter side to size / crop, and cut out the middle."""
    shorter = round(target.size / target.crop)
    # JPEG can be decoded at 1/2, 1/4 or 1/8 for a fraction of the cost; never below what is needed.
    image.draft("RGB", (shorter, shorter))
    image.load()
    _limit_exif(len(image.info.get("exif", b"")))
    _limit_exif(len(image.info.get(EXIF_TEXT, "")) * 36 // 73)
    _turn_upright(image)
    upright = _in_colour(image)
    scale = shorter / min(upright.size)
    # The middle square is resampled straight from the source: nothing outside of it is computed.
    side = target.size / scale
    left, top = (upright.width - side) / 2, (upright.height - side) / 2
    box = (left, top, left + side, top + side)
    resized = upright.resize((target.size, target.size), RESAMPLING[target.resampling], box=box)
    return np.asarray(resized)


def _turn_upright(image: Image.Image) -> None:
    """Turn the picture as its EXIF orientation says, in place; what cannot be read turns nothing, as in browsers."""
    try:
        ImageOps.exif_transpose(image, in_place=True)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001, S110 - metadata are parsed like images, with errors of any type; pixels are there
        pass


def _in_colour(image: Image.Image) -> Image.Image:
    """Return red, green and blue; transparency is dropped."""
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I;16"):  # 16-bit grey: Pillow would clip it to white
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode == "P" and "transparency" in image.info:
        image.info.pop("transparency")  # Pillow would warn of what is dropped
    return image.convert("RGB")
