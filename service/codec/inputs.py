"""A request's body becomes a model's input. Bytes and values only: no sockets, no queue, no clock.

=========================  =============================================  =========================================
``image/jpeg`` and so on   a photograph                                   answered by the most likely labels
``multipart/form-data``    a form with one file of the other kinds        as that one
``application/octet-…``    exactly the bytes of the model's input         as the image of those pixels
``application/json``       ``{"inputs": nested numbers}``                 ``{"outputs": nested numbers}``
=========================  =============================================  =========================================
"""

import codecs
import enum
import math
from collections.abc import Mapping
from itertools import accumulate
from operator import mul
from typing import Any

import numpy as np
import orjson

from tailgate.service.codec import nested
from tailgate.service.codec.forms import Part, single_file
from tailgate.service.codec.images import CONTENT_TYPES, decode_image, is_picture
from tailgate.service.errors import BadInput, TooLarge, Unsupported, WrongShape
from tailgate.service.models.items import Item
from tailgate.service.models.spec import Served, TensorSpec, pack

OCTETS, JSON, MULTIPART = "application/octet-stream", "application/json", "multipart/form-data"
# Beside the standard's names, those of older browsers and libraries.
IMAGES = {*CONTENT_TYPES, "image/jpg", "image/pjpeg", "image/x-png"}
# Types of a form's file that say nothing, beside all that end as octets do.
UNTOLD = {"", "*/*", "image/*"}
MAX_NAME = 40  # characters of a field's name that a refusal repeats
MOST_TOLD = 200  # characters of names of inputs that a refusal repeats
# A number has at most 24 characters; the others are for spaces. Parsed, the worst JSON is 25 times as large.
JSON_BYTES_A_NUMBER, JSON_BYTES = 64, 64 * 1024
# Lists, commas, objects and colons beside those of the inputs: for other keys, and for text.
MORE_MARKS = 16_384
# Bytes of JSON whose marks are counted in one go: 3 ms of the interpreter lock at worst.
COUNTED_AT_ONCE = 2**18
# Bytes of numbers that are checked on the event loop; NumPy does a million in some hundred microseconds.
CHECKED_AT_ONCE = 2**20


class Kind(enum.Enum):
    """What a body is, which decides how it is decoded and answered."""

    IMAGE = "image"
    PIXELS = "pixels"
    TENSOR = "tensor"
    FORM = "form"  # a multipart form; the kind of the file in it is not known yet


# Names of this module, since looking up a member of an enum costs as much as six calls of a function.
IMAGE, PIXELS, TENSOR, FORM = Kind.IMAGE, Kind.PIXELS, Kind.TENSOR, Kind.FORM


# What a body has become: the input, its kind, which a form's file decides, and whether it came with a batch dimension of 1. A
# plain tuple, since a named one costs three times as much.
Made = tuple[Item, Kind, bool]


def kind_of(content_type: str, served: Served) -> Kind:
    """Tell what a body is from its Content-Type; Unsupported for nothing that this model takes."""
    media_type = _media_type(content_type)
    if media_type == JSON:
        return TENSOR
    if len(served.inputs) > 1:
        raise Unsupported(
            f"Content-Type: expected {JSON}, since the model has several inputs, got {media_type or 'none'!r}"
        )
    if media_type == OCTETS:
        return PIXELS
    if served.image is not None and media_type in IMAGES:
        return IMAGE
    # Names that begin so, such as "multipart/form-data-x", are refused by their missing boundary.
    if served.image is not None and content_type.lower().startswith(MULTIPART):
        return FORM
    images = f"{', '.join(CONTENT_TYPES)}, {MULTIPART} with one file, " if served.image is not None else ""
    raise Unsupported(f"Content-Type: expected {images}{OCTETS} or {JSON}, got {media_type or 'none'!r}")


