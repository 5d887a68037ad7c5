"""When requests are meant to leave: laws of arrival, each a pure function of a random stream and its parameters.

Every law but :class:`ClosedLoop` is open loop: the times are drawn before the run, and nothing that the server
does moves them. Laws with a changing rate are Poisson processes whose rate follows the clock. They are drawn exactly, by mapping a
unit-rate Poisson process through the inverse of the cumulative rate (Cinlar, *Introduction to Stochastic
Processes*, 1975, section 4.7), so that no time step limits them.

A law may hold a :class:`~tailgate.harness.scenario.Ref` until the scenario is resolved; ``draw`` wants numbers. Nothing
here knows payloads, phases or seeds: :mod:`tailgate.harness.plan` gives each phase its own stream.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tailgate.harness.errors import UsageError
from tailgate.harness.scenario import Loop, Number, Ref

Times = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Constant:
    """Evenly spaced requests, the first at once: ``rate_per_s`` a second."""

    rate_per_s: Number

    def draw(self, rng: np.random.Generator, *, requests: int | None, duration_s: float | None) -> Times:  # noqa: ARG002 - the protocol's signature
        """Return ``k / rate_per_s`` for every k within the extent."""
        rate = _positive(self, "rate_per_s", self.rate_per_s)
        count = requests if requests is not None else math.ceil(_extent(self, requests, duration_s) * rate)
        return np.arange(count) / rate


@dataclass(frozen=True, slots=True)
class Poisson:
    """Independent users: a Poisson process of ``rate_per_s`` requests a second."""

    rate_per_s: Number

    def draw(self, rng: np.random.Generator, *, requests: int | None, duration_s: float | None) -> Times:
        """Return the first ``requests`` events, or those within ``duration_s``."""
        rate = _positive(self, "rate_per_s", self.rate_per_s)
        mass = None if requests is not None else rate * _extent(self, requests, duration_s)
        return _unit_poisson(rng, requests, mass) / rate


@dataclass(frozen=True, slots=True)
class Gamma:
    """A renewal process with gamma-distributed gaps; the first gap starts at the phase's start.

    Attributes:
        rate_per_s: requests a second in the long run.
        burstiness: squared coefficient of variation of the gaps: 1 is Poisson, above 1 comes in clusters, below
            1 is more even.
    """

    rate_per_s: Number
    burstiness: Number

    def draw(self, rng: np.random.Generator, *, requests: int | None, duration_s: float | None) -> Times:
        """Return the first ``requests`` events, or those within ``duration_s``."""
        rate = _positive(self, "rate_per_s", self.rate_per_s)
        variation = _positive(self, "burstiness", self.burstiness)
        shape, scale_s = 1 / variation, variation / rate
        if requests is not None:
            return np.cumsum(rng.gamma(shape, scale_s, requests))
        extent_s = _extent(self, requests, duration_s)
        times = np.zeros(0)
        while times.size == 0 or times[-1] < extent_s:
            last_s = times[-1] if times.size else 0.0
            gaps = rng.gamma(shape, scale_s, 64 + math.ceil((extent_s - last_s) * rate))
            times = np.concatenate([times, last_s + np.cumsum(gaps)])
        return times[times < extent_s]


@dataclass(frozen=True, slots=True)
class OnOff:
    """A Poisson process that is switched on and off by turns, on first.

    Attributes:
        on_per_s: rate while on.
        on_s: length of each stretch that is on.
        off_s: length of each stretch that is off.
        off_per_s: rate while off; 0 for silence.
    """

    on_per_s: Number
    on_s: Number
    off_s: Number
    off_per_s: Number = 0.0

    def draw(self, rng: np.random.Generator, *, requests: int | None, duration_s: float | None) -> Times:
        """Return the first ``requests`` events, or those within ``duration_s``."""
        on_per_s = _positive(self, "on_per_s", self.on_per_s)
        off_per_s = _not_negative(self, "off_per_s", self.off_per_s)
        on_s, off_s = _positive(self, "on_s", self.on_s), _positive(self, "off_s", self.off_s)
        cycle, cycle_s = _Stretches((on_per_s, off_per_s), (on_s, off_s)), on_s + off_s
        cycle_mass = cycle.mass(cycle_s)
        mass = None
        if requests is None:
            cycles, rest_s = divmod(_extent(self, requests, duration_s), cycle_s)
            mass = cycles * cycle_mass + cycle.mass(rest_s)
        whole, rest = np.divmod(_unit_poisson(rng, requests, mass), cycle_mass)
        times: Times = whole * cycle_s + cycle.times_s(rest)
        return times


@dataclass(frozen=True, slots=True)
class Ramp:
    """A Poisson process whose rate moves in a straight line from the start of its extent to the end.

    Where the extent is a number of requests, its length is what that line takes to bring so many on average.
    """

    start_per_s: Number
    end_per_s: Number

    def draw(self, rng: np.random.Generator, *, requests: int | None, duration_s: float | None) -> Times:
        """Return the events within the extent; exactly ``requests`` of them if that is given."""
        start = _not_negative(self, "start_per_s", self.start_per_s)
        end = _not_negative(self, "end_per_s", self.end_per_s)
        mean = _positive(self, "the mean of start_per_s and end_per_s", (start + end) / 2)
        extent_s = requests / mean if requests is not None else _extent(self, requests, duration_s)
        count = requests if requests is not None else int(rng.poisson(mean * extent_s))
        # Given their number, the events are sorted independent draws from the normalised rate.
        mass = np.sort(rng.random(count)) * mean * extent_s
        # Solve start t + (end - start) t^2 / (2 T) = mass, in the form that holds for a flat line too.
        slope = (end - start) / extent_s
        root = np.sqrt(np.maximum(start**2 + 2 * slope * mass, 0.0))
        bottom = start + root
        return np.divide(2 * mass, bottom, out=np.zeros_like(mass), where=bottom > 0)


@dataclass(frozen=True, slots=True)
class Steps:
    """A Poisson process whose rate takes one value after another; the last one holds on.

    Attributes:
        rates_per_s: the rates, in order.
        step_s: how long each is kept.
    """

    rates_per_s: tuple[Number, ...]
    step_s: Number

    def draw(self, rng: np.random.Generator, *, requests: int | None, duration_s: float | None) -> Times:
        """Return the first ``requests`` events, or those within ``duration_s``."""
        if not self.rates_per_s:
            raise UsageError("Steps: rates_per_s is empty; give at least one rate")
        rates = tuple(_positive(self, "rates_per_s", rate) for rate in self.rates_per_s)
        stretches = _Stretches(rates, (_positive(self, "step_s", self.step_s),) * len(rates))
        return stretches.draw(rng, requests, _extent(self, requests, duration_s))


@dataclass(frozen=True, slots=True)
class Spike:
    """A Poisson process with one stretch of a higher rate.

    Attributes:
        base_per_s: rate before and after.
        peak_per_s: rate within the stretch.
        at_s: when the stretch begins.
        for_s: how long it lasts.
    """

    base_per_s: Number
    peak_per_s: Number
    at_s: Number
    for_s: Number

    def draw(self, rng: np.random.Generator, *, requests: int | None, duration_s: float | None) -> Times:
        """Return the first ``requests`` events, or those within ``duration_s``."""
        base = _positive(self, "base_per_s", self.base_per_s)
        peak = _positive(self, "peak_per_s", self.peak_per_s)
        at_s, for_s = _positive(self, "at_s", self.at_s), _positive(self, "for_s", self.for_s)
        stretches = _Stretches((base, peak, base), (at_s, for_s, math.inf))
        return stretches.draw(rng, requests, _extent(self, requests, duration_s))


@dataclass(frozen=True, slots=True)
class Sine:
    """A Poisson process whose rate is ``mean_per_s * (1 + swing * sin(2 pi t / period_s))``.

    Attributes:
        mean_per_s: rate averaged over a period.
        swing: amplitude as a share of the mean, from 0 to 1.
        period_s: length of a period.
    """

    mean_per_s: Number
    swing: Number
    period_s: Number

    def draw(self, rng: np.random.Generator, *, requests: int | None, duration_s: float | None) -> Times:
        """Return the first ``requests`` events, or those within ``duration_s``."""
        mean = _positive(self, "mean_per_s", self.mean_per_s)
        period_s = _positive(self, "period_s", self.period_s)
        swing = _not_negative(self, "swing", self.swing)
        if swing > 1:
            raise UsageError(f"Sine: swing is a share of the mean from 0 to 1, got {swing:g}")
        turn = 2 * math.pi / period_s

        def cumulative(t_s: Times) -> Times:
            return mean * (t_s + swing / turn * (1 - np.cos(turn * t_s)))

        mass = None
        if requests is None:
            mass = float(cumulative(np.array([_extent(self, requests, duration_s)]))[0])
        events = _unit_poisson(rng, requests, mass)
        # No closed inverse; the swing can put a time forward by at most 2 * swing / turn, so bisect that stretch.
        high: Times = events / mean
        low: Times = np.maximum(high - 2 * swing / turn, 0.0)
        for _ in range(60):
            middle = (low + high) / 2
            late = cumulative(middle) > events
            high[late], low[~late] = middle[late], middle[~late]
        times: Times = np.maximum.accumulate(high)
        return times


@dataclass(frozen=True, slots=True)
class Bursts:
    """Many requests at one instant, again and again, over a quiet Poisson background.

    Attributes:
        size: requests in each burst.
        every_s: from one burst to the next.
        rate_per_s: rate of the background; 0 for none.
        quiet_s: background alone before the first burst.
    """

    size: int
    every_s: Number
    rate_per_s: Number
    quiet_s: Number

    def draw(self, rng: np.random.Generator, *, requests: int | None, duration_s: float | None) -> Times:
        """Return background and bursts in order; an extent in requests cuts after so many, even inside a burst."""
        rate = _not_negative(self, "rate_per_s", self.rate_per_s)
        if requests is None:
            extent_s = _extent(self, requests, duration_s)
            instants_s = self.instants_s(extent_s)
            background = _unit_poisson(rng, None, rate * extent_s)
        else:
            # So many bursts, or so many of the background, would be enough alone.
            instants_s = self._instants_s(math.ceil(requests / max(self.size, 1)))
            background = _unit_poisson(rng, requests if rate else 0, None)
        alone_s = background / (rate or 1.0)
        return np.sort(np.concatenate([alone_s, np.repeat(instants_s, self.size)]))[:requests]

    def instants_s(self, duration_s: float) -> Times:
        """Return the moments of the bursts within ``duration_s``, in seconds from the phase's start."""
        every_s = _positive(self, "every_s", self.every_s)
        quiet_s = _not_negative(self, "quiet_s", self.quiet_s)
        return self._instants_s(max(math.ceil((duration_s - quiet_s) / every_s), 0))

    def _instants_s(self, bursts: int) -> Times:
        if self.size < 1:
            raise UsageError(f"Bursts: size is a number of requests from 1 on, got {self.size}")
        every_s = _positive(self, "every_s", self.every_s)
        times: Times = _not_negative(self, "quiet_s", self.quiet_s) + every_s * np.arange(
            bursts, dtype=np.float64
        )
        return times


