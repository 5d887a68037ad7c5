"""A claim of the load generator's: what was measured, what is allowed, and whether it was met."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table


class Sense(enum.Enum):
    """Which side of the limit is good."""

    AT_LEAST = "≥"
    AT_MOST = "≤"


@dataclass(frozen=True, slots=True)
class Claim:
    """One row.

    Attributes:
        what: the figure.
        measured: None when it could not be measured here.
        sense: which side of the limit is good.
        limit: in ``unit``.
        unit: of both.
        note: how it was measured, or why it was not.
    """

    what: str
    measured: float | None
    sense: Sense
    limit: float
    unit: str = ""
    note: str = ""

    @property
    def met(self) -> bool | None:
        """Whether it holds; None when it was not measured."""
        if self.measured is None:
            return None
        return self.measured >= self.limit if self.sense is Sense.AT_LEAST else self.measured <= self.limit


def table(claims: Sequence[Claim]) -> Table:
    """Return the rows for a terminal."""
    shown = Table(title="what the load generator claims")
    for heading in ("claim", "measured", "limit", "met"):
        shown.add_column(heading, justify="right" if heading in ("measured", "limit") else "left")
    words = {None: "not measured", True: "yes", False: "NO"}
    for claim in claims:
        measured = "" if claim.measured is None else f"{claim.measured:,.4g} {claim.unit}"
        shown.add_row(
            claim.what, measured, f"{claim.sense.value} {claim.limit:,g} {claim.unit}", words[claim.met]
        )
    return shown


def rows(claims: Sequence[Claim]) -> list[dict[str, object]]:
    """Return the rows for JSON."""
    return [
        {
            "claim": claim.what,
            "measured": claim.measured,
            "limit": f"{claim.sense.value} {claim.limit:g}",
            "unit": claim.unit,
            "met": claim.met,
            "note": claim.note,
        }
        for claim in claims
    ]
