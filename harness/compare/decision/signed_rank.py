"""Wilcoxon's signed-rank test, exactly: an estimate and one-sided bounds of a centre of symmetry. Pure numbers.

Assumed: the values are independent, and each is symmetric about the same centre; they need be neither normal
nor of one law. Log ratios of exchangeable arms are symmetric about 0, so that the level under "no change"
holds for any noise. The bounds assume besides that a change shifts the log ratio and does nothing else.
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

# Stands for an infinite log ratio, so that averages with it have a place in the order: no two times of a
# clock are as far apart as e**1e6, and half of it is beyond all finite ones, too.
_BEYOND = 1e6


@dataclass(frozen=True, slots=True)
class Centre:
    """A centre of symmetry of n values, estimated and bounded."""

    estimate: float
    low: float  # lower bound; -inf if n is too small for the level asked
    high: float  # upper bound; +inf likewise
    low_level: float  # attained: the probability that the lower bound lies above the true centre; 0 for -inf
    high_level: float  # likewise of the upper bound
    n: int


@cache
def null_distribution(n: int) -> Values:
    """Return P(T ≤ t) for t = 0 … n(n+1)/2, T the sum of a random subset of the ranks 1 … n.

    Rank r is in the subset or not, with equal chances. The additions are exact up to n = 50 and good to 1e-15
    beyond.
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
    """Return the least n at which the exact test attains this one-sided level: p is never below 2**-n."""
    if not 0 < level < 1:
        raise UsageError(f"a level lies between 0 and 1, such as 0.01; got {level}")
    return math.ceil(-math.log2(level) - 1e-12)


def critical_count(n: int, level: float) -> int | None:
    """Return the largest t with P(T ≤ t) ≤ level; None if not even t = 0 is so rare."""
    rarer = int(np.searchsorted(null_distribution(n), level * (1 + 1e-12), side="right"))
    return rarer - 1 if rarer else None


def walsh_averages(values: Sequence[float] | Values) -> Values:
    """Return the n(n+1)/2 averages (xᵢ + xⱼ)/2, i ≤ j, ascending.

    The Hodges-Lehmann estimate is their median; the test's statistic against a centre c is how many lie at or
    below c; the bounds are order statistics of them (Hodges & Lehmann, "Estimates of location based on rank
    tests", Annals of Mathematical Statistics 34, 1963; Hollander, Wolfe & Chicken, "Nonparametric statistical
    methods", 3rd edition, 3.1 to 3.3). So a bound lies above c exactly when the test against c rejects.

    An average equal to c counts against rejection. An arbitrarily small symmetric jitter would make the test
    exact, and this count is never less than the jittered one: with ties the test is conservative, without
    ties it is scipy's exact ``wilcoxon``.

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


def bound(values: Sequence[float] | Values, low_level: float, high_level: float) -> Centre:
    """Estimate the centre and bound it from both sides, each at its one-sided error.

    An infinite value is taken as beyond all finite ones.

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
    """Return the standard error of the Hodges-Lehmann estimate; None for fewer than 4 values, or if not finite.

    Half the width of the exact interval at the attained level nearest below 0.16, over that level's normal
    deviations (Lehmann, "Nonparametric confidence intervals for a shift parameter", Annals of Mathematical
    Statistics 34, 1963).
    """
    if len(values) < 4:
        return None
    centre = bound(values, 0.16, 0.16)
    width = centre.high - centre.low
    return width / 2 / -NormalDist().inv_cdf(centre.low_level) if math.isfinite(width) else None


def _open(value: float) -> float:
    return math.copysign(math.inf, value) if abs(value) > _BEYOND / 4 else value
