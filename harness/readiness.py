"""Readiness: poll a server until it says that it takes load.

Used for servers that the harness launched (:mod:`harness.launch`) and for those that it only knows by address
(:mod:`harness.target`). It is on the control path, so it uses httpx; nothing here is measured.
"""

import time
from collections.abc import Callable

# httpx loads it with its first request: that would be while a server starts, whose start-up is timed.
import httpcore  # noqa: F401
import httpx

from harness.errors import TargetError

FIRST_PAUSE_S = 0.01
LONGEST_PAUSE_S = 0.25
PROBE_TIMEOUT_S = 5.0

Probe = Callable[[str], int | None]


def probe(url: str) -> int | None:
    """Return the HTTP status that a URL answers with, or None when there was no answer."""
    try:
        # A proxy from the environment would answer for the server.
        return httpx.get(url, timeout=PROBE_TIMEOUT_S, trust_env=False).status_code
    except httpx.TransportError:
        return None


def wait_until_ready(
    url: str,
    timeout_s: float,
    check_alive: Callable[[], None],
    *,
    probe: Probe = probe,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Poll ``url`` until it answers 200.

    Args:
        url: the readiness address.
        timeout_s: how long that may take.
        check_alive: raises when waiting further is pointless.
        probe: returns the status of one request, or None.
        clock: monotonic seconds.
        sleep: waits that many seconds.

    Raises:
        TargetError: it was not ready in time; the message holds its last answer.
    """
    deadline_s = clock() + timeout_s
    pause_s = FIRST_PAUSE_S
    while True:
        check_alive()
        status = probe(url)
        if status == httpx.codes.OK:
            return
        if clock() >= deadline_s:
            last = "there was no answer" if status is None else f"the last answer was {status}"
            raise TargetError(f"{url} did not answer 200 within {timeout_s:g} s: {last}")
        sleep(pause_s)
        pause_s = min(pause_s * 1.5, LONGEST_PAUSE_S)
