"""When requests are meant to leave: laws of arrival, each a pure function of a random stream and its parameters.

Every law but :class:`ClosedLoop` is open loop: times are drawn before the run, and the server moves none of them. A
parameter may be a :class:`~tailgate.harness.scenario.ref.Ref` until the scenario is resolved; ``draw`` wants numbers.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tailgate.harness.errors import UsageError
from tailgate.harness.results.slot import Loop
from tailgate.harness.scenario.ref import Number, Ref

Times = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Constant:
    """Evenly spaced requests, the first at once: ``rate_per_s`` a second."""

    rate_per_s: Number

    def draw(self, rng: np.random.Generator, *, requests: int | None, duration_s: float | None) -> Times:  # noqa: ARG002 - the protocol's signature
        """Return ``k / rate_per_s`` for every k within the extent."""
        rate = positive(self, "rate_per_s", self.rate_per_s)
        count = requests if requests is not None else math.ceil(extent(self, requests, duration_s) * rate)
        return np.arange(count) / rate


@dataclass(frozen=True, slots=True)
class Poisson:
    """Independent users: a Poisson process of ``rate_per_s`` requests a second."""

    rate_per_s: Number

    def draw(self, rng: np.random.Generator, *, requests: int | None, duration_s: float | None) -> Times:
        """Return the first ``requests`` events, or those within ``duration_s``."""
        rate = positive(self, "rate_per_s", self.rate_per_s)
        mass = None if requests is not None else rate * extent(self, requests, duration_s)
        return unit_poisson(rng, requests, mass) / rate


@dataclass(frozen=True, slots=True)
class Gamma:
    """A renewal process with gamma-distributed gaps; the first gap starts at the phase's start.

    ``burstiness`` is the squared coefficient of variation of the gaps: 1 is Poisson, above 1 comes in clusters, below 1 is
    more even.
    """

    rate_per_s: Number
    burstiness: Number

    def draw(self, rng: np.random.Generator, *, requests: int | None, duration_s: float | None) -> Times:
        """Return the first ``requests`` events, or those within ``duration_s``."""
        rate = positive(self, "rate_per_s", self.rate_per_s)
        variation = positive(self, "burstiness", self.burstiness)
        shape, scale_s = 1 / variation, variation / rate
        if requests is not None:
            return np.cumsum(rng.gamma(shape, scale_s, requests))
        extent_s = extent(self, requests, duration_s)
        times = np.zeros(0)
        while times.size == 0 or times[-1] < extent_s:
            last_s = times[-1] if times.size else 0.0
            gaps = rng.gamma(shape, scale_s, 64 + math.ceil((extent_s - last_s) * rate))
            times = np.concatenate([times, last_s + np.cumsum(gaps)])
        return times[times < extent_s]


@dataclass(frozen=True, slots=True)
class Bursts:
    """``size`` requests at one instant, every ``every_s``, over a Poisson background of ``rate_per_s``, which may be 0.

    For ``quiet_s`` before the first burst there is the background alone.
    """

    size: int
    every_s: Number
    rate_per_s: Number
    quiet_s: Number

    def draw(self, rng: np.random.Generator, *, requests: int | None, duration_s: float | None) -> Times:
        """Return background and bursts in order; an extent in requests cuts after so many, even inside a burst."""
        rate = not_negative(self, "rate_per_s", self.rate_per_s)
        if requests is None:
            extent_s = extent(self, requests, duration_s)
            instants_s = self.instants_s(extent_s)
            background = unit_poisson(rng, None, rate * extent_s)
        else:
            # So many bursts, or so many of the background, would be enough alone.
            instants_s = self._instants_s(math.ceil(requests / max(self.size, 1)))
            background = unit_poisson(rng, requests if rate else 0, None)
        alone_s = background / (rate or 1.0)
        return np.sort(np.concatenate([alone_s, np.repeat(instants_s, self.size)]))[:requests]

    def instants_s(self, duration_s: float) -> Times:
        """Return the moments of the bursts within ``duration_s``, in seconds from the phase's start."""
        every_s = positive(self, "every_s", self.every_s)
        quiet_s = not_negative(self, "quiet_s", self.quiet_s)
        return self._instants_s(max(math.ceil((duration_s - quiet_s) / every_s), 0))

    def _instants_s(self, bursts: int) -> Times:
        if self.size < 1:
            raise UsageError(f"Bursts: size is a number of requests from 1 on, got {self.size}")
        every_s = positive(self, "every_s", self.every_s)
        quiet_s = not_negative(self, "quiet_s", self.quiet_s)
        return quiet_s + every_s * np.arange(bursts, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class ClosedLoop:
    """A closed loop, for probing capacity only: each connection sends its next request when the last was answered.

    A stalled server stalls it, so that no latency may be judged by it (coordinated omission). Latency counts from the
    actual send. The phase ends at most ``limit_s`` after its start; requests that are open or unsent then are timeouts.
    """

    connections: int
    limit_s: Number = 60.0

    loop: ClassVar[Loop] = Loop.CLOSED

    def draw(self, rng: np.random.Generator, *, requests: int | None, duration_s: float | None) -> Times:  # noqa: ARG002 - the protocol's signature
        """Return the phase's start for each request, since none has an intended time."""
        positive(self, "limit_s", self.limit_s)
        if self.connections < 1:
            raise UsageError(f"ClosedLoop: connections is a number from 1 on, got {self.connections}")
        if requests is None:
            raise UsageError(
                f"ClosedLoop: the phase must give requests, got duration_s = {duration_s}; limit_s bounds its time"
            )
        return np.zeros(requests)


def unit_poisson(rng: np.random.Generator, requests: int | None, mass: float | None) -> Times:
    """Return the first ``requests`` events of a Poisson process of rate 1, or all those below ``mass``."""
    if requests is not None:
        return np.cumsum(rng.standard_exponential(requests), dtype=np.float64)
    assert mass is not None
    # Given their number, the events of a Poisson process are sorted independent uniform draws.
    return np.sort(rng.random(rng.poisson(mass))) * mass


def positive(law: object, name: str, value: Number) -> float:
    """Return a law's parameter as a number; refuse one that is open or not above 0."""
    number = _number(law, name, value)
    if number <= 0:
        raise UsageError(f"{type(law).__name__}: {name} must be above 0, got {number:g}")
    return number


def not_negative(law: object, name: str, value: Number) -> float:
    """Return a law's parameter as a number; refuse one that is open or below 0."""
    number = _number(law, name, value)
    if number < 0:
        raise UsageError(f"{type(law).__name__}: {name} must not be below 0, got {number:g}")
    return number


def _number(law: object, name: str, value: Number) -> float:
    if isinstance(value, Ref):
        raise UsageError(
            f"{type(law).__name__}: {name} is still the budget number {value.key!r}; resolve the scenario first"
        )
    if not math.isfinite(value):
        raise UsageError(f"{type(law).__name__}: {name} must be a finite number, got {value}")
    return float(value)


def extent(law: object, requests: int | None, duration_s: float | None) -> float:
    """Return the length of the draw in seconds, without end where the number of requests ends it."""
    if (requests is None) == (duration_s is None):
        raise UsageError(
            f"{type(law).__name__}: draw() needs either requests or duration_s, got both or neither"
        )
    return math.inf if duration_s is None else positive(law, "duration_s", duration_s)
