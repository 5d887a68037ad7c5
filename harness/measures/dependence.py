"""Quantiles and shares of requests that come in runs: slow ones follow each other, so that a sample says less than its size.

Beside :mod:`tailgate.harness.statistics`, which takes samples as independent. Requests that queue behind each other are not. Taken
for independent, an end of an interval that claims to err in 1 % of runs errs in 5 % at 30 % utilisation, and in 30 % at
70 % (docs/explanation/error-rates.md). Pure functions.

**The law of a count.** Whether a request lies beyond a latency is taken as a stationary two-state Markov chain, which is
the model of Bernoulli trials with dependence (Klotz, "Statistical inference in Bernoulli trials with dependence", Annals
of Statistics 1, 1973). The number of requests beyond then has an exact law, :func:`chain_at_most`. It takes the place of
the binomial law; without correlation the two are the same, and so are the intervals.

**The correlation is that of the sample.** The upper end of a quantile's interval, which a PASS goes by, is tested with the
correlation of requests beyond the sample's quantile, or of twice or five times as many where they are correlated more: at
the end of a short sample there are too few to show how they come. The lower end, which a FAIL goes by, is tested with the
correlation of requests beyond that end, so that a server which is late nearly always fails however its requests come.

**What is assumed.** One law throughout each phase, and runs that the sample itself shows. A sample that holds few slow
spells says little of them: the simulation in docs/explanation/error-rates.md tells what is left.
"""

import bisect
import math
from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import special

from tailgate.harness import statistics

T = TypeVar("T")
Values = NDArray[np.float64]
Marks = NDArray[np.bool_]

# As many times the requests beyond a quantile as the correlation is looked for in. Chosen by simulation
# (benchmarks/gate/coverage.py): with the quantile alone, p99 of 1,000 requests at 50 % utilisation errs twice as often.
LEVELS = (1, 2, 5)
# Weights of a binomial law that lie more standard deviations from its mean add less than 1e-300.
_FAR = 40


class Bounds(NamedTuple, Generic[T]):
    """Two ends, None where too little is known, and how many independent samples would say as much (of a quantile's upper end)."""

    low: T | None
    high: T | None
    worth: float


def quantile_ranks(stretches: Sequence[Values], share: float, confidence: float) -> Bounds[int]:
    """Return the ranks, counted from 1, of the order statistics that bound the true quantile of samples in runs.

    Args:
        stretches: values of each stretch of one load, such as a phase, in order of time; +inf is a value like any other.
        share: such as 0.95.
        confidence: one-sided, of each end, such as 0.99.
    """
    alpha = statistics.error_of(confidence)
    ordered = np.sort(np.concatenate(stretches)) if stretches else np.zeros(0)
    n, beyond = len(ordered), 1 - share
    if not n:
        return Bounds(None, None, 0.0)
    worth = _worth(stretches, ordered, share)

    def high_enough(rank: int) -> bool:
        return chain_at_most(n - rank, n, beyond, worth) <= alpha

    def too_low(rank: int) -> bool:
        as_slow = [part >= ordered[rank - 1] for part in stretches]
        return 1 - chain_at_most(n - rank, n, beyond, effective_samples(*as_slow)) <= alpha

    middle = statistics.point_rank(n, share)
    high = bisect.bisect_left(range(middle, n + 1), True, key=high_enough) + middle
    low = bisect.bisect_left(range(1, middle + 1), True, key=lambda rank: not too_low(rank))
    return Bounds(low or None, high if high <= n else None, worth)


def quantile_interval(stretches: Sequence[Values], share: float, confidence: float) -> Bounds[float]:
    """Return the interval of the true quantile between order statistics; as above."""
    ranks = quantile_ranks(stretches, share, confidence)
    ordered = np.sort(np.concatenate(stretches)) if stretches else np.zeros(0)
    low, high = (None if rank is None else float(ordered[rank - 1]) for rank in (ranks.low, ranks.high))
    return Bounds(low, high, ranks.worth)


def share_interval(stretches: Sequence[Marks], confidence: float) -> Bounds[float]:
    """Return the interval of the share of hits, which may come in runs; both ends None of nothing.

    ``stretches`` tells of each sample, in order of time, whether it is a hit; ``confidence`` is one-sided, of each end.
    Without correlation this is the interval of Clopper & Pearson.
    """
    n, hits = sum(map(len, stretches)), sum(int(part.sum()) for part in stretches)
    worth = effective_samples(*stretches)
    if worth >= n:
        return Bounds(*statistics.share_interval(hits, n, confidence), worth)
    alpha = statistics.error_of(confidence)
    low = statistics.largest(lambda share: 1 - chain_at_most(hits - 1, n, share, worth) <= alpha, 0.0, 1.0)
    high = statistics.largest(lambda share: chain_at_most(hits, n, share, worth) > alpha, 0.0, 1.0)
    return Bounds(low, high, worth)


