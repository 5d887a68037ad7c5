"""One replica in virtual time: who goes with which batch, and when each request is answered.

The rule is that of :mod:`tailgate.service.batching`: a free executor takes all who wait, up to the cap. Batches take random
times. What is neither waiting nor the batch (transport, scheduling, decoding, the event loop) is added to each latency. Both
deviate from their means as batches of about the same size did in a measured run. Pieces of that run are replayed, so that a slow
stretch of the machine stays a stretch.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import cycle
from typing import Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Whole = NDArray[np.int64]
PIECES = 8  # that make a run


def by_size(known: Mapping[float, float] | Mapping[int, float], cap: int) -> Floats:
    """Return seconds for each size of a batch up to the cap, shape (cap + 1,): linear between the known sizes.

    Below and beyond them the line goes on. It never falls as sizes grow, and shrinks at most in proportion to them.
    """
    sizes, seconds = np.array(sorted(known.items()), dtype=np.float64).T
    wanted = np.arange(cap + 1, dtype=np.float64)
    found: Floats = np.interp(wanted, sizes, seconds)
    if len(sizes) > 1:
        below = min(max(0.0, (seconds[1] - seconds[0]) / (sizes[1] - sizes[0])), seconds[0] / sizes[0])
        beyond = max(0.0, (seconds[-1] - seconds[0]) / (sizes[-1] - sizes[0]))
        found += beyond * np.maximum(wanted - sizes[-1], 0.0) - below * np.maximum(sizes[0] - wanted, 0.0)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Deviations:
    """By how many seconds the batches of a run deviated from their means, in the order of time; sizes are in groups."""

    group: Whole  # shape (cap + 1,): of each size, from 0
    groups: Whole  # shape (batches,): of each batch
    batches_s: Floats  # shape (batches,)
    first: Whole  # shape (batches + 1,): where the requests of each batch begin
    requests_s: Floats  # shape (requests,): those of the first batch in the order in which they came, then the second's

    @classmethod
    def none(cls, cap: int) -> Self:
        """Return one batch that did not deviate, for all sizes."""
        return cls(
            np.zeros(cap + 1, np.int64), np.zeros(1, np.int64), np.zeros(1), np.array([0, 1]), np.zeros(1)
        )

    def again(self, rng: np.random.Generator) -> list[Iterator[int]]:
        """Return for each group its batches, in pieces of the run that begin anywhere, again and again.

        The pieces are as long as the run together. So two draws differ by as much as two such runs do.
        """
        count = len(self.groups)
        length = -(-count // PIECES)
        picked = (rng.integers(count, size=PIECES)[:, None] + np.arange(length)).ravel() % count
        of_each = (picked[self.groups[picked] == group] for group in range(int(self.groups.max()) + 1))
        every = (np.flatnonzero(self.groups == group) for group in range(int(self.groups.max()) + 1))
        return [
            cycle((some if len(some) else all_).tolist()) for some, all_ in zip(of_each, every, strict=True)
        ]

    def of_requests(self, batches: Whole, places: Floats) -> Floats:
        """Return for each of these batches the deviation of its request at this place, from 0 for the first to below 1."""
        counts = np.diff(self.first)[batches]
        found: Floats = self.requests_s[self.first[batches] + (places * counts).astype(np.int64)]
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Replica:
    """What a replica takes.

    Attributes:
        batch_s: t(n), shape (cap + 1,).
        rest_s: what a request takes besides its way into the queue, its wait there and its batch, by the size of its batch, shape
            (cap + 1,).
        deviations: of both.
        gap_s: how long a free executor takes to start a batch when somebody waits.
        entry_s: a request's way into the queue.
    """

    batch_s: Floats
    rest_s: Floats
    deviations: Deviations
    gap_s: float = 0.0
    entry_s: float = 0.0

    @classmethod
    def of_times(cls, known: Mapping[float, float] | Mapping[int, float], cap: int) -> Self:
        """Return a replica that takes exactly these times for batches of these sizes, and no others."""
        return cls(by_size(known, cap), np.zeros(cap + 1), Deviations.none(cap))

    @property
    def cap(self) -> int:
        """Requests in a batch, at most."""
        return len(self.batch_s) - 1

    @property
    def saturated_per_s(self) -> float:
        """Requests per second if all batches are full."""
        return float(self.cap / (self.batch_s[-1] + self.gap_s))


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """What became of requests, in the order in which they came; each of shape (requests,)."""

    waits_s: Floats
    latencies_s: Floats
    sizes: Whole  # of their batches


def serve(replica: Replica, arrivals_s: Floats, rng: np.random.Generator) -> Course:
    """Let requests come at these ascending times; the replica is idle before."""
    counts, starts_s, ends_s, picked = _batches(replica, (arrivals_s + replica.entry_s).tolist(), rng)
    of = np.repeat(np.arange(len(counts)), counts)
    sizes = counts[of]
    places = np.arange(len(of)) - (np.cumsum(counts) - counts)[of]
    # Who came first has waited longest, and is answered first.
    off_s = replica.deviations.of_requests(picked[of], (places + rng.random(len(of))) / sizes)
    return Course(
        waits_s=starts_s[of] - arrivals_s,
        latencies_s=ends_s[of] - arrivals_s + np.maximum(replica.rest_s[sizes] + off_s, 0.0),
        sizes=sizes,
    )


def _batches(
    replica: Replica, queued_s: list[float], rng: np.random.Generator
) -> tuple[Whole, Floats, Floats, Whole]:
    """Return of each batch its size, its start, its end, and the batch of the run that it deviates as."""
    batch_s, gap_s, cap = replica.batch_s.tolist(), replica.gap_s, replica.cap
    group, deviations_s = replica.deviations.group.tolist(), replica.deviations.batches_s.tolist()
    again = replica.deviations.again(rng)
    sizes, starts_s, ends_s, picked = [], [], [], []
    first, count, free_s = 0, len(queued_s), -np.inf
    while first < count:
        start_s = max(free_s, queued_s[first]) + gap_s
        behind, most = first + 1, min(first + cap, count)
        while behind < most and queued_s[behind] <= start_s:
            behind += 1
        size = behind - first
        like = next(again[group[size]])
        end_s = start_s + max(0.0, batch_s[size] + deviations_s[like])
        sizes.append(size)
        starts_s.append(start_s)
        ends_s.append(end_s)
        picked.append(like)
        first, free_s = behind, end_s
    return np.array(sizes), np.array(starts_s), np.array(ends_s), np.array(picked)
