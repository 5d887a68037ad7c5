"""Wilcoxon's signed-rank test, exactly: estimate, one-sided p and one-sided bounds of a centre of symmetry.

Pure numbers; nothing here knows a block, a lens or a verdict.

**What is assumed.** The values are independent and each is symmetric about the same centre; they need be neither
normal nor of one law. Log ratios of exchangeable arms are symmetric about 0 (:mod:`tailgate.harness.compare.blocks.observation`),
so that the test's level under "no change" holds whatever the noise is. The bounds assume besides that a change
shifts the log ratio and does nothing else.

**Walsh averages.** All of it follows from the n(n+1)/2 averages (xᵢ + xⱼ)/2, i ≤ j. The Hodges-Lehmann estimate is
their median; the test's statistic against a centre c is how many lie at or below c; and the bounds are order
statistics of them (Hodges & Lehmann, "Estimates of location based on rank tests", Annals of Mathematical Statistics
34, 1963; Hollander, Wolfe & Chicken, "Nonparametric statistical methods", 3rd edition, 3.1 to 3.3). So a bound lies
above c exactly when the test against c rejects.

**Ties and zeros.** An average that equals c counts as lying on the side that speaks against rejection. Breaking ties
by an arbitrarily small symmetric jitter would make the test exact, and the count taken here is never less than the
jittered one: with ties the test is conservative, never liberal. Without ties it is scipy's exact ``wilcoxon``.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from tailgate.harness.errors import UsageError

Values = NDArray[np.float64]

# Stands for an infinite log ratio, so that averages with it have a place in the order: no two times that a clock
# can tell apart are as far apart as e**1e6, and half of it is beyond all finite ones, too.
_BEYOND = 1e6


@dataclass(frozen=True, slots=True)
class Centre:
    """A centre of symmetry, estimated and bounded.

    Attributes:
        estimate: Hodges-Lehmann.
        low: lower bound; -inf where n is too small for the level asked.
        high: upper bound; +inf likewise.
        low_level: attained: the probability that the lower bound lies above the true centre; 0 where it is -inf.
        high_level: likewise of the upper bound.
        n: values behind it.
    """

    estimate: float
    low: float
    high: float
    low_level: float
    high_level: float
    n: int


@cache
def null_distribution(n: int) -> Values:
    """Return P(T ≤ t) for t = 0 … n(n+1)/2, T the sum of a random subset of the ranks 1 … n.

    By the usual recursion: rank r is in the subset or not, with equal chances. The additions are exact in floating point up
    to n = 50 and good to 1e-15 beyond.
    """
    counts = np.zeros(n * (n + 1) // 2 + 1)
    counts[0] = 1.0
    for rank in range(1, n + 1):
        counts[rank:] += counts[:-rank].copy()
        counts /= 2.0
    cumulative = np.minimum(np.cumsum(counts), 1.0)
    cumulative.setflags(write=False)
    return cumulative


def least_n(level: float) -> int:
    """Return the least n at which the exact test can attain this one-sided level: p is never below 2**-n."""
    if not 0 < level < 1:
        raise UsageError(f"a level lies between 0 and 1, such as 0.01; got {level}")
    return math.ceil(-math.log2(level) - 1e-12)


def critical_count(n: int, level: float) -> int | None:
    """Return the largest t with P(T ≤ t) ≤ level; None where not even t = 0 is so rare."""
    rarer = int(np.searchsorted(null_distribution(n), level * (1 + 1e-12), side="right"))
    return rarer - 1 if rarer else None


def walsh_averages(values: Sequence[float] | Values) -> Values:
    """Return the n(n+1)/2 averages of all pairs, each value with itself, ascending.

    Raises:
        UsageError: no values, or a NaN among them.
    """
    array = np.asarray(values, dtype=np.float64)
    if not len(array) or np.isnan(array).any():
        raise UsageError(f"a signed-rank test needs numbers, got {len(array)} values, NaN among them or none")
    array = np.clip(array, -_BEYOND, _BEYOND)
    first, second = np.triu_indices(len(array))
    # Halved before they are added: x and x average to exactly x, and nothing overflows.
    averages: Values = np.sort(array[first] / 2 + array[second] / 2)
    return averages


def p_greater(values: Sequence[float] | Values, centre: float = 0.0) -> float:
    """Return the one-sided p for "the centre is no greater than this", which is small when the values lie above."""
    averages = walsh_averages(values)
    at_or_below = int(np.searchsorted(averages, centre, side="right"))
    return float(null_distribution(len(values))[at_or_below])


def bound(values: Sequence[float] | Values, low_level: float, high_level: float) -> Centre:
    """Estimate the centre and bound it from both sides.

    Args:
        values: log ratios, or differences; an infinite one is taken as beyond all finite ones.
        low_level: one-sided error allowed to the lower bound, such as 0.001.
        high_level: of the upper bound.

    Raises:
        UsageError: no values, or a NaN among them.
    """
    averages = walsh_averages(values)
    n, last = len(values), len(averages) - 1
    below, above = critical_count(n, low_level), critical_count(n, high_level)
    cumulative = null_distribution(n)
    return Centre(
        estimate=_open(float(np.median(averages))),
        low=-math.inf if below is None else _open(float(averages[below])),
        high=math.inf if above is None else _open(float(averages[last - above])),
        low_level=0.0 if below is None else float(cumulative[below]),
        high_level=0.0 if above is None else float(cumulative[above]),
        n=n,
    )


def standard_error(values: Sequence[float] | Values) -> float | None:
    """Return the standard error of the Hodges-Lehmann estimate: half the width of its interval of one deviation a side.

    Lehmann, "Nonparametric confidence intervals for a shift parameter", Annals of Mathematical Statistics 34, 1963. The
    interval is the exact one at the attained level nearest below 0.16, and the width is divided by as many
    normal deviations as that level has. None for fewer than 4 values, or where it is not finite.
    """
    if len(values) < 4:
        return None
    centre = bound(values, 0.16, 0.16)
    width = centre.high - centre.low
    return width / 2 / -NormalDist().inv_cdf(centre.low_level) if math.isfinite(width) else None


def _open(value: float) -> float:
    return math.copysign(math.inf, value) if abs(value) > _BEYOND / 4 else value
