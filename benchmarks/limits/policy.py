"""The batching rule in virtual time: the latencies that the policy itself causes, on a machine without noise.

The service's own :func:`next_batch` decides. The executor takes ``batch_s(n)`` for a batch of n, and nothing else takes
time.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from tailgate.service.batching.policy import BatchPolicy, Wait, next_batch


def latencies(
    policy: BatchPolicy, arrivals_s: Sequence[float], batch_s: Callable[[int], float]
) -> NDArray[np.float64]:
    """Return the seconds from each request's arrival, in ascending order, to the end of its batch.

    The queue is unbounded.
    """
    results = np.empty(len(arrivals_s))
    done = arrived = 0
    now_s = 0.0
    while done < len(arrivals_s):
        while arrived < len(arrivals_s) and arrivals_s[arrived] <= now_s:
            arrived += 1
        oldest_s = arrivals_s[done] if arrived > done else None
        decision = next_batch(policy, arrived - done, oldest_s, now_s, closed=arrived == len(arrivals_s))
        if isinstance(decision, Wait):
            coming_s = arrivals_s[arrived]
            now_s = coming_s if decision.until_s is None else min(coming_s, decision.until_s)
            continue
        now_s += batch_s(decision.size)
        results[done : done + decision.size] = now_s - np.asarray(arrivals_s[done : done + decision.size])
        done += decision.size
    return results
