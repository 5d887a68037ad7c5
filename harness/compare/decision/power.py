"""What a design can see: power, expected blocks and the smallest change, for a given noise of one block.

Before a comparison (``calibrate`` asks what can be seen in how long) and after it (the text of a verdict). By
approximation: the Hodges-Lehmann estimate of n blocks is taken as normal with deviation sigma √(π/3) / √n, which is
what the signed-rank test costs against a mean of normal values (its efficiency is 3/π; Hodges & Lehmann, "The
efficiency of some nonparametric competitors of the t-test", Annals of Mathematical Statistics 27, 1956). Critical
values are Student's, with n - 1 degrees of freedom: far out in the tail, at a level of 0.001 and a dozen blocks, an
exact test is blunter than the normal law has it, for the noise is unknown to it. Tests hold this to the exact
decision.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

from scipy import special

from tailgate.harness.compare.decision.signed_rank import least_n
from tailgate.harness.compare.decision.spending import crossing
from tailgate.harness.results.comparison import Design, Lens
from tailgate.harness.results.verdict import Better

# The Hodges-Lehmann estimate's deviation over that of the mean, of normal values.
EFFICIENCY_LOSS = math.sqrt(math.pi / 3)


@dataclass(frozen=True, slots=True)
class Prospect:
    """What to expect of a design, for one lens, one noise and one true change.

    Attributes:
        fails: probability of FAIL by each look, cumulative.
        passes: probability of PASS by each look, cumulative.
        expected_blocks: until this lens is decided, or the last look.
    """

    fails: tuple[float, ...]
    passes: tuple[float, ...]
    expected_blocks: float


def prospect(design: Design, lens: Lens, sigma: float, change: float) -> Prospect:
    """Return what to expect.

    Args:
        design: looks and levels.
        lens: tolerance and margin; of a ratio.
        sigma: standard deviation of ln(head/base) of one block.
        change: the true change for the worse, as a share of the base: 0.05 is 5 %.
    """
    deviation = sigma * EFFICIENCY_LOSS
    margin, tolerance = (lens.ln_worse(limit) / deviation for limit in (lens.margin, lens.tolerance))
    sizes = [look.blocks for look in design.looks]
    upper = [
        n * margin + _t(look.fail_level, n) * math.sqrt(n)
        for n, look in zip(sizes, design.looks, strict=True)
    ]
    lower = [
        n * tolerance - _t(look.pass_level, n) * math.sqrt(n)
        for n, look in zip(sizes, design.looks, strict=True)
    ]
    # FAIL goes first where both hold (harness.compare.decision.decision).
    lower = [min(low, high) for low, high in zip(lower, upper, strict=True)]
    found = crossing(sizes, lower, upper, lens.ln_worse(change) / deviation)
    fails, passes = _cumulative(found.above), _cumulative(found.below)
    # One look's blocks are added whenever the looks before it have not decided.
    undecided = [1.0, *(1 - fail - passed for fail, passed in zip(fails, passes, strict=True))]
    steps = [after - before for before, after in zip([0, *sizes], sizes, strict=False)]
    return Prospect(fails, passes, sum(step * left for step, left in zip(steps, undecided, strict=False)))


def smallest_change(design: Design, lens: Lens, sigma: float, power: float = 0.95) -> float:
    """Return the smallest change for the worse that FAILs with this probability by the last look, as a share of base.

    +inf where no change up to a hundredfold does.
    """
    low, high = lens.margin, 100.0 if lens.better is Better.LOWER else 0.99
    if prospect(design, lens, sigma, high).fails[-1] < power:
        return math.inf
    while high - low > 1e-5:
        middle = (low + high) / 2
        low, high = (
            (low, middle) if prospect(design, lens, sigma, middle).fails[-1] >= power else (middle, high)
        )
    return high


def detectable(standard_error: float, n: int, fail_level: float, power: float = 0.95) -> float:
    """Return the log ratio above the margin that one test of n blocks at this level sees with this probability."""
    return (_t(fail_level, n) - NormalDist().inv_cdf(1 - power)) * standard_error


def blocks_for(change: float, sigma: float, fail_level: float, power: float = 0.95) -> int:
    """Return how many blocks see this change, as a share of base, with this probability in one test at this level."""
    blocks = least_n(fail_level)
    while detectable(sigma * EFFICIENCY_LOSS / math.sqrt(blocks), blocks, fail_level, power) > math.log1p(
        change
    ):
        blocks += max(1, blocks // 50)
    return blocks


def _t(level: float, n: int) -> float:
    return -float(special.stdtrit(max(1, n - 1), level))


def _cumulative(values: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(math.fsum(values[: count + 1]) for count in range(len(values)))
