"""When a request that comes now would be done: what admission and Retry-After go by. Pure, but for a running mean.

The executor takes batches of up to ``cap`` from the front of the queue, and a batch of n takes about t(n) = a·n + b
(:mod:`service.batch_times`). So a request that finds ``waiting`` others is done after the rest of the batch that runs, the
full batches of those before it, and its own batch. How large that one will be is not known, since others may join it. The
batch that runs is the best guess: under overload all are full, and at a light load they are small.

t(n) was measured while nothing else ran. While requests are read and answered beside it, a batch takes longer; the
factor is learned from the batches themselves.
"""

from collections.abc import Callable
from dataclasses import dataclass

# Of each batch in the mean of how much longer than t(n) batches take: the last 20 or so count.
NEWEST_SHARE = 0.1
# How many times t(n) one batch counts for at most: a single stall must not turn everybody away for long.
MOST_SLOWDOWN = 10.0
# What is ahead may take so much longer, as a share: the machine's speed wanders by about as much in half a second. Without it
# 3 % of the accepted requests of an overloaded service came out late; refused early they cost less, and others take their place.
DOUBT = 0.15


@dataclass(frozen=True, slots=True)
class Running:
    """The batch that the executor has.

    Attributes:
        size: its requests.
        start_s: when it began, on the batcher's clock.
        behind: requests of the batch that is put together behind it, 0 where there is none.
    """

    size: int
    start_s: float
    behind: int = 0


@dataclass(frozen=True, slots=True)
class Outlook:
    """Seconds until a new request would be done, with some doubt about those ahead of it.

    Attributes:
        likely_s: if its batch becomes as large as the one that runs.
        latest_s: if its batch becomes full.
    """

    likely_s: float
    latest_s: float


class Forecast:
    """What is to be expected of the queue.

    Args:
        batch_s: t(n), seconds of a batch by its size, as measured at warm-up.
        cap: requests in a batch, at most.
        doubt: by how much longer, as a share, the outlook takes what is ahead of a request to last.

    Attributes:
        slowdown: how many times t(n) batches have taken of late; 1 before the first.
    """

    def __init__(self, batch_s: Callable[[int], float], cap: int, doubt: float = DOUBT) -> None:
        self.slowdown = 1.0
        self._doubt = doubt
        self._batch_s = batch_s
        self._cap = cap

    def learn(self, size: int, elapsed_s: float) -> None:
        """Take note of a batch that has ended."""
        expected_s = self._batch_s(size)
        if expected_s > 0:
            times = min(elapsed_s / expected_s, MOST_SLOWDOWN)
            self.slowdown += NEWEST_SHARE * (times - self.slowdown)

    def outlook(self, waiting: int, running: Running | None, now_s: float) -> Outlook:
        """Return when a request would be done that comes now, behind ``waiting`` others."""
        batches, before = divmod(waiting, self._cap)
        ahead_s = (1.0 + self._doubt) * (self._rest_s(running, now_s) + batches * self.expected_s(self._cap))
        own = min(self._cap, max(before + 1, 0 if running is None else running.size))
        return Outlook(ahead_s + self.expected_s(own), ahead_s + self.expected_s(self._cap))

    def drain_s(self, waiting: int, running: Running | None, now_s: float) -> float:
        """Return the seconds until all who wait now are done."""
        batches, rest = divmod(waiting, self._cap)
        full_s = self._rest_s(running, now_s) + batches * self.expected_s(self._cap)
        return full_s + (self.expected_s(rest) if rest else 0.0)

    def _rest_s(self, running: Running | None, now_s: float) -> float:
        if running is None:
            return 0.0
        rest_s = max(0.0, running.start_s + self.expected_s(running.size) - now_s)
        return rest_s + (self.expected_s(running.behind) if running.behind else 0.0)

    def expected_s(self, size: int) -> float:
        """Return how long a batch takes, as things are; may be called by any thread."""
        return self.slowdown * self._batch_s(size)
