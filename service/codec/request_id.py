"""The id of a request, by which one request is found in the logs and traces of all that it passes through. Pure."""

import os
import re
from typing import NamedTuple

from tailgate.service.codec.message import Headers

REQUEST_ID = b"x-request-id"
TRACEPARENT = b"traceparent"
# Visible ASCII ends no line, neither of a head nor of a log. A UUID has 36 characters.
ID = re.compile(rb"([!-~]{1,128})")
# W3C Trace Context, section 3.2: version 00 has nothing behind its flags, version ff is invalid.
TRACE = re.compile(
    rb"(?!ff|00-.{52}-)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-[!-~]*)?"
)
_CALLER_LINE = re.compile(rb"\r\ntraceparent:([^\r\n]*)", re.IGNORECASE)


class Caller(NamedTuple):
    """The span in which a caller has sent a request."""

    trace_id: int  # of 128 bits
    span_id: int  # of 64 bits
    flags: int  # of 8 bits; the lowest says that the caller's spans are kept


def request_id(headers: Headers) -> bytes | None:
    """Return the value of ``X-Request-ID``, else the trace id of ``traceparent``; None where neither can be used.

    A header that comes twice with different values cannot be used.
    """
    for header, pattern in ((REQUEST_ID, ID), (TRACEPARENT, TRACE)):
        match = _only([value for name, value in headers if name == header], pattern)
        if match is not None:
            return match[1]
    return None


def caller_of(headers: Headers) -> Caller | None:
    """Return what ``traceparent`` says; None where it is not there or cannot be used."""
    return _caller([value for name, value in headers if name == TRACEPARENT])


def caller_in(head: bytes) -> Caller | None:
    """Return the same for the bytes of a head."""
    return _caller(_CALLER_LINE.findall(head))


def _caller(values: list[bytes]) -> Caller | None:
    match = _only(values, TRACE)
    return None if match is None else Caller(*(int(part, 16) for part in match.groups()))


def _only(values: list[bytes], pattern: re.Pattern[bytes]) -> re.Match[bytes] | None:
    """Return what a header says that may have one value only."""
    stripped = {value.strip(b" \t") for value in values}
    return pattern.fullmatch(stripped.pop()) if len(stripped) == 1 else None


def new_id() -> bytes:
    """Return an id for a request that came without one; 32 hexadecimal digits, as a trace id has."""
    return os.urandom(16).hex().encode()


def id_line(request_id: bytes) -> bytes:
    """Return the header line that tells a client the id."""
    return b"x-request-id: %b\r\n" % request_id
