"""One request to one model input, one result to one answer. Bytes and values only: no sockets, no queue, no clock.

What a request may be, by its Content-Type:

=========================  =============================================  =========================================
``image/jpeg`` and so on   a photograph                                   the most likely labels
``multipart/form-data``    a form with one file, which is one of the      as for that one
                           others; of no type its bytes tell
``application/octet-…``    exactly the bytes of the model's input         the same as for the image of those pixels
``application/json``       ``{"inputs": nested numbers}``                 ``{"outputs": nested numbers}``
=========================  =============================================  =========================================
"""

import codecs
import enum
import math
from dataclasses import dataclass
from itertools import accumulate
from operator import mul
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from tailgate.service import nested
from tailgate.service.errors import BadInput, RequestError, TooLarge, Unsupported, WrongShape
from tailgate.service.images import CONTENT_TYPES, is_picture
from tailgate.service.items import Item, Result
from tailgate.service.models.spec import ImageInput, TensorSpec
from tailgate.service.multipart import Part

OCTETS, JSON, MULTIPART = "application/octet-stream", "application/json", "multipart/form-data"
# And what browsers and libraries call them that are older than the standard.
IMAGES = {*CONTENT_TYPES, "image/jpg", "image/pjpeg", "image/x-png"}
# Types of a form's file that leave its bytes to tell, beside all that end as octets do.
UNTOLD = {"", "*/*", "image/*"}
MAX_NAME = 40  # characters of a field's name that a refusal repeats
# A number has 24 characters at most; the others are for spaces. Parsed, JSON of the worst kind is 25 times as large.
JSON_BYTES_A_NUMBER, JSON_BYTES = 64, 64 * 1024
# Lists, commas, objects and colons that JSON may have beside those of the inputs: for other keys, and for text.
MORE_MARKS = 16_384
# Bytes of JSON whose marks are counted in one go: 3 ms of the interpreter lock at worst.
COUNTED_AT_ONCE = 2**18

# Numbers that are written in one go: some tens of microseconds, for which the interpreter lock is held.
NUMBERS_AT_ONCE = 4096
# Bytes of numbers that are looked through on the event loop; NumPy does a million in some hundred microseconds.
CHECKED_AT_ONCE = 2**20


class Form(enum.Enum):
    """What a request brought, which decides what it is answered."""

    IMAGE = "image"
    PIXELS = "pixels"
    TENSOR = "tensor"


@dataclass(frozen=True, slots=True)
class Served:
    """What the protocol has to know of the model.

    Attributes:
        name: told with each answer.
        item: shape and type of one input.
        labels: of a classifier, else None.
        image: how photographs become inputs, None for a model that takes none.
    """

    name: str
    item: TensorSpec
    labels: tuple[str, ...] | None
    image: ImageInput | None


def form_of(content_type: str, served: Served) -> Form:
    """Tell what a body is from its Content-Type.

    Raises:
        Unsupported: nothing that this model takes.
    """
    kind = _kind(content_type)
    if kind == OCTETS:
        return Form.PIXELS
    if kind == JSON:
        return Form.TENSOR
    if kind in IMAGES and served.image is not None:
        return Form.IMAGE
    images = f"{', '.join(CONTENT_TYPES)}, {MULTIPART} with one file, " if served.image is not None else ""
    raise Unsupported(f"Content-Type: expected {images}{OCTETS} or {JSON}, got {kind or 'none'!r}")


def form_of_part(part: Part, served: Served) -> Form:
    """Tell what the file of a form is: from its type, or from its bytes where the type says nothing.

    A part need not have a type (RFC 7578, section 4.4), and clients call a file with an ending that they do not know
    octets. Only octets of exactly the input's length are pixels first. Any type of image is taken for a file that begins
    as a picture: clients have many names for one format, and an app that converts a photograph may keep its old name.

    Raises:
        Unsupported: nothing that this model takes.
        WrongShape: octets that are neither a picture nor the model's input.
    """
    kind = _kind(part.content_type)
    octets = kind.endswith("octet-stream")
    pictured = is_picture(part.body)
    if kind not in UNTOLD and not octets:
        if kind == JSON:
            return Form.TENSOR
        if kind in IMAGES or (pictured and kind.startswith("image/")):
            return Form.IMAGE
        raise Unsupported(
            f"{_named(part)}: expected the type {', '.join(CONTENT_TYPES)}, {OCTETS}, {JSON} or none, got {kind!r}"
        )
    fits = len(part.body) == served.item.nbytes
    if pictured and not (fits and octets):
        return Form.IMAGE
    if fits or not part.body:
        return Form.PIXELS
    refusal = WrongShape if octets else Unsupported
    raise refusal(
        f"{_named(part)}: expected a JPEG, PNG or WebP, or exactly the {served.item.nbytes} bytes of {served.item}, "
        f"got {len(part.body)} bytes that begin otherwise, of type {kind or 'none'!r}"
    )


def _kind(content_type: str) -> str:
    """Return a media type without its parameters."""
    return content_type.partition(";")[0].strip().lower()


def _named(part: Part) -> str:
    return f"the file {part.name[:MAX_NAME]!r} of the multipart form"


def require_length(form: Form, length: int, spec: TensorSpec) -> None:
    """Refuse by its length alone a body that cannot be the model's input.

    Raises:
        TooLarge: far more JSON than the model's numbers take.
        WrongShape: fewer or more octets than the model's input has.
    """
    if form is Form.PIXELS and length != spec.nbytes:
        raise WrongShape(f"expected exactly the {spec.nbytes} bytes of {spec}, got {length}")
    if form is Form.TENSOR:
        limit = max(JSON_BYTES, JSON_BYTES_A_NUMBER * math.prod(spec.shape))
        if length > limit:
            raise TooLarge(
                f"the JSON has {length} bytes, and at most {limit} are taken for {spec}; send {OCTETS} instead"
            )


