"""Questions to a server under load that an operator's machinery would ask: is it ready, what are its metrics?

Asked by threads of the harness, beside the load generator, in phases that want it. Each question opens a connection of its
own, as a supervisor's probes do, so that a server that no longer accepts is seen. Its cost, about 2 ms of a processor, is
far below what is judged by it. Answers are timed here, and judged elsewhere.
"""

import enum
import math
import time
from dataclasses import dataclass

import httpx

SHORTEST_PERIOD_S, LONGEST_PERIOD_S = 0.02, 0.2
# Far beyond any limit that is asked: what takes longer was not answered.
PROBE_TIMEOUT_S = 2.0


class Asked(enum.Enum):
    """What is asked for."""

    HEALTH = "health"  # the readiness path
    METRICS = "metrics"


@dataclass(frozen=True, slots=True)
class ProbeRecord:
    """One question and its answer."""

    asked: Asked
    time_ns: int  # CLOCK_MONOTONIC, when it was asked
    seconds: float  # until the whole answer was there; +inf without one, or with one that is not 2xx
    status: int | None  # of HTTP; None without an answer


def probing_period_s(probes: int, length_s: float) -> float:
    """Return the time between two questions, such that a phase of this length has so many of them if it can.

    A closed loop has no intended times, and so a length of 0.
    """
    if length_s == 0:
        return LONGEST_PERIOD_S
    return min(max(length_s / probes, SHORTEST_PERIOD_S), LONGEST_PERIOD_S)


def ask(asked: Asked, url: str, client: httpx.Client) -> ProbeRecord:
    """Ask once, on a client of :func:`~tailgate.harness.target.asking.client.asking_client`."""
    began_ns = time.monotonic_ns()
    try:
        status: int | None = client.get(url).status_code
    except httpx.HTTPError:
        status = None
    seconds = (time.monotonic_ns() - began_ns) / 1e9
    good = status is not None and httpx.codes.is_success(status)
    return ProbeRecord(asked, began_ns, seconds if good else math.inf, status)
