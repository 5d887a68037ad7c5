"""What a lens's verdict says to people. A reason begins with one word for programs and a colon.

PASS: within. FAIL: beyond. INCONCLUSIVE: undecided, or spilled (within, had fewer answers overlapped).
INVALID: integrity (nothing was seen to judge by), or noise (too many blocks were disturbed).
"""

import math

from tailgate.harness.compare.blocks.row import least_requests
from tailgate.harness.compare.decision.error_share import ShareChange
from tailgate.harness.results.comparison import LATENCIES, Lens, Scale
from tailgate.harness.results.verdict import Better, Verdict

SPILLED = "spilled: "
LESS_SPILL = "choose a lower rate, or a quicker target"


def explain(lens: Lens, verdict: Verdict, low: float, high: float, mde: float | None) -> str:
    """Return the reason of PASS, FAIL or INCONCLUSIVE.

    ``low`` and ``high`` bound the worsening, a log ratio or a difference. ``mde`` is the smallest change that
    could have been seen; None if unknown.
    """
    near, far = (lens.share_worse(end) if lens.scale is Scale.RATIO else end for end in (low, high))
    more, less = ("more", "less") if lens.better is Better.LOWER else ("less", "more")
    tolerated, margin = amount(lens, lens.tolerance), amount(lens, lens.margin)
    match verdict:
        case Verdict.PASS if far < 0:
            return f"within: {lens.title} improved: head has at least {amount(lens, -far)} {less} than base"
        case Verdict.PASS:
            return f"within: {lens.title} of head is at most {amount(lens, far)} {more} than base's; {tolerated} is tolerated"
        case Verdict.FAIL if math.isinf(near):
            return f"beyond: {lens.title} of head has no finite value, since so many of its requests failed"
        case Verdict.FAIL:
            beyond = f", and the margin is {margin}" if lens.margin else ""
            return f"beyond: {lens.title} of head is at least {amount(lens, near)} {more} than base's{beyond}"
        case _:
            seen = "" if mde is None else f"; a change of {amount(lens, mde)} could have been seen"
            return (
                f"undecided: {lens.title} changed by something between {signed(lens, near)} and {signed(lens, far)}, "
                f"and {tolerated} {more} is tolerated{seen}"
            )


def more_failures(lens: Lens, found: ShareChange) -> str:
    """Return the reason of a FAIL by the test for more failures."""
    beyond = f" by more than the margin of {amount(lens, lens.margin)}" if lens.margin else ""
    return (
        f"beyond: head failed more requests than base{beyond} in {found.worse} of {found.n} blocks, and fewer in "
        f"{found.better}, p = {found.p:.2g}; over all of them {amount(lens, found.difference)} more"
    )


def spilled(lens: Lens, share: float, allowed: float, seen: str) -> str:
    """Return the reason of a latency that would pass, had not so large a share of answers spilled.

    ``seen`` is what it would say otherwise.
    """
    return (
        f"{SPILLED}{share:.1%} of the answers ended in the other arm's window, {allowed:.0%} may, so that a change of "
        f"{lens.title} looks smaller than it is (seen was: {seen.partition(': ')[2]}); {LESS_SPILL}"
    )


def amount(lens: Lens, change: float) -> str:
    """Write a change's size: ``4.1 %``, or ``0.2 points`` for a difference of shares."""
    if not math.isfinite(change):
        return "any amount"
    unit = "%" if lens.scale is Scale.RATIO else "percentage points"
    return f"{change * 100:.2g} {unit}" if abs(change) < 1 else f"{change * 100:.0f} {unit}"


def signed(lens: Lens, worse: float) -> str:
    """Write a change for the worse as a change of the value, with its sign."""
    if not math.isfinite(worse):
        return "anything"
    return f"{'+' if (worse >= 0) == (lens.better is Better.LOWER) else '−'}{amount(lens, abs(worse))}"


def why_unseen(lens: Lens) -> str:
    """Say what a lens that saw too little would have needed."""
    if lens.name not in LATENCIES and lens.quantile is not None:
        least = least_requests(lens.quantile)
        return f"it needs {least} such times an arm and block, and answers that have them; report it only: {lens.name}=report"
    if lens.quantile is not None:
        return (
            f"it needs {least_requests(lens.quantile)} requests an arm and block, and not all of them failed"
        )
    if lens.scale is Scale.DIFFERENCE:
        return "it needs requests to both arms"
    return f"it needs a value from both arms; if the target tells none, report it only: {lens.name}=report"