def kind_of_part(part: Part, served: Served) -> Kind:
    """Tell what the file of a form is: from its type, or from its bytes where the type says nothing.

    A part need not have a type (RFC 7578, section 4.4), and clients call files with an unknown ending octets. Only octets of
    exactly the input's length are pixels first. A file that begins as a picture may have any type of image: clients have many
    names for one format, and an app that converts a photograph may keep the old one.

    Raises:
        Unsupported: nothing that this model takes.
        WrongShape: octets that are neither a picture nor the model's input.
    """
    media_type = _media_type(part.content_type)
    octets = media_type.endswith("octet-stream")
    pictured = is_picture(part.body)
    if media_type not in UNTOLD and not octets:
        if media_type == JSON:
            return TENSOR
        if media_type in IMAGES or (pictured and media_type.startswith("image/")):
            return IMAGE
        raise Unsupported(
            f"{_named(part)}: expected the type {', '.join(CONTENT_TYPES)}, {OCTETS}, {JSON} or none, got {media_type!r}"
        )
    fits = len(part.body) == served.item.nbytes
    if pictured and not (fits and octets):
        return IMAGE
    if fits or not part.body:
        return PIXELS
    refusal = WrongShape if octets else Unsupported
    raise refusal(
        f"{_named(part)}: expected a JPEG, PNG or WebP, or exactly the {served.item.nbytes} bytes of {served.item}, "
        f"got {len(part.body)} bytes that begin otherwise, of type {media_type or 'none'!r}"
    )


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _named(part: Part) -> str:
    return f"the file {part.name[:MAX_NAME]!r} of the multipart form"


def require_length(kind: Kind, length: int, spec: TensorSpec) -> None:
    """Refuse by its length a body that cannot be the model's input: JSON with TooLarge, octets with WrongShape."""
    if kind is PIXELS and length != spec.nbytes:
        raise WrongShape(f"expected exactly the {spec.nbytes} bytes of {spec}, got {length}")
    if kind is TENSOR:
        limit = max(JSON_BYTES, JSON_BYTES_A_NUMBER * math.prod(spec.shape))
        if length > limit:
            raise TooLarge(
                f"the JSON has {length} bytes, and at most {limit} are taken for {spec}; send {OCTETS} instead"
            )


def item_from_octets(body: bytes | bytearray | memoryview, spec: TensorSpec) -> Item:
    """Return a view of the bytes as the model's input; WrongShape for another length, or numbers that are none."""
    require_length(PIXELS, len(body), spec)
    item: Item = np.ndarray(spec.shape, spec.dtype, body)
    if spec.dtype.kind == "f" and not np.isfinite(item).all():
        raise WrongShape(f"expected finite numbers for {spec}, got NaN or infinity among them")
    if spec.dtype.kind == "b" and (item.view(np.uint8) > 1).any():
        raise WrongShape(f"expected bytes of 0 and 1 for {spec}, got others among them")
    return item


def is_decoded(kind: Kind, spec: TensorSpec) -> bool:
    """Tell whether decoding takes so long that a thread does it."""
    return kind is not PIXELS or (spec.nbytes > CHECKED_AT_ONCE and spec.dtype.kind in "fb")


def item_of(
    kind: Kind,
    body: bytes | bytearray | memoryview,
    served: Served,
    max_image_pixels: int,
    boundary: str | None = None,
) -> Made:
    """Return the model's input, of the one file where the body is a form with this boundary; RequestError for any other."""
    if not body:
        raise BadInput("the body is empty")
    if kind is PIXELS:
        return item_from_octets(body, served.item), kind, False
    assert not isinstance(body, memoryview)
    if kind is TENSOR:
        several = len(served.inputs) > 1
        item, batched = record_from_json(body, served) if several else item_from_json(body, served.item)
        return item, kind, batched
    if kind is FORM:
        assert boundary is not None
        part = single_file(boundary, body)
        return item_of(kind_of_part(part, served), part.body, served, max_image_pixels)
    assert served.image is not None
    return decode_image(body, served.image, max_image_pixels), kind, False


