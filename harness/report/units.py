"""Numbers as people read them: three significant digits and a unit that fits. Used by every report.

Results hold seconds and shares; here, and nowhere else, they become milliseconds and percent.
"""

import math

from tailgate.harness.verdict import Unit

MISSING = "–"
DIGITS = 3

# Factor and symbol of each unit; seconds and bytes choose by size.
_PLAIN = {Unit.PER_SECOND: (1.0, "/s"), Unit.SHARE: (100.0, " %"), Unit.COUNT: (1.0, "")}
_BYTES = ((2.0**30, " GiB"), (2.0**20, " MiB"), (2.0**10, " KiB"), (1.0, " B"))


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
    low, high = (None if end is None or math.isinf(end) else end for end in (low, high))
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
