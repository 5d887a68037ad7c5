"""The head of one request: what HTTP/1.1 says of it, and what makes it unfit to be served. Functions of bytes."""

import ipaddress
import re
from typing import NamedTuple, cast

import httptools

from tailgate.service.codec.message import MOST_LENGTH_DIGITS, Headers, told
from tailgate.service.errors import BadInput, UnknownVersion

# RFC 9112, section 3.2.4: the target of OPTIONS that means the whole server.
ANY_TARGET = b"*"
MAX_PORT = 2**16 - 1
# RFC 3986's reg-name, or an IPv6 address in brackets. A zone behind the address is accepted and ignored.
_HOST = re.compile(
    rb"(?:\[(?P<address>[0-9A-Fa-f:.]+)(?:%[\w.~%-]+)?\]|(?:[\w.~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)(?::(?P<port>[0-9]{0,5}))?",
    re.ASCII,
)


class Head(NamedTuple):
    """A request's line and headers, checked; a tuple, which is made 3 times as fast as a frozen dataclass."""

    method: bytes  # in capitals
    target: bytes  # path and query as sent, without a scheme and a host; ``*`` only for OPTIONS
    version: str  # ``1.1`` or ``1.0``
    headers: Headers  # names in lower case, values without spaces around them
    length: int | None  # announced bytes of the body, None for a body in chunks
    keep_alive: bool  # the client allows another request on this connection
    expects: bool  # the client waits for ``100 Continue`` before it sends the body


def checked_head(method: bytes, target: bytes, version: str, headers: Headers, *, keep_alive: bool) -> Head:
    """Return a head that may be served; ``keep_alive`` is the parser's reading of ``Connection`` and the version.

    Raises:
        UnknownVersion: another version than 1.0 and 1.1.
        BadInput: CONNECT, or a Host, a target or a framing that RFC 9112 forbids.
    """
    # The parser reads a line without a version as HTTP/0.9.
    if version not in ("1.1", "1.0"):
        raise UnknownVersion(f"HTTP/{version} is not served here; send HTTP/1.1 or HTTP/1.0")
    hosts, length, chunks, expects = [], 0, False, False
    for name, value in headers:
        if name == b"host":
            hosts.append(value)
        elif name == b"content-length":
            # The parser has refused contradictions: two lengths, a length beside chunks, one of more than 64 bits.
            length = int(value.lstrip(b"0")[:MOST_LENGTH_DIGITS] or b"0")
        elif name == b"transfer-encoding":
            chunks = True  # the last coding, or the parser had refused it (RFC 9112, section 6.3)
        elif name == b"expect":
            expects = expects or value.lower() == b"100-continue"
    old = version == "1.0"
    require_host(hosts, optional=old)
    if method == b"CONNECT":
        raise BadInput("CONNECT is not served")
    # RFC 9112, section 6.1: HTTP/1.0 had no chunks, and an old proxy would find another end of the body.
    if chunks and old:
        raise BadInput("Transfer-Encoding is not part of HTTP/1.0; send Content-Length, or HTTP/1.1")
    return Head(
        method,
        checked_target(method, target),
        version,
        headers,
        None if chunks else length,
        # A client of HTTP/1.0 gets one answer per connection, whatever it asks for.
        keep_alive and not old,
        # RFC 9110, section 10.1.1: a server ignores the expectation of a client of HTTP/1.0.
        expects and not old,
    )


def require_host(hosts: list[bytes], *, optional: bool) -> None:
    """Raise BadInput for no host, several hosts or an invalid one, which a proxy could read otherwise (RFC 9112, section 3.2)."""
    if len(hosts) > 1 or not (hosts or optional):
        raise BadInput(f"expected one Host header, got {len(hosts)}")
    if hosts and not is_host(hosts[0]):
        raise BadInput(f"Host: expected a name or an address, with or without a port, got {told(hosts[0])}")


def is_host(value: bytes) -> bool:
    """Tell whether a value is ``uri-host [":" port]`` (RFC 3986, sections 3.2.2 and 3.2.3), which may be empty."""
    match = _HOST.fullmatch(value)
    if match is None:
        return False
    address, port = match["address"], match["port"]
    if address:
        try:
            ipaddress.IPv6Address(address.decode())
        except ValueError:
            return False
    return not port or int(port) <= MAX_PORT


def checked_target(method: bytes, target: bytes) -> bytes:
    """Return path and query of a request's target; the path is ``/`` where the target has none (RFC 9110, section 4.2.3).

    Raises:
        BadInput: no URL, a fragment, user information, another scheme than http and https, or ``*`` without OPTIONS.
    """
    if b"#" in target:
        raise BadInput(f"expected a target without a fragment, got {told(target)}")
    if target.startswith(b"/") or (target == ANY_TARGET and method == b"OPTIONS"):
        return target
    try:
        url = httptools.parse_url(target)
    except httptools.HttpParserInvalidURLError:
        raise BadInput(f"expected a path or an http URL, got {told(target)}") from None
    userinfo = cast("bytes | None", url.userinfo)
    if (url.schema or b"").lower() not in {b"http", b"https"} or userinfo is not None:
        raise BadInput(f"expected a path or an http URL without user information, got {told(target)}")
    path = url.path or b"/"
    return path if url.query is None else b"%b?%b" % (path, url.query)
