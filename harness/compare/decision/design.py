"""The design of a comparison: when to look, and how much error each look may spend. Fixed before the run.

All gating lenses of all scenarios share the run's alpha equally (Bonferroni), whatever their dependence;
Holm's refinement would only name a second lens after the run has failed. Each lens has beta, the probability
that a change as large as its tolerance passes. Both are spent over the looks. The exact test's p is never
below 2**-n, so the first look, at which an unchanged service is mostly done, needs n with 2**-n at most its
level.
"""

import math
from collections.abc import Sequence

from tailgate.harness.compare.decision.signed_rank import least_n
from tailgate.harness.compare.decision.spending import nominal_levels
from tailgate.harness.compare.lens import LENSES
from tailgate.harness.errors import UsageError
from tailgate.harness.results.comparison import Design, Lens, Look

# Good blocks at the looks of a single scenario, chosen by simulation (docs/explanation/error-rates.md). On a slower
# machine (docs/explanation/comparison.md, "Cost") the first look comes after 4 minutes and the last after 11 to 12.
LOOKS = (12, 18, 26, 36)
# The look of a calibration, which nothing may end early.
NEVER = 100_000


def plan_design(
    lenses: Sequence[Lens] = LENSES,
    *,
    scenarios: int = 1,
    blocks: Sequence[int] | None = None,
    alpha: float = 0.01,
    beta: float = 0.05,
) -> Design:
    """Return the design for these lenses in a run of so many scenarios.

    ``blocks`` are the good blocks at each look, ascending; None for the default. alpha is for the whole run,
    beta per lens.

    Raises:
        UsageError: no lens gates, or the first look has too few blocks for the exact test ever to reject.
    """
    gates = sum(lens.gates for lens in lenses) * scenarios
    if gates < 1:
        raise UsageError(
            "no lens gates, so that nothing could fail: let one gate, for example by the lens setting p95=gate"
        )
    share = alpha / gates
    sizes = tuple(blocks) if blocks is not None else _default_looks(share)
    fail_levels, pass_levels = nominal_levels(sizes, share), nominal_levels(sizes, beta)
    least = least_n(fail_levels[0])
    if sizes[0] < least:
        raise UsageError(
            f"the first look has {sizes[0]} blocks, and the exact test cannot reject at its level "
            f"{fail_levels[0]:.2g} below {least}: look first at {least} blocks or more"
        )
    looks = tuple(map(Look, sizes, fail_levels, pass_levels))
    return Design(looks=looks, alpha=alpha, beta=beta, gates=gates)


def _default_looks(share: float) -> tuple[int, ...]:
    """Return the usual looks, moved later as far as a small share of alpha demands."""
    sizes: tuple[int, ...] = LOOKS
    while sizes[0] < least_n(nominal_levels(sizes, share)[0]):
        sizes = tuple(math.ceil(size * (sizes[0] + 1) / sizes[0]) for size in sizes)
    return sizes
