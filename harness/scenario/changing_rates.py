"""Laws of arrival whose rate follows the clock: Poisson processes, drawn exactly.

A unit-rate Poisson process is mapped through the inverse of the cumulative rate (Cinlar, *Introduction to Stochastic
Processes*, 1975, section 4.7), so that no time step limits them.
"""

import math
from dataclasses import dataclass

import numpy as np

from tailgate.harness.errors import UsageError
from tailgate.harness.scenario.arrivals import Times, extent, not_negative, positive, unit_poisson
from tailgate.harness.scenario.ref import Number


@dataclass(frozen=True, slots=True)
class OnOff:
    """A Poisson process that is switched on for ``on_s`` and off for ``off_s`` by turns, on first."""

    on_per_s: Number
    on_s: Number
    off_s: Number
    off_per_s: Number = 0.0

    def draw(self, rng: np.random.Generator, *, requests: int | None, duration_s: float | None) -> Times:
        """Return the first ``requests`` events, or those within ``duration_s``."""
        on_per_s = positive(self, "on_per_s", self.on_per_s)
        off_per_s = not_negative(self, "off_per_s", self.off_per_s)
        on_s, off_s = positive(self, "on_s", self.on_s), positive(self, "off_s", self.off_s)
        cycle, cycle_s = _Stretches((on_per_s, off_per_s), (on_s, off_s)), on_s + off_s
        cycle_mass = cycle.mass(cycle_s)
        mass = None
        if requests is None:
            cycles, rest_s = divmod(extent(self, requests, duration_s), cycle_s)
            mass = cycles * cycle_mass + cycle.mass(rest_s)
        whole, rest = np.divmod(unit_poisson(rng, requests, mass), cycle_mass)
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
        start = not_negative(self, "start_per_s", self.start_per_s)
        end = not_negative(self, "end_per_s", self.end_per_s)
        mean = positive(self, "the mean of start_per_s and end_per_s", (start + end) / 2)
        extent_s = requests / mean if requests is not None else extent(self, requests, duration_s)
        count = requests if requests is not None else int(rng.poisson(mean * extent_s))
        # Given their number, the events are sorted independent draws from the normalised rate.
        mass = np.sort(rng.random(count)) * mean * extent_s
        # Solve start t + (end - start) t^2 / (2 T) = mass, in the form that holds for a flat line too.
        slope = (end - start) / extent_s
        bottom = start + np.sqrt(np.maximum(start**2 + 2 * slope * mass, 0.0))
        return np.divide(2 * mass, bottom, out=np.zeros_like(mass), where=bottom > 0)


@dataclass(frozen=True, slots=True)
class Steps:
    """A Poisson process whose rate takes one value after another, each for ``step_s``; the last one holds on."""

    rates_per_s: tuple[Number, ...]
    step_s: Number

    def draw(self, rng: np.random.Generator, *, requests: int | None, duration_s: float | None) -> Times:
        """Return the first ``requests`` events, or those within ``duration_s``."""
        if not self.rates_per_s:
            raise UsageError("Steps: rates_per_s is empty; give at least one rate")
        rates = tuple(positive(self, "rates_per_s", rate) for rate in self.rates_per_s)
        lengths_s = (positive(self, "step_s", self.step_s),) * len(rates)
        return _Stretches(rates, lengths_s).draw(rng, requests, extent(self, requests, duration_s))


@dataclass(frozen=True, slots=True)
class Spike:
    """A Poisson process with one stretch of a higher rate, from ``at_s`` on, ``for_s`` long."""

    base_per_s: Number
    peak_per_s: Number
    at_s: Number
    for_s: Number

    def draw(self, rng: np.random.Generator, *, requests: int | None, duration_s: float | None) -> Times:
        """Return the first ``requests`` events, or those within ``duration_s``."""
        base = positive(self, "base_per_s", self.base_per_s)
        peak = positive(self, "peak_per_s", self.peak_per_s)
        at_s, for_s = positive(self, "at_s", self.at_s), positive(self, "for_s", self.for_s)
        stretches = _Stretches((base, peak, base), (at_s, for_s, math.inf))
        return stretches.draw(rng, requests, extent(self, requests, duration_s))


@dataclass(frozen=True, slots=True)
class Sine:
    """A Poisson process whose rate is ``mean_per_s * (1 + swing * sin(2 pi t / period_s))``, ``swing`` from 0 to 1."""

    mean_per_s: Number
    swing: Number
    period_s: Number

    def draw(self, rng: np.random.Generator, *, requests: int | None, duration_s: float | None) -> Times:
        """Return the first ``requests`` events, or those within ``duration_s``."""
        mean = positive(self, "mean_per_s", self.mean_per_s)
        period_s = positive(self, "period_s", self.period_s)
        swing = not_negative(self, "swing", self.swing)
        if swing > 1:
            raise UsageError(f"Sine: swing is a share of the mean from 0 to 1, got {swing:g}")
        turn = 2 * math.pi / period_s

        def cumulative(t_s: Times) -> Times:
            return mean * (t_s + swing / turn * (1 - np.cos(turn * t_s)))

        mass = None
        if requests is None:
            mass = float(cumulative(np.array([extent(self, requests, duration_s)]))[0])
        events = unit_poisson(rng, requests, mass)
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
class _Stretches:
    """A rate that is constant on each of several stretches; the last rate holds on for ever."""

    rates_per_s: tuple[float, ...]
    lengths_s: tuple[float, ...]

    def mass(self, until_s: float) -> float:
        edges_s = np.concatenate([[0.0], np.cumsum(self.lengths_s)])
        edges_s[-1] = np.inf
        inside_s = np.clip(until_s - edges_s[:-1], 0.0, np.diff(edges_s))
        return float(np.dot(self.rates_per_s, inside_s))

    def times_s(self, masses: Times) -> Times:
        starts_s = np.concatenate([[0.0], np.cumsum(self.lengths_s)[:-1]])
        before = np.concatenate([[0.0], np.cumsum(np.multiply(self.rates_per_s, self.lengths_s))[:-1]])
        # A stretch of rate 0 spans no mass, and a search from the left never lands in it.
        stretch = np.maximum(np.searchsorted(before, masses, side="left") - 1, 0)
        times: Times = starts_s[stretch] + (masses - before[stretch]) / np.asarray(self.rates_per_s)[stretch]
        return times

    def draw(self, rng: np.random.Generator, requests: int | None, duration_s: float) -> Times:
        mass = None if requests is not None else self.mass(duration_s)
        return self.times_s(unit_poisson(rng, requests, mass))
