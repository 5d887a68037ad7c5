"""What a server's processes hold while they serve: memory, file descriptors, threads, over time.

Read beside the load from Linux's ``/proc`` (proc(5)), some 0.3 ms a reading for a server of one process. Sums are over the
process tree. Memory is resident memory, so that pages which several processes share count once for each of them: a level
of one server, and not to be compared between servers of other structure.
"""

import contextlib
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
# Short phases are read five times a second; long ones some 600 times in all, which is enough for a slope.
SHORTEST_PERIOD_S = 0.2
LONGEST_PERIOD_S = 5.0
READINGS = 600
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


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


def read(pids: Iterable[int], proc: Path = PROC) -> ResourceReading | None:
    """Read what these processes hold; those that are gone are left out, and None is returned where all are."""
    found = [one for pid in pids if (one := _read_process(proc / str(pid))) is not None]
    if not found:
        return None
    rss_bytes, fds, threads = (sum(column) for column in zip(*found, strict=True))
    return ResourceReading(time.monotonic(), rss_bytes, fds, threads)


def _read_process(folder: Path) -> tuple[int, int, int] | None:
    """Return memory, descriptors and threads of one process; None where it is gone, or somebody else's."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        # The second field of statm is resident pages; field 20 of stat is threads, and its second one may hold
        # spaces and parentheses, so that fields count from the last parenthesis.
        pages = int((folder / "statm").read_text().split()[1])
        threads = int((folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[17])
        return pages * _PAGE_BYTES, sum(1 for _ in (folder / "fd").iterdir()), threads
    return None
