"""Numbers with units, as people write them in budgets and read them in reports.

``s``, ``ms``, ``us``, ``min``, ``MiB``, ``/s``, ``%``, and multiples of the harness's own yardstick (:mod:`tailgate.harness.yardstick`): ``6 yd`` is
six of it, ``0.3 /yd`` is three requests in ten of it. A bare number is a share or a count. Inside the harness all are
seconds, requests/s, shares and counts; this is the one place of conversion.
"""

import enum
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tailgate.harness.errors import BudgetError
from tailgate.harness.verdict import Unit

_QUANTITY = re.compile(r"\s*(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(?P<unit>\S*)\s*")
_EXPECTED = 'such as "250 ms", "1.5 s", "40 /s", "6 yd", "0.3 /yd", "0.5 %" or a bare share or count'


class Yards(enum.Enum):
    """How a quantity depends on the yardstick."""

    NONE = 0
    MULTIPLE = 1  # "6 yd": grows with it
    RATE = -1  # "0.3 /yd": shrinks with it


# Unit as written: what it counts, how often it goes into that, how it depends on the yardstick.
_UNITS: Mapping[str, tuple[Unit | None, Decimal, Yards]] = {
    "": (None, Decimal(1), Yards.NONE),
    "%": (Unit.SHARE, Decimal("0.01"), Yards.NONE),
    "s": (Unit.SECONDS, Decimal(1), Yards.NONE),
    "ms": (Unit.SECONDS, Decimal("1e-3"), Yards.NONE),
    "min": (Unit.SECONDS, Decimal(60), Yards.NONE),
    "us": (Unit.SECONDS, Decimal("1e-6"), Yards.NONE),
    "µs": (Unit.SECONDS, Decimal("1e-6"), Yards.NONE),
    "MiB": (Unit.BYTES, Decimal(2**20), Yards.NONE),
    "/s": (Unit.PER_SECOND, Decimal(1), Yards.NONE),
    "yd": (Unit.SECONDS, Decimal(1), Yards.MULTIPLE),
    "/yd": (Unit.PER_SECOND, Decimal(1), Yards.RATE),
}


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number as a budget gives it.

    Attributes:
        number: in seconds, requests/s, a share or a count; in yardsticks where ``yards`` says so.
        unit: what it counts; None for a bare number, a share or a count.
        yards: its dependence on the yardstick.
        text: as it was written.
    """

    number: float
    unit: Unit | None
    yards: Yards
    text: str

    def resolve(self, yardstick_s: float | None) -> float:
        """Return the number in seconds, requests/s, a share or a count.

        Raises:
            BudgetError: it is in yardsticks, and none was timed.
        """
        if self.yards is Yards.NONE:
            return self.number
        if yardstick_s is None or not 0 < yardstick_s < math.inf:
            raise BudgetError(
                f"{self.text!r} is in yardsticks, and the yardstick took {yardstick_s} s: time it first"
            )
        return self.number * yardstick_s if self.yards is Yards.MULTIPLE else self.number / yardstick_s

    def fits(self, unit: Unit) -> bool:
        """Tell whether this can be a number of that unit."""
        if self.unit is None:
            return unit in {Unit.SHARE, Unit.COUNT, Unit.BYTES}
        return self.unit is unit


def parse_quantity(value: Any) -> Quantity:
    """Read a quantity.

    Units are decimal: "35 ms" is exactly the float 0.035, so that it meets a histogram's edge of that name.

    Raises:
        BudgetError: it is not one; the message says what was expected.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if not (math.isfinite(value) and value >= 0):
            raise BudgetError(f"got {value!r}, expected a finite number that is not negative")
        return Quantity(float(value), None, Yards.NONE, str(value))
    match = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if match is None or match["unit"] not in _UNITS:
        raise BudgetError(f"got {value!r}, expected a quantity {_EXPECTED}")
    unit, scale, yards = _UNITS[match["unit"]]
    number = float(Decimal(match["number"]) * scale)
    if not math.isfinite(number):
        raise BudgetError(f"got {value!r}, which is too large for a number")
    return Quantity(number, unit, yards, value.strip())


def show(value: float | None, unit: Unit) -> str:
    """Write a number with its unit for people, in four digits: ``12.5 ms``, ``0.5 %``, ``20/s``; ``?`` for None."""
    if value is None:
        return "?"
    match unit:
        case Unit.SECONDS:
            return f"{value * 1e3:.4g} ms" if value < 10 else f"{value:.4g} s"
        case Unit.PER_SECOND:
            return f"{value:.4g}/s"
        case Unit.SHARE:
            return f"{value * 100:.4g} %"
        case Unit.BYTES:
            return f"{value / 2**20:.4g} MiB"
        case Unit.COUNT:
            return f"{value:.4g}"
