"""Calibration: what a comparison can see on this machine, and in how long. Pure.

From blocks of unchanged code against itself (A/A), which ``tailgate calibrate`` measures. It holds for this
machine as it was, this service and this load; a few dozen blocks give the noise an interval. Chances are
those at the looks of a comparison's design: after its last look it sees nothing more, however long it takes.
"""

import bisect
import dataclasses
import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tailgate.harness.compare.blocks.row import ArmRow, BlockRow, least_requests
from tailgate.harness.compare.calibration.noise import Noise, noise_of
from tailgate.harness.compare.decision.design import plan_design
from tailgate.harness.compare.decision.power import POWER, prospect, smallest_change
from tailgate.harness.errors import MeasurementError
from tailgate.harness.results.comparison import Design, Lens

MINUTES = (5.0, 10.0, 20.0)
CHANGES = (0.02, 0.05, 0.10)
# Where a search ends: a tolerance that tolerates anything.
TOLERANCE_STEP, TOLERANCE_STEPS = 0.005, 200
MOST_PAIRS = 16
# Of one processor. Above it late requests come in runs, and a quantile of them is worth fewer.
BUSY_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Range:
    """Least, median and largest of a number over the blocks."""

    low: float
    middle: float
    high: float


@dataclass(frozen=True, slots=True)
class Division:
    """The best number of pairs in a block, and how many times sooner a comparison then sees the same change."""

    pairs: int
    gain: float


@dataclass(frozen=True, slots=True)
class Sight:
    """What can be seen through one lens."""

    noise: Noise
    # By minutes of wall time, the smallest worsening that FAILs 95 times in 100 at the looks within them, as
    # a share of base; None before the first look, or if no change does.
    smallest: Mapping[str, float | None]
    # By worsening, wall time until the look by which it FAILs 95 times in 100; None if never.
    minutes: Mapping[str, float | None]
    passes: float  # probability that unchanged code passes this lens by the last look
    # The least, in steps of half a per cent, with which that probability is 0.95 even if the noise lies at
    # the upper end of its interval; None beyond 100 %.
    tolerance: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """What a machine's noise allows. None is unseen or unknown; numbers of a block are medians."""

    sights: tuple[Sight, ...]  # of each lens that is a ratio and was seen
    blocks: int  # good ones
    voided: Mapping[str, int]  # blocks that did not count, by reason
    pairs: int  # in a block
    windows: int  # of each arm in a pair; 1 for whole slots
    block_wall_s: float
    block_load_s: float
    slot_requests: float  # requests of one arm in a pair
    rate_per_s: float  # of requests under load
    cpu_s: Range | None  # processor seconds of a request
    steal_share: Range | None  # of processor time, void blocks included
    cpu_pressure_share: Range | None  # of time in which work waited for a processor, likewise
    division: Division | None
    quantiles_s: Mapping[str, Range]  # latencies of single arms and blocks, by lens

    @property
    def busy_share(self) -> float | None:
        """The share of one processor that the service uses under load; None if unseen."""
        return None if self.cpu_s is None else self.cpu_s.middle * self.rate_per_s


def calibrate(rows: Sequence[BlockRow], pairs: Sequence[BlockRow], lenses: Sequence[Lens]) -> Calibration:
    """Return what can be seen.

    Args:
        rows: blocks of unchanged code against itself, in order of time, void ones too.
        pairs: each pair as a row of its own, with the ``index`` and ``run`` of its block.
        lenses: those that gate share the run's error.

    Raises:
        MeasurementError: fewer than two good blocks.
        UsageError: no lens gates.
    """
    good = [row for row in rows if row.void is None]
    if len(good) < 2:
        raise MeasurementError(
            f"the noise needs two good blocks at the least, got {len(good)} of {len(rows)}; measure for longer, or when "
            "the machine does less else"
        )
    arms = [arm for row in good for arm in (row.base, row.head)]
    wall_s = statistics.median(row.wall_s for row in good)
    load_s = statistics.median(row.load_s for row in good)
    count = max(1, round(statistics.median(len(row.order.split()) for row in good)))
    requests = statistics.median(arm.requests for arm in arms) / count
    noises = [found for lens in lenses if (found := noise_of(lens, rows, pairs)) is not None]
    return Calibration(
        sights=tuple(sight_of(noise, lenses, wall_s) for noise in noises),
        blocks=len(good),
        voided=Counter(row.void for row in rows if row.void is not None),
        pairs=count,
        windows=_windows_of_a_pair(good),
        block_wall_s=wall_s,
        block_load_s=load_s,
        slot_requests=requests,
        rate_per_s=statistics.median(
            (row.base.requests + row.head.requests) / row.load_s for row in good if row.load_s > 0
        ),
        cpu_s=_range(arm.cpu_s / arm.requests for arm in arms if arm.cpu_s is not None and arm.requests),
        steal_share=_range(row.steal_share for row in rows),
        cpu_pressure_share=_range(row.cpu_pressure_share for row in rows),
        division=divide(noises, wall_s - load_s, load_s / count, count, _least_pairs(lenses, requests)),
        quantiles_s=_quantiles(arms),
    )


