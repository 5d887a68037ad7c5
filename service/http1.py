"""HTTP/1.1 for a connection: what it writes and reads beside uvicorn, as functions of bytes."""

from typing import TYPE_CHECKING, Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from service import protocol
from service.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from uvicorn._types import ASGI3Application
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

Headers = list[tuple[bytes, bytes]]
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


def with_path(target: bytes) -> bytes:
    """Return a request's target, ``/`` where it has no path (RFC 9110, section 4.2.3); uvicorn takes it that there is one.

    Raises:
        httptools.HttpParserInvalidURLError: it is no URL.
    """
    url = httptools.parse_url(target)
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
