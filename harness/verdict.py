"""A verdict: one rule over an estimate's interval, the same for every measure.

PASS when the whole interval is on the right side of the limit, FAIL when it is all on the wrong side,
INCONCLUSIVE when the limit lies inside it. INVALID is not an answer about the service: it says that
the measurement cannot carry one.

With the exact order-statistic interval of a quantile (:mod:`harness.statistics`), "the interval's upper end is
within the limit" and "the binomial test over the samples beyond the limit rejects" are the same statement.
"""

import enum
from dataclasses import dataclass

from harness.scenario import Criterion


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
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    confidence: float
    note: str = ""
    narrows: bool = True


@dataclass(frozen=True, slots=True)
class Judgement:
    """A criterion with what was measured and what that comes to."""

    criterion: Criterion
    unit: Unit
    better: Better
    estimate: Estimate | None
    verdict: Verdict
    reason: str


def decide(estimate: Estimate, limit: float, better: Better) -> Verdict:
    """Compare an interval with a limit; an open end never passes and never fails."""
    low, high = estimate.low, estimate.high
    if better is Better.HIGHER:
        # The same rule in the mirror: negate and swap the ends.
        low, high, limit = (None if high is None else -high), (None if low is None else -low), -limit
    if high is not None and high <= limit:
        return Verdict.PASS
    if low is not None and low > limit:
        return Verdict.FAIL
    return Verdict.INCONCLUSIVE


# The most telling first: a run that could not be measured says nothing else, and one failure fails.
SEVERITY = (Verdict.INVALID, Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS)


def worst(verdicts: list[Verdict]) -> Verdict:
    """Return the verdict of the whole; nothing measured is INVALID, never a pass."""
    return next((verdict for verdict in SEVERITY if verdict in verdicts), Verdict.INVALID)
