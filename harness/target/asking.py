"""How the harness asks a target: with which client, and where a redirect leads. Nothing of it is measured."""

from collections.abc import Sequence

import httpcore  # noqa: F401
import httpx

# Loaded once and here: it takes longer than a request, and a server that starts is asked many times.
_TRUST = httpx.create_ssl_context(trust_env=False)


def asking_client(timeout_s: float, headers: Sequence[tuple[str, str]] = ()) -> httpx.Client:
    """Return a client that sends these headers; a context manager.

    It keeps no connection open, which would hold up a server that serves one at a time, and takes no proxy from the
    environment, which would answer for the server.
    """
    limits = httpx.Limits(max_keepalive_connections=0)
    return httpx.Client(timeout=timeout_s, limits=limits, trust_env=False, headers=headers, verify=_TRUST)


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