@dataclass(frozen=True, slots=True)
class Trace:
    """Recorded times, replayed as they are; :mod:`tailgate.harness.trace` reads them from a file.

    Attributes:
        times_s: seconds from the phase's start, ascending.
        payloads: for each time the name of its payload; empty to draw payloads by weight.
    """

    times_s: tuple[float, ...]
    payloads: tuple[str, ...] = ()

    def draw(self, rng: np.random.Generator, *, requests: int | None, duration_s: float | None) -> Times:  # noqa: ARG002 - the protocol's signature
        """Return the recorded times within the extent.

        Raises:
            UsageError: more requests are asked for than were recorded, or the times do not ascend from 0.
        """
        times = np.array(self.times_s, dtype=np.float64)
        if times.size == 0 or not np.isfinite(times).all() or times[0] < 0 or (np.diff(times) < 0).any():
            raise UsageError(
                "Trace: times_s must be finite seconds that ascend from 0 or later, at least one"
            )
        if self.payloads and len(self.payloads) != len(self.times_s):
            raise UsageError(f"Trace: {len(self.times_s)} times but {len(self.payloads)} payload names")
        if requests is None:
            return times[times < _extent(self, requests, duration_s)]
        if requests > times.size:
            raise UsageError(f"Trace: the phase asks for {requests} requests, the trace holds {times.size}")
        return times[:requests]


