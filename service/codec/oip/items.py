"""The items of a call, out of the bytes behind its JSON or out of the JSON itself."""

import base64
import binascii
from typing import Any

from numpy.typing import NDArray

from tailgate.service.codec.oip import datatypes
from tailgate.service.codec.oip.call import Call, Source
from tailgate.service.errors import BadInput, WrongShape
from tailgate.service.models.items import Item
from tailgate.service.models.spec import pack


def rows_of(call: Call, tail: bytes | bytearray | memoryview) -> list[Item]:
    """Return the items, as views of the bytes behind the JSON where these hold one input; WrongShape for other inputs."""
    require_tail(call, tail)
    if len(call.sources) == 1:
        source = call.sources[0]
        if call.rows == 1:
            return [_array(source, source.spec.shape, tail)]
        return list(_array(source, source.shape, tail))
    arrays = [_array(source, source.shape, tail) for source in call.sources]
    return list(pack(arrays, [source.spec for source in call.sources]))


def _array(source: Source, shape: tuple[int, ...], tail: bytes | bytearray | memoryview) -> NDArray[Any]:
    if source.data is None:
        part = tail if source.stop == len(tail) and not source.start else tail[source.start : source.stop]
        return datatypes.numbers_from_bytes(part, source.datatype, shape, source.name)
    array = datatypes.numbers_from_json(source.data, source.datatype, source.shape, source.name)
    return array.reshape(shape)


def pictures_of(call: Call, tail: bytes | bytearray | memoryview) -> list[bytes]:
    """Return the files of pictures; WrongShape for other bytes or data than the input's elements.

    No picture is text, so in JSON its bytes are written in base64.
    """
    require_tail(call, tail)
    (source,) = call.sources
    if isinstance(source.data, bytes):
        return [source.data]
    if source.data is None:
        part = memoryview(tail)[source.start : source.stop]
        return datatypes.strings_from_bytes(part, call.rows, source.name)
    texts = datatypes.strings_from_json(source.data, source.shape, source.name)
    try:
        return [base64.b64decode(text, validate=True) for text in texts]
    except binascii.Error as error:
        raise WrongShape(
            f"input {source.name!r}: expected pictures in base64, or as binary data: {error}"
        ) from None


def require_tail(call: Call, tail: bytes | bytearray | memoryview) -> None:
    """Raise BadInput where other bytes follow the JSON than it says."""
    if len(tail) != call.tail_bytes:
        raise BadInput(f"expected {call.tail_bytes} bytes of binary data behind the JSON, got {len(tail)}")
