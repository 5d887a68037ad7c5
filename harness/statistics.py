"""Exact statistics of quantiles and shares; pure functions between samples and estimates.

**Quantiles are order statistics.** The sample quantile of share p is X₍ₖ₎ with k = ⌈np⌉ (definition 1 of Hyndman & Fan,
"Sample quantiles in statistical packages", The American Statistician 50, 1996): always a measured value, and never the
mean of two neighbours, of which one may be infinite.

**Intervals are distribution-free.** The number of samples at or below the true quantile is Bin(n, p), so order
statistics bound it exactly (David & Nagaraja, "Order Statistics", 3rd edition, section 7.1). Each end holds with the
given one-sided confidence. The upper end is X₍ᵤ₎ with the least u for which P(Bin(n, p) ≥ u) ≤ alpha; hence, for t
samples above a limit::

    X₍ᵤ₎ ≤ limit   ⇔   n - t ≥ u   ⇔   P(Bin(n, 1 - p) ≤ t) ≤ alpha

which MLPerf LoadGen calls early stopping. At alpha = 0.01 and t = 0 it needs n = 90 for p95 and n = 459 for p99.

**Assumed:** independent samples of one law. For requests that queue behind each other see
:mod:`tailgate.harness.measures.dependence`. No interval speaks for another machine, rate or day.
"""

import bisect
import math
from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from tailgate.harness.errors import UsageError

# So many samples must be expected beyond a quantile before its point estimate is spoken of.
SAMPLES_BEYOND = 10


class Ranks(NamedTuple):
    """Ranks, counted from 1, of the order statistics that bound a quantile; None where n is too small."""

    low: int | None
    high: int | None


class Interval(NamedTuple):
    """Two ends, each with its own one-sided confidence; None where nothing bounds that side."""

    low: float | None
    high: float | None


def point_rank(n: int, share: float) -> int:
    """Return the rank k = ⌈n·share⌉, counted from 1, of the sample quantile of n ≥ 1 samples."""
    _refuse_share(share)
    # 0.95 x 200 is 190 and must not become 191 where its binary product lies a hair above.
    return min(n, max(1, math.ceil(n * share - 1e-9)))


def least_samples(share: float) -> int:
    """Return the least n for which a point estimate of this quantile is spoken of: n(1 - share) >= 10."""
    _refuse_share(share)
    return math.ceil(SAMPLES_BEYOND / (1 - share) - 1e-9)


def quantile(values: NDArray[np.float64], share: float) -> float:
    """Return the sample quantile, the least value with at least this share of the sample at or below it.

    Raise UsageError for no values, a NaN among them, or a share outside (0, 1).
    """
    ordered = _ordered(values)
    return float(ordered[point_rank(len(ordered), share) - 1])


def quantile_ranks(n: int, share: float, confidence: float) -> Ranks:
    """Return the ranks that bound the true quantile of n independent samples.

    P(X₍low₎ > quantile) ≤ 1 - confidence, and P(X₍high₎ < quantile) ≤ 1 - confidence.
    """
    _refuse_share(share)
    alpha = error_of(confidence)
    # P(Bin(n, share) >= u) falls with u, and P(Bin(n, share) <= l - 1) rises with l: bisect for both ends.
    high = (
        bisect.bisect_left(range(1, n + 1), True, key=lambda u: special.bdtrc(u - 1, n, share) <= alpha) + 1
    )
    low = bisect.bisect_left(range(1, n + 1), True, key=lambda rank: special.bdtr(rank - 1, n, share) > alpha)
    return Ranks(low or None, high if high <= n else None)


def quantile_interval(values: NDArray[np.float64], share: float, confidence: float) -> Interval:
    """Return the order-statistic interval of the true quantile; +inf is a value like any other.

    Raise UsageError for a NaN among the values, or a share or confidence out of range.
    """
    ordered = _ordered(values) if len(values) else values
    ranks = quantile_ranks(len(ordered), share, confidence)
    low, high = (None if rank is None else float(ordered[rank - 1]) for rank in ranks)
    return Interval(low, high)


