"""When a request that comes now would be done: what admission and Retry-After go by. Pure, but for running means.

A request passes two stages, each with a queue of its own. Decoding threads take one item each, in about m seconds; pixels skip
this stage. The executor takes batches of up to ``cap`` from the front of its queue, and a batch of n takes about
t(n) = a·n + b (:mod:`tailgate.service.execution.trials.batch_times`). The stages work at the same time, so the slower one decides:

    done = max(free + one batch + m,  rest of the batch that runs + full batches of all before it) + own batch

``free`` is when a decoding thread is free for it: what those before it still take, shared by the threads. "One batch" is the
one that may have begun just before its input was there. How large its own batch will be is not known, since others may join
it. The batch that runs is the best guess: under overload all are full, and at a light load they are small.

m is learned from the items. t(n) was measured while nothing else ran; while requests are read and answered beside it, a batch
takes longer, and the factor is learned from the batches.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

# Of each batch, and each decoded item, in its running mean: the last 20 or so count.
NEWEST_SHARE = 0.1
# How many times what is expected one batch or item counts for at most: a single stall must not turn everybody away for long.
MOST_SLOWDOWN = 10.0
# What is ahead may take so much longer, as a share: the machine's speed wanders by about as much in half a second. Without it
# 3 % of the accepted requests of an overloaded service came out late; refused early they cost less, and others take their place.
DOUBT = 0.15


@dataclass(frozen=True, slots=True)
class Running:
    """The batch that the executor has."""

    size: int  # its requests
    start_s: float  # when it began, on the batcher's clock
    behind: int = 0  # requests of the batch that is put together behind it, 0 where there is none


class Decoding(NamedTuple):
    """What the decoding threads have to do; a tuple, since one is made for every refusal."""

    threads: int
    waiting: int = 0  # items that wait for a thread
    running: int = 0  # items that have one
    spent_s: float = 0.0  # what these have taken so far, all together

    @property
    def busy(self) -> bool:
        """Whether a new item has to wait for a thread."""
        return self.waiting + self.running >= self.threads

    def without(self, count: int) -> "Decoding":
        """Return the same with so many fewer that wait."""
        return self._replace(waiting=max(0, self.waiting - count))


class Outlook(NamedTuple):
    """Seconds until a new request would be done, with some doubt about those ahead of it."""

    likely_s: float  # if its batch becomes as large as the one that runs
    latest_s: float  # if its batch becomes full


class Forecast:
    """What is to be expected of both queues.

    Args:
        batch_s: t(n), seconds of a batch by its size, as measured at warm-up.
        cap: requests in a batch, at most.
        doubt: by how much longer, as a share, the outlook takes what is ahead of a request to last.
    """

    def __init__(self, batch_s: Callable[[int], float], cap: int, doubt: float = DOUBT) -> None:
        self.slowdown = 1.0  # how many times t(n) batches have taken of late; 1 before the first
        # m: what an item takes in a decoding thread; None before the first.
        self.decode_s: float | None = None
        self.decoded = 0  # items that a decoding thread has had
        self._doubt = doubt
        self._batch_s = batch_s
        self._cap = cap

    def learn(self, size: int, elapsed_s: float) -> None:
        """Take note of a batch that has ended."""
        expected_s = self._batch_s(size)
        if expected_s > 0:
            times = min(elapsed_s / expected_s, MOST_SLOWDOWN)
            self.slowdown += NEWEST_SHARE * (times - self.slowdown)

    def learn_decoding(self, elapsed_s: float) -> None:
        """Take note of an item that a thread has decoded."""
        self.decoded += 1
        mean_s = self.decode_s
        if mean_s is None:
            self.decode_s = elapsed_s
            return
        newest_share = max(NEWEST_SHARE, 1 / self.decoded)
        self.decode_s = mean_s + newest_share * (min(elapsed_s, MOST_SLOWDOWN * mean_s) - mean_s)

    def outlook(
        self, waiting: int, running: Running | None, now_s: float, decoding: Decoding | None = None
    ) -> Outlook:
        """Return when a request would be done that comes now.

        Args:
            waiting: requests that will be computed before it: those that wait for a batch and, where it is to be decoded
                itself, those before it in the decoding threads.
            running: the batch that the executor has.
            now_s: the present.
            decoding: what is before it in the decoding threads; None where it goes straight to the batches.
        """
        batches, before = divmod(waiting, self._cap)
        size = 0 if running is None else running.size
        ahead_s = (1.0 + self._doubt) * (self._rest_s(running, now_s) + batches * self.expected_s(self._cap))
        likely_s = ahead_s + self.expected_s(min(self._cap, max(before + 1, size)))
        if decoding is not None:
            one_batch_s = self.expected_s(size) if running is not None else 0.0
            decoded_s = (1.0 + self._doubt) * (self._free_s(decoding) + one_batch_s) + (self.decode_s or 0.0)
            likely_s = max(likely_s, decoded_s + self.expected_s(min(self._cap, max(1, size))))
            ahead_s = max(ahead_s, decoded_s)
        return Outlook(likely_s, ahead_s + self.expected_s(self._cap))

    def drain_s(
        self, waiting: int, running: Running | None, now_s: float, decoding: Decoding | None = None
    ) -> float:
        """Return the seconds until all who wait now are done, those in the decoding threads among ``waiting``."""
        batches, rest = divmod(waiting, self._cap)
        full_s = self._rest_s(running, now_s) + batches * self.expected_s(self._cap)
        computed_s = full_s + (self.expected_s(rest) if rest else 0.0)
        if decoding is None or not decoding.waiting + decoding.running:
            return computed_s
        return max(computed_s, self._left_s(decoding) / decoding.threads + self.expected_s(1))

    def _rest_s(self, running: Running | None, now_s: float) -> float:
        if running is None:
            return 0.0
        rest_s = max(0.0, running.start_s + self.expected_s(running.size) - now_s)
        return rest_s + (self.expected_s(running.behind) if running.behind else 0.0)

    def _free_s(self, decoding: Decoding) -> float:
        return self._left_s(decoding) / decoding.threads if decoding.busy else 0.0

    def _left_s(self, decoding: Decoding) -> float:
        """Return the seconds that the threads still spend on what they have; before the first item nothing is known."""
        item_s = self.decode_s or 0.0
        return decoding.waiting * item_s + max(0.0, decoding.running * item_s - decoding.spent_s)

    def expected_s(self, size: int) -> float:
        """Return how long a batch takes, as things are; may be called by any thread."""
        return self.slowdown * self._batch_s(size)
