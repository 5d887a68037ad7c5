"""What repeated rounds say together: the median, and how far they lie apart."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over rounds. With few rounds the extremes are the honest spread: no interval is claimed.

    Attributes:
        median: of the rounds.
        low: least of them.
        high: largest of them.
        values: each round's, in order.
    """

    median: float
    low: float
    high: float
    values: tuple[float, ...]

    def __str__(self) -> str:
        """``4.1 (3.9 to 4.4)``."""
        return f"{_figure(self.median)} ({_figure(self.low)} to {_figure(self.high)})"


def _figure(value: float) -> str:
    """Return three significant digits, or whole numbers above that."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def spread(values: Sequence[float]) -> Spread:
    """Summarise at least one value."""
    return Spread(statistics.median(values), min(values), max(values), tuple(values))


def ratio(numerators: Sequence[float], denominators: Sequence[float]) -> Spread:
    """Divide round by round, so that what the machine did to both cancels."""
    return spread([a / b if b else 0.0 for a, b in zip(numerators, denominators, strict=True)])