def effective_samples(*stretches: Marks) -> float:
    """Return how many independent samples say as much about a share as these, which may come in runs.

    n / (1 + 2 (r1 + r2 + …)) with the autocorrelations r of the marks, summed in pairs as long as a pair's sum is
    positive (the initial positive sequence of Geyer, "Practical Markov chain Monte Carlo", Statistical Science 7, 1992).
    Never more than there are. What stretches differ by is no run: how many samples each has was fixed beforehand.
    """
    n = sum(map(len, stretches))
    covariances = np.zeros(max(map(len, stretches), default=0))
    for part in stretches:
        if part.any() and not part.all():
            covariances[: len(part)] += _covariances(part - np.mean(part))
    if not covariances.any():
        return float(n)
    correlations = covariances / covariances[0]
    pairs = correlations[: len(correlations) // 2 * 2].reshape(-1, 2).sum(axis=1)
    ended = np.flatnonzero(pairs <= 0)
    time = 2 * float(pairs[: ended[0] if len(ended) else None].sum()) - 1
    share = sum(int(part.sum()) for part in stretches) / n
    within = float(covariances[0]) / (n * share * (1 - share))
    return n / max(1.0, time * within)


def chain_at_most(count: int, n: int, share: float, worth: float) -> float:
    """Return the probability that at most ``count`` of n samples are marked, where each is with this probability.

    Samples are a stationary two-state Markov chain. The correlation r of neighbours is such that n are worth ``worth``
    independent ones: (1 - r) / (1 + r) = worth / n. At most ``count`` are marked if the next marked one has not come by the
    n-th sample. Until it comes there are as many stretches of unmarked samples as steps out of the mark, binomial in
    number, and each has a geometric length.
    """
    if not 0 <= count < n:
        return float(count >= n)
    if worth >= n:
        return float(special.bdtr(count, n, share))
    apart = 2 / (n / worth + 1)  # 1 - r
    enter, leave = share * apart, (1 - share) * apart
    middle, spread = count * leave, _FAR * (1 + math.sqrt(count * leave * (1 - leave)))
    left = np.arange(max(0, math.floor(middle - spread)), min(count, math.ceil(middle + spread)) + 1)
    weights = np.exp(
        special.gammaln(count + 1)
        - special.gammaln(left + 1)
        - special.gammaln(count - left + 1)
        + special.xlogy(left, leave)
        + special.xlog1py(count - left, -leave)
    )
    others = n - count - 1

    def long_enough(times: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return how probable it is that so many stretches hold more than ``others`` unmarked samples."""
        fits: NDArray[np.float64] = special.bdtr(np.minimum(times - 1, others), others, enter)
        return np.where(times > 0, fits, 0.0)

    # The first sample is marked, or it begins one more stretch.
    return float(weights @ (share * long_enough(left) + (1 - share) * long_enough(left + 1)))


def requests_needed(share: float, confidence: float, n: int, worth: float) -> int:
    """Return how many requests bound the quantile from above with none beyond it, if n of them are worth so many."""
    enter = 2 * (1 - share) / (n / worth + 1)
    least = 1 + math.log(statistics.error_of(confidence) / share) / math.log1p(-enter)
    return math.ceil(least - 1e-9)


def _worth(stretches: Sequence[Values], ordered: Values, share: float) -> float:
    """Return what the samples are worth for the upper end of the quantile: the least over :data:`LEVELS`."""
    n, found = len(ordered), []
    for level in LEVELS:
        beyond = level * (1 - share)
        if level == 1 or beyond <= 0.5:
            edge = ordered[statistics.point_rank(n, 1 - beyond) - 1]
            # Nothing lies above infinity: what has reached it is beyond.
            marks = [part > edge if math.isfinite(edge) else np.isinf(part) for part in stretches]
            found.append(effective_samples(*marks))
    return min(found)


def _covariances(centred: Values) -> Values:
    """Return the sums of products of values that lie so many places apart, from 0 places on; shape (n,)."""
    n = len(centred)
    # Padded to twice the length, so that the end is not correlated with the beginning.
    spectrum = np.abs(np.fft.rfft(centred, 2 * n)) ** 2
    return np.fft.irfft(spectrum, 2 * n)[:n]
