"""A replica as a run has shown it: from what each answer said of its batch in ``Server-Timing``.

All requests of a batch began at one moment, each after its own way into the queue and its own wait there. So the waits that the
service tells show how long the ways took, and when each batch began; and that, how long the executor stood still while somebody
waited. t(n) is the mean over batches of about n requests. What a request took beyond its way, its wait and its batch is the rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tailgate.harness.errors import MeasurementError
from tailgate.harness.load.records.samples import SAMPLE, Samples
from tailgate.harness.observe.window import failed
from tailgate.harness.sizing.replica import Deviations, Floats, Replica, Whole, by_size

FEWEST = 1_000  # requests, as for any p99
MOST_FAILED = 0.01  # of a phase: refused requests take no part in batches
# Batches of about one size whose mean is told together: as many as this, and a share of all.
TOGETHER, TOGETHER_SHARE = 20, 1 / 40


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """The batches of a run, in the order of time, and its requests by batch, in the order in which they came."""

    sizes: Whole  # shape (batches,)
    batch_s: Floats
    rest_s: Floats  # shape (requests,): what its latency has beyond its way into the queue, its wait there and its batch
    first: Whole  # shape (batches + 1,): where the requests of each batch begin
    entry_s: float  # the way into the queue
    gap_s: float  # how long the executor stood still, on average, while somebody waited


def usable(phases: Sequence[Samples]) -> list[Samples]:
    """Return the phases in which hardly any request failed."""
    return [one for one in phases if len(one) and np.mean(failed(one)) <= MOST_FAILED]


def fitted(phases: Sequence[Samples], cap: int) -> Replica:
    """Return the replica that served these phases of open load, with batches of at most ``cap``.

    Raises:
        MeasurementError: too few requests say which batch they were in, or all batches were of about one size.
    """
    samples = np.concatenate([np.zeros(0, SAMPLE), *phases])
    timed = np.isfinite(samples["compute_s"]) & np.isfinite(samples["queue_s"])
    told = samples[~failed(samples) & timed & (samples["batch_size"] > 0)]
    if len(told) < FEWEST:
        raise MeasurementError(
            f"{len(told)} answered requests of open load say in Server-Timing how long they waited (queue), how long their batch "
            f"took (compute) and how large it was (batch); a plan needs {FEWEST:,}. Run for longer, or say t(n) by --batch-times"
        )
    seen = _seen(told)
    largest = int(seen.sizes.max())
    group = _groups(seen.sizes, max(cap, largest))
    if largest < cap and not group.any():
        raise MeasurementError(
            f"hardly any of {len(seen.sizes):,} batches had more than {int(np.median(seen.sizes))} requests, and one may have "
            f"{cap}: nothing is known of larger ones. Run at a higher load, as the scenario ramp does, or say t(n) by --batch-times"
        )
    of = np.repeat(seen.sizes, np.diff(seen.first))
    batch_s, rest_s = _mean_s(seen.batch_s, seen.sizes, group), _mean_s(seen.rest_s, of, group)
    deviations = Deviations(
        group[: cap + 1],
        group[seen.sizes],
        seen.batch_s - batch_s[seen.sizes],
        seen.first,
        seen.rest_s - rest_s[of],
    )
    return Replica(batch_s[: cap + 1], rest_s[: cap + 1], deviations, seen.gap_s, seen.entry_s)


def _seen(told: Samples) -> _Seen:
    """Put requests together that were computed at once: they have the same time and size, and ended together."""
    order = np.lexsort((told["done_ns"], told["batch_size"], told["compute_s"]))
    told = told[order]
    apart = np.diff(told["done_ns"]) / 1e9 > told["compute_s"][1:] / 2
    other = (np.diff(told["compute_s"]) != 0) | (np.diff(told["batch_size"].astype(int)) != 0) | apart
    alike = np.flatnonzero(np.concatenate([[True], other]))
    # Two batches that took the same follow each other: the first is whole when it has its number.
    places = np.arange(len(told)) - np.repeat(alike, np.diff(np.append(alike, len(told))))
    first = np.flatnonzero(places % told["batch_size"] == 0)
    # The batches, in the order in which they ended.
    rank = np.argsort(np.argsort(told["done_ns"][first], kind="stable"), kind="stable")
    counts = np.diff(np.append(first, len(told)))
    told = told[np.lexsort((told["intended_ns"], np.repeat(rank, counts)))]
    counts = counts[np.argsort(rank)]
    first = np.concatenate([[0], np.cumsum(counts)])
    came_s = (told["intended_ns"] - told["intended_ns"].min()) / 1e9
    batch_s = told["compute_s"][first[:-1]].astype(np.float64)
    begun_s = came_s + told["queue_s"]  # less the way into the queue
    ways_s = np.repeat(np.maximum.reduceat(begun_s, first[:-1]), counts) - begun_s
    entry_s = float(ways_s.sum() / max(1, counts[counts > 1].sum()))
    start_s = np.add.reduceat(begun_s, first[:-1]) / counts + entry_s
    free_s = np.append(-np.inf, start_s[:-1] + batch_s[:-1])
    gap_s = float(np.mean(start_s - np.maximum(free_s, came_s[first[:-1]] + entry_s)))
    ended_s = (told["done_ns"] - told["intended_ns"].min()) / 1e9
    return _Seen(
        sizes=told["batch_size"][first[:-1]].astype(np.int64),
        batch_s=batch_s,
        rest_s=ended_s - np.repeat(start_s + batch_s, counts),
        first=first,
        entry_s=entry_s,
        gap_s=max(0.0, gap_s),
    )


def _groups(sizes: Whole, most: int) -> Whole:
    """Return a group for each size from 0 to ``most``, from 0: neighbours that have enough batches for a mean together."""
    counts = np.bincount(sizes, minlength=most + 1).tolist()
    enough = max(TOGETHER, round(len(sizes) * TOGETHER_SHARE))
    found, group, together, left = [], 0, 0, len(sizes)
    for count in counts:
        found.append(group)
        together, left = together + count, left - count
        if together >= enough and left >= enough:
            group, together = group + 1, 0
    return np.array(found)


def _mean_s(seconds: Floats, sizes: Whole, group: Whole) -> Floats:
    """Return the mean seconds by size, a line from the mean of one group to that of the next."""
    groups = group[sizes]
    mean_size, mean_s = (np.bincount(groups, weights=each) / np.bincount(groups) for each in (sizes, seconds))
    return by_size(dict(zip(mean_size.tolist(), mean_s.tolist(), strict=True)), len(group) - 1)
