"""What the head of a request asks for, decided before its body is read."""

from typing import NamedTuple

from tailgate.service.codec.forms import boundary_of
from tailgate.service.codec.inputs import FORM, Kind, kind_of, require_length
from tailgate.service.codec.message import Headers, RequestHeaders, require_size
from tailgate.service.codec.oip.head import InferHead, infer_head
from tailgate.service.models.spec import Served


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
