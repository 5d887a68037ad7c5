"""What the head of a request asks for, decided before its body is read."""

from typing import NamedTuple

from tailgate.service.codec.forms import boundary_of
from tailgate.service.codec.inputs import FORM, Kind, kind_of, require_length
from tailgate.service.codec.message import MOST_LENGTH_DIGITS, Headers, RequestHeaders, require_size, told
from tailgate.service.codec.oip.codings import accepted, coding_of
from tailgate.service.codec.oip.reply import HEADER_LENGTH
from tailgate.service.errors import BadInput
from tailgate.service.models.spec import Served


class InferHead(NamedTuple):
    """What the headers of an inference request say of its body and its answer."""

    first: bool  # of KServe's first version
    header_length: int | None  # bytes of JSON, behind which binary data follow; None for a body of JSON alone
    coding: bytes | None  # of the body, None where it has none
    accepted: bytes | None  # the coding that the client wants of the answer, None where it wants none


class Intent(NamedTuple):
    """What a head asks for; the same bytes of a head always give the same intent."""

    kind: Kind
    length: int | None  # announced bytes of the body; None for chunks
    boundary: str | None  # of a multipart form
    timeout_s: float | None  # how long the client waits
    infer: InferHead | None = None  # of the Open Inference Protocol


def intent_of(headers: Headers, served: Served, max_body_bytes: int) -> Intent:
    """Read a head; RequestError for an invalid header, or a body of a type or length that is not taken."""
    read = RequestHeaders.read(headers)
    kind = kind_of(read.content_type, served)
    require_size(read.length, max_body_bytes)
    if read.length:
        require_length(kind, read.length, served.item)
    boundary = boundary_of(read.content_type) if kind is FORM else None
    return Intent(kind, read.length, boundary, read.timeout_s)


def infer_intent_of(headers: Headers, max_body_bytes: int, *, first: bool) -> Intent:
    """Read a head of the Open Inference Protocol, or of its first version; raises as :func:`intent_of` does.

    The body may have a content coding. Its type means nothing: clients send none.
    """
    read = RequestHeaders.read([header for header in headers if header[0] != b"content-encoding"])
    require_size(read.length, max_body_bytes)
    return Intent(Kind.TENSOR, read.length, None, read.timeout_s, infer_head(headers, first=first))


def infer_head(headers: Headers, *, first: bool) -> InferHead:
    """Read the headers of an inference request.

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
