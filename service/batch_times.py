"""How long a batch takes, by its size: measured at warm-up, fitted, and what follows from it.

A batch of n costs about ``t(n) = a·n + b``: b is paid once a batch, a for every request in it. The measured times say
where a larger batch stops being worth its wait.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

# A larger batch must save at least this share of the cost of a request to be worth its longer wait.
WORTHWHILE = 0.05


@dataclass(frozen=True, slots=True)
class BatchTimes:
    """Measured seconds of a batch, and the line through them.

    Attributes:
        measured_s: by batch size, ascending.
        per_item_s: a, the slope; not negative.
        fixed_s: b, the intercept; not negative.
    """

    measured_s: Mapping[int, float]
    per_item_s: float
    fixed_s: float

    def predict_s(self, size: int) -> float:
        """Return the fitted seconds of a batch."""
        return self.per_item_s * size + self.fixed_s

    def facts(self) -> dict[str, float | dict[str, float]]:
        """Return all of it for metadata, in JSON's types."""
        return {
            "per_item_s": self.per_item_s,
            "fixed_s": self.fixed_s,
            "measured_s": {str(size): seconds for size, seconds in self.measured_s.items()},
        }


def fit(measured_s: Mapping[int, float]) -> BatchTimes:
    """Fit t(n) = a·n + b by least squares of relative errors, so that small batches count as much as large ones."""
    sizes = np.array(sorted(measured_s), dtype=float)
    seconds = np.array([measured_s[int(size)] for size in sizes])
    rows = np.stack([sizes, np.ones_like(sizes)], axis=1) / seconds[:, None]
    (slope, intercept), *_ = np.linalg.lstsq(rows, np.ones_like(sizes), rcond=None)
    # Noise can bend the line of a model whose cost is all of one kind, so that the other kind comes out below nothing.
    if len(sizes) == 1 or intercept < 0:
        slope, intercept = float(np.median(seconds / sizes)), 0.0
    elif slope < 0:  # bound by launches: a batch of any size takes the same
        slope, intercept = 0.0, float(np.median(seconds))
    return BatchTimes(dict(sorted(measured_s.items())), float(slope), float(intercept))


def worthwhile_cap(measured_s: Mapping[int, float], objective_s: float | None = None) -> int:
    """Return the largest batch size that pays.

    The smallest measured size within 5 % of the lowest cost a request: beyond it a batch only makes everybody in it wait.
    With an objective, no larger than a request can bear that arrives just after a full batch has left, and so waits
    for one batch and is computed in the next: 2·t(cap) ≤ objective.

    Args:
        measured_s: seconds by batch size.
        objective_s: latency that requests are to keep, None for no such aim.
    """
    allowed = [
        size
        for size, seconds in sorted(measured_s.items())
        if objective_s is None or 2 * seconds <= objective_s
    ]
    if not allowed:
        return min(measured_s)
    lowest = min(measured_s[size] / size for size in allowed)
    return next(size for size in allowed if measured_s[size] / size <= lowest * (1 + WORTHWHILE))
