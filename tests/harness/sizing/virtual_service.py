"""The service's own queue in virtual time, and the records that a load generator would have written of it."""

from dataclasses import dataclass, field

import numpy as np
from sample_records import samples

from benchmarks.limits.simulation import Asked, At, World
from tailgate.service.batching.policy import BatchPolicy, BatchQueue


@dataclass
class Recorded(World):
    """A world that keeps its requests, in the order of their answers."""

    answered: list[Asked] = field(default_factory=list)

    def end(self, batch, now_s):
        for request in batch:
            request.computed_s = now_s - request.bound_s
        self.answered += batch
        World.end(self, batch, now_s)


def recorded(batch_s, cap, arrivals_s, *, event_loop_s=0.0, spread=0.0, seed=7, waits=True):
    """Return the world after requests came at these times; ``waits`` is whether the service's rule of waiting holds."""
    queue = BatchQueue(BatchPolicy(cap, len(arrivals_s), max_wait_s=None if waits else 0.0), batch_s)
    world = Recorded(queue, batch_s, At(list(arrivals_s)), event_loop_s, spread)
    world.dice.seed(seed)
    world.run()
    return world


def as_samples(world):
    """Return one record per request, as answers with Server-Timing make them."""
    asked = world.answered
    records = samples(world.latencies_s, intended_s=[one.sent_s for one in asked])
    records["queue_s"] = [one.bound_s - one.queued_s for one in asked]
    records["compute_s"] = [one.computed_s for one in asked]
    records["batch_size"] = [one.batch_size for one in asked]
    return records[np.argsort(records["intended_ns"], kind="stable")]
