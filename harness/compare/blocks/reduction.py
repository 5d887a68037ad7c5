"""From the requests of one arm and block to single numbers: quantiles, and where the time of the requests went.

Pure arrays, for :mod:`tailgate.harness.compare.blocks.observation`, which says what a block and an arm are.

**Quantiles.** p50 is the exact quantile of the block's pooled requests. p95 and p99 are the geometric means of its
slots' own: one stall fills the top hundredth of a pooled block, and then the block tells of that stall alone. In
simulated blocks of four slots (``benchmarks/gate/estimators.py``) the log ratio of the pooled p99 spreads by 30 to
50 % where there are stalls, that of the slots' mean by 20 to 39 %, and where there are none by 6.0 and 4.8 %. Real
pairs say the same: at 34 % for slots of 1 s the mean of five has 15 %, and slots of 5 s had 27 %. It is a mean and
no median, so that a change that stalls one slot in four shows. For p95 it brings as often harm as good, but a p95
that is estimated otherwise than p99 can come out above it. For p50 it brings nothing.

**Stages.** A quantile moves as the requests about it do, and the stages of a request sum to its latency: so do their
means.
"""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from tailgate.harness import statistics

# From this quantile on a block's value is the mean of its slots'.
BY_SLOT = 0.95

# The shares of the ranks, between which the requests count as being about a quantile.
ABOUT = {"p50": (0.35, 0.65), "p95": (0.90, 0.99), "p99": (0.97, 1.0)}


def quantile_s(latencies_s: NDArray[np.float64], share: float, slots: int) -> float:
    """Return the quantile of one arm in one block.

    Args:
        latencies_s: shape (requests,), in order of slot and request; a failed one is +inf.
        share: such as 0.95.
        slots: how many equally long ones the requests came in; 0 where unknown.
    """
    # With less than one request beyond it in a slot, a slot's quantile would be its maximum.
    if share < BY_SLOT or slots < 2 or len(latencies_s) * (1 - share) < slots:
        return statistics.quantile(latencies_s, share)
    by_slot = [statistics.quantile(part, share) for part in np.array_split(latencies_s, slots)]
    return math.exp(math.fsum(map(math.log, by_slot)) / slots)


def stage_means(
    latencies_s: NDArray[np.float64], stages_s: Mapping[str, NDArray[np.float64]]
) -> dict[str, dict[str, float]]:
    """Return mean seconds by place (``mean``, ``p50`` …) and stage, of the answered requests that told their stages.

    Args:
        latencies_s: shape (requests,); a failed request is +inf.
        stages_s: by stage, shape (requests,), NaN where not told.
    """
    stages_s = {stage: seconds for stage, seconds in stages_s.items() if not np.isnan(seconds).all()}
    told = np.isfinite(latencies_s)
    for seconds in stages_s.values():
        told &= ~np.isnan(seconds)
    order = np.flatnonzero(told)[np.argsort(latencies_s[told], kind="stable")]
    places = {"mean": order}
    for place, (low, high) in ABOUT.items():
        places[place] = order[math.floor(low * len(order)) : math.ceil(high * len(order))]
    return {
        place: {stage: float(np.mean(seconds[chosen])) for stage, seconds in stages_s.items()}
        for place, chosen in places.items()
        if len(chosen) and stages_s
    }