@dataclass(frozen=True, slots=True)
class ClosedLoop:
    """A closed loop, for probing capacity only: each connection sends its next request when the last was answered.

    Its rate is the server's to say, and a stalled server stalls it: what it tells of latency is not what users see
    (coordinated omission), and no latency may be judged by it. Latency counts from the actual send.

    Attributes:
        connections: how many requests are open at once.
        limit_s: the phase ends at most so long after its start; requests that are open or unsent then are timeouts.
    """

    connections: int
    limit_s: Number = 60.0

    loop: ClassVar[Loop] = Loop.CLOSED

    def draw(self, rng: np.random.Generator, *, requests: int | None, duration_s: float | None) -> Times:  # noqa: ARG002 - the protocol's signature
        """Return the phase's start for each request, since none has an intended time.

        Raises:
            UsageError: the extent is a duration: how many requests that makes, nobody knows beforehand.
        """
        _positive(self, "limit_s", self.limit_s)
        if self.connections < 1:
            raise UsageError(f"ClosedLoop: connections is a number from 1 on, got {self.connections}")
        if requests is None:
            raise UsageError(
                f"ClosedLoop: the phase must give requests, got duration_s = {duration_s}; limit_s bounds its time"
            )
        return np.zeros(requests)


def _unit_poisson(rng: np.random.Generator, requests: int | None, mass: float | None) -> Times:
    """Return the first ``requests`` events of a Poisson process of rate 1, or all those below ``mass``."""
    if requests is not None:
        return np.cumsum(rng.standard_exponential(requests), dtype=np.float64)
    assert mass is not None
    # Given their number, the events of a Poisson process are sorted independent uniform draws.
    return np.sort(rng.random(rng.poisson(mass))) * mass


