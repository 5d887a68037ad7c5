"""When requests are meant to leave: laws of arrival, each a pure function of a random stream and its parameters.

Every law but :class:`ClosedLoop` is open loop: times are drawn before the run, and the server moves none of them. A
parameter may be a :class:`~tailgate.harness.scenario.ref.Ref` until the scenario is resolved; ``draw`` wants numbers.
"""

import abc
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tailgate.harness.errors import UsageError
from tailgate.harness.results.slot import Loop
from tailgate.harness.scenario.ref import Number, Ref

Times = NDArray[np.float64]
# The expected number of events until a time, and the times at which such numbers are reached.
Rate = tuple[Callable[[float], float], Callable[[Times], Times]]


class Law(abc.ABC):
    """What all laws do alike: they refuse parameters, and extents, that mean nothing."""

    __slots__ = ()

    def draw(self, rng: np.random.Generator, *, requests: int | None, duration_s: float | None) -> Times:
        """Return the times of the first ``requests``, or those within ``duration_s``, in seconds from the phase's start."""
        if (requests is None) == (duration_s is None):
            raise self._refusal("draw() needs either requests or duration_s, got both or neither")
        extent_s = math.inf if duration_s is None else self._positive("duration_s", duration_s)
        return self._times(rng, requests, extent_s)

    @abc.abstractmethod
    def _times(self, rng: np.random.Generator, requests: int | None, extent_s: float) -> Times:
        """As ``draw``; the extent is infinite where the number of requests ends it."""

    def _positive(self, name: str, value: Number | None = None) -> float:
        number = self._number(name, value)
        if number <= 0:
            raise self._refusal(f"{name} must be above 0, got {number:g}")
        return number

    def _not_negative(self, name: str) -> float:
        number = self._number(name, None)
        if number < 0:
            raise self._refusal(f"{name} must not be below 0, got {number:g}")
        return number

    def _number(self, name: str, value: Number | None) -> float:
        found: Number = getattr(self, name) if value is None else value
        if isinstance(found, Ref):
            raise self._refusal(
                f"{name} is still the budget number {found.key!r}; resolve the scenario first"
            )
        if not math.isfinite(found):
            raise self._refusal(f"{name} must be a finite number, got {found}")
        return float(found)

    def _refusal(self, why: str) -> UsageError:
        return UsageError(f"{type(self).__name__}: {why}")


class PoissonLaw(Law):
    """A Poisson process whose rate may follow the clock, drawn exactly: no time step limits it.

    A unit-rate Poisson process is mapped through the inverse of the cumulative rate (Cinlar, *Introduction to Stochastic
    Processes*, 1975, section 4.7).
    """

    __slots__ = ()

    @abc.abstractmethod
    def _rate(self) -> Rate: ...

    def _times(self, rng: np.random.Generator, requests: int | None, extent_s: float) -> Times:
        mass, times_s = self._rate()
        return times_s(unit_poisson(rng, requests, mass(extent_s) if requests is None else None))


@dataclass(frozen=True, slots=True)
class Constant(Law):
    """Evenly spaced requests, the first at once: ``rate_per_s`` per second."""

    rate_per_s: Number

    def _times(self, _: np.random.Generator, requests: int | None, extent_s: float) -> Times:
        rate = self._positive("rate_per_s")
        return np.arange(requests if requests is not None else math.ceil(extent_s * rate)) / rate


@dataclass(frozen=True, slots=True)
class Poisson(PoissonLaw):
    """Independent users: a Poisson process of ``rate_per_s`` requests per second."""

    rate_per_s: Number

    def _rate(self) -> Rate:
        rate = self._positive("rate_per_s")
        return lambda until_s: rate * until_s, lambda masses: masses / rate


@dataclass(frozen=True, slots=True)
class Gamma(Law):
    """A renewal process with gamma-distributed gaps; the first gap starts at the phase's start.

    ``burstiness`` is the squared coefficient of variation of the gaps: 1 is Poisson, above 1 comes in clusters, below 1 is
    more even.
    """

    rate_per_s: Number
    burstiness: Number

    def _times(self, rng: np.random.Generator, requests: int | None, extent_s: float) -> Times:
        rate, variation = self._positive("rate_per_s"), self._positive("burstiness")
        shape, scale_s = 1 / variation, variation / rate
        if requests is not None:
            return np.cumsum(rng.gamma(shape, scale_s, requests))
        times = np.zeros(0)
        while times.size == 0 or times[-1] < extent_s:
            last_s = times[-1] if times.size else 0.0
            gaps = rng.gamma(shape, scale_s, 64 + math.ceil((extent_s - last_s) * rate))
            times = np.concatenate([times, last_s + np.cumsum(gaps)])
        return times[times < extent_s]


@dataclass(frozen=True, slots=True)
class Bursts(Law):
    """``size`` requests at one instant, every ``every_s``, over a Poisson background of ``rate_per_s``, which may be 0.

    For ``quiet_s`` before the first burst there is the background alone. An extent in requests cuts even inside a burst.
    """

    size: int
    every_s: Number
    rate_per_s: Number
    quiet_s: Number

    def _times(self, rng: np.random.Generator, requests: int | None, extent_s: float) -> Times:
        if self.size < 1:
            raise self._refusal(f"size is a number of requests from 1 on, got {self.size}")
        rate, quiet_s = self._not_negative("rate_per_s"), self._not_negative("quiet_s")
        every_s = self._positive("every_s")
        if requests is None:
            bursts = max(math.ceil((extent_s - quiet_s) / every_s), 0)
            background = unit_poisson(rng, None, rate * extent_s)
        else:
            # So many bursts, or so many of the background, would be enough alone.
            bursts = math.ceil(requests / self.size)
            background = unit_poisson(rng, requests if rate else 0, None)
        alone_s = background / (rate or 1.0)
        together_s = np.repeat(quiet_s + every_s * np.arange(bursts), self.size)
        return np.sort(np.concatenate([alone_s, together_s]))[:requests]


@dataclass(frozen=True, slots=True)
class ClosedLoop(Law):
    """A closed loop, for probing capacity only: each connection sends its next request when the last was answered.

    No request has an intended time, and a stalled server stalls the loop, so that no latency may be judged by it
    (coordinated omission). Latency counts from the actual send. The phase ends at most ``limit_s`` after its start;
    requests that are open or unsent then are timeouts.
    """

    connections: int
    limit_s: Number = 60.0

    loop: ClassVar[Loop] = Loop.CLOSED

    def _times(self, _: np.random.Generator, requests: int | None, extent_s: float) -> Times:
        self._positive("limit_s")
        if self.connections < 1:
            raise self._refusal(f"connections is a number from 1 on, got {self.connections}")
        if requests is None:
            raise self._refusal(
                f"the phase must give requests, got duration_s = {extent_s}; limit_s bounds its time"
            )
        return np.zeros(requests)


def unit_poisson(rng: np.random.Generator, requests: int | None, mass: float | None) -> Times:
    """Return the first ``requests`` events of a Poisson process of rate 1, or all those below ``mass``."""
    if requests is not None:
        return np.cumsum(rng.standard_exponential(requests), dtype=np.float64)
    assert mass is not None
    # Given their number, the events of a Poisson process are sorted independent uniform draws.
    return np.sort(rng.random(rng.poisson(mass))) * mass
