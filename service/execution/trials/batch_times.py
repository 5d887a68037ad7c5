"""How long a batch takes, by its size: measured at start, fitted, and how large batches should be because of it.

A batch of n costs about ``t(n) = a·n + b``: b per batch, a per request. Each round runs every size once, and sizes are
compared within a round, since a slow minute falls on all of them: one is dearer only where nearly every round says so.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

# What a larger batch may cost more per request, in a round, before the round speaks against it.
DEARER = 0.1
# Share of the rounds that must speak against a size. Of five rounds all, of eight all but one.
NEARLY_ALL = 0.875

Rounds = Mapping[int, Sequence[float]]
Costs = Mapping[int, "np.ndarray[tuple[int], np.dtype[np.float64]]"]  # per request, by size and round


@dataclass(frozen=True, slots=True)
class BatchTimes:
    """Measured seconds by batch size, ascending, and the line through them: slope a and intercept b, neither negative."""

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


@dataclass(frozen=True, slots=True)
class Cap:
    """The largest batch, and why it is no larger: without measured numbers, so that replicas say the same."""

    size: int
    why: str


def fit(measured_s: Mapping[int, float]) -> BatchTimes:
    """Fit t(n) = a·n + b by least squares of relative errors, so that small batches count as much as large ones."""
    sizes = np.array(sorted(measured_s), dtype=float)
    seconds = np.array([measured_s[int(size)] for size in sizes])
    rows = np.stack([sizes, np.ones_like(sizes)], axis=1) / seconds[:, None]
    (slope, intercept), *_ = np.linalg.lstsq(rows, np.ones_like(sizes), rcond=None)
    # Where all cost is of one kind, noise can bend the line so that the other kind comes out negative.
    if len(sizes) == 1 or intercept < 0:
        slope, intercept = float(np.median(seconds / sizes)), 0.0
    elif slope < 0:  # bound by launches: a batch of any size takes the same
        slope, intercept = 0.0, float(np.median(seconds))
    return BatchTimes(dict(sorted(measured_s.items())), float(slope), float(intercept))


def medians(rounds_s: Rounds) -> dict[int, float]:
    """Return the median seconds of each size."""
    return {size: float(np.median(seconds)) for size, seconds in rounds_s.items()}


def worthwhile_cap(
    rounds_s: Rounds, objective_s: float | None = None, none_larger: str = "the largest that is tried"
) -> Cap:
    """Return the largest measured batch size, unless a smaller one is clearly cheaper per request.

    With an objective, a request that arrives just after a full batch waits for it and is computed in the next one:
    2·t(cap) ≤ objective, with the shortest t of all rounds. Of two that are close the larger is taken: it costs little
    throughput, and noise does not move it, so that replicas choose the same.

    Args:
        rounds_s: seconds by batch size, one per round for each size.
        objective_s: latency that requests are to keep, if any.
        none_larger: why no larger size than these was measured.
    """
    sizes = sorted(rounds_s)
    allowed = [size for size in sizes if objective_s is None or 2 * min(rounds_s[size]) <= objective_s]
    if not allowed:
        return Cap(sizes[0], "the latency objective: even the smallest batch takes more than half of it")
    costs = _costs(rounds_s, allowed)
    cap = next(size for size in reversed(allowed) if not _is_dearer(size, costs))
    if cap != allowed[-1]:
        return Cap(cap, "a larger batch costs clearly more per request")
    if cap != sizes[-1]:
        return Cap(cap, "the latency objective: a larger batch takes more than half of it")
    return Cap(cap, none_larger)


def is_settled(rounds_s: Rounds, most: int) -> bool:
    """Tell whether no size can be found dearer any more, however the rest of at most ``most`` rounds comes out."""
    costs = _costs(rounds_s, rounds_s)
    enough = most * (1 - NEARLY_ALL)
    return all(
        np.sum(costs[size] <= costs[smaller] * (1 + DEARER)) > enough
        for size in costs
        for smaller in costs
        if smaller < size
    )


def is_clear(rounds_s: Sequence[Rounds]) -> bool:
    """Tell whether one of several executors is clearly the fastest in every round, over the sizes that all have."""
    sizes = set[int].intersection(*map(set, rounds_s))
    speeds = [np.mean([np.log(each[size]) for size in sizes], axis=0) for each in rounds_s]
    best = min(speeds, key=np.mean)
    return all(np.all(speed > best + np.log1p(DEARER)) for speed in speeds if speed is not best)


def _costs(rounds_s: Rounds, sizes: Iterable[int]) -> Costs:
    return {size: np.array(rounds_s[size]) / size for size in sizes}


def _is_dearer(size: int, costs: Costs) -> bool:
    """Tell whether some smaller size was cheaper per request in nearly every round."""
    return any(
        np.mean(costs[size] > costs[smaller] * (1 + DEARER)) >= NEARLY_ALL
        for smaller in costs
        if smaller < size
    )
