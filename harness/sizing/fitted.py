"""A replica as a run has shown it: from what each answer said of its batch in ``Server-Timing``.

t(n) is the mean over batches of about n requests. What a request took beyond its wait and its batch is the rest. Where the
run's own arrivals, simulated, wait less than they did, the difference becomes a gap between batches.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tailgate.harness.errors import MeasurementError
from tailgate.harness.load.records.samples import SAMPLE, Samples
from tailgate.harness.observe.window import failed
from tailgate.harness.sizing.replica import Deviations, Floats, Replica, Whole, by_size, serve

FEWEST = 1_000  # requests, as for any p99
MOST_FAILED = 0.01  # of a phase: refused requests take no part in batches
# Batches of about one size whose mean is told together: as many as this, and a share of all.
TOGETHER, TOGETHER_SHARE = 20, 1 / 40
SIMULATED = 4  # times that the run is simulated for each gap that is tried
BISECTIONS = 12


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """The batches of a run, in the order of time, and its requests by batch, in the order in which they came."""

    sizes: Whole  # shape (batches,)
    batch_s: Floats
    waited_s: Floats  # shape (requests,): from its intended time to the start of its batch
    rest_s: Floats  # shape (requests,): what its latency has beyond that and its batch
    first: Whole  # shape (batches + 1,): where the requests of each batch begin


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
    replica = Replica(batch_s[: cap + 1], rest_s[: cap + 1], deviations)
    return _as_long(replica, phases, np.sort(seen.waited_s))


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
    # Until a request is in the queue it waits, too, if its batch would not have begun before.
    start_s = np.maximum.reduceat(came_s + told["queue_s"], first[:-1])
    waited_s = np.repeat(start_s, counts) - came_s
    latency_s = (told["done_ns"] - told["intended_ns"]) / 1e9
    return _Seen(
        sizes=told["batch_size"][first[:-1]].astype(np.int64),
        batch_s=told["compute_s"][first[:-1]].astype(np.float64),
        waited_s=waited_s,
        rest_s=latency_s - waited_s - told["compute_s"],
        first=first,
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


def _as_long(replica: Replica, phases: Sequence[Samples], waited_s: Floats) -> Replica:
    """Return a replica at which the run's arrivals wait as long on average as they did; ``waited_s`` ascends.

    Who finds the executor idle still waits until its thread is awake. That belongs to the rest. What the others wait longer
    than simulated is put between batches.
    """
    arrivals = [np.sort(one["intended_ns"] - one["intended_ns"].min()) / 1e9 for one in phases]

    def simulated_s(gap_s: float) -> Floats:
        one, rng = replace(replica, gap_s=gap_s), np.random.default_rng(0)
        courses = [serve(one, times_s, rng) for _ in range(SIMULATED) for times_s in arrivals]
        return np.concatenate([course.waits_s for course in courses])

    idle = round(float(np.mean(simulated_s(0.0) == 0)) * len(waited_s))
    waking_s = float(waited_s[:idle].mean()) if idle else 0.0
    mean_s = float(waited_s.mean()) - waking_s
    least, most = 0.0, float(replica.batch_s[1])
    for _ in range(BISECTIONS):
        middle = (least + most) / 2
        least, most = (middle, most) if simulated_s(middle).mean() < mean_s else (least, middle)
    return replace(replica, rest_s=replica.rest_s + waking_s, gap_s=least)
