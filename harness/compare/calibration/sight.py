"""Sight: which change one lens sees on a machine of this noise, how soon, and which tolerance it can keep. Pure.

Chances are those at the looks of a comparison's design: after its last look it sees nothing more, however long it takes.
"""

import bisect
import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tailgate.harness.compare.calibration.noise import Noise
from tailgate.harness.compare.decision.design import plan_design
from tailgate.harness.compare.decision.power import POWER, prospect, smallest_change
from tailgate.harness.results.comparison import Design, Lens

MINUTES = (5.0, 10.0, 20.0)
CHANGES = (0.02, 0.05, 0.10)
# Where a search ends: a tolerance that tolerates anything.
TOLERANCE_STEP, TOLERANCE_STEPS = 0.005, 200


@dataclass(frozen=True, slots=True)
class Sight:
    """What can be seen through one lens.

    Attributes:
        smallest: by minutes of wall time, the smallest worsening that FAILs 95 times in 100 at the looks within them, as a
            share of base; None before the first look, or if no change does.
        minutes: by worsening, wall time until the look by which it FAILs 95 times in 100; None if never.
        passes: probability that unchanged code passes this lens by the last look.
        tolerance: the least, in steps of half a per cent, with which that probability is 0.95 even if the noise lies
            at the upper end of its interval; None beyond 100 %.
    """

    noise: Noise
    smallest: Mapping[str, float | None]
    minutes: Mapping[str, float | None]
    passes: float
    tolerance: float | None


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
