"""The generator's clock beside two others: every time of a measurement is a difference of CLOCK_MONOTONIC.

Its speed can be wrong. A time service slews it (adjtimex(2)): by 0.05 % as a rule, and by some per cent where it catches up.
CLOCK_MONOTONIC_RAW is the same hardware without that. ``/proc/uptime`` also runs while the machine sleeps, and is read from a
file: a library that replaces a process's clock functions does not change it.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

_UPTIME = Path("/proc/uptime")
# Seconds since some moment by a clock, and the length of its steps; None where the system lacks the clock.
Other = Callable[[], tuple[float, float] | None]


@dataclass(frozen=True, slots=True)
class ClockSpan:
    """One stretch of time by another clock, and by the generator's own, in seconds.

    The two are read one after the other and tell the time in steps, so that the generator's own is between two bounds.
    """

    clock: str  # the other one
    seconds: float
    least_s: float
    most_s: float


@dataclass(frozen=True, slots=True)
class ClockReading:
    """One reading of another clock, and CLOCK_MONOTONIC just before and after it."""

    clock: str
    seconds: float
    step_s: float
    before_ns: int
    after_ns: int


def _raw() -> tuple[float, float] | None:
    number = getattr(time, "CLOCK_MONOTONIC_RAW", None)
    return None if number is None else (time.clock_gettime(number), 0.0)


def _uptime() -> tuple[float, float] | None:
    try:
        return float(_UPTIME.read_text(encoding="ascii").split()[0]), 0.01
    except (OSError, ValueError, IndexError):
        return None


OTHERS: Mapping[str, Other] = MappingProxyType({"CLOCK_MONOTONIC_RAW": _raw, "/proc/uptime": _uptime})


def read_clocks(
    own_ns: Callable[[], int] = time.monotonic_ns, others: Mapping[str, Other] = OTHERS
) -> tuple[ClockReading, ...]:
    """Read the clocks that this system has; ``own_ns`` stands for CLOCK_MONOTONIC."""
    found = []
    for clock, read in others.items():
        before_ns, told = own_ns(), read()
        if told is not None:
            found.append(ClockReading(clock, *told, before_ns, own_ns()))
    return tuple(found)


def spans(before: Sequence[ClockReading], after: Sequence[ClockReading]) -> Iterator[ClockSpan]:
    """Yield what passed between two readings, by each clock that both have."""
    ends = {one.clock: one for one in after}
    for start in before:
        if end := ends.get(start.clock):
            yield ClockSpan(
                start.clock,
                end.seconds - start.seconds,
                (end.before_ns - start.after_ns) / 1e9 - end.step_s,
                (end.after_ns - start.before_ns) / 1e9 + end.step_s,
            )
