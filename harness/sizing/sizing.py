"""From a replica and the shape of arrivals to p50 and p99 by load, the knee, and how many replicas a rate needs. Pure.

Each figure comes from courses of so many requests in virtual time. Its value is their median. Its interval leaves out one course
of a hundred on either side, and goes 2 % further for what the simulation leaves out. So it says where a run of as many requests
comes out, luck and the machine's slow stretches included. It knows nothing of another machine, or of another model.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tailgate.harness.errors import UsageError
from tailgate.harness.scenario.arrivals import Gamma, Times
from tailgate.harness.scenario.trace import Trace
from tailgate.harness.sizing.replica import Replica, serve
from tailgate.harness.statistics import least_samples

REQUESTS, COURSES = 5_000, 100
OUTSIDE = 0.01  # of the courses, on either side of an interval
# Beyond luck, percentiles of real runs were up to 2 % from what was foreseen (benchmarks/fleet/planning.py).
MISFIT = 0.02
# The same reserve as the service's own forecast of replicas: a queue that is busier grows several times when a little more comes.
MOST_BUSY = 0.8
LOADS = (0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)

# Draws so many ascending times with a mean rate of 1 per second.
Shape = Callable[[np.random.Generator, int], Times]


def gamma_shape(burstiness: float) -> Shape:
    """Return independent gaps with this squared coefficient of variation: 1 is Poisson."""
    law = Gamma(1.0, burstiness)
    return lambda rng, count: law.draw(rng, requests=count, duration_s=None)


def trace_rate_per_s(trace: Trace) -> float:
    """Return the mean rate of a trace; raise UsageError for one that is too short to tell a p99."""
    count, length_s = len(trace.times_s), trace.times_s[-1] - trace.times_s[0] if trace.times_s else 0.0
    if count < least_samples(0.99) or length_s <= 0:
        raise UsageError(
            f"the trace has {count} requests in {length_s:g} s; a p99 needs {least_samples(0.99):,} that do not all come at once"
        )
    return (count - 1) / length_s


def trace_shape(trace: Trace) -> Shape:
    """Return pieces of a trace that begin anywhere, brought to a mean rate of 1 per second over the whole trace."""
    rate_per_s = trace_rate_per_s(trace)
    times = np.array(trace.times_s, dtype=np.float64) * rate_per_s

    def draw(rng: np.random.Generator, count: int) -> Times:
        first = int(rng.integers(len(times) - count + 1))
        piece: Times = times[first : first + count] - times[first]
        return piece

    return draw


@dataclass(frozen=True, slots=True)
class Foreseen:
    """A figure of a run: the median over courses, and the interval that it should lie in."""

    value: float
    low: float
    high: float

    @property
    def width(self) -> float:
        """Half the interval, as a share of its middle."""
        return (self.high - self.low) / (self.high + self.low)


@dataclass(frozen=True, slots=True)
class Row:
    """What is foreseen at one rate."""

    rate_per_s: float
    load: float  # the share of what full batches can do
    p50_s: Foreseen
    p99_s: Foreseen
    batch: float  # requests in the batch of a request, on average over requests


@dataclass(frozen=True, slots=True)
class Sizing:
    """What one replica keeps, and what a fleet needs.

    Attributes:
        rows: p50 and p99 by load, the lowest first.
        saturated_per_s: requests per second if all batches are full.
        knee_per_s: the highest rate with p99 within the objective; None without an objective, or where no rate keeps it.
        capacity_per_s: what a replica should get: the low end of the knee, and at most 0.8 of ``saturated_per_s``; None where
            no rate keeps the objective.
        rate_per_s: of all replicas together; None where nobody said one.
        replicas: how many the rate needs.
    """

    rows: tuple[Row, ...]
    saturated_per_s: float
    objective_s: float | None
    knee_per_s: Foreseen | None
    capacity_per_s: float | None
    rate_per_s: float | None
    replicas: int | None


def foresee(
    replica: Replica, shape: Shape, rate_per_s: float, requests: int = REQUESTS, courses: int = COURSES
) -> Row:
    """Return p50 and p99 of runs of so many requests at one rate; the same dice for every rate."""
    p50s, p99s, sizes = [], [], []
    for number in range(courses):
        rng = np.random.default_rng(number)
        course = serve(replica, shape(rng, requests) / rate_per_s, rng)
        p50, p99 = np.quantile(course.latencies_s, (0.5, 0.99), method="inverted_cdf")
        p50s.append(float(p50))
        p99s.append(float(p99))
        sizes.append(float(course.sizes.mean()))
    load = rate_per_s / replica.saturated_per_s
    return Row(rate_per_s, load, _foreseen(p50s), _foreseen(p99s), float(np.mean(sizes)))


def size(
    replica: Replica,
    shape: Shape,
    objective_s: float | None,
    rate_per_s: float | None,
    requests: int = REQUESTS,
    courses: int = COURSES,
) -> Sizing:
    """Foresee every load, and find the knee between two of them."""
    most = replica.saturated_per_s
    rows = tuple(foresee(replica, shape, load * most, requests, courses) for load in LOADS)
    capacity: float | None = MOST_BUSY * most
    knee = None
    if objective_s is not None:
        knee = _knee(rows, objective_s)
        capacity = None if knee is None else min(MOST_BUSY * most, knee.low)
    replicas = None if capacity is None or rate_per_s is None else math.ceil(rate_per_s / capacity)
    return Sizing(rows, most, objective_s, knee, capacity, rate_per_s, replicas)


def _foreseen(values: Sequence[float]) -> Foreseen:
    low, value, high = np.quantile(values, (OUTSIDE, 0.5, 1 - OUTSIDE))
    return Foreseen(float(value), float(low) * (1 - MISFIT), float(high) * (1 + MISFIT))


def _knee(rows: Sequence[Row], objective_s: float) -> Foreseen | None:
    """Return the rates at which p99, and either end of its interval, reach the objective; None if p99 is always beyond."""
    p99s = [row.p99_s for row in rows]
    low, value, high = (
        _reached(rows, seconds, objective_s)
        for seconds in ([one.high for one in p99s], [one.value for one in p99s], [one.low for one in p99s])
    )
    return None if low is None or value is None or high is None else Foreseen(value, low, high)


def _reached(rows: Sequence[Row], seconds: Sequence[float], objective_s: float) -> float | None:
    """Return the rate at which a rising latency reaches the objective; the highest rate if it never does, None if always."""
    rates = [row.rate_per_s for row in rows]
    beyond = next((place for place, one in enumerate(seconds) if one > objective_s), None)
    if beyond is None:
        return rates[-1]
    if beyond == 0:
        return None
    share = (objective_s - seconds[beyond - 1]) / (seconds[beyond] - seconds[beyond - 1])
    return rates[beyond - 1] + share * (rates[beyond] - rates[beyond - 1])
