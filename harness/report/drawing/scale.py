"""Axes: from a number to its place between 0 and 1, and the round numbers that are written beside it."""

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tailgate.harness.units import Unit, quantity

Floats = NDArray[np.float64]
_ROUND = (1.0, 2.0, 5.0, 10.0)
_TIMES_S = (
    *(0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0),
    *(60.0 * minutes for minutes in (1, 2, 5, 10, 30, 60, 120, 240)),
)
# From so many seconds on, times are written in a larger unit.
_LONG_S = ((10_800.0, 3600.0, "h"), (180.0, 60.0, "min"), (0.0, 1.0, "s"))
_FRACTION = re.compile(r"\.\d+")
# Of the axis: what a percentile needs for its text.
_TEXT_SHARE = 0.08
_SHARES = (0.0, 0.5, 0.9, 0.95, 0.99, 0.999, 0.9999, 0.99999)


def _even(values: Floats) -> Floats:
    return values


def _by_tail(shares: Floats) -> Floats:
    return -np.log10(1.0 - shares)


@dataclass(frozen=True, slots=True)
class Scale:
    """One axis from ``low`` to ``high``; what lies beyond an end is drawn at that end."""

    low: float
    high: float
    ticks: tuple[tuple[float, str], ...] = ()
    bend: Callable[[Floats], Floats] = _even

    def at(self, values: ArrayLike) -> Floats:
        """Return the places of values, shape as given, each between 0 and 1."""
        inside = np.clip(
            np.asarray(values, dtype=np.float64), min(self.low, self.high), max(self.low, self.high)
        )
        low, high = (self.bend(np.array(end)) for end in (self.low, self.high))
        return (self.bend(inside) - low) / (high - low)


def linear(low: float, high: float, unit: Unit, most: int = 5) -> Scale:
    """Return an axis that ends on round numbers."""
    rough = (high - low if high > low else 1.0) / most
    decade = 10.0 ** math.floor(math.log10(rough))
    step = next(digit * decade for digit in _ROUND if digit * decade >= rough * (1 - 1e-9))
    if unit is Unit.BYTES:
        step = 2.0 ** math.ceil(math.log2(rough))
    first = math.floor(low / step + 1e-9)
    last = max(first + 1, math.ceil(high / step - 1e-9))
    return _with_texts(first * step, last * step, [place * step for place in range(first, last + 1)], unit)


def log(values: Iterable[float], unit: Unit) -> Scale:
    """Return an axis of decades around positive numbers; 1, 2 and 5 are written where it is short."""
    known = [value for value in values if 0 < value < math.inf] or [0.001, 1.0]
    low, high = min(known), max(*known, 1.1 * min(known))
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    every = [digit * 10.0**decade for decade in decades for digit in _ROUND[:3]]
    floor = max((value for value in every if value <= low * (1 + 1e-9)), default=low)
    roof = min((value for value in every if value >= high * (1 - 1e-9)), default=high)
    inside = [value for value in every if floor <= value <= roof]
    if len(inside) > 9:
        inside = [value for value in inside if round(math.log10(value)) == math.log10(value)]
    return _with_texts(floor, roof, inside, unit, np.log10)


def time(seconds: float) -> Scale:
    """Return an axis of seconds since the start, which ends with the last of them."""
    end = max(seconds, 0.1)
    step = next((step for step in _TIMES_S if end / step <= 7), math.ceil(end / 7))
    places = [place * step for place in range(int(end / step + 1e-9) + 1)]
    unit_s, unit = next((unit_s, unit) for least, unit_s, unit in _LONG_S if end > least)
    texts = [f"{place / unit_s:g} {unit}" for place in places]
    return Scale(0.0, end, tuple(zip(places, texts, strict=True)))


def tail(n: int) -> Scale:
    """Return an axis of percentiles as far as ``n`` samples reach: p99 is as far from p90 as p90 is from p0."""
    most = 1.0 - 0.5 / max(n, 10)
    bare = Scale(0.0, most, bend=_by_tail)
    ticks: list[tuple[float, str]] = []
    for share in _SHARES:
        if share <= most and (not ticks or bare.at(share) - bare.at(ticks[-1][0]) >= _TEXT_SHARE):
            ticks.append((share, f"p{share * 100:g}"))
    return Scale(0.0, most, tuple(ticks), _by_tail)


def _with_texts(
    low: float, high: float, values: Iterable[float], unit: Unit, bend: Callable[[Floats], Floats] = _even
) -> Scale:
    """Return a scale whose ticks have their units, without the zeros at the end of a fraction."""
    texts = tuple((value, _FRACTION.sub(_shortened, quantity(value, unit))) for value in values)
    return Scale(low, high, texts, bend)


def _shortened(fraction: re.Match[str]) -> str:
    return fraction[0].rstrip("0").rstrip(".")
