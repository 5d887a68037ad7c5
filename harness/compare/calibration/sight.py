"""Sight: which change one lens sees on a machine of this noise, how soon, and which tolerance it can keep.

Between :mod:`tailgate.harness.compare.calibration.noise` and :mod:`tailgate.harness.compare.calibration.calibration`; pure. Chances are those of
:mod:`tailgate.harness.compare.decision.power`, at the looks of the design that a comparison has, and at no others: after its last look a
comparison sees nothing more, however long it may take.
"""

import bisect
import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tailgate.harness.compare.calibration.noise import Noise
from tailgate.harness.compare.decision.design import plan_design
from tailgate.harness.compare.decision.power import prospect, smallest_change
from tailgate.harness.results.comparison import Design, Lens

MINUTES = (5.0, 10.0, 20.0)
CHANGES = (0.02, 0.05, 0.10)
POWER = 0.95
# Where a search ends: a tolerance that tolerates anything.
TOLERANCE_STEP, TOLERANCE_STEPS = 0.005, 200


@dataclass(frozen=True, slots=True)
class Sight:
    """What can be seen through one lens.

    Attributes:
        noise: of one block.
        smallest: by minutes of wall time, the smallest change for the worse that FAILs with probability 0.95 at the looks
            within them, as a share of base; None before the first look, or where no change does.
        minutes: by change for the worse, wall time until the look by which it FAILs with probability 0.95; None where it does
            at none.
        passes: probability that unchanged code passes this lens by the last look.
        tolerance: the least, in steps of half a per cent, with which that probability is 0.95 even if the noise lies
            at the upper end of its interval; None beyond 100 %.
    """

    noise: Noise
    smallest: Mapping[str, float | None]
    minutes: Mapping[str, float | None]
    passes: float
    tolerance: float | None


def sight_of(
    noise: Noise, lenses: Sequence[Lens], block_wall_s: float, alpha: float = 0.01, beta: float = 0.05
) -> Sight:
    """Return what can be seen through the lens of this noise.

    Args:
        noise: of one block.
        lenses: all of the comparison; those that gate share alpha.
        block_wall_s: seconds of a block, starts included.
        alpha: error allowed to a run.
        beta: error allowed to PASS.

    Raises:
        UsageError: no lens gates.
    """
    design = plan_design(lenses, alpha=alpha, beta=beta)
    return Sight(
        noise=noise,
        smallest={
            f"{minutes:g}": _smallest(noise, design, int(minutes * 60 / block_wall_s)) for minutes in MINUTES
        },
        minutes={
            f"{change:g}": None
            if (blocks := _blocks(noise, change, design)) is None
            else blocks * block_wall_s / 60
            for change in CHANGES
        },
        passes=prospect(design, noise.lens, noise.sigma, 0.0).passes[-1],
        tolerance=_tolerance(noise, design),
    )


def _smallest(noise: Noise, design: Design, blocks: int) -> float | None:
    looks = tuple(look for look in design.looks if look.blocks <= blocks)
    if not looks:
        return None
    found = smallest_change(dataclasses.replace(design, looks=looks), noise.lens, noise.sigma, POWER)
    return found if math.isfinite(found) else None


def _blocks(noise: Noise, change: float, design: Design) -> int | None:
    """Return the blocks of the look by which such a change has failed with the wanted probability."""
    if change <= noise.lens.margin:
        return None
    fails = prospect(design, noise.lens, noise.sigma, change).fails
    return next(
        (look.blocks for look, failed in zip(design.looks, fails, strict=True) if failed >= POWER), None
    )


def _tolerance(noise: Noise, design: Design) -> float | None:
    def passed(step: int) -> bool:
        lens = dataclasses.replace(noise.lens, tolerance=step * TOLERANCE_STEP)
        return prospect(design, lens, noise.high, 0.0).passes[-1] >= POWER

    least = math.floor(noise.lens.margin / TOLERANCE_STEP) + 1
    steps = range(least, TOLERANCE_STEPS)
    found = bisect.bisect_left(steps, True, key=passed)
    return None if found == len(steps) else steps[found] * TOLERANCE_STEP
