"""Laws of arrival whose rate follows the clock: Poisson processes, drawn exactly."""

import math
from dataclasses import dataclass

import numpy as np

from tailgate.harness.scenario.arrivals import Law, PoissonLaw, Rate, Times
from tailgate.harness.scenario.ref import Number


@dataclass(frozen=True, slots=True)
class OnOff(PoissonLaw):
    """A Poisson process that is switched on for ``on_s`` and off for ``off_s`` by turns, on first."""

    on_per_s: Number
    on_s: Number
    off_s: Number
    off_per_s: Number = 0.0

    def _rate(self) -> Rate:
        rates_per_s = self._positive("on_per_s"), self._not_negative("off_per_s")
        lengths_s = self._positive("on_s"), self._positive("off_s")
        mass, times_s = _stretches(rates_per_s, lengths_s)
        cycle_s = sum(lengths_s)
        cycle_mass = mass(cycle_s)

        def mass_of_cycles(until_s: float) -> float:
            cycles, rest_s = divmod(until_s, cycle_s)
            return cycles * cycle_mass + mass(rest_s)

        def times_in_cycles_s(masses: Times) -> Times:
            whole, rest = np.divmod(masses, cycle_mass)
            times: Times = whole * cycle_s + times_s(rest)
            return times

        return mass_of_cycles, times_in_cycles_s


@dataclass(frozen=True, slots=True)
class Ramp(Law):
    """A Poisson process whose rate moves in a straight line from the start of its extent to the end.

    Where the extent is a number of requests, its length is what that line takes to bring so many on average.
    """

    start_per_s: Number
    end_per_s: Number

    def _times(self, rng: np.random.Generator, requests: int | None, extent_s: float) -> Times:
        start, end = self._not_negative("start_per_s"), self._not_negative("end_per_s")
        mean = self._positive("the mean of start_per_s and end_per_s", (start + end) / 2)
        length_s = requests / mean if requests is not None else extent_s
        count = requests if requests is not None else int(rng.poisson(mean * length_s))
        # Given their number, the events are sorted independent draws from the normalised rate.
        mass = np.sort(rng.random(count)) * mean * length_s
        # Solve start t + (end - start) t^2 / (2 T) = mass, in the form that holds for a flat line too.
        slope = (end - start) / length_s
        bottom = start + np.sqrt(np.maximum(start**2 + 2 * slope * mass, 0.0))
        return np.divide(2 * mass, bottom, out=np.zeros_like(mass), where=bottom > 0)


@dataclass(frozen=True, slots=True)
class Steps(PoissonLaw):
    """A Poisson process whose rate takes one value after another, each for ``step_s``; the last one holds on."""

    rates_per_s: tuple[Number, ...]
    step_s: Number

    def _rate(self) -> Rate:
        if not self.rates_per_s:
            raise self._refusal("rates_per_s is empty; give at least one rate")
        rates = tuple(self._positive("rates_per_s", rate) for rate in self.rates_per_s)
        return _stretches(rates, (self._positive("step_s"),) * len(rates))


@dataclass(frozen=True, slots=True)
class Spike(PoissonLaw):
    """A Poisson process with one stretch of a higher rate, from ``at_s`` on, ``for_s`` long."""

    base_per_s: Number
    peak_per_s: Number
    at_s: Number
    for_s: Number

    def _rate(self) -> Rate:
        base, peak = self._positive("base_per_s"), self._positive("peak_per_s")
        return _stretches((base, peak, base), (self._positive("at_s"), self._positive("for_s"), math.inf))


@dataclass(frozen=True, slots=True)
class Sine(PoissonLaw):
    """A Poisson process whose rate is ``mean_per_s * (1 + swing * sin(2 pi t / period_s))``, ``swing`` from 0 to 1."""

    mean_per_s: Number
    swing: Number
    period_s: Number

    def _rate(self) -> Rate:
        mean, swing = self._positive("mean_per_s"), self._not_negative("swing")
        if swing > 1:
            raise self._refusal(f"swing is a share of the mean from 0 to 1, got {swing:g}")
        turn = 2 * math.pi / self._positive("period_s")

        def cumulative(t_s: Times) -> Times:
            return mean * (t_s + swing / turn * (1 - np.cos(turn * t_s)))

        def times_s(masses: Times) -> Times:
            # No closed inverse; the swing can put a time forward by at most 2 * swing / turn, so bisect that stretch.
            high: Times = masses / mean
            low: Times = np.maximum(high - 2 * swing / turn, 0.0)
            for _ in range(60):
                middle = (low + high) / 2
                late = cumulative(middle) > masses
                high[late], low[~late] = middle[late], middle[~late]
            times: Times = np.maximum.accumulate(high)
            return times

        return lambda until_s: float(cumulative(np.array(until_s))), times_s


def _stretches(rates_per_s: tuple[float, ...], lengths_s: tuple[float, ...]) -> Rate:
    """Return a rate that is constant on each of several stretches; the last one holds on for ever."""
    edges_s = np.concatenate([[0.0], np.cumsum(lengths_s)])
    edges_s[-1] = np.inf
    before = np.concatenate([[0.0], np.cumsum(np.multiply(rates_per_s, lengths_s))[:-1]])

    def mass(until_s: float) -> float:
        inside_s = np.clip(until_s - edges_s[:-1], 0.0, np.diff(edges_s))
        return float(np.dot(rates_per_s, inside_s))

    def times_s(masses: Times) -> Times:
        # A stretch of rate 0 spans no mass, and a search from the left never lands in it.
        stretch = np.maximum(np.searchsorted(before, masses, side="left") - 1, 0)
        times: Times = edges_s[stretch] + (masses - before[stretch]) / np.asarray(rates_per_s)[stretch]
        return times

    return mass, times_s
