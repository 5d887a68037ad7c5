"""The request headers that the service reads, and the answer that goes back. Pure."""

import math
import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import NamedTuple

import orjson

from tailgate.service.errors import BadInput, Encoded, RequestError, TooLarge, UnknownCoding

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
STATUS_LINES = {
    status.value: b"HTTP/1.1 %d %b\r\n" % (status.value, status.phrase.encode()) for status in HTTPStatus
}
FIRST_ERROR = 400
# RFC 9110, sections 15.3.5 and 15.4.5.
WITHOUT_BODY = {204, 304}


class RequestHeaders(NamedTuple):
    """What the service reads from the headers of a request."""

    content_type: str
    length: int | None  # announced bytes of the body; None for chunks
    timeout_s: float | None  # how long the client waits; None for no limit

    @classmethod
    def read(cls, headers: Headers) -> "RequestHeaders":
        """Pick the headers that matter.

        Raises:
            BadInput: a header is invalid, or came twice with different values, which two readers could take differently.
            Encoded: the body has a content coding.
            UnknownCoding: the body has a transfer coding besides chunks.
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
            None if timeout_ms is None else _seconds(timeout_ms),
        )


def told(value: bytes) -> str:
    """Return the beginning of a client's text in quotes, for an error message."""
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
    """Refuse a coding beneath the chunks (RFC 9112, section 6.1).

    Where ``chunked`` is not the last coding, the body has no end (section 6.3), and the server itself has answered 400.
    """
    if codings.lower() != b"chunked" and codings.rpartition(b",")[2].strip().lower() == b"chunked":
        raise UnknownCoding(
            f"Transfer-Encoding: {told(codings)} is not decoded, only 'chunked' is; send the body as it is"
        )


def _seconds(value: bytes) -> float:
    # Python's own float() also takes "1_000", "nan" and ".5", which no other reader does.
    milliseconds = float(value) if _NUMBER.fullmatch(value) else math.nan
    if not LEAST_TIMEOUT_MS <= milliseconds < math.inf:
        raise BadInput(
            f"X-Request-Timeout-Ms: expected a number of milliseconds of at least {LEAST_TIMEOUT_MS}, such as 250 or 0.5, "
            f"got {told(value)}"
        )
    return milliseconds / 1000


def require_size(size: int | None, limit: int) -> None:
    """Raise TooLarge for a body of more bytes than ``limit``, announced or received; None is not known yet."""
    if size is not None and size > limit:
        raise TooLarge(
            f"the body has {size} bytes or more, and at most {limit} are taken (TAILGATE_MAX_BODY_BYTES)"
        )


class Answer(NamedTuple):
    """One answer; its own header lines have names in lower case, Content-Length among them."""

    status: int
    lines: bytes
    body: bytes

    @classmethod
    def of(cls, status: int, content_type: bytes, body: bytes, more: bytes = b"") -> "Answer":
        """Return an answer; ``more`` are further header lines."""
        lines = b"content-type: %b\r\ncontent-length: %d\r\n%b" % (content_type, len(body), more)
        return cls(status, lines, body)

    @classmethod
    def refusal(cls, error: RequestError, more: bytes = b"") -> "Answer":
        """Return the answer to a request that failed; ``more`` are further header lines."""
        lines = more + header_lines(error.headers())
        return cls.of(error.status, b"application/json", error_body(error), lines)

    def headers(self) -> Headers:
        """Return its headers as ASGI has them."""
        return [
            (name, value) for name, _, value in (line.partition(b": ") for line in self.lines.splitlines())
        ]

    def encoded(self, common: bytes, *, close: bool, without_body: bool = False) -> bytes:
        """Return the bytes of HTTP/1.1, with the lines that are ``common`` to all answers.

        ``close`` marks the last answer on its connection; ``without_body`` answers HEAD.
        """
        end = b"connection: close\r\n\r\n" if close else b"\r\n"
        body = b"" if without_body or self.status in WITHOUT_BODY else self.body
        return b"".join((STATUS_LINES[self.status], common, self.lines, end, body))


def header_lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return headers as they are sent."""
    return b"".join([b"%b: %b\r\n" % header for header in headers])


def error_body(error: RequestError) -> bytes:
    """Return the JSON that tells a client what went wrong."""
    return orjson.dumps({"error": str(error)})
