"""A verdict: one rule over an estimate's interval, the same for every measure.

PASS when the whole interval is on the right side of the limit, FAIL when it is all on the wrong side,
INCONCLUSIVE when the limit lies inside it. INVALID is not an answer about the service: it says that
the measurement cannot carry one. A limit in yardsticks that moved is two limits: PASS goes by the stricter of them,
and FAIL by the other.

With the exact order-statistic interval of a quantile (:mod:`tailgate.harness.statistics`), "the interval's upper end is
within the limit" and "the binomial test over the samples beyond the limit rejects" are the same statement.
"""

import math
from dataclasses import dataclass

from tailgate.harness.measures.measure import Estimate
from tailgate.harness.results.criterion import CriterionResult, margin
from tailgate.harness.results.verdict import Better, Verdict
from tailgate.harness.scenario.ref import Ref
from tailgate.harness.scenario.scenario import Criterion
from tailgate.harness.units import Unit


@dataclass(frozen=True, slots=True)
class Judgement:
    """A criterion with what was measured and what that comes to.

    Attributes:
        criterion: its limit is the one that PASS goes by.
        unit: of its numbers.
        better: which direction is an improvement.
        estimate: its interval has two confidences: ``confidence`` at the end that PASS goes by, ``fail_confidence`` at
            the other.
        verdict: what it came to.
        reason: why.
        fail_limit: the limit that FAIL goes by, which is less strict where the yardstick moved.
        fail_confidence: one-sided, of the end that FAIL goes by.
    """

    criterion: Criterion
    unit: Unit
    better: Better
    estimate: Estimate | None
    verdict: Verdict
    reason: str
    fail_limit: float
    fail_confidence: float


def decide(estimate: Estimate, limit: float, better: Better, fail_limit: float | None = None) -> Verdict:
    """Compare an interval with a limit; an open end never passes and never fails.

    Args:
        estimate: with the interval.
        limit: PASS needs the whole interval on its right side.
        better: which side that is.
        fail_limit: FAIL needs the whole interval beyond this, which is no stricter; None: beyond the limit.
    """
    low, high = estimate.low, estimate.high
    fail_limit = limit if fail_limit is None else fail_limit
    if better is Better.HIGHER:
        # The same rule in the mirror: negate and swap the ends.
        low, high = (None if high is None else -high), (None if low is None else -low)
        limit, fail_limit = -limit, -fail_limit
    if high is not None and high <= limit:
        return Verdict.PASS
    if low is not None and low > fail_limit:
        return Verdict.FAIL
    return Verdict.INCONCLUSIVE


def criterion_result(judgement: Judgement) -> CriterionResult:
    """Return a judgement as the results hold it, with open and infinite numbers as None and a note of them.

    Raises:
        TypeError: its limit still names a number of the budget file.
    """
    criterion, estimate = judgement.criterion, judgement.estimate
    if isinstance(criterion.limit, Ref):
        raise TypeError(f"{criterion.name} was judged against the unresolved limit {criterion.limit}")
    value = None if estimate is None else _finite(estimate.value)
    note = "" if estimate is None else estimate.note
    if estimate is not None and estimate.value == math.inf:
        note = note or "the value is infinite"
    return CriterionResult(
        name=criterion.name,
        measure=criterion.measure,
        witness=criterion.witness,
        phases=criterion.phases,
        limit=criterion.limit,
        unit=judgement.unit,
        better=judgement.better,
        value=value,
        low=None if estimate is None else _finite(estimate.low),
        high=None if estimate is None else _finite(estimate.high),
        n=None if estimate is None else estimate.n,
        worth=None if estimate is None else estimate.worth,
        fail_limit=judgement.fail_limit,
        fail_confidence=judgement.fail_confidence,
        confidence=None if estimate is None else estimate.confidence,
        margin=None if value is None else margin(value, criterion.limit, judgement.better),
        verdict=judgement.verdict,
        reason=judgement.reason,
        note=note,
    )


def _finite(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None
