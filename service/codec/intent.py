"""What the head of a request asks for, decided before its body is read."""

from typing import NamedTuple

from tailgate.service.codec.forms import boundary_of
from tailgate.service.codec.inputs import Kind, kind_of, require_length
from tailgate.service.codec.message import Headers, RequestHeaders, require_size
from tailgate.service.models.spec import Served


class Intent(NamedTuple):
    """What a head asks for; the same bytes of a head always give the same intent.

    Attributes:
        kind: what the body is.
        length: announced bytes of the body, None for a body in chunks.
        boundary: of a multipart form, None for other bodies.
        timeout_s: how long the client waits, None for no limit.
    """

    kind: Kind
    length: int | None
    boundary: str | None
    timeout_s: float | None


def intent_of(headers: Headers, served: Served, max_body_bytes: int) -> Intent:
    """Read a head.

    Raises:
        RequestError: a header is invalid, or no body of this type and length is taken.
    """
    read = RequestHeaders.read(headers)
    kind = kind_of(read.content_type, served)
    require_size(read.length, max_body_bytes)
    if read.length:
        require_length(kind, read.length, served.item)
    boundary = boundary_of(read.content_type) if kind is Kind.FORM else None
    return Intent(kind, read.length, boundary, read.timeout_s)