def divide(
    noises: Sequence[Noise], start_s: float, pair_s: float, pairs: int, least: int = 1
) -> Division | None:
    """Return the number of pairs in a block, ``least`` or more, that sees a change soonest; None if unknown.

    The time is proportional to the variance of a block times its length, (var(s) + var(e)/k)(start + k pair):
    the allocation of two-stage sampling (Cochran, "Sampling Techniques", section 10.6), minimised here by
    trying. Of several gating lenses it is the geometric mean. ``pairs`` is that of the measured blocks.
    """
    known = [noise for noise in noises if noise.lens.gates and noise.pair and noise.start is not None]
    if not known:
        return None

    def cost(count: int) -> float:
        blocks = [noise.of_block(count) for noise in known]
        variance = statistics.fmean(2 * math.log(block) for block in blocks if block)
        return variance + math.log(start_s + count * pair_s)

    best = min(range(least, max(least, MOST_PAIRS) + 1), key=cost)
    return Division(best, math.exp(cost(pairs) - cost(best)))


def _least_pairs(lenses: Sequence[Lens], requests: float) -> int:
    shares = [lens.quantile for lens in lenses if lens.gates and lens.quantile is not None]
    return max([1, *(math.ceil(least_requests(share) / requests) for share in shares)])


def _windows_of_a_pair(good: Sequence[BlockRow]) -> int:
    seen = [len(pair) // 2 for row in good for pair in row.order.split()]
    return max(1, round(statistics.median(seen))) if seen else 1


def _quantiles(arms: Sequence[ArmRow]) -> dict[str, Range]:
    found = {name: _range(getattr(arm, f"{name}_s") for arm in arms) for name in ("p50", "p95", "p99")}
    return {name: one for name, one in found.items() if one is not None}


def _range(values: Iterable[float | None]) -> Range | None:
    seen = [value for value in values if value is not None and math.isfinite(value)]
    return Range(min(seen), statistics.median(seen), max(seen)) if seen else None


def sight_of(noise: Noise, lenses: Sequence[Lens], block_wall_s: float) -> Sight:
    """Return what a comparison with these lenses sees through the lens of this noise.

    Raises:
        UsageError: no lens gates.
    """
    design = plan_design(lenses)
    return Sight(
        noise=noise,
        smallest={
            f"{minutes:g}": _smallest(noise, design, int(minutes * 60 / block_wall_s)) for minutes in MINUTES
        },
        minutes={f"{change:g}": _minutes(noise, change, design, block_wall_s) for change in CHANGES},
        passes=prospect(design, noise.lens, noise.sigma, 0.0).passes[-1],
        tolerance=_tolerance(noise, design),
    )


def _smallest(noise: Noise, design: Design, blocks: int) -> float | None:
    looks = tuple(look for look in design.looks if look.blocks <= blocks)
    if not looks:
        return None
    found = smallest_change(dataclasses.replace(design, looks=looks), noise.lens, noise.sigma)
    return found if math.isfinite(found) else None


def _minutes(noise: Noise, change: float, design: Design, block_wall_s: float) -> float | None:
    if change <= noise.lens.margin:
        return None
    looks = zip(design.looks, prospect(design, noise.lens, noise.sigma, change).fails, strict=True)
    return next((look.blocks * block_wall_s / 60 for look, failed in looks if failed >= POWER), None)


def _tolerance(noise: Noise, design: Design) -> float | None:
    def passed(step: int) -> bool:
        lens = dataclasses.replace(noise.lens, tolerance=step * TOLERANCE_STEP)
        return prospect(design, lens, noise.high, 0.0).passes[-1] >= POWER

    least = math.floor(noise.lens.margin / TOLERANCE_STEP) + 1
    steps = range(least, TOLERANCE_STEPS)
    found = bisect.bisect_left(steps, True, key=passed)
    return None if found == len(steps) else steps[found] * TOLERANCE_STEP
