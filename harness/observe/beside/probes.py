"""Questions to a server under load that an operator's machinery would ask: is it ready, what are its metrics?

Asked by threads of the harness, beside the load generator, in phases that want it. Each question opens a connection of its
own, as a supervisor's probes do, so that a server that no longer accepts is seen. Its cost, about 2 ms of a processor, is
far below what is judged by it. Answers are timed here, and judged elsewhere.

In all other phases, a server that has gauges of its queue is asked for its metrics once per second: for pictures of them.
"""

import enum
import math
import time
from dataclasses import dataclass

import httpx

from tailgate.harness.errors import MeasurementError
from tailgate.harness.target.asking.exposition import parse
from tailgate.harness.target.asking.metric_names import MetricNames
from tailgate.harness.target.asking.selector import read_selector

SHORTEST_PERIOD_S, LONGEST_PERIOD_S = 0.02, 0.2
# Far beyond any limit that is asked: what takes longer was not answered.
PROBE_TIMEOUT_S = 2.0
# Between two readings of the gauges, where nothing asks more often; shorter phases give too few for a picture.
GAUGES_PERIOD_S = 1.0
GAUGES_LEAST = 3


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
    in_flight: float | None = None  # requests in the server, by its metrics; None where these do not tell
    queued: float | None = None  # of these, in its queue


def probing_period_s(probes: int, length_s: float) -> float:
    """Return the time between two questions, such that a phase of this length has so many of them if it can.

    A closed loop has no intended times, and so a length of 0.
    """
    if length_s == 0:
        return LONGEST_PERIOD_S
    return min(max(length_s / probes, SHORTEST_PERIOD_S), LONGEST_PERIOD_S)


def ask(asked: Asked, url: str, client: httpx.Client, names: MetricNames | None = None) -> ProbeRecord:
    """Ask once, on a client of :func:`~tailgate.harness.target.asking.client.asking_client`; ``names`` say what the gauges are called."""
    began_ns = time.monotonic_ns()
    text = ""
    try:
        answer = client.get(url)
        status: int | None = answer.status_code
        text = answer.text
    except httpx.HTTPError:
        status = None
    seconds = (time.monotonic_ns() - began_ns) / 1e9
    good = status is not None and httpx.codes.is_success(status)
    in_flight = queued = None
    if good and names is not None and asked is Asked.METRICS:
        in_flight, queued = (gauge(text, name) for name in (names.in_flight, names.queue_depth))
    return ProbeRecord(asked, began_ns, seconds if good else math.inf, status, in_flight, queued)


def gauge(text: str, name: str | None) -> float | None:
    """Return a gauge of an exposition, None where it is not there; all other metrics are left unread."""
    if name is None:
        return None
    own = read_selector(name).name
    lines = "".join(f"{line}\n" for line in text.split("\n") if line.startswith(own))
    try:
        return parse(lines, 0).gauge(name)
    except MeasurementError:
        return None
