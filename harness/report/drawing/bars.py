"""Small charts in plain characters, for places that show text alone: a step summary, a comment, a terminal."""

import math
from collections.abc import Iterator, Sequence

from tailgate.harness.report.comparison import change, interval
from tailgate.harness.report.criteria import nearness
from tailgate.harness.results.comparison import ComparisonResult, LensResult, Scale
from tailgate.harness.results.criterion import CriterionResult
from tailgate.harness.units import quantity

# Cells up to a limit, and those beyond it.
_LIMIT, _BEYOND = 20, 6
# Cells on either side of no change.
_SIDE = 18
_EIGHTHS = " ▏▎▍▌▋▊▉"


def limits(criteria: Sequence[CriterionResult]) -> Iterator[str]:
    """Yield a line per criterion that was measured and has a limit: a bar, which ends right of ``│`` where it is beyond."""
    drawn = [one for one in criteria if one.limit and one.value is not None and math.isfinite(one.value)]
    width = max((len(one.name) for one in drawn), default=0)
    for one in drawn:
        bar = _bar(nearness(one))
        sides = bar[:_LIMIT].ljust(_LIMIT, "·"), bar[_LIMIT:].ljust(_BEYOND)
        told = f"{quantity(one.value, one.unit)} of {quantity(one.limit, one.unit)}"
        yield f"{one.name.ljust(width)}  {'│'.join(sides)}  {told}"


def _bar(share: float) -> str:
    eighths = round(min(share, 10.0) * _LIMIT * 8)
    most = (_LIMIT + _BEYOND) * 8
    if eighths >= most:
        return "█" * (_LIMIT + _BEYOND - 1) + "▶"
    whole, rest = divmod(eighths, 8)
    return "█" * whole + (_EIGHTHS[rest] if rest else "")


def changes(comparison: ComparisonResult) -> Iterator[str]:
    """Yield a line per gating lens: its change ``●`` and interval ``─`` about no change ``│``, and what PASS tolerates ``┊``.

    All lines have one scale. Right of ``│`` head is worse.
    """
    ratios = [one for one in comparison.decision.results if one.lens.gates and one.lens.scale is Scale.RATIO]
    drawn = [one for one in ratios if one.lens.worse(one.change) is not None]
    if not drawn:
        return
    ends = [abs(end) for one in drawn for end in _ends(one)]
    most = min(max(*ends, *(one.lens.tolerance for one in drawn)), 0.5) * 1.05
    width = max(len(one.lens.name) for one in drawn)
    for one in drawn:
        told = f"{change(one.lens, one.change)} {interval(one.lens, one.low, one.high)}"
        yield f"{one.lens.name.ljust(width)}  {_line(one, most)}  {told}"


def _ends(one: LensResult) -> tuple[float, float, float]:
    """Return the interval's ends and the change, worse as positive; an open end is as far as the change."""
    middle = one.lens.worse(one.change)
    assert middle is not None
    ends = [middle if (end := one.lens.worse(bound)) is None else end for bound in (one.low, one.high)]
    return min(ends), max(ends), middle


def _line(one: LensResult, most: float) -> str:
    def place(share: float) -> int:
        return _SIDE + round(max(-1.0, min(share / most, 1.0)) * _SIDE)

    low, high, middle = _ends(one)
    cells = ["·"] * (2 * _SIDE + 1)
    cells[place(low) : place(high) + 1] = ["─"] * (place(high) - place(low) + 1)
    cells[_SIDE] = "│"
    cells[place(one.lens.tolerance)] = "┊"
    cells[place(middle)] = "●"
    return "".join(cells)
