"""How the harness asks a target: with which client, and where a redirect leads. Nothing of it is measured."""

import socket
import ssl
from collections.abc import Sequence
from pathlib import Path

import httpcore  # noqa: F401
import httpx

from tailgate.harness.errors import TargetError
from tailgate.harness.target.asking.trust import Trust, tls_refusal

DEFAULT_PORTS = {"http": 80, "https": 443}


def asking_client(
    timeout_s: float,
    headers: Sequence[tuple[str, str]] = (),
    trust: Trust | None = None,
    socket_path: Path | None = None,
) -> httpx.Client:
    """Return a client that sends these headers; a context manager.

    ``trust`` is for https addresses, which it cannot ask without; ``socket_path`` is a Unix socket that it connects to in
    place of an address.

    It keeps no connection open, which would hold up a server that serves one at a time, and takes no proxy from the
    environment, which would answer for the server.
    """
    # An empty context is made at once, and trusts nothing.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if trust is None else trust.context()
    limits = httpx.Limits(max_keepalive_connections=0)
    if socket_path is None:
        transport = httpx.HTTPTransport(context, limits=limits, trust_env=False)
    else:
        transport = _SocketTransport(socket_path, context, limits)
    return httpx.Client(timeout=timeout_s, transport=transport, trust_env=False, headers=headers)


class _SocketTransport(httpx.HTTPTransport):
    """Asks a Unix socket, where there is one: httpcore leaves the socket open that could not connect."""

    def __init__(self, path: Path, context: ssl.SSLContext, limits: httpx.Limits) -> None:
        super().__init__(context, uds=str(path), limits=limits, trust_env=False)
        self._path = path

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Connect first, and then ask over a connection of its own."""
        try:
            connected(self._path, request.extensions["timeout"]["connect"]).close()
        except OSError as error:
            raise httpx.ConnectError(str(error), request=request) from error
        return super().handle_request(request)


def path_of(url: str, location: str, prefix: str) -> str | None:
    """Return the path at which a redirect leads, below the target's ``prefix``, which ends without a slash.

    None where it leads to another server, to another scheme, or out of that prefix.
    """
    try:
        asked, led = httpx.URL(url), httpx.URL(url).join(location)
    except httpx.InvalidURL:
        return None
    path = led.raw_path.decode("ascii")
    elsewhere = (asked.scheme, asked.host, asked.port) != (led.scheme, led.host, led.port)
    if elsewhere or not location or not path.startswith(f"{prefix}/"):
        return None
    return path.removeprefix(prefix)


def refused_connection(
    url: str, timeout_s: float, trust: Trust | None = None, socket_path: Path | None = None
) -> str:
    """Open a connection, with TLS for an https address, and close it; return why there was none, or nothing.

    Raise TargetError where asking again cannot help.
    """
    parts = httpx.URL(url)
    host = parts.raw_host.decode("ascii")
    try:
        port = parts.port or DEFAULT_PORTS[parts.scheme]
        with (
            socket.create_connection((host, port), timeout_s)
            if socket_path is None
            else connected(socket_path, timeout_s)
        ) as plain:
            if parts.scheme == "https" and trust is not None:
                trust.context().wrap_socket(plain, server_hostname=host).close()
    except OSError as error:
        if refusal := tls_refusal(error):
            raise TargetError(f"{url}: {refusal}") from None
        return f"there was no connection ({str(error) or type(error).__name__})"
    return ""


def connected(path: Path, timeout_s: float | None) -> socket.socket:
    """Return a connection to a Unix socket; raise OSError where there is none."""
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(timeout_s)
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection
