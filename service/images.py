"""A photograph's bytes to the model's pixels. Runs in the decoding threads, never on the event loop."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from service.errors import BadInput, TooLarge, Unsupported
from service.models.spec import ImageInput

# Formats that browsers and cameras send; the others of Pillow are more parser than use.
FORMATS = ("JPEG", "PNG", "WEBP")
RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}
CONTENT_TYPES = ("image/jpeg", "image/png", "image/webp")


def decode_image(body: bytes, target: ImageInput, max_pixels: int) -> NDArray[np.uint8]:
    """Return size × size × 3 bytes: upright, scaled and cropped as the model was trained.

    Raises:
        BadInput: the bytes are not a whole image.
        TooLarge: more pixels than ``max_pixels``, found out before any is decoded.
        Unsupported: another format.
    """
    try:
        image = Image.open(io.BytesIO(body), formats=FORMATS)
        _limit(image, max_pixels)
        return _fit(image, target)
    except (TooLarge, MemoryError):
        raise
    except UnidentifiedImageError:
        raise Unsupported(f"the body is not an image in any of {', '.join(FORMATS)}") from None
    except Image.DecompressionBombError as error:
        raise TooLarge(f"the image is too large: {error}") from None
    except Exception as error:  # noqa: BLE001 - damage leads Pillow's parsers into errors of any type
        raise BadInput(f"the image is damaged: {error}") from None


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
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I;16"):  # 16-bit grey: Pillow would clip it to white
        upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
    if upright.mode != "RGB":
        upright = upright.convert("RGB")
    scale = shorter / min(upright.size)
    # The middle square is resampled straight from the source: nothing outside of it is computed.
    side = target.size / scale
    left, top = (upright.width - side) / 2, (upright.height - side) / 2
    box = (left, top, left + side, top + side)
    resized = upright.resize((target.size, target.size), RESAMPLING[target.resampling], box=box)
    return np.asarray(resized)
