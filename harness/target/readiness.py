"""Readiness: poll a server until it says that it takes load. Nothing here is measured."""

import time
from collections.abc import Callable

import httpx

from tailgate.harness.errors import TargetError
from tailgate.harness.target.asking import asking_client, path_of
from tailgate.harness.target.trust import tls_refusal

FIRST_PAUSE_S = 0.01
LONGEST_PAUSE_S = 0.25
PROBE_TIMEOUT_S = 5.0


def probe(url: str, client: Callable[[float], httpx.Client] = asking_client) -> httpx.Response:
    """Ask once; any 2xx says that it takes load. Raise httpx.RequestError where there is no answer.

    ``client`` returns one with its timeout, such as :meth:`~tailgate.harness.target.target.RunningTarget.client`.
    """
    with client(PROBE_TIMEOUT_S) as one:
        return one.get(url)


def wait_until_ready(
    url: str,
    timeout_s: float,
    check_alive: Callable[[], None],
    *,
    prefix: str = "",
    probe: Callable[[str], httpx.Response] = probe,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Poll ``url`` until it answers 2xx; raise TargetError, with its last answer, where it does not in time.

    A certificate that is not trusted does not become so by waiting: TargetError at once.
    ``check_alive`` raises when waiting further is pointless. ``prefix`` is the path of the target's address, for the hint
    where a redirect leads.
    """
    deadline_s = clock() + timeout_s
    pause_s = FIRST_PAUSE_S
    while True:
        check_alive()
        try:
            answer = probe(url)
        except httpx.RequestError as error:
            if refusal := tls_refusal(error):
                raise TargetError(f"{url}: {refusal}") from None
            last = f"there was no answer ({str(error) or type(error).__name__})"
        else:
            if answer.is_success:
                return
            last = _last(answer, url, prefix)
        if clock() >= deadline_s:
            raise TargetError(f"{url} did not answer 2xx within {timeout_s:g} s: {last}")
        sleep(pause_s)
        pause_s = min(pause_s * 1.5, LONGEST_PAUSE_S)


def _last(answer: httpx.Response, url: str, prefix: str) -> str:
    location = answer.headers.get("location", "")
    said = f"the last answer was {answer.status_code}"
    if not location:
        return f"{said}; --perf-readiness-path=PATH names another path"
    path = path_of(url, location, prefix)
    return f"{said} to {location}" + ("" if path is None else f": --perf-readiness-path={path}")
