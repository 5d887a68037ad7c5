"""The id of a request, by which one request is found in the logs and traces of all that it passes through. Pure."""

import os
import re

from tailgate.service.codec.message import Headers

REQUEST_ID = b"x-request-id"
TRACEPARENT = b"traceparent"
# Visible ASCII ends no line, neither of a head nor of a log. A UUID has 36 characters.
ID = re.compile(rb"([!-~]{1,128})")
# W3C Trace Context, section 3.2: version 00 has nothing behind its flags, version ff is invalid.
TRACE = re.compile(
    rb"(?!ff|00-.{52}-)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?:-[!-~]*)?"
)


def request_id(headers: Headers) -> bytes | None:
    """Return the value of ``X-Request-ID``, else the trace id of ``traceparent``; None where neither can be used.

    A header that comes twice with different values cannot be used.
    """
    for header, pattern in ((REQUEST_ID, ID), (TRACEPARENT, TRACE)):
        values = {value.strip(b" \t") for name, value in headers if name == header}
        if len(values) == 1 and (match := pattern.fullmatch(values.pop())):
            return match[1]
    return None


def new_id() -> bytes:
    """Return an id for a request that came without one; 32 hexadecimal digits, as a trace id has."""
    return os.urandom(16).hex().encode()


def id_line(request_id: bytes) -> bytes:
    """Return the header line that tells a client the id."""
    return b"x-request-id: %b\r\n" % request_id
