"""A reading of the yardstick, and how far two readings lie apart.

:mod:`tailgate.harness.observe.yardstick` says what is timed, and times it.
"""

import math
from dataclasses import dataclass

from tailgate.harness.errors import MeasurementError

# Part of every result: other work would give every budget in yardsticks another meaning.
YARDSTICK_VERSION = 1
# Medians of an unchanged, shared two-core machine came to lie 1.37 times apart within two minutes. Further than this is
# another machine, or one whose processors others use just now; budgets in yardsticks want a distance of that order from
# what is usual.
TOLERANCE = 0.4


@dataclass(frozen=True, slots=True)
class Yardstick:
    """One measurement of the yardstick.

    Attributes:
        seconds: median of the repetitions; "1 yd" is this.
        low_s: lower end of the median's interval, one-sided confidence 0.99 (:mod:`tailgate.harness.statistics`).
        high_s: upper end.
        n: repetitions.
        version: which work was timed.
    """

    seconds: float
    low_s: float
    high_s: float
    n: int
    version: int = YARDSTICK_VERSION


def agreement(before: Yardstick, after: Yardstick) -> float:
    """Return after / before: above 1 the machine has become slower."""
    if before.version != after.version:
        raise MeasurementError(
            f"yardsticks of versions {before.version} and {after.version} cannot be compared"
        )
    return after.seconds / before.seconds


def moved(before: Yardstick, after: Yardstick, tolerance: float = TOLERANCE) -> bool:
    """Tell whether the machine changed: medians further apart than the tolerance."""
    return abs(math.log(agreement(before, after))) > math.log1p(tolerance)


def combine(before: Yardstick, after: Yardstick) -> float:
    """Return the unit for a run between two measurements, their geometric mean in seconds."""
    return before.seconds * math.sqrt(agreement(before, after))
