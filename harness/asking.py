"""The client that asks a target how it is: whether it is ready, what its metrics are. Nothing that it does is measured."""

from collections.abc import Sequence

# httpx loads it with its first request: that would be while a server starts, whose start-up is timed.
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
