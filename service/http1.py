"""HTTP/1.1 for a connection: what it writes and reads beside uvicorn, as functions of bytes."""

import ipaddress
import re
from typing import TYPE_CHECKING, Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from tailgate.service import protocol
from tailgate.service.errors import BadInput, RequestError, UnknownVersion
from tailgate.service.message import Headers, told

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable

    from uvicorn._types import ASGI3Application
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

SERVED_VERSIONS = ("1.1", "1.0")
# Of OPTIONS alone: the whole server (RFC 9112, section 3.2.4).
ANY_TARGET = b"*"
MAX_PORT = 2**16 - 1
# RFC 3986's reg-name, or an IPv6 address in brackets; a zone behind it is of no use here and is taken.
_HOST = re.compile(
    rb"(?:\[(?P<address>[0-9A-Fa-f:.]+)(?:%[\w.~%-]+)?\]|(?:[\w.~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*)(?::(?P<port>[0-9]{0,5}))?",
    re.ASCII,
)
# Of a request that is begun again without its wish for another protocol (RFC 9110, section 7.8; RFC 7540, section 3.2.1).
UPGRADE_HEADERS = (b"upgrade", b"http2-settings")


def refusal(error: RequestError, default_headers: "Iterable[tuple[bytes, bytes]]") -> bytes:
    """Return the last answer on a connection."""
    body = protocol.answer_error(error)
    headers = [
        *default_headers,
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        *error.headers(),
        (b"connection", b"close"),
    ]
    lines = (b"%b: %b\r\n" % header for header in headers)
    return b"".join((STATUS_LINE[error.status], *lines, b"\r\n", body))


def head_without_upgrade(method: bytes, url: bytes, version: str, headers: Headers) -> bytes:
    """Return a request's head as if it had not wished for another protocol."""
    lines = [b"%b %b HTTP/%b\r\n" % (method, url, version.encode())]
    for name, value in headers:
        if name == b"connection":
            options = (option.strip() for option in value.split(b","))
            kept = b", ".join(option for option in options if option.lower() not in UPGRADE_HEADERS)
            lines += [b"connection: %b\r\n" % kept] if kept else []
        elif name not in UPGRADE_HEADERS:
            lines.append(b"%b: %b\r\n" % (name, value))
    return b"".join((*lines, b"\r\n"))


def require_version(version: str) -> None:
    """Refuse HTTP/0.9, as which the parser takes a line without a version, and HTTP/2.0.

    Raises:
        UnknownVersion: it is another one than is served.
    """
    if version not in SERVED_VERSIONS:
        raise UnknownVersion(f"HTTP/{version} is not served here; send HTTP/1.1 or HTTP/1.0")


def require_host(version: str, headers: Headers) -> None:
    """Refuse a head that names no host, several hosts, or what cannot be one (RFC 9112, section 3.2).

    Raises:
        BadInput: as said; two readers could take two hosts differently.
    """
    hosts = [value for name, value in headers if name == b"host"]
    if len(hosts) > 1 or (not hosts and version == "1.1"):
        raise BadInput(f"expected one Host header, got {len(hosts)}")
    if hosts and not is_host(hosts[0]):
        raise BadInput(f"Host: expected a name or an address, with or without a port, got {told(hosts[0])}")


def is_host(value: bytes) -> bool:
    """Tell whether a value of Host is one by RFC 3986, sections 3.2.2 and 3.2.3: ``uri-host [":" port]``; it may be empty."""
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


def require_framing(version: str, headers: Headers) -> None:
    """Refuse chunks of HTTP/1.0, which had none: a proxy of that age would take another end of the body (section 6.1).

    Raises:
        BadInput: as said.
    """
    if version == "1.0" and any(name == b"transfer-encoding" for name, _ in headers):
        raise BadInput("Transfer-Encoding is not part of HTTP/1.0; send Content-Length, or HTTP/1.1")


def checked_target(method: bytes, target: bytes) -> bytes:
    """Return a request's target, ``/`` where it has no path (RFC 9110, section 4.2.3); uvicorn takes it that there is one.

    Raises:
        BadInput: a fragment, user information, another scheme than http and https, or ``*`` without OPTIONS.
        httptools.HttpParserInvalidURLError: it is no URL.
    """
    if b"#" in target:
        raise BadInput(f"expected a target without a fragment, got {told(target)}")
    if target.startswith(b"/") or (target == ANY_TARGET and method == b"OPTIONS"):
        return target
    url = httptools.parse_url(target)
    userinfo = cast("bytes | None", url.userinfo)
    if (url.schema or b"").lower() not in {b"http", b"https"} or userinfo is not None:
        raise BadInput(f"expected a path or an http URL without user information, got {told(target)}")
    if url.path:
        return target
    return b"/?" + url.query if url.query else b"/"


def closing_unless_asked(cycle: "RequestResponseCycle", app: "ASGI3Application") -> "ASGI3Application":
    """Have an answer to a client that waits to be asked for its body end the connection, unless it has been asked.

    It may leave the body out then (RFC 9110, section 10.1.1), and its next request would be taken for it.
    """

    async def asked(scope: Any, receive: Any, send: Any) -> None:
        async def send_or_close(message: Any) -> None:
            if cycle.waiting_for_100_continue and cycle.more_body:
                cycle.keep_alive = False
            await send(message)

        await app(scope, receive, send_or_close)

    return asked


class AnswerTransport:
    """The transport as a request of the application has it, which closes it behind the last answer.

    Args:
        cycle: the request.
        transport: of its connection.
        end: ends the connection behind a whole answer.
    """

    def __init__(
        self, cycle: "RequestResponseCycle", transport: "asyncio.Transport", end: "Callable[[], None]"
    ) -> None:
        self._cycle = cycle
        self._transport = transport
        self._end = end
        self.write = transport.write
        self.is_closing = transport.is_closing

    def close(self) -> None:
        """End the connection; at once behind a part of an answer, so that its client notices."""
        if self._cycle.response_complete:
            self._end()
        else:
            self._transport.close()
