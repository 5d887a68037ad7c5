"""How large a batch is worth waiting for while inputs are decoded on the processors that the model needs. Pure.

Of K inputs some are ready and some are still to be decoded. Each takes d to decode, and a batch of n takes t(n) = a·n + b. An
executor that takes at once whoever is ready gets small batches, pays b for each, and holds up the decoding meanwhile. To wait
costs no processor time, since the processors decode. In batches of n the K are answered, in the mean, after

    (K/n + 1) / 2 · (n·(d + a) + b)

which is least at n = √(K·b / (d + a)). That is for a single burst. Clients that come back are served faster the larger the
batches are, since n of them cost n·(d + a) + b. Twice that n is a compromise: a burst waits at most a quarter longer for what
is not its own decoding and computing, and each input bears half as much of b.

A lone input is its own K and never waits.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

# Of the batch that serves a single burst fastest.
TIMES = 2.0
# The wait ends when inputs take so many times longer than expected.
PATIENCE = 2.0


class Coming(NamedTuple):
    """What is being decoded on the model's own processors."""

    inputs: int = 0  # how many are not decoded yet, 0 where decoding does not hold up the model
    each_s: float = 0.0  # seconds from one to the next


def worthwhile(waiting: int, coming: Coming, expected_s: Callable[[int], float]) -> int:
    """Return how many inputs a batch should have, of those that are ready and wait, and those that are coming.

    ``expected_s`` is t(n), seconds of a batch by its size.
    """
    total = waiting + coming.inputs
    each_s = coming.each_s + expected_s(2) - expected_s(1)
    fixed_s = max(0.0, 2 * expected_s(1) - expected_s(2))
    return min(total, math.floor(TIMES * math.sqrt(total * fixed_s / each_s))) if each_s > 0 else total