def share_interval(hits: float, n: float, confidence: float) -> Interval:
    """Return the interval of a share, by Clopper & Pearson (Biometrika 26, 1934): never too narrow.

    The low end solves P(Bin(n, low) ≥ hits) = alpha, the high end P(Bin(n, high) ≤ hits) = alpha, both as quantiles
    of a beta distribution. For n = 0 both ends are None.
    """
    if not 0 <= hits <= n:
        raise UsageError(f"a share needs 0 <= hits <= n, got {hits} of {n}")
    alpha = error_of(confidence)
    if n == 0:
        return Interval(None, None)
    low = 0.0 if hits == 0 else float(special.betaincinv(hits, n - hits + 1, alpha))
    high = 1.0 if hits == n else float(special.betaincinv(hits + 1, n - hits, 1 - alpha))
    return Interval(low, high)


def median_of_known(values: Iterable[float | None]) -> float | None:
    """Return the median of the values that are known; None without any."""
    seen = [value for value in values if value is not None]
    return median(seen) if seen else None


def mean_of_known(pairs: Iterable[tuple[float | None, float]]) -> float | None:
    """Return the mean of values, each given with its weight, over those that are known; None without any."""
    seen = [(value, weight) for value, weight in pairs if value is not None]
    total = sum(weight for _, weight in seen)
    return sum(value * weight for value, weight in seen) / total if total else None


def most_unseen(n: int) -> float:
    """Return the share that, if it were larger, n >= 1 samples without a hit would have shown, one-sided 95 %: about 3/n."""
    return float(1 - 0.05 ** (1 / n))


def p_more_hits(hits: int, n: int, base_hits: int, base_n: int) -> float:
    """Return Fisher's exact one-sided p for "hits are no more frequent than in base"."""
    from scipy import stats  # noqa: PLC0415 - takes half a second to load, and few comparisons ask

    table = [[hits, n - hits], [base_hits, base_n - base_hits]]
    return float(stats.fisher_exact(table, alternative="greater").pvalue)


def count_interval(count: int, confidence: float) -> tuple[float, float]:
    """Return the interval of the mean of a Poisson count, by Garwood (Biometrika 28, 1936).

    The low end solves P(Poisson(low) ≥ count) = alpha, the high end P(Poisson(high) ≤ count) = alpha.
    """
    if count < 0:
        raise UsageError(f"a count cannot be negative, got {count}")
    alpha = error_of(confidence)
    low = 0.0 if count == 0 else float(special.gammaincinv(count, alpha))
    return low, float(special.gammaincinv(count + 1, 1 - alpha))


def sum_interval(parts: NDArray[np.float64], confidence: float) -> Interval:
    """Return the interval of the mean of a sum of parts that come as a Poisson process, such as tokens by answer.

    By Fay & Feuer (Statistics in Medicine 16, 1997), for weighted sums of Poisson counts: both ends are quantiles of gamma
    distributions that have the sum's mean and variance, with one more part of the largest size for the high end. Of parts
    of 1 it is the interval of a count.
    """
    alpha = error_of(confidence)
    total = float(parts.sum())
    if not total:
        return Interval(0.0, None)
    variance, most = float((parts**2).sum()), float(parts.max())
    more, wider = total + most, variance + most**2
    low = variance / total * float(special.gammaincinv(total**2 / variance, alpha))
    return Interval(low, wider / more * float(special.gammaincinv(more**2 / wider, 1 - alpha)))


def largest(holds: Callable[[float], bool], low: float, high: float, steps: int = 60) -> float:
    """Return the largest number in a range up to which this holds, halving the range so often; ``low`` where it never does."""
    for _ in range(steps):
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def error_of(confidence: float) -> float:
    """Return the one-sided error that a confidence leaves: 0.01 for 0.99."""
    if not 0.5 <= confidence < 1:
        raise UsageError(f"a one-sided confidence lies in [0.5, 1), such as 0.99; got {confidence}")
    # 1 - 0.99 is 0.010000000000000009: round that away, so that alpha is the 0.01 that was meant.
    return round(1 - confidence, 12)


def _ordered(values: NDArray[np.float64] | Sequence[float]) -> NDArray[np.float64]:
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    # NaN sorts last: looking at one element finds any.
    if not len(ordered) or math.isnan(ordered[-1]):
        raise UsageError(
            f"a quantile needs values that are numbers, got {len(ordered)} values, NaN among them or none"
        )
    return ordered


def _refuse_share(share: float) -> None:
    if not 0 < share < 1:
        raise UsageError(f"a quantile is a share between 0 and 1, such as 0.95; got {share}")
