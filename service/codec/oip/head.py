"""What the headers of an inference request say of its body and its answer."""

from typing import NamedTuple

from tailgate.service.codec.message import MOST_LENGTH_DIGITS, Headers, told
from tailgate.service.codec.oip.codings import accepted, coding_of
from tailgate.service.codec.oip.reply import HEADER_LENGTH
from tailgate.service.errors import BadInput


class InferHead(NamedTuple):
    """What the headers say.

    Attributes:
        first: the request is of KServe's first version.
        header_length: bytes of JSON in the body, behind which binary data follow; None for a body of JSON alone.
        coding: of the body, None where it has none.
        accepted: the coding that the client wants of the answer, None where it wants none.
    """

    first: bool
    header_length: int | None
    coding: bytes | None
    accepted: bytes | None


def infer_head(headers: Headers, *, first: bool) -> InferHead:
    """Read the headers.

    Raises:
        BadInput: ``Inference-Header-Content-Length`` is no number, or came with several values.
        Encoded: the body has a coding that is not decoded.
    """
    lengths = {value for name, value in headers if name == HEADER_LENGTH}
    if len(lengths) > 1:
        raise BadInput("Inference-Header-Content-Length: expected one value, got several")
    length = None
    for value in lengths:
        if not value.isdigit() or len(value) > MOST_LENGTH_DIGITS:
            raise BadInput(f"Inference-Header-Content-Length: expected a number of bytes, got {told(value)}")
        length = int(value)
    return InferHead(first, length, coding_of(headers), accepted(headers))
