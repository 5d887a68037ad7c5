"""Numbers with units, as people write them in budgets and read them in reports.

Inside the harness all numbers are seconds, requests/s, shares, bytes and counts; this is the one place of conversion.
A yardstick (``yd``) is the harness's own unit of work, :mod:`tailgate.harness.observe.yardstick`: ``6 yd`` is six of
it, ``0.3 /yd`` is three requests per ten of it. A bare number is a share or a count.
"""

import enum
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tailgate.harness.errors import BudgetError

_QUANTITY = re.compile(r"\s*(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(?P<unit>\S*)\s*")
_EXPECTED = 'such as "250 ms", "1.5 s", "40 /s", "6 yd", "0.3 /yd", "0.5 %" or a bare share or count'
MISSING = "–"
DIGITS = 3


class Unit(enum.Enum):
    """What a number counts, so that reports can print it."""

    SECONDS = "s"
    PER_SECOND = "/s"
    SHARE = "share"
    COUNT = "count"
    BYTES = "B"


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
    """A number as a budget gives it."""

    number: float  # in seconds, requests/s, a share or a count; in yardsticks where ``yards`` says so
    unit: Unit | None  # None for a bare number, a share or a count
    yards: Yards  # its dependence on the yardstick
    text: str  # as it was written

    def resolve(self, yardstick_s: float | None) -> float:
        """Return seconds, requests/s, a share or a count; raise BudgetError for yards without a yardstick."""
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
    """Read a quantity; raise BudgetError, which says what was expected, where it is none.

    Units are decimal, so that "35 ms" is exactly the float 0.035, as a histogram's edge is.
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
    factor, symbol = _scale(value, unit)
    return f"{value * factor:.4g}{symbol}"


# Factor and symbol of each unit; seconds and bytes choose by size.
_PLAIN = {Unit.PER_SECOND: (1.0, "/s"), Unit.SHARE: (100.0, " %"), Unit.COUNT: (1.0, "")}
_BYTES = ((2.0**30, " GiB"), (2.0**20, " MiB"), (2.0**10, " KiB"), (1.0, " B"))


def known(number: float | None) -> float | None:
    """Return a finite number; None for any other."""
    return number if number is not None and math.isfinite(number) else None


def significant(number: float) -> str:
    """Return a number with three significant digits, all digits before the point, and no exponent."""
    if not math.isfinite(number):
        return str(number)
    if number == 0:
        return "0"
    rounded = float(f"{number:.{DIGITS - 1}e}")
    decimals = max(0, DIGITS - 1 - math.floor(math.log10(abs(rounded))))
    return f"{number:,.{decimals}f}"


def quantity(value: float | None, unit: Unit) -> str:
    """Return ``12.3 ms`` for 0.0123 s."""
    # Infinite: so many requests failed, which is told beside it.
    if value is None or math.isinf(value):
        return MISSING
    factor, symbol = _scale(value, unit)
    return significant(value * factor) + symbol


def interval(low: float | None, high: float | None, unit: Unit) -> str:
    """Return ``[11.2, 13.4] ms``, or one bound where the other is open."""
    low, high = map(known, (low, high))
    if low is None and high is None:
        return MISSING
    if low is None:
        return f"≤ {quantity(high, unit)}"
    if high is None:
        return f"≥ {quantity(low, unit)}"
    factor, symbol = _scale(high, unit)
    return f"[{significant(low * factor)}, {significant(high * factor)}]{symbol}"


def percent(share: float | None, *, signed: bool = False) -> str:
    """Return ``12.3 %`` for 0.123, with its sign when asked."""
    if share is None:
        return MISSING
    sign = "+" if signed and share > 0 else ""
    return f"{sign}{significant(share * 100)} %"


def _scale(value: float, unit: Unit) -> tuple[float, str]:
    if unit is Unit.SECONDS:
        return (1.0, " s") if abs(value) >= 10 else (1e3, " ms")
    if unit is Unit.BYTES:
        size, symbol = next((pair for pair in _BYTES if abs(value) >= pair[0]), _BYTES[-1])
        return 1 / size, symbol
    return _PLAIN[unit]
