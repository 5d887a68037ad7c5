"""A reading of the yardstick, and how far two readings lie apart.

:mod:`tailgate.harness.observe.yardstick` says what is timed, and times it.
"""

import math
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

# Part of every result: other work would give every budget in yardsticks another meaning.
YARDSTICK_VERSION = 1
# Medians of an unchanged, shared two-core machine lay up to 1.37 times apart within two minutes. Medians
# further apart mean another machine, or processors that others use; budgets in yardsticks need about that
# distance.
TOLERANCE = 0.4


@dataclass(frozen=True, slots=True)
class Yardstick:
    """One measurement of the yardstick."""

    seconds: Annotated[float, Meta(ge=0), 'median of the repetitions; "1 yd" is this']
    low_s: Annotated[float, Meta(ge=0), "lower end of the median's interval, one-sided confidence 0.99"]
    high_s: Annotated[float, Meta(ge=0), "upper end"]
    n: Annotated[int, Meta(ge=0), "repetitions"]
    version: Annotated[int, "which work was timed"] = YARDSTICK_VERSION


def moved(before: Yardstick, after: Yardstick) -> bool:
    """Tell whether the machine changed: medians further apart than :data:`TOLERANCE`."""
    return abs(math.log(after.seconds / before.seconds)) > math.log1p(TOLERANCE)


def combine(before: Yardstick, after: Yardstick) -> float:
    """Return the unit for a run between two measurements, their geometric mean in seconds."""
    return math.sqrt(before.seconds * after.seconds)
