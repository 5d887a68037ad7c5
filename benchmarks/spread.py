"""A figure over several rounds: the median and the extremes."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over rounds. Few rounds carry no interval, so the extremes are shown instead.

    ``values`` are those of the rounds, in order.
    """

    median: float
    low: float
    high: float
    values: tuple[float, ...]

    def __str__(self) -> str:
        """``4.1 (3.9 to 4.4)``."""
        return f"{figure(self.median)} ({figure(self.low)} to {figure(self.high)})"


def figure(value: float) -> str:
    """Write three significant digits, or a whole number from 100 on."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def spread(values: Sequence[float]) -> Spread:
    """Summarise at least one value."""
    return Spread(statistics.median(values), min(values), max(values), tuple(values))


def ratio(numerators: Sequence[float], denominators: Sequence[float]) -> Spread:
    """Divide round by round, so that what the machine did to both cancels."""
    return spread([a / b if b else 0.0 for a, b in zip(numerators, denominators, strict=True)])
