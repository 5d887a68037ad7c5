"""The datatypes of tensors: elements as little-endian bytes (Triton's binary extension), and as JSON.

``BF16`` has no type in NumPy: it is widened to FP32, which holds each of its values. ``BYTES`` are not numbers: its tensors
are lists of byte strings.
"""

import math
import struct
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tailgate.service.codec import nested
from tailgate.service.errors import WrongShape
from tailgate.service.models.spec import TensorSpec

BF16, BYTES = "BF16", "BYTES"
NUMPY: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    **{
        f"{kind}INT{bits}": np.dtype(f"{kind.lower()}int{bits}")
        for kind in ("", "U")
        for bits in (8, 16, 32, 64)
    },
    "FP16": np.dtype(np.float16),
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
}
NAMES = {dtype: name for name, dtype in NUMPY.items()}
# "fp16 and bf16 are problematic to communicate explicitly": the specification, under "Tensor Data".
WITHOUT_JSON = {"FP16", BF16}
# Of a BYTES element, in front of it.
_LENGTH = struct.Struct("<I")


def element_size(datatype: str) -> int | None:
    """Return the bytes of an element, None for BYTES; KeyError for no datatype."""
    if datatype == BYTES:
        return None
    return 2 if datatype == BF16 else NUMPY[datatype].itemsize


def numbers_from_bytes(
    data: bytes | bytearray | memoryview, datatype: str, shape: Sequence[int], name: str
) -> NDArray[Any]:
    """Return a view of the bytes as an array; BF16 becomes FP32.

    Raises:
        WrongShape: there are more or fewer bytes than the shape has, NaN or infinity, or a BOOL that is neither 0 nor 1.
    """
    dtype = np.dtype(np.uint16) if datatype == BF16 else NUMPY[datatype]
    if len(data) != math.prod(shape) * dtype.itemsize:
        raise WrongShape(
            f"input {name!r}: expected {math.prod(shape) * dtype.itemsize} bytes of {datatype} {list(shape)}, got {len(data)}"
        )
    array = np.frombuffer(data, dtype)
    if datatype == BF16:
        array = (array.astype(np.uint32) << 16).view(np.float32)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise WrongShape(f"input {name!r}: expected finite numbers, got NaN or infinity among them")
    if array.dtype.kind == "b" and (array.view(np.uint8) > 1).any():
        raise WrongShape(f"input {name!r}: expected bytes of 0 and 1 for BOOL, got others among them")
    return array.reshape(shape)


def numbers_from_json(data: Any, datatype: str, shape: Sequence[int], name: str) -> NDArray[Any]:
    """Return JSON data, nested as the shape or flat, as an array.

    Raises:
        WrongShape: other lengths, something that is no number, a number that the type does not hold, or a type without JSON.
    """
    what = f"input {name!r}"
    if datatype in WITHOUT_JSON:
        raise WrongShape(f"{what}: {datatype} has no form in JSON; send it as binary data")
    return nested.array_of(data, nesting(data, shape, name), TensorSpec(tuple(shape), NUMPY[datatype]), what)


def nesting(data: Any, shape: Sequence[int], name: str) -> tuple[int, ...]:
    """Return how the elements of a shape are nested in JSON: flat or as the shape; WrongShape for any other lists."""
    given = nested.shape_of(data, f"input {name!r}")
    flat = (math.prod(shape),)
    if given not in (tuple(shape), flat):
        raise WrongShape(
            f"input {name!r}: expected data nested as {list(shape)} or as a flat list of {flat[0]}, got {list(given)}"
        )
    return given


def strings_from_bytes(data: bytes | bytearray | memoryview, count: int, name: str) -> list[bytes]:
    """Return the elements of a BYTES tensor; WrongShape unless they are exactly ``count``."""
    rest = memoryview(data)
    strings: list[bytes] = []
    while len(rest) >= _LENGTH.size and len(strings) < count:
        (length,) = _LENGTH.unpack_from(rest)
        rest = rest[_LENGTH.size :]
        if length > len(rest):
            raise WrongShape(
                f"input {name!r}: element {len(strings)} is said to have {length} bytes, and {len(rest)} follow"
            )
        strings.append(bytes(rest[:length]))
        rest = rest[length:]
    if rest or len(strings) != count:
        raise WrongShape(
            f"input {name!r}: expected {count} elements of a 4-byte length and so many bytes, got {len(strings)} whole "
            f"ones in {len(data)} bytes"
        )
    return strings


def strings_from_json(data: Any, shape: Sequence[int], name: str) -> list[bytes]:
    """Return the elements of a BYTES tensor in JSON, nested or flat; WrongShape for anything but text."""
    for length in nesting(data, shape, name)[1:]:
        if any(not isinstance(part, list) or len(part) != length for part in data):
            raise WrongShape(
                f"input {name!r}: expected data nested as {list(shape)}, got lists of other lengths"
            )
        data = [element for part in data for element in part]
    if any(not isinstance(element, str) for element in data):
        raise WrongShape(f"input {name!r}: expected text for BYTES, got something else among the elements")
    return [element.encode() for element in data]


def bytes_of_strings(strings: Iterable[bytes]) -> bytes:
    """Return the elements of a BYTES tensor as binary data."""
    return b"".join(piece for string in strings for piece in (_LENGTH.pack(len(string)), string))
