"""Whether it pays to wait for the clients whose answers have just left. Pure: the time is an argument.

Clients that send their next request when they have an answer (a closed loop) come back together, a moment after their batch.
An executor that takes at once whoever waits splits them into two groups, which take turns for ever. Two batches take longer
than one of all: to wait for m who are about to come back saves the n who wait t(n) + t(m) − t(n + m), and costs the time
until they are back.

Whether they come back is learned from the last rounds. A round lasts from the end of a batch to the end of the next one. It
tells of a closed loop if exactly as many requests came in it as answers had left. Requests that come independently of the
answers (an open loop) come in this number by chance only, and so do not make the executor wait.

The executor waits if, in most of the last rounds, all were back within half of what waiting saves, and for no longer than
that. Half, so that a wait that proves vain costs less than one that succeeds gains.
"""

import math
from collections import deque
from collections.abc import Callable

ROUNDS = 16
LARGEST_SHARE = 0.5  # of what waiting saves


class Returning:
    """What the last rounds have taught; ``expected_s`` is t(n), seconds of a batch by its size."""

    def __init__(self, expected_s: Callable[[int], float]) -> None:
        self.away = 0  # clients of the last batch that have not come back yet
        self._expected_s = expected_s
        self._ended_s = -math.inf
        # Until the last of a batch's clients was back, infinity where another number of requests came.
        self._back_s = math.inf
        self._rounds: deque[float] = deque(maxlen=ROUNDS)
        self._usual_s = math.inf

    def arrived(self, now_s: float) -> None:
        """Note a request."""
        self.away -= 1
        if self.away <= 0:
            self._back_s = now_s - self._ended_s if self.away == 0 else math.inf

    def ended(self, now_s: float, size: int) -> None:
        """Note that a batch of ``size`` has ended, and with it a round."""
        self._rounds.append(self._back_s)
        self._usual_s = sorted(self._rounds)[len(self._rounds) // 2]
        self._ended_s, self.away, self._back_s = now_s, size, math.inf

    def until_s(self, waiting: int, room: int) -> float:
        """Return until when a free executor waits for those who are away; a time that has passed where it does not.

        The batch has ``room`` for so many besides those who are ``waiting``.
        """
        coming = min(self.away, room)
        if coming <= 0:
            return -math.inf
        expected_s = self._expected_s
        saved_s = expected_s(waiting) + expected_s(coming) - expected_s(waiting + coming)
        longest_s = LARGEST_SHARE * saved_s
        return self._ended_s + longest_s if self._usual_s <= longest_s else -math.inf