def item_from_octets(body: bytes | bytearray | memoryview, spec: TensorSpec) -> Item:
    """Return a view of the bytes as the model's input.

    Raises:
        WrongShape: too few or too many, or numbers that are none.
    """
    require_length(Form.PIXELS, len(body), spec)
    item = np.frombuffer(body, spec.dtype).reshape(spec.shape)
    if spec.dtype.kind == "f" and not np.isfinite(item).all():
        raise WrongShape(f"expected finite numbers for {spec}, got NaN or infinity among them")
    if spec.dtype.kind == "b" and (item.view(np.uint8) > 1).any():
        raise WrongShape(f"expected bytes of 0 and 1 for {spec}, got others among them")
    return item


def is_decoded(form: Form, spec: TensorSpec) -> bool:
    """Tell whether making an input of a body takes so long that a decoding thread does it."""
    return form is not Form.PIXELS or (spec.nbytes > CHECKED_AT_ONCE and spec.dtype.kind in "fb")


def item_from_json(body: bytes | bytearray, spec: TensorSpec) -> tuple[Item, bool]:
    """Return the model's input, and whether it came with a batch dimension of 1.

    Raises:
        BadInput: not JSON, or not of the form ``{"inputs": …}``.
        TooLarge: far more text than the model's numbers take.
        WrongShape: other than the model's shape, or numbers that its type does not hold.
    """
    require_length(Form.TENSOR, len(body), spec)
    _require_few_values(body, spec)
    try:
        document = orjson.loads(body.removeprefix(codecs.BOM_UTF8))
    except orjson.JSONDecodeError as error:
        raise BadInput(f"the body is not JSON: {error}") from None
    if not isinstance(document, dict) or "inputs" not in document:
        raise BadInput('expected a JSON object {"inputs": …}')
    inputs = document["inputs"]
    shape = nested.shape_of(inputs)
    batched = shape == (1, *spec.shape)
    if not batched and shape != spec.shape:
        raise WrongShape(
            f"inputs: expected {list(spec.shape)} or {[1, *spec.shape]}, got {list(shape)}; one request is one item"
        )
    return nested.array_of(inputs, shape, spec), batched


def _require_few_values(body: bytes | bytearray, spec: TensorSpec) -> None:
    """Refuse JSON of far more values than the input has, before anything is made of it.

    orjson keeps the interpreter lock for the whole body: 10 MB of empty lists stop the event loop and the model for
    seconds. Each value stands behind a bracket, a comma or a colon, and to count these takes 2 ms for the numbers of a
    photograph. They are counted in texts as well. Small bodies are short work, whatever they hold.

    Raises:
        WrongShape: more of one of them than the model's input and ``MORE_MARKS`` others need.
    """
    if len(body) <= JSON_BYTES:
        return
    # Of shape (2, 3, 4): one list, two in it, six in these; one more around them where the request has a batch dimension.
    lists = 1 + sum(accumulate(spec.shape[:-1], mul, initial=1))
    marks = {b"[": lists, b",": math.prod(spec.shape), b"{": 1, b":": 1}
    found = dict.fromkeys(marks, 0)
    for start in range(0, len(body), COUNTED_AT_ONCE):
        for mark, needed in marks.items():
            found[mark] += body.count(mark, start, start + COUNTED_AT_ONCE)
            if found[mark] > needed + MORE_MARKS:
                raise WrongShape(
                    f"inputs: expected {list(spec.shape)} or {[1, *spec.shape]}, got JSON with more than "
                    f"{needed + MORE_MARKS} characters {mark.decode()!r}; one request is one item, and other keys must be short"
                )


def answer_labels(result: Result, served: Served) -> bytes:
    """Return the JSON answer to an image: the most likely labels, or the outputs of a model without labels."""
    if served.labels is None:
        return answer_outputs(result, served, batched=False)
    labels = served.labels
    return orjson.dumps(
        {
            "model": served.name,
            "predictions": [
                {"label": labels[index], "class": index, "probability": probability}
                for index, probability in zip(result.classes, result.probabilities, strict=True)
            ],
        }
    )


def answer_outputs(result: Result, served: Served, *, batched: bool) -> bytes:
    """Return the JSON answer to tensors, with a batch dimension where the request had one."""
    # Not ascontiguousarray, which makes a list of a single number.
    outputs = np.asarray(result.outputs[None] if batched else result.outputs, order="C")
    return b'{"model":%b,"outputs":%b}' % (orjson.dumps(served.name), _written(outputs))


def is_large(result: Result) -> bool:
    """Tell whether writing the outputs takes so long that the event loop should not."""
    return result.outputs.size > NUMBERS_AT_ONCE


def _written(array: NDArray[Any]) -> bytes:
    """Return numbers as nested JSON, written in pieces: orjson keeps the interpreter lock for as long as it writes."""
    if array.size <= NUMBERS_AT_ONCE:
        # [()] makes an array without dimensions a number, which orjson takes, and leaves others as they are.
        return orjson.dumps(array[()], option=orjson.OPT_SERIALIZE_NUMPY)
    rows = NUMBERS_AT_ONCE // (array.size // len(array))
    if rows == 0:
        pieces = [_written(row) for row in array]
    else:
        pieces = [_written(array[first : first + rows])[1:-1] for first in range(0, len(array), rows)]
    return b"[%b]" % b",".join(pieces)


def answer_error(error: RequestError) -> bytes:
    """Return the JSON answer to a request that has none."""
    return orjson.dumps({"error": str(error)})
