"""One criterion with its answer, and what a project accepts of it all the same, as results keep them."""

import enum
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from tailgate.harness.results.verdict import Better, Verdict
from tailgate.harness.units import Unit


class Witness(enum.Enum):
    """Whose record of the requests a criterion is judged by."""

    CLIENT = "client"
    SERVER = "server"


@dataclass(frozen=True, slots=True, kw_only=True)
class CriterionResult:
    """One question with its answer."""

    name: Annotated[str, "unique within a scenario unless the same is asked of other phases"]
    measure: Annotated[str, "what was measured, such as p95"]
    witness: Annotated[Witness, "whose record was judged"]
    phases: Annotated[tuple[str, ...], "pooled for it"]
    limit: Annotated[float | None, "in the unit given; PASS goes by it; null where no budget says it"]
    unit: Annotated[Unit, "of limit, value, low and high"]
    better: Annotated[Better, "which direction is an improvement"]
    value: Annotated[float | None, "point estimate"]
    low: Annotated[float | None, "lower end of the interval; null when nothing bounds it from below"]
    high: Annotated[float | None, "upper end; null when nothing bounds it from above"]
    n: Annotated[Annotated[int, Meta(ge=0)] | None, "samples behind it; null when nothing was estimated"]
    worth: Annotated[
        Annotated[float, Meta(ge=0)] | None,
        "how many independent samples would say as much; null where they are taken as independent",
    ]
    confidence: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        "one-sided, of the end that PASS goes by; null when nothing was estimated",
    ]
    fail_limit: Annotated[float | None, "FAIL goes by it; less strict than limit where the yardstick moved"]
    fail_confidence: Annotated[
        float,
        Meta(gt=0),
        "one-sided, of the end that FAIL goes by: the run's error, split over its scenarios and their criteria",
    ]
    margin: Annotated[
        float | None,
        "share of the limit between it and the value, positive on the right side; null without either",
    ]
    verdict: Annotated[Verdict, "the verdict"]
    reason: Annotated[str, "why, in a sentence"]
    note: Annotated[str, "what a reader must know to understand the numbers, or empty"] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiver:
    """One entry of ``waivers.toml``: what may be worse than asked, how far, why, who accepted it, and until when.

    It names a criterion of a budget run, or a lens of a comparison.
    """

    scenario: Annotated[str, "of which scenario"]
    criterion: Annotated[str, "name of the criterion as reports show it; empty for a lens"] = ""
    lens: Annotated[str, "name of the lens; empty for a criterion"] = ""
    limit: Annotated[str, "the limit, as in the file"]
    value: Annotated[
        float | None, "the limit as a number: in the criterion's unit, or a share of base; null until known"
    ] = None
    reason: Annotated[str, "why it is accepted"]
    who: Annotated[str, "who accepted it"]
    expires: Annotated[str, "the last day on which it counts, ISO 8601"]

    @property
    def name(self) -> str:
        """The criterion or the lens."""
        return self.criterion or self.lens


def margin(value: float, limit: float | None, better: Better) -> float | None:
    """Return the share of the limit that lies between it and the value, positive on the right side.

    0.2 for 80 ms of 100 ms, and for 120/s where 100/s are asked; None for a limit of 0, which has no shares,
    and for none.
    """
    if not limit:
        return None
    room = limit - value if better is Better.LOWER else value - limit
    return room / abs(limit)
