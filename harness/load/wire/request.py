"""A payload as the bytes of an HTTP/1.1 request, made once before the run."""

import re

from tailgate.harness.errors import UsageError
from tailgate.harness.load.settings import LoadSettings
from tailgate.harness.load.wire.request_id import id_lines
from tailgate.harness.scenario.payload import Payload

# RFC 9110, section 5.6.2: token; a field value holds no control characters (section 5.5).
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
_TARGET = re.compile(r"/[\x21-\x7e]*")

# The parser takes an answer's framing from its own headers; these methods would need to be known to it.
_UNSUPPORTED_METHODS = frozenset({"HEAD", "CONNECT"})
_RESERVED_HEADERS = frozenset({"host", "content-length", "transfer-encoding", "connection", "expect"})


def encode_request(payload: Payload, settings: LoadSettings) -> bytes:
    """Return head and body of a payload's request; raise UsageError for what cannot be sent, or is the generator's to send."""
    if payload.method in _UNSUPPORTED_METHODS or not _TOKEN.fullmatch(payload.method):
        raise UsageError(f"payload {payload.name!r}: method {payload.method!r} cannot be sent")
    if not _TARGET.fullmatch(payload.path):
        raise UsageError(
            f"payload {payload.name!r}: path {payload.path!r} must begin with '/' and be printable ASCII without "
            "spaces; percent-encode the rest"
        )
    target = settings.prefix + payload.path
    lines = [f"{payload.method} {target} HTTP/1.1", f"host: {host_header(settings)}"]
    if payload.body or payload.method not in {"GET", "DELETE", "OPTIONS"}:
        lines.append(f"content-length: {len(payload.body)}")
    if payload.body and payload.content_type:
        lines.append(_field(payload, "content-type", payload.content_type))
    for name, value in (*settings.headers, *payload.headers):
        if name.lower() in _RESERVED_HEADERS:
            raise UsageError(
                f"payload {payload.name!r}: header {name!r} is set by the generator; leave it out"
            )
        lines.append(_field(payload, name, value))
    said = {name.lower() for name, _ in (*settings.headers, *payload.headers)}
    lines += id_lines(settings.id_prefix, said)
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + payload.body


def host_header(settings: LoadSettings) -> str:
    """Return the Host header's value: the port only where it is not the scheme's, IPv6 in brackets."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return host if settings.port == (443 if settings.tls else 80) else f"{host}:{settings.port}"


def _field(payload: Payload, name: str, value: str) -> str:
    if not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value) or not value.isascii():
        raise UsageError(f"payload {payload.name!r}: header {name!r}: {value!r} is not a valid HTTP field")
    return f"{name}: {value}"
