"""How large a batch may be for a while after the device's memory did not hold a larger one.

The memory that a batch needs is known only by trying, and what else takes it (another process, fragments) comes and goes. So the
cap is halved at once and given back step by step. Pure: :mod:`tailgate.service.inference` asks it before each batch.
"""

from dataclasses import dataclass

HOLD_S = 60.0
# Beyond any batch: the cap need not be doubled for ever.
MOST_DOUBLINGS = 12


@dataclass(frozen=True, slots=True)
class BatchLimit:
    """A cap that was lowered at some time, and doubles after each minute without another failure.

    Attributes:
        size: items in a batch at first.
        since_s: when it was lowered.
    """

    size: int
    since_s: float

    def at(self, now_s: float) -> int:
        """Return the cap of the moment; ``now_s`` on the clock of ``since_s``."""
        return self.size << min(MOST_DOUBLINGS, int((now_s - self.since_s) // HOLD_S))


def halved(failed_size: int, now_s: float) -> BatchLimit:
    """Return the limit after a batch of ``failed_size`` items did not fit; one item is always allowed to try."""
    return BatchLimit(max(1, failed_size // 2), now_s)
