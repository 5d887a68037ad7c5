"""What is known of a generator's clock: how far it is from the harness's, and how fast it runs. Pure.

A latency is a difference on the clock of its own generator, so that only drift enters it. The offset enters the schedule: by
as much as it is wrong, the requests of one generator come earlier or later than those of the others.
"""

from collections.abc import Iterable
from dataclasses import dataclass

# Round trips per reading; the smallest counts.
TRIPS = 20


@dataclass(frozen=True, slots=True)
class Trip:
    """One question for a generator's clock, in nanoseconds of CLOCK_MONOTONIC."""

    sent_ns: int  # of the harness
    told_ns: int  # of the generator
    received_ns: int  # of the harness


@dataclass(frozen=True, slots=True)
class ClockReading:
    """How far a generator's clock was from the harness's at one moment."""

    at_ns: int  # of the harness
    offset_ns: int  # the generator's clock less the harness's
    error_ns: int  # that the offset may be wrong by, either way

    def to_there(self, here_ns: int) -> int:
        """Return the generator's time at a moment of the harness."""
        return here_ns + self.offset_ns


def read_clock(trips: Iterable[Trip], *, same: bool = False) -> ClockReading:
    """Return the reading of some round trips: the generator looked at its clock between sending and receiving.

    So half of the smallest round trip bounds the error. ``same``: both programs say that they read one clock of one kernel.
    If the trips do not contradict it, the offset is 0 and there is no error.
    """
    best = min(trips, key=lambda trip: trip.received_ns - trip.sent_ns)
    middle_ns = (best.sent_ns + best.received_ns) // 2
    if same and best.sent_ns <= best.told_ns <= best.received_ns:
        return ClockReading(middle_ns, 0, 0)
    error_ns = -(-(best.received_ns - best.sent_ns) // 2)
    return ClockReading(middle_ns, best.told_ns - middle_ns, error_ns)


def schedule_error_s(before: ClockReading, after: ClockReading) -> float:
    """Return by how much requests may have come early or late, where the offset of ``before`` was used until ``after``."""
    moved_ns = abs(after.offset_ns - before.offset_ns)
    return max(before.error_ns, moved_ns + after.error_ns) / 1e9


def drift(before: ClockReading, after: ClockReading) -> float:
    """Return the share by which a second of the generator may differ from one of the harness, errors included."""
    changed_ns = abs(after.offset_ns - before.offset_ns) + before.error_ns + after.error_ns
    return changed_ns / (after.at_ns - before.at_ns)
