"""What a server's processes hold while they serve: memory, file descriptors, threads, over time.

Read beside the load, well below a millisecond a reading for a server of one process. Sums are over the process tree. Memory is resident memory, so that pages which several processes share count once for each of them: a level
of one server, and not to be compared between servers of other structure.
"""

import contextlib
import time
from collections.abc import Iterable
from dataclasses import dataclass

import psutil

# Short phases are read five times a second; long ones some 600 times in all, which is enough for a slope.
SHORTEST_PERIOD_S = 0.2
LONGEST_PERIOD_S = 5.0
READINGS = 600


@dataclass(frozen=True, slots=True)
class ResourceReading:
    """What the processes hold at one moment."""

    time_s: float  # CLOCK_MONOTONIC
    rss_bytes: int
    fds: int
    threads: int


def period_s(length_s: float) -> float:
    """Return the time between two readings of a phase of this length."""
    return min(max(length_s / READINGS, SHORTEST_PERIOD_S), LONGEST_PERIOD_S)


def read(pids: Iterable[int]) -> ResourceReading | None:
    """Read what these processes hold; those that are gone are left out, and None is returned where all are."""
    found = [one for pid in pids if (one := _read_process(pid)) is not None]
    if not found:
        return None
    rss_bytes, fds, threads = (sum(column) for column in zip(*found, strict=True))
    return ResourceReading(time.monotonic(), rss_bytes, fds, threads)


def _read_process(pid: int) -> tuple[int, int, int] | None:
    """Return memory, descriptors and threads of one process; None where it is gone, or somebody else's."""
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        return process.memory_info().rss, process.num_fds(), process.num_threads()
    return None
