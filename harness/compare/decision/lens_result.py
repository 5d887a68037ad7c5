"""One lens at one look: bounded from both sides, judged, and put into words. Pure.

FAIL: the lower bound is above the margin; for shares of failed requests, the exact test rejects. PASS: the
upper bound is below the tolerance, it is no FAIL, and of a latency few answers spilled into the other arm's
window. INVALID: the lens saw nothing in too many blocks. Else INCONCLUSIVE. A change surely there *and*
surely below the tolerance FAILs, or a service could become slow in steps; a margin lets small changes pass.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

from tailgate.harness.compare.blocks.row import BlockRow, arm_value, ln_ratio, spilled_share
from tailgate.harness.compare.decision import power, signed_rank, wording
from tailgate.harness.compare.decision.error_share import compare_shares
from tailgate.harness.results.comparison import Lens, LensResult, Look, Scale
from tailgate.harness.results.verdict import Better, Verdict
from tailgate.harness.statistics import median_of_known

# A lens that saw nothing in more of the good blocks is INVALID.
MAX_MISSING_SHARE = 0.25
# Of all answers, those that may end in the other arm's window: they can hardly shrink what a quantile shows.
MAX_SPILLED_SHARE = 0.02


@dataclass(frozen=True, slots=True)
class _Worse:
    """A change for the worse: a log ratio (positive where head is worse), or a difference of shares."""

    centre: signed_rank.Centre
    margin: float
    tolerance: float
    fails: bool  # the test for more than the margin rejects
    error: float | None = None  # standard error; None if unknown
    why_failed: str | None = None  # what a FAIL says that does not go by the lower bound

    @property
    def verdict(self) -> Verdict:
        if self.fails:
            return Verdict.FAIL
        return Verdict.PASS if self.centre.high < self.tolerance else Verdict.INCONCLUSIVE


def judge_lens(lens: Lens, rows: Sequence[BlockRow], look: Look, *, number: int = 1) -> LensResult:
    """Judge one lens at the look of this number, from 1, by as many good blocks as it has."""
    worse = (_shares if lens.scale is Scale.DIFFERENCE else _ratios)(lens, rows, look)
    if worse is None:
        return _unseen(lens, rows, number)
    centre, mde = worse.centre, _mde(lens, worse, look)
    low, high = (_as_change(lens, end) for end in (centre.low, centre.high))
    low_level, high_level = centre.low_level, centre.high_level
    if lens.better is Better.HIGHER:
        low, high, low_level, high_level = high, low, high_level, low_level
    verdict, spilled = worse.verdict, spilled_share(rows) or 0.0
    reason = worse.why_failed or wording.explain(lens, verdict, centre.low, centre.high, mde)
    if lens.quantile is not None and spilled > MAX_SPILLED_SHARE and verdict is Verdict.PASS:
        verdict = Verdict.INCONCLUSIVE
        reason = wording.spilled(lens, spilled, MAX_SPILLED_SHARE, reason)
    return LensResult(
        lens=lens,
        verdict=verdict,
        reason=reason,
        change=_as_change(lens, centre.estimate),
        low=low if low_level else None,
        high=high if high_level else None,
        low_level=low_level or None,
        high_level=high_level or None,
        base=median_of_known(arm_value(lens, row.base) for row in rows),
        head=median_of_known(arm_value(lens, row.head) for row in rows),
        n=centre.n,
        missing=len(rows) - centre.n,
        look=number,
        mde=mde,
        further_blocks=_further_blocks(worse, look),
    )


def _unseen(lens: Lens, rows: Sequence[BlockRow], number: int) -> LensResult:
    seen = sum(ln_ratio(lens, row) is not None for row in rows) if lens.scale is Scale.RATIO else 0
    reason = f"integrity: {lens.title} was seen in {seen} of {len(rows)} blocks; {wording.why_unseen(lens)}"
    return LensResult(lens, Verdict.INVALID, reason, n=seen, missing=len(rows) - seen, look=number)


def _ratios(lens: Lens, rows: Sequence[BlockRow], look: Look) -> _Worse | None:
    sign = 1 if lens.better is Better.LOWER else -1
    ratios = [sign * ratio for row in rows if (ratio := ln_ratio(lens, row)) is not None]
    if len(ratios) < max(1, (1 - MAX_MISSING_SHARE) * len(rows)):
        return None
    centre = signed_rank.bound(ratios, look.fail_level, look.pass_level)
    margin, tolerance = lens.ln_worse(lens.margin), lens.ln_worse(lens.tolerance)
    return _Worse(centre, margin, tolerance, centre.low > margin, signed_rank.standard_error(ratios))


def _shares(lens: Lens, rows: Sequence[BlockRow], look: Look) -> _Worse | None:
    found = compare_shares(rows, lens.margin, look.fail_level, look.pass_level)
    if found is None or found.n < (1 - MAX_MISSING_SHARE) * len(rows):
        return None
    fails = found.p <= look.fail_level
    # The test decides, and is sharper or blunter than the bound: the end that is shown must not contradict
    # it.
    low = max(found.low, min(lens.margin, found.difference)) if fails else min(found.low, lens.margin)
    centre = signed_rank.Centre(found.difference, low, found.high, look.fail_level, look.pass_level, found.n)
    why_failed = wording.more_failures(lens, found) if fails else None
    return _Worse(centre, lens.margin, lens.tolerance, fails, why_failed=why_failed)


def _as_change(lens: Lens, worse: float) -> float:
    if lens.scale is Scale.DIFFERENCE:
        return worse
    ln_ratio_ = worse if lens.better is Better.LOWER else -worse
    return math.exp(ln_ratio_) if ln_ratio_ < 700 else math.inf


def _mde(lens: Lens, worse: _Worse, look: Look) -> float | None:
    if worse.error is None:
        return None
    return lens.share_worse(worse.margin + power.detectable(worse.error, worse.centre.n, look.fail_level))


def _further_blocks(worse: _Worse, look: Look) -> int | None:
    """Return how many blocks more would decide if the estimate stayed: its error shrinks as 1/√n."""
    estimate, n = worse.centre.estimate, worse.centre.n
    if worse.verdict is not Verdict.INCONCLUSIVE or worse.error is None or not math.isfinite(estimate):
        return None
    ways = ((estimate - worse.margin, look.fail_level), (worse.tolerance - estimate, look.pass_level))
    needed = [n * (NormalDist().inv_cdf(level) * worse.error / gap) ** 2 for gap, level in ways if gap > 0]
    return max(1, math.ceil(min(needed)) - n) if needed else None
