"""Readiness: poll a server until it says that it takes load. Nothing here is measured."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import httpx

from tailgate.harness.errors import TargetError
from tailgate.harness.target.asking import asking_client, path_of

FIRST_PAUSE_S = 0.01
LONGEST_PAUSE_S = 0.25
PROBE_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Told:
    """What a server said of its readiness: a status, and where a redirect leads; or why there was no answer."""

    status: int | None
    location: str = ""
    error: str = ""

    @property
    def ready(self) -> bool:
        """Whether it takes load: any 2xx, of which 204 is a usual one."""
        return is_good(self.status)


Probe = Callable[[str], Told]


def is_good(status: int | None) -> bool:
    """Tell whether a status is a good answer."""
    return status is not None and httpx.codes.is_success(status)


def probe(url: str, headers: Sequence[tuple[str, str]] = ()) -> Told:
    """Ask once."""
    try:
        with asking_client(PROBE_TIMEOUT_S, headers) as client:
            answer = client.get(url)
    except httpx.RequestError as error:
        return Told(None, error=str(error) or type(error).__name__)
    return Told(answer.status_code, answer.headers.get("location", ""))


def wait_until_ready(
    url: str,
    timeout_s: float,
    check_alive: Callable[[], None],
    *,
    prefix: str = "",
    probe: Probe = probe,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Poll ``url`` until it answers 2xx.

    Args:
        url: the readiness address.
        timeout_s: how long that may take.
        check_alive: raises when waiting further is pointless.
        prefix: path of the target's address, for the hint where a redirect leads.
        probe: asks once.
        clock: monotonic seconds.
        sleep: waits that many seconds.

    Raises:
        TargetError: it was not ready in time; the message holds its last answer.
    """
    deadline_s = clock() + timeout_s
    pause_s = FIRST_PAUSE_S
    while True:
        check_alive()
        told = probe(url)
        if told.ready:
            return
        if clock() >= deadline_s:
            raise TargetError(f"{url} did not answer 2xx within {timeout_s:g} s: {_last(told, url, prefix)}")
        sleep(pause_s)
        pause_s = min(pause_s * 1.5, LONGEST_PAUSE_S)


def _last(told: Told, url: str, prefix: str) -> str:
    if told.status is None:
        return f"there was no answer ({told.error})"
    if not told.location:
        return f"the last answer was {told.status}; --perf-readiness-path=PATH names another path"
    said = f"the last answer was {told.status} to {told.location}"
    path = path_of(url, told.location, prefix)
    return said if path is None else f"{said}: --perf-readiness-path={path}"
