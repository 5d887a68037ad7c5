"""Error spent over several looks: at which level each may test, so that all together err no more than allowed.

Repeated looks err far more often than one (Armitage, McPherson & Rowe, "Repeated significance tests on
accumulating data", Journal of the Royal Statistical Society A 132, 1969). Approximate: the joint law of the
signed-rank statistics is taken as that of normal sums, to which it converges quickly; each look's own test is
exact. Tests hold the sum to seeded simulation of the exact test.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from scipy import special

from tailgate.harness import statistics
from tailgate.harness.errors import UsageError

_NODES = 160  # of the quadrature at each look: levels are then good to 1e-9
_FAR = 9.0  # standard deviations: beyond lies 1e-19


@dataclass(frozen=True, slots=True)
class Crossing:
    """Probabilities of first going above the upper boundary, and below the lower one, at each look."""

    above: tuple[float, ...]
    below: tuple[float, ...]


def spent(alpha: float, share: float) -> float:
    """Return how much of alpha may be spent at this share of the sample: alpha ln(1 + (e - 1) share).

    Of Pocock's type (Lan & DeMets, "Discrete sequential boundaries for clinical trials", Biometrika 70,
    1983): it leaves the early looks a fair share, which an unchanged service needs to be done early.
    """
    return alpha * math.log1p((math.e - 1) * share)


@cache
def nominal_levels(sizes: tuple[int, ...], alpha: float) -> tuple[float, ...]:
    """Return the one-sided level of each look's own test, for observations at each look and alpha over all.

    Raises:
        UsageError: sizes that don't ascend, or an alpha outside (0, 0.5).
    """
    if not sizes or sizes[0] < 1 or any(after <= before for before, after in pairwise(sizes)):
        raise UsageError(f"looks need sample sizes that ascend from 1, got {list(sizes)}")
    if not 0 < alpha < 0.5:
        raise UsageError(f"a one-sided level lies between 0 and 0.5, such as 0.01; got {alpha}")
    levels: list[float] = []
    before = 0.0
    walk = _Walk()
    for size in sizes:
        upto = spent(alpha, size / sizes[-1])
        walk.extend(size, 0.0)
        boundary = walk.boundary(upto - before)
        walk.stop(-math.inf, boundary)
        levels.append(NormalDist().cdf(-boundary / math.sqrt(size)))
        before = upto
    return tuple(levels)


def crossing(
    sizes: Sequence[int], lower: Sequence[float], upper: Sequence[float], drift: float = 0.0
) -> Crossing:
    """Return the probabilities that a sum of unit normal increments leaves its boundaries at each look.

    ``sizes`` are the observations at each look, ascending; ``drift`` is the mean of an increment.
    """
    above, below = [], []
    walk = _Walk()
    for size, low, high in zip(sizes, lower, upper, strict=True):
        walk.extend(size, drift)
        above.append(walk.beyond(high))
        below.append(1 - walk.beyond(low) - walk.gone if math.isfinite(low) else 0.0)
        walk.stop(min(low, high), high)
    return Crossing(tuple(above), tuple(max(0.0, value) for value in below))


class _Walk:
    """A sum of normal increments within its boundaries so far: points, and the probability of each."""

    def __init__(self) -> None:
        self.size = 0
        self.gone = 0.0
        self._points: NDArray[np.float64] = np.zeros(1)
        self._weights: NDArray[np.float64] = np.ones(1)
        self._mean = 0.0
        self._deviation = 0.0

    def extend(self, size: int, drift: float) -> None:
        """Go on to this many observations."""
        self._mean = (size - self.size) * drift
        self._deviation = math.sqrt(size - self.size)
        self._total_mean = size * drift
        self.size = size

    def beyond(self, boundary: float) -> float:
        """Return the probability of being above the boundary now, and inside at all looks before."""
        if boundary == math.inf:
            return 0.0
        z = (self._points + self._mean - boundary) / self._deviation
        return float(self._weights @ special.ndtr(z))

    def boundary(self, probability: float) -> float:
        """Return the boundary above which there is this much probability."""
        reach = _FAR * math.sqrt(self.size)
        ends = self._total_mean - reach, self._total_mean + reach
        return statistics.largest(lambda boundary: self.beyond(boundary) > probability, *ends)

    def stop(self, lower: float, upper: float) -> None:
        """Leave out what is beyond the boundaries."""
        reach = _FAR * math.sqrt(self.size)
        low, high = max(lower, self._total_mean - reach), min(upper, self._total_mean + reach)
        if low >= high:
            self._points, self._weights = np.zeros(1), np.zeros(1)
        else:
            nodes, weights = _quadrature()
            points = low + (high - low) * nodes
            z = (points[:, None] - self._points[None, :] - self._mean) / self._deviation
            density = np.exp(-z * z / 2) @ self._weights / (self._deviation * math.sqrt(2 * math.pi))
            self._points, self._weights = points, density * weights * (high - low)
        self.gone = 1.0 - float(self._weights.sum())


@cache
def _quadrature() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return nodes and weights of Gauss-Legendre on [0, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    return (nodes + 1) / 2, weights / 2
