"""Questions to a server under load that an operator's machinery would ask: is it ready, what are its metrics?

Asked by the harness from threads of its own, beside the load generator, in phases that want it
(:class:`~tailgate.harness.scenario.scenario.Phase`). Each question opens a connection of its own, as a supervisor's probes do, so that a
server that no longer accepts is seen. Its cost, about 2 ms of a processor, is far below what is judged by it. How long an
answer took is recorded, and judged elsewhere.
"""

import enum
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx

from tailgate.harness.target.readiness import is_good

SHORTEST_PERIOD_S, LONGEST_PERIOD_S = 0.02, 0.2
# Far beyond any limit that is asked: what takes longer was not answered.
PROBE_TIMEOUT_S = 2.0


class Asked(enum.Enum):
    """What is asked for."""

    HEALTH = "health"  # the readiness path
    METRICS = "metrics"


@dataclass(frozen=True, slots=True)
class ProbeRecord:
    """One question and its answer.

    Attributes:
        asked: what for.
        time_ns: CLOCK_MONOTONIC, when it was asked.
        seconds: until the whole answer was there; +inf without one, or with one that is not 2xx.
        status: HTTP status; None without an answer.
    """

    asked: Asked
    time_ns: int
    seconds: float
    status: int | None


def probing_period_s(probes: int, length_s: float) -> float:
    """Return the time between two questions, such that a phase of this length has so many of them if it can.

    Args:
        probes: wanted, at least 1.
        length_s: of the phase's intended times; 0 for a closed loop, which has none.
    """
    if length_s == 0:
        return LONGEST_PERIOD_S
    return min(max(length_s / probes, SHORTEST_PERIOD_S), LONGEST_PERIOD_S)


class Prober:
    """Asks one question, to be called periodically, and keeps the answers.

    Args:
        asked: what for.
        url: where.
        client: of :func:`~tailgate.harness.target.asking.asking_client`.
        keep: takes each record as it is made.

    Attributes:
        records: so far.
    """

    def __init__(
        self, asked: Asked, url: str, client: httpx.Client, keep: Callable[[ProbeRecord], None]
    ) -> None:
        self.records: list[ProbeRecord] = []
        self._client = client
        self._asked = asked
        self._url = url
        self._keep = keep

    def __call__(self) -> None:
        """Ask once."""
        began_ns = time.monotonic_ns()
        try:
            status: int | None = self._client.get(self._url).status_code
        except httpx.HTTPError:
            status = None
        seconds = (time.monotonic_ns() - began_ns) / 1e9
        record = ProbeRecord(self._asked, began_ns, seconds if is_good(status) else math.inf, status)
        self.records.append(record)
        self._keep(record)