def item_from_json(body: bytes | bytearray, spec: TensorSpec) -> tuple[Item, bool]:
    """Return the model's input, and whether it came with a batch dimension of 1.

    Raises:
        BadInput: not JSON, or not of the form ``{"inputs": …}``.
        TooLarge: far more text than the model's numbers take.
        WrongShape: other than the model's shape, or numbers that its type does not hold.
    """
    return _item(_inputs(body, spec), spec, "inputs")


def record_from_json(body: bytes | bytearray, served: Served) -> tuple[Item, bool]:
    """Return the record of a model's several inputs, of ``{"inputs": {NAME: …}}``; raises as :func:`item_from_json` does."""
    given = _inputs(body, served.item)
    names = {tensor.name for tensor in served.inputs}
    if not isinstance(given, dict) or given.keys() != names:
        told = f"one of {sorted(given)}"[:MOST_TOLD] if isinstance(given, dict) else "something else"
        raise WrongShape(f"inputs: expected an object of {sorted(names)}, got {told}")
    parts = [_item(given[name], spec, f"inputs.{name}") for name, spec in served.inputs]
    if len({batched for _, batched in parts}) > 1:
        raise WrongShape("inputs: expected all with a batch dimension of 1, or none")
    specs = [tensor.spec for tensor in served.inputs]
    return pack([item[None] for item, _ in parts], specs)[0], parts[0][1]


def _inputs(body: bytes | bytearray, spec: TensorSpec) -> Any:
    require_length(TENSOR, len(body), spec)
    _require_few_values(body, spec)
    try:
        document = orjson.loads(body.removeprefix(codecs.BOM_UTF8))
    except orjson.JSONDecodeError as error:
        raise BadInput(f"the body is not JSON: {error}") from None
    if not isinstance(document, dict) or "inputs" not in document:
        raise BadInput('expected a JSON object {"inputs": …}')
    return document["inputs"]


def _item(given: Any, spec: TensorSpec, name: str) -> tuple[Item, bool]:
    shape = nested.shape_of(given, name)
    batched = shape == (1, *spec.shape)
    if not batched and shape != spec.shape:
        raise WrongShape(
            f"{name}: expected {list(spec.shape)} or {[1, *spec.shape]}, got {list(shape)}; one request is one item"
        )
    return nested.array_of(given, shape, spec, name), batched


def _require_few_values(body: bytes | bytearray, spec: TensorSpec) -> None:
    """Refuse JSON of far more values than the input has, with WrongShape, before it is parsed.

    orjson keeps the interpreter lock: 10 MB of empty lists stop the event loop and the model for seconds. Each value stands
    behind a bracket, a comma or a colon. To count these, also in texts, takes 2 ms for the numbers of a photograph.
    """
    if len(body) <= JSON_BYTES:
        return
    # Of shape (2, 3, 4): one list, two in it, six in these; one more around them for a batch dimension.
    lists = 1 + sum(accumulate(spec.shape[:-1], mul, initial=1))
    crowd = too_many_marks(body, {b"[": lists, b",": math.prod(spec.shape), b"{": 1, b":": 1})
    if crowd is not None:
        raise WrongShape(
            f"inputs: expected {list(spec.shape)} or {[1, *spec.shape]}, got JSON with {crowd}; one request is one item, "
            "and other keys must be short"
        )


def too_many_marks(text: bytes | bytearray | memoryview, needed: Mapping[bytes, int]) -> str | None:
    """Say which mark of JSON comes more often than ``needed`` and :data:`MORE_MARKS` further ones; None where none does."""
    found = dict.fromkeys(needed, 0)
    for start in range(0, len(text), COUNTED_AT_ONCE):
        piece = bytes(text[start : start + COUNTED_AT_ONCE])
        for mark, count in needed.items():
            found[mark] += piece.count(mark)
            if found[mark] > count + MORE_MARKS:
                return f"more than {count + MORE_MARKS} characters {mark.decode()!r}"
    return None
