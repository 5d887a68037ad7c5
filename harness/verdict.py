"""A verdict: one rule over an estimate's interval, the same for every measure.

PASS when the whole interval is on the right side of the limit, FAIL when it is all on the wrong side,
INCONCLUSIVE when the limit lies inside it. INVALID is not an answer about the service: it says that
the measurement cannot carry one. A limit in yardsticks that moved is two limits: PASS goes by the stricter of them,
and FAIL by the other.

With the exact order-statistic interval of a quantile (:mod:`tailgate.harness.statistics`), "the interval's upper end is
within the limit" and "the binomial test over the samples beyond the limit rejects" are the same statement.
"""

import enum
from dataclasses import dataclass

from tailgate.harness.scenario import Criterion


class Verdict(enum.Enum):
    """What a criterion, a scenario or a run came to."""

    PASS = "PASS"  # noqa: S105 - a verdict, not a password
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"
    INVALID = "INVALID"


class Better(enum.Enum):
    """Which direction is an improvement."""

    LOWER = "lower"
    HIGHER = "higher"


class Unit(enum.Enum):
    """What a number counts, so that reports can print it."""

    SECONDS = "s"
    PER_SECOND = "/s"
    SHARE = "share"
    COUNT = "count"
    BYTES = "B"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A measured value with its interval.

    Attributes:
        value: the point estimate; None where too few samples speak.
        low: lower end of the interval; None when nothing bounds it from below.
        high: upper end; None when nothing bounds it from above.
        n: samples behind it.
        confidence: one-sided confidence of each end, such as 0.99.
        note: what a reader must know to take it right, or empty.
        narrows: more samples would make the interval narrower where the limit lies; if not, the note says why.
        worth: how many independent samples say as much; None where they are taken as independent.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    confidence: float
    note: str = ""
    narrows: bool = True
    worth: float | None = None


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


# The most telling first: a run that could not be measured says nothing else, and one failure fails.
SEVERITY = (Verdict.INVALID, Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS)


def worst(verdicts: list[Verdict]) -> Verdict:
    """Return the verdict of the whole; nothing measured is INVALID, never a pass."""
    return next((verdict for verdict in SEVERITY if verdict in verdicts), Verdict.INVALID)
