"""What a request's head says, and what an answer consists of: the parts of HTTP that a :mod:`service.call` knows.

Neither reads from a socket nor writes to one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from service.errors import BadInput, TooLarge, UnknownCoding

# In the state of a request's scope: how it ends where the server answers for the application (service.connection).
OUTCOME_KEY = "tailgate.outcome"
Headers = list[tuple[bytes, bytes]]


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
            BadInput: a header that cannot mean anything.
            UnknownCoding: a body coded otherwise than in chunks.
        """
        content_type, length, timeout_s = "", None, None
        codings: list[bytes] = []
        for name, value in headers:
            if name == b"content-type":
                content_type = value.decode("latin-1")
            elif name == b"content-length":
                length = _bytes(value)
            elif name == b"content-encoding" and value.lower() != b"identity":
                raise BadInput(
                    f"Content-Encoding: {value.decode('latin-1')!r} is not decoded; send the body as it is"
                )
            elif name == b"transfer-encoding":
                codings.append(value)
            elif name == b"x-request-timeout-ms":
                timeout_s = _milliseconds(value)
        if codings:
            _require_chunks(b", ".join(codings))
        return cls(content_type, length, timeout_s)


def _bytes(value: bytes) -> int:
    if not value.isdigit():
        raise BadInput(f"Content-Length: expected a number, got {value.decode('latin-1')!r}")
    return int(value)


def _require_chunks(codings: bytes) -> None:
    """Refuse what stands beneath the chunks (RFC 9112, section 6.1).

    Where ``chunked`` is not the last, the body has no end (section 6.3), and the server itself has answered 400.
    """
    if codings.lower() != b"chunked" and codings.rpartition(b",")[2].strip().lower() == b"chunked":
        raise UnknownCoding(
            f"Transfer-Encoding: {codings.decode('latin-1')!r} is not decoded, only 'chunked' is; send the body as it is"
        )


def _milliseconds(value: bytes) -> float:
    try:
        seconds = float(value) / 1000
    except ValueError:
        seconds = float("nan")
    if not 0 < seconds < float("inf"):
        raise BadInput(f"X-Request-Timeout-Ms: expected a positive number, got {value.decode('latin-1')!r}")
    return seconds


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