@dataclass(frozen=True, slots=True)
class _Stretches:
    """A rate that is constant on each of several stretches; the last rate holds on for ever."""

    rates_per_s: tuple[float, ...]
    lengths_s: tuple[float, ...]

    def mass(self, until_s: float) -> float:
        """Return the expected number of events before ``until_s``."""
        edges_s = np.concatenate([[0.0], np.cumsum(self.lengths_s)])
        edges_s[-1] = np.inf
        inside_s = np.clip(until_s - edges_s[:-1], 0.0, np.diff(edges_s))
        return float(np.dot(self.rates_per_s, inside_s))

    def times_s(self, masses: Times) -> Times:
        """Return when the expected number of events reaches each of ``masses``."""
        starts_s = np.concatenate([[0.0], np.cumsum(self.lengths_s)[:-1]])
        before = np.concatenate([[0.0], np.cumsum(np.multiply(self.rates_per_s, self.lengths_s))[:-1]])
        # A stretch of rate 0 spans no mass, and a search from the left never lands in it.
        stretch = np.maximum(np.searchsorted(before, masses, side="left") - 1, 0)
        times: Times = starts_s[stretch] + (masses - before[stretch]) / np.asarray(self.rates_per_s)[stretch]
        return times

    def draw(self, rng: np.random.Generator, requests: int | None, duration_s: float) -> Times:
        """Return the first ``requests`` events, or those within ``duration_s``."""
        mass = None if requests is not None else self.mass(duration_s)
        return self.times_s(_unit_poisson(rng, requests, mass))


def _number(law: object, name: str, value: Number) -> float:
    if isinstance(value, Ref):
        raise UsageError(
            f"{type(law).__name__}: {name} is still the budget number {value.key!r}; resolve the scenario first"
        )
    if not math.isfinite(value):
        raise UsageError(f"{type(law).__name__}: {name} must be a finite number, got {value}")
    return float(value)


def _positive(law: object, name: str, value: Number) -> float:
    number = _number(law, name, value)
    if number <= 0:
        raise UsageError(f"{type(law).__name__}: {name} must be above 0, got {number:g}")
    return number


def _not_negative(law: object, name: str, value: Number) -> float:
    number = _number(law, name, value)
    if number < 0:
        raise UsageError(f"{type(law).__name__}: {name} must not be below 0, got {number:g}")
    return number


def _extent(law: object, requests: int | None, duration_s: float | None) -> float:
    """Return the length of the draw in seconds, without end where the number of requests ends it."""
    if (requests is None) == (duration_s is None):
        raise UsageError(
            f"{type(law).__name__}: draw() needs either requests or duration_s, got both or neither"
        )
    return math.inf if duration_s is None else _positive(law, "duration_s", duration_s)
