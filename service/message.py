"""What a request's head says, and what an answer consists of: the parts of HTTP that a :mod:`tailgate.service.call` knows.

Neither reads from a socket nor writes to one.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tailgate.service.errors import BadInput, Encoded, TooLarge, UnknownCoding

# In the state of a request's scope: how it ends where the server answers for the application (service.connection).
OUTCOME_KEY = "tailgate.outcome"
Headers = list[tuple[bytes, bytes]]
# Headers that are read and may have one value only, and how they are written.
_SINGLE = {
    b"content-type": "Content-Type",
    b"content-length": "Content-Length",
    b"x-request-timeout-ms": "X-Request-Timeout-Ms",
}
# A microsecond; the OpenAPI document says the same.
LEAST_TIMEOUT_MS = 0.001
# As JSON has it (RFC 8259, section 6), without a sign.
_NUMBER = re.compile(rb"(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
MOST_LENGTH_DIGITS = 20
# Bytes of a header that an error message repeats; a head may have 32 KiB.
MOST_TOLD = 100


@dataclass(frozen=True, slots=True)
class Head:
    """What the headers of a request say.

    Attributes:
        content_type: as sent.
        length: announced bytes of the body, None when chunked.
        timeout_s: the client's own patience, None for no end.
    """

    content_type: str
    length: int | None
    timeout_s: float | None

    @classmethod
    def read(cls, headers: Headers) -> "Head":
        """Pick the headers that matter.

        Raises:
            BadInput: a header means nothing, or came twice with different values: two readers could take another one each.
            Encoded: the body has a content coding.
            UnknownCoding: the body is coded otherwise than in chunks.
        """
        single: dict[bytes, bytes] = {}
        codings: list[bytes] = []
        encodings: list[bytes] = []
        for name, value in headers:
            if name in _SINGLE:
                if single.setdefault(name, value) != value:
                    raise BadInput(
                        f"{_SINGLE[name]}: expected one, got {told(single[name])} and {told(value)}; send one of them"
                    )
            elif name == b"transfer-encoding":
                codings.append(value)
            elif name == b"content-encoding":
                encodings.append(value)
        if encodings:
            _require_identity(b", ".join(encodings))
        if codings:
            _require_chunks(b", ".join(codings))
        length, timeout_ms = single.get(b"content-length"), single.get(b"x-request-timeout-ms")
        return cls(
            single.get(b"content-type", b"").decode("latin-1"),
            None if length is None else _bytes(length),
            None if timeout_ms is None else _milliseconds(timeout_ms),
        )


def told(value: bytes) -> str:
    """Return the beginning of what a client sent, in quotes, for an error message."""
    return repr(value[:MOST_TOLD].decode("latin-1")) + ("…" if len(value) > MOST_TOLD else "")


def _bytes(value: bytes) -> int:
    # int() refuses more than some thousand digits, and a parser may take any number of zeros in front.
    if not value.isdigit() or len(value) > MOST_LENGTH_DIGITS:
        raise BadInput(
            f"Content-Length: expected a number of at most {MOST_LENGTH_DIGITS} digits, got {told(value)}"
        )
    return int(value)


def _require_identity(encodings: bytes) -> None:
    if any(coding.strip().lower() not in {b"", b"identity"} for coding in encodings.split(b",")):
        raise Encoded(f"Content-Encoding: {told(encodings)} is not decoded; send the body as it is")


def _require_chunks(codings: bytes) -> None:
    """Refuse what stands beneath the chunks (RFC 9112, section 6.1).

    Where ``chunked`` is not the last, the body has no end (section 6.3), and the server itself has answered 400.
    """
    if codings.lower() != b"chunked" and codings.rpartition(b",")[2].strip().lower() == b"chunked":
        raise UnknownCoding(
            f"Transfer-Encoding: {told(codings)} is not decoded, only 'chunked' is; send the body as it is"
        )


def _milliseconds(value: bytes) -> float:
    """Return seconds; Python's own float() takes ``1_000``, ``nan`` and ``.5`` as well, which no other reader does."""
    milliseconds = float(value) if _NUMBER.fullmatch(value) else math.nan
    if not LEAST_TIMEOUT_MS <= milliseconds < math.inf:
        raise BadInput(
            f"X-Request-Timeout-Ms: expected a number of milliseconds of at least {LEAST_TIMEOUT_MS}, such as 250 or 0.5, "
            f"got {told(value)}"
        )
    return milliseconds / 1000


def require_size(size: int | None, limit: int) -> None:
    """Refuse a body by the bytes that are announced, or have come so far; None is not known yet.

    Raises:
        TooLarge: more than ``limit``.
    """
    if size is not None and size > limit:
        raise TooLarge(
            f"the body has {size} bytes or more, and at most {limit} are taken (TAILGATE_MAX_BODY_BYTES)"
        )


class Answer(NamedTuple):
    """What goes back: a status, a JSON body, and the headers that differ from answer to answer.

    A tuple, since one is made for every request and a frozen dataclass takes 3 times as long.

    Attributes:
        status: HTTP status.
        body: JSON.
        timing: value of Server-Timing.
        more: further headers, names in lower case.
    """

    status: int
    body: bytes
    timing: bytes
    more: Sequence[tuple[bytes, bytes]] = ()

    def headers(self) -> Headers:
        """Return its headers, names in lower case."""
        return [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(self.body)),
            (b"server-timing", self.timing),
            *self.more,
        ]

    def header_lines(self) -> bytes:
        """Return the same headers as they are sent."""
        lines = b"content-type: application/json\r\ncontent-length: %d\r\nserver-timing: %b\r\n" % (
            len(self.body),
            self.timing,
        )
        return lines + b"".join(b"%b: %b\r\n" % header for header in self.more) if self.more else lines
