"""The design of a comparison: when to look, and how much error each look at each lens may spend.

Before the run: fixed by the lenses and the number of scenarios, and never by what is measured. The decision goes by
it.

**False FAIL.** alpha is for the run: all gating lenses of all scenarios share it equally (Bonferroni), whatever the
dependence between them. Holm's refinement would only help to name a second lens once a first has failed, and the run
has then failed already; the plain split is easier to check. Each share is spent over the looks
(:mod:`tailgate.harness.compare.decision.spending`).

**False PASS.** beta is for each lens, spent over the looks alike: a run with a change as large as a lens's tolerance
passes this lens with at most that probability.

**The first look.** The exact test's p is never below 2**-n, so the first look needs n with 2**-n at most its level.
An unchanged service is done there, most times, which makes it the look that matters for how long a gate takes.
"""

import math
from collections.abc import Sequence

from tailgate.harness.compare.decision.signed_rank import least_n
from tailgate.harness.compare.decision.spending import nominal_levels
from tailgate.harness.compare.lens import LENSES
from tailgate.harness.errors import UsageError
from tailgate.harness.results.comparison import Design, Lens, Look

# Good blocks at the looks of a single scenario, chosen by simulation (docs/error-rates.md). With the blocks of a slower
# machine (docs/comparison.md, "Cost") the first look comes after 4 minutes and the last after 11 to 12.
LOOKS = (12, 18, 26, 36)
# A look that never comes: nothing that is seen may end a calibration early.
NEVER = 100_000


def plan_design(
    lenses: Sequence[Lens] = LENSES,
    *,
    scenarios: int = 1,
    blocks: Sequence[int] | None = None,
    alpha: float = 0.01,
    beta: float = 0.05,
) -> Design:
    """Return the design for these lenses.

    Args:
        lenses: those that gate share alpha.
        scenarios: how many are compared in one run.
        blocks: good blocks at each look, ascending; None for the default.
        alpha: for the whole run.
        beta: for each lens.

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
