"""What is to be reached, and whether it was."""

import enum
from dataclasses import dataclass

from rich.table import Table

from benchmarks.spread import Spread


class Sense(enum.Enum):
    """Which side of the wanted value is good."""

    AT_LEAST = "≥"
    AT_MOST = "≤"


@dataclass(frozen=True, slots=True)
class Target:
    """One row.

    Attributes:
        what: the figure.
        sense: which side is good.
        wanted: the limit.
        measured: over the rounds; None when it could not be measured here.
        unit: of both; empty for a ratio.
    """

    what: str
    sense: Sense
    wanted: float
    measured: Spread | None
    unit: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the median reaches it; None when it was not measured."""
        if self.measured is None:
            return None
        median = self.measured.median
        return median >= self.wanted if self.sense is Sense.AT_LEAST else median <= self.wanted


def table(targets: list[Target]) -> Table:
    """Return the rows for a terminal."""
    shown = Table(title="targets: median (least to most) over the rounds")
    for heading in ("", "target", "measured", "met"):
        shown.add_column(heading, justify="right" if heading in ("target", "measured") else "left")
    words = {None: "not measured", True: "yes", False: "NO"}
    for target in targets:
        unit = f" {target.unit}" if target.unit else ""
        measured = "" if target.measured is None else f"{target.measured}{unit}"
        shown.add_row(
            target.what, f"{target.sense.value} {target.wanted:g}{unit}", measured, words[target.met]
        )
    return shown


def rows(targets: list[Target]) -> list[dict[str, object]]:
    """Return the rows for JSON."""
    return [
        {
            "what": target.what,
            "target": f"{target.sense.value} {target.wanted:g}",
            "unit": target.unit,
            "measured": target.measured,
            "met": target.met,
        }
        for target in targets
    ]
