"""Sight: which change one lens sees on a machine of this noise, how soon, and which tolerance it can keep.

Between :mod:`harness.comparison.noise` and :mod:`harness.comparison.calibration`; pure. Chances are those of
:mod:`harness.comparison.power`, and designs of any length have the looks of the usual one in proportion.
"""

import bisect
import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from harness.comparison.design import LOOKS, Design, plan_design
from harness.comparison.lens import Lens
from harness.comparison.noise import Noise
from harness.comparison.power import prospect, smallest_change
from harness.errors import UsageError

MINUTES = (5.0, 10.0, 20.0)
CHANGES = (0.02, 0.05, 0.10)
POWER = 0.95
# Where a search ends: half a day of blocks, and a tolerance that tolerates anything.
MOST_BLOCKS = 2000
TOLERANCE_STEP, TOLERANCE_STEPS = 0.005, 200


@dataclass(frozen=True, slots=True)
class Sight:
    """What can be seen through one lens.

    Attributes:
        noise: of one block.
        smallest: by minutes of wall time, the smallest change for the worse that FAILs with probability 0.95, as a
            share of base; None where so few blocks cannot FAIL, or no change does.
        minutes: by change for the worse, wall time until it FAILs with probability 0.95; None beyond 2,000 blocks.
        passes: probability that unchanged code passes this lens by the last look of the usual design.
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

    def design(blocks: int) -> Design | None:
        return design_of(blocks, lenses, alpha, beta)

    usual = plan_design(lenses, alpha=alpha, beta=beta)
    return Sight(
        noise=noise,
        smallest={
            f"{minutes:g}": _smallest(noise, design(int(minutes * 60 / block_wall_s))) for minutes in MINUTES
        },
        minutes={
            f"{change:g}": None
            if (blocks := _blocks(noise, change, design)) is None
            else blocks * block_wall_s / 60
            for change in CHANGES
        },
        passes=prospect(usual, noise.lens, noise.sigma, 0.0).passes[-1],
        tolerance=_tolerance(noise, usual),
    )


def _smallest(noise: Noise, design: Design | None) -> float | None:
    found = math.inf if design is None else smallest_change(design, noise.lens, noise.sigma, POWER)
    return found if math.isfinite(found) else None


def _blocks(noise: Noise, change: float, design: Callable[[int], Design | None]) -> int | None:
    """Return the least number of blocks at the end of which such a change has failed with the wanted probability."""

    def seen(blocks: int) -> bool:
        found = design(blocks)
        return found is not None and prospect(found, noise.lens, noise.sigma, change).fails[-1] >= POWER

    # Not by bisection: with more looks a change within the tolerance may pass before it fails, so that power can fall.
    return next(filter(seen, _lengths()), None) if change > noise.lens.margin else None


def _lengths() -> Iterator[int]:
    """Yield numbers of blocks: each one at first, then in steps of a twentieth."""
    blocks = 1
    while blocks <= MOST_BLOCKS:
        yield blocks
        blocks += max(1, blocks // 20)


def _tolerance(noise: Noise, usual: Design) -> float | None:
    def passed(step: int) -> bool:
        lens = dataclasses.replace(noise.lens, tolerance=step * TOLERANCE_STEP)
        return prospect(usual, lens, noise.high, 0.0).passes[-1] >= POWER

    least = math.floor(noise.lens.margin / TOLERANCE_STEP) + 1
    steps = range(least, TOLERANCE_STEPS)
    found = bisect.bisect_left(steps, True, key=passed)
    return None if found == len(steps) else steps[found] * TOLERANCE_STEP


def design_of(blocks: int, lenses: Sequence[Lens], alpha: float, beta: float) -> Design | None:
    """Return the design that ends with this many blocks; None where so few can never FAIL."""
    looks = sorted({round(look * blocks / LOOKS[-1]) for look in LOOKS} - {0})
    for first in range(len(looks)):
        try:
            return plan_design(lenses, blocks=looks[first:], alpha=alpha, beta=beta)
        except UsageError:  # the first look comes before the exact test can reject
            continue
    return None
