"""Targets: the figure, the limit, and whether the figure meets it."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from benchmarks.spread import Spread, figure


class Sense(enum.Enum):
    """Which side of the limit is good."""

    AT_LEAST = "≥"
    AT_MOST = "≤"


@dataclass(frozen=True, slots=True)
class Target:
    """One row."""

    what: str  # the figure, in words
    sense: Sense  # which side of ``wanted`` is good
    wanted: float  # the limit
    measured: Spread | float | None  # over the rounds, or once; None when it could not be measured here
    unit: str = ""  # of both; empty for a ratio
    note: str = ""  # how it was measured, or why it was not

    @property
    def met(self) -> bool | None:
        """Whether the figure, or its median, meets the limit; None when it was not measured."""
        if self.measured is None:
            return None
        value = self.measured.median if isinstance(self.measured, Spread) else self.measured
        return value >= self.wanted if self.sense is Sense.AT_LEAST else value <= self.wanted


def table(targets: Sequence[Target]) -> Table:
    """Return the rows for a terminal."""
    shown = Table(title="targets: one figure, or median (least to most) over the rounds")
    for heading in ("", "target", "measured", "met"):
        shown.add_column(heading, justify="right" if heading in ("target", "measured") else "left")
    words = {None: "not measured", True: "yes", False: "NO"}
    for target in targets:
        measured = target.measured
        told = figure(measured) if isinstance(measured, float | int) else str(measured or "")
        wanted = f"{target.sense.value} {target.wanted:,g}"
        cells = (f"{text} {target.unit}".rstrip() if text else "" for text in (wanted, told))
        shown.add_row(target.what, *cells, words[target.met])
    return shown


def rows(targets: Sequence[Target]) -> list[dict[str, object]]:
    """Return the rows for JSON."""
    return [
        {
            "what": target.what,
            "target": f"{target.sense.value} {target.wanted:g}",
            "unit": target.unit,
            "measured": target.measured,
            "met": target.met,
            "note": target.note,
        }
        for target in targets
    ]
