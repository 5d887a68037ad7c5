"""Noise: how far two sides that are the same seem apart, and what of it comes from where. Pure.

The log ratio of pair j of block i is y_ij = s_i + e_ij: two starts settle at different levels (s), and pairs
have noise of their own (e). Both have mean 0, since the sides are exchangeable, so a block of k pairs has the
variance var(s) + var(e) / k. Nothing is judged by pairs, which are not independent within a start. Drift is
shared by both sides of a pair and cancels; a comparison of one run with another would suffer from it.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from tailgate.harness.compare.blocks.row import ArmRow, BlockRow, arm_value, least_requests, ln_ratio
from tailgate.harness.load.records.samples import Outcome
from tailgate.harness.results.comparison import LATENCIES, Lens, Scale
from tailgate.harness.results.run import RunResult
from tailgate.harness.results.slot import PhaseResult

# One-sided, of each end of an interval of a deviation.
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Noise:
    """The noise of one lens. All are deviations of natural logarithms: 0.02 is about 2 %."""

    lens: Lens
    blocks: int  # good blocks that saw it
    sigma: float  # of ln(head/base) of one block, about the known mean 0
    low: float  # lower end of its interval, one-sided confidence 0.95, for normal noise
    high: float  # upper end
    # By which two starts differ beyond what pairs explain; None if pairs were too short for this lens.
    start: float | None = None
    pair: float | None = None  # of ln(head/base) of one pair about its block's level; None likewise
    drift: float | None = None  # of the level of both sides, from block to block; None for less than 3 blocks
    trend_per_hour: float | None = None  # Theil and Sen's slope of that level; None likewise

    def of_block(self, pairs: int) -> float | None:
        """Return the deviation of a block of so many pairs, by the components; None if they are unknown."""
        if self.start is None or self.pair is None:
            return None
        return math.sqrt(self.start**2 + self.pair**2 / pairs)


def noise_of(lens: Lens, rows: Sequence[BlockRow], pairs: Iterable[BlockRow] = ()) -> Noise | None:
    """Return a lens's noise.

    None if fewer than two blocks saw it, or it is no ratio. The components say how to divide a block's time;
    its own noise is measured on blocks, since a block's quantile is not the mean of its slots'.
    """
    good = [row for row in rows if row.void is None]
    seen = _finite(ln_ratio(lens, row) for row in good)
    if lens.scale is not Scale.RATIO or len(seen) < 2:
        return None
    n, square = len(seen), float(np.sum(seen**2))
    # With the mean known, the sum of squares over the variance is chi-squared of n, not of n - 1.
    low, high = (math.sqrt(square / special.chdtri(n, above)) for above in (1 - CONFIDENCE, CONFIDENCE))
    names = {(row.run, row.index) for row in good}
    start, pair = _components(lens, [one for one in pairs if (one.run, one.index) in names])
    drift, trend = _drift(lens, good)
    return Noise(lens, n, math.sqrt(square / n), low, high, start, pair, drift, trend)


def _components(lens: Lens, pairs: Iterable[BlockRow]) -> tuple[float | None, float | None]:
    """Return the deviations of starts and of pairs; None if fewer than two blocks have two pairs of this lens.

    By the one-way analysis of variance (Searle, Casella & McCulloch, "Variance components", chapter 3) with
    known mean: var(e) is what pairs of one block differ by, and var(s) what remains of the blocks' mean
    square, at least 0.
    """
    by_block: dict[tuple[str, int], list[float | None]] = {}
    for pair in pairs:
        by_block.setdefault((pair.run, pair.index), []).append(ln_ratio(lens, pair))
    blocks = [found for values in by_block.values() if len(found := _finite(values)) > 1]
    if len(blocks) < 2:
        return None, None
    within = sum(float(np.sum((block - block.mean()) ** 2)) for block in blocks)
    pair_variance = within / sum(len(block) - 1 for block in blocks)
    # E[k mean²] = k var(s) + var(e), summed over blocks: those with more pairs say more.
    between = sum(len(block) * float(block.mean()) ** 2 for block in blocks)
    start_variance = (between - len(blocks) * pair_variance) / sum(len(block) for block in blocks)
    return math.sqrt(max(0.0, start_variance)), math.sqrt(pair_variance)


def _drift(lens: Lens, rows: Sequence[BlockRow]) -> tuple[float | None, float | None]:
    """Return deviation and slope per hour of the level of both sides; several runs have no common slope."""
    ends_s: dict[str, float] = {}
    times, levels = [], []
    for row in rows:
        ends_s[row.run] = ends_s.get(row.run, 0.0) + row.wall_s
        both = [arm_value(lens, arm) for arm in (row.base, row.head)]
        if all(value is not None and 0 < value < math.inf for value in both):
            times.append(ends_s[row.run] / 3600)
            levels.append(sum(math.log(value) for value in both if value is not None) / 2)
    if len(levels) < 3:
        return None, None
    spread = float(np.std(levels, ddof=1))
    if len(ends_s) > 1 or len(set(times)) < len(times):
        return spread, None
    first, second = np.triu_indices(len(levels), 1)
    slopes = np.subtract(*np.take(levels, (second, first))) / np.subtract(*np.take(times, (second, first)))
    return spread, float(np.median(slopes))


def _finite(values: Iterable[float | None]) -> NDArray[np.float64]:
    return np.array(
        [value for value in values if value is not None and math.isfinite(value)], dtype=np.float64
    )


def pairs_of(result: RunResult, scenario: str) -> tuple[BlockRow, ...]:
    """Return the pairs of a scenario's comparison as rows with the ``index`` and ``run`` of their block."""
    slots = [slot for slot in result.slots if slot.scenario == scenario]
    bases, heads = ({slot.block: slot for slot in slots if slot.arm == arm} for arm in ("base", "head"))
    return tuple(
        BlockRow(block, _row(base), _row(head), run=result.run_id)
        for block in sorted(bases.keys() & heads.keys())
        for base in bases[block].phases
        for head in heads[block].phases
        if base.measured and head.measured and base.name == head.name
    )


def _row(phase: PhaseResult) -> ArmRow:
    cpu_s = None if phase.machine is None else phase.machine.server_cpu_s_per_request
    quantiles = {
        f"{name}_s": getattr(phase.client, f"{name}_s")
        for name, share in LATENCIES.items()
        if phase.client and phase.requests >= least_requests(share)
    }
    return ArmRow(
        requests=phase.requests,
        failed=phase.requests - phase.outcomes.get(Outcome.OK.name.lower(), 0),
        cpu_s=None if cpu_s is None else cpu_s * phase.requests,
        **quantiles,
    )
