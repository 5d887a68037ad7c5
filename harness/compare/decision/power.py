"""What a design can see: power and the smallest change, for a given noise of one block.

Approximate: the Hodges-Lehmann estimate of n blocks is taken as normal with deviation sigma √(π/3) / √n,
since the signed-rank test's efficiency is 3/π (Hodges & Lehmann, "The efficiency of some nonparametric
competitors of the t-test", Annals of Mathematical Statistics 27, 1956). Critical values are Student's: far
out in the tail an exact test of a dozen blocks is blunter than the normal law has it. Tests hold this to the
exact decision.
"""

import itertools
import math
from dataclasses import dataclass
from statistics import NormalDist

from scipy import special

from tailgate.harness import statistics
from tailgate.harness.compare.decision.spending import crossing
from tailgate.harness.results.comparison import Design, Lens, Look
from tailgate.harness.results.verdict import Better

# The Hodges-Lehmann estimate's deviation over that of the mean, of normal values.
EFFICIENCY_LOSS = math.sqrt(math.pi / 3)
POWER = 0.95


@dataclass(frozen=True, slots=True)
class Prospect:
    """Cumulative probabilities of FAIL and of PASS by each look, for one noise and one true change."""

    fails: tuple[float, ...]
    passes: tuple[float, ...]


def prospect(design: Design, lens: Lens, sigma: float, change: float) -> Prospect:
    """Return what to expect of the lens of a ratio.

    Args:
        design: looks and levels.
        lens: with its tolerance and margin.
        sigma: standard deviation of ln(head/base) of one block.
        change: the true change for the worse, as a share of the base: 0.05 is 5 %.
    """
    deviation = sigma * EFFICIENCY_LOSS
    margin, tolerance = (lens.ln_worse(limit) / deviation for limit in (lens.margin, lens.tolerance))
    sizes = [look.blocks for look in design.looks]
    upper = [look.blocks * margin + _reach(look.fail_level, look) for look in design.looks]
    lower = [look.blocks * tolerance - _reach(look.pass_level, look) for look in design.looks]
    # FAIL goes first where both hold (harness.compare.decision.decision).
    lower = [min(low, high) for low, high in zip(lower, upper, strict=True)]
    found = crossing(sizes, lower, upper, lens.ln_worse(change) / deviation)
    return Prospect(tuple(itertools.accumulate(found.above)), tuple(itertools.accumulate(found.below)))


def smallest_change(design: Design, lens: Lens, sigma: float) -> float:
    """Return the smallest worsening, as a share of base, that FAILs 95 times in 100 by the last look.

    +inf if no change up to a hundredfold does.
    """

    def unseen(change: float) -> bool:
        return prospect(design, lens, sigma, change).fails[-1] < POWER

    most = 100.0 if lens.better is Better.LOWER else 0.99
    return math.inf if unseen(most) else statistics.largest(unseen, lens.margin, most, steps=24)


def detectable(standard_error: float, n: int, fail_level: float) -> float:
    """Return the log ratio above the margin that one test of n blocks at this level sees 95 times in 100."""
    return (_t(fail_level, n) - NormalDist().inv_cdf(1 - POWER)) * standard_error


def _reach(level: float, look: Look) -> float:
    return _t(level, look.blocks) * math.sqrt(look.blocks)


def _t(level: float, n: int) -> float:
    return -float(special.stdtrit(max(1, n - 1), level))
