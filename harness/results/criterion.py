"""One criterion with its answer, as results keep it."""

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
    """One question with its answer.

    Attributes:
        name: unique within a scenario unless the same is asked of other phases.
        measure: what was measured, such as ``p95``.
        witness: whose record was judged.
        phases: pooled for it.
        limit: in ``unit``.
        unit: of limit, value, low and high.
        better: which direction is an improvement.
        value: point estimate.
        low: lower end of the interval; None when nothing bounds it from below.
        high: upper end; None when nothing bounds it from above.
        n: samples behind it; None when nothing was estimated.
        worth: how many independent samples would say as much; None where they are taken as independent.
        confidence: one-sided, of the end that PASS goes by; None when nothing was estimated.
        fail_limit: FAIL goes by it; less strict than ``limit``, which PASS goes by, where the yardstick moved.
        fail_confidence: one-sided, of the end that FAIL goes by.
        margin: share of the limit between it and the value, positive on the right side; None without either.
        verdict: what it came to.
        reason: why, in a sentence.
        note: what a reader must know to take the numbers right, or empty.
    """

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
