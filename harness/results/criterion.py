"""One criterion with its answer, as results keep it; ``results.schema.json`` describes every field."""

import enum
from dataclasses import dataclass

from tailgate.harness.results.verdict import Better, Verdict
from tailgate.harness.units import Unit


class Witness(enum.Enum):
    """Whose record of the requests a criterion is judged by."""

    CLIENT = "client"
    SERVER = "server"


@dataclass(frozen=True, slots=True, kw_only=True)
class CriterionResult:
    """One question with its answer."""

    name: str
    measure: str
    witness: Witness
    phases: tuple[str, ...]
    limit: float
    unit: Unit
    better: Better
    value: float | None
    low: float | None
    high: float | None
    n: int | None
    worth: float | None
    confidence: float | None
    fail_limit: float
    fail_confidence: float
    margin: float | None
    verdict: Verdict
    reason: str
    note: str = ""


def margin(value: float, limit: float, better: Better) -> float | None:
    """Return the share of the limit that lies between it and the value, positive on the right side.

    0.2 for 80 ms of 100 ms, and for 120/s where 100/s are asked; None for a limit of 0, which has no shares.
    """
    if limit == 0:
        return None
    room = limit - value if better is Better.LOWER else value - limit
    return room / abs(limit)
