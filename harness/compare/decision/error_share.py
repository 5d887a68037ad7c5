"""The share of failed requests, head against base: an exact test for more, and a bound for "not much more".

Most services fail no request, so ratios mostly do not exist. Without a change the arms of a block may
exchange names: each block's difference of failures takes either sign with equal chances, and the probability
that random signs sum to what was seen or more is exact, by convolution. A binomial test of all failures would
be sharper and wrong: failures come in bursts, and 20 failures of one stall are one event. Here that block
counts as one, and p is at least 1/2.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tailgate.harness.compare.blocks.row import ArmRow, BlockRow
from tailgate.harness.statistics import share_interval


@dataclass(frozen=True, slots=True)
class ShareChange:
    """Head's pooled share of failed requests less base's, with bounds."""

    difference: float
    low: float
    high: float
    p: float  # of the sign-flip test for more failures than the margin allows
    n: int  # blocks in which both arms sent something
    worse: int  # those in which head failed more than the margin allows
    better: int  # those in which it failed less


def compare_shares(
    rows: Sequence[BlockRow], margin: float, low_level: float, high_level: float
) -> ShareChange | None:
    """Estimate and bound the difference over good blocks; None if nothing was sent. Levels are one-sided.

    The upper bound is Clopper-Pearson's of head's share less the lower one of base's, each at half the level,
    over requests thinned by their design effect: by how much the shares of blocks vary more than independent
    requests would let them (Rao & Scott, "A simple method for the analysis of clustered binary data",
    Biometrics 48, 1992).
    """
    rows = [row for row in rows if row.base.requests and row.head.requests]
    if not rows:
        return None
    base, head = [row.base for row in rows], [row.head for row in rows]
    # One arm may have been spared the bursts of the other: both are thinned by the larger effect.
    effect = max(design_effect(base), design_effect(head))
    excess = _excess(rows, margin)
    return ShareChange(
        difference=_share(head) - _share(base),
        low=_bounds(head, effect, low_level / 2)[0] - _bounds(base, effect, low_level / 2)[1],
        high=_bounds(head, effect, high_level / 2)[1] - _bounds(base, effect, high_level / 2)[0],
        p=p_more_failures(rows, margin),
        n=len(rows),
        worse=int((excess > 0).sum()),
        better=int((excess < 0).sum()),
    )


def p_more_failures(rows: Sequence[BlockRow], margin: float = 0.0) -> float:
    """Return the one-sided p for "head fails no more than base", by exact sign flips of blocks.

    With an allowed margin the test is exact as far as the blocks' differences spread about it symmetrically.
    """
    excess = _excess(rows, margin)
    sizes = np.abs(excess[excess != 0])
    if not len(sizes):
        return 1.0
    # The sum of random signs times sizes is 2 x (the sum of a random subset) - (the sum of all).
    law = np.zeros(int(sizes.sum()) + 1)
    law[0] = 1.0
    for size in sizes:
        law[size:] = (law[size:] + law[:-size]) / 2
        law[:size] /= 2
    seen = int(excess[excess > 0].sum())
    return min(1.0, float(law[seen:].sum()))


def _excess(rows: Sequence[BlockRow], margin: float) -> NDArray[np.int64]:
    """Return by how many requests head failed more than allowed, shape (blocks,)."""
    # Rounded against rejection, so that the sums are whole numbers.
    return np.array(
        [row.head.failed - row.base.failed - math.ceil(margin * row.head.requests - 1e-9) for row in rows],
        dtype=np.int64,
    )


def _share(arms: Sequence[ArmRow]) -> float:
    return sum(arm.failed for arm in arms) / sum(arm.requests for arm in arms)


def design_effect(arms: Sequence[ArmRow]) -> float:
    """Return the pooled share's variance over the binomial one, by Rao and Scott's estimate; at least 1."""
    share, requests, blocks = _share(arms), sum(arm.requests for arm in arms), len(arms)
    binomial = share * (1 - share) / requests
    if blocks < 2 or binomial == 0:
        return 1.0
    residuals: NDArray[np.float64] = np.array([arm.failed - share * arm.requests for arm in arms])
    clustered = blocks / (blocks - 1) * float(residuals @ residuals) / requests**2
    return max(1.0, clustered / binomial)


def _bounds(arms: Sequence[ArmRow], effect: float, level: float) -> tuple[float, float]:
    n = sum(arm.requests for arm in arms) / effect
    low, high = share_interval(n * _share(arms), n, 1 - level)
    assert low is not None
    assert high is not None
    return low, high
