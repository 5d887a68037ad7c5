"""How many processors this process may use: its affinity, and the CPU quotas of its control groups.

A container limited to 2 CPUs on a node of 64 may run on all 64, and is stopped for the rest of each period once its quota
is used up: threads beyond the quota only wait. Any group above this one can have a quota, and the least counts.
Linux, Documentation/admin-guide/cgroup-v2.rst ("cpu.max"), Documentation/scheduler/sched-bwc.rst (version 1).
"""

import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

PROC, SYSTEM = Path("/proc/self"), Path("/")
# As the kernel writes a space, a tab, a line break and a backslash in a path of mountinfo.
ESCAPED = re.compile(r"\\(0[0-7]{2}|134)")


@dataclass(frozen=True, slots=True)
class Processors:
    """The processors on which this process may run, and how many of them it may keep busy; None for no limit."""

    runnable: int
    quota: float | None = None

    @property
    def available(self) -> int:
        """Whole processors within the quota, at least one."""
        return self.runnable if self.quota is None else max(1, min(self.runnable, math.floor(self.quota)))

    def __str__(self) -> str:
        """``2``, or ``2 of 64, by a CPU quota of 2.5``."""
        if self.available == self.runnable:
            return str(self.runnable)
        return f"{self.available} of {self.runnable}, by a CPU quota of {self.quota:g}"


def processors() -> Processors:
    """Return what this process may use now."""
    runnable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Processors(runnable, cpu_quota())


def cpu_quota(proc: Path = PROC, system: Path = SYSTEM) -> float | None:
    """Return the least CPU quota of this process's control group and those above, in processors; None for no limit.

    Args:
        proc: folder with the process's ``cgroup`` and ``mountinfo``.
        system: folder of the mount points.
    """
    try:
        quotas = [_quota_of(group) for group in _groups(proc, system)]
    except ValueError:  # files that are not as Linux writes them
        return None
    return min((quota for quota in quotas if quota is not None), default=None)


def _groups(proc: Path, system: Path) -> Iterator[Path]:
    """Yield the folders of this process's groups and of the groups above that are mounted."""
    memberships = dict(_memberships(proc))
    for version, root, mount in _mounts(proc):
        membership = memberships.get(version)
        if membership is None:
            continue
        # In a namespace of its own a process may be outside what is mounted: then only the top can be seen.
        inside = membership.relative_to(root) if membership.is_relative_to(root) else PurePosixPath()
        if ".." in inside.parts:
            inside = PurePosixPath()
        top = system / mount.relative_to("/")
        for folder in (inside, *inside.parents):
            yield top / folder


def _memberships(proc: Path) -> Iterator[tuple[int, PurePosixPath]]:
    """Yield the version of each hierarchy with CPU quotas, and this process's group in it."""
    for line in _lines(proc / "cgroup"):
        number, controllers, group = line.split(":", 2)
        if number == "0" and not controllers:
            yield 2, PurePosixPath(group)
        elif "cpu" in controllers.split(","):
            yield 1, PurePosixPath(group)


def _mounts(proc: Path) -> Iterator[tuple[int, PurePosixPath, PurePosixPath]]:
    """Yield the version, the root group and the mount point of each hierarchy; proc_pid_mountinfo(5)."""
    for line in _lines(proc / "mountinfo"):
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        version = 2 if kind == "cgroup2" else 1 if kind == "cgroup" and "cpu" in options.split(",") else None
        if version is not None:
            root, mount = (PurePosixPath(_unescaped(field)) for field in before.split(" ")[3:5])
            yield version, root, mount


def _unescaped(field: str) -> str:
    return ESCAPED.sub(lambda match: chr(int(match[1], 8)), field)


def _quota_of(group: Path) -> float | None:
    """Return one group's own quota in processors: version 2's ``cpu.max``, or version 1's two files."""
    numbers = _lines(group / "cpu.max")
    if numbers:
        numbers = numbers[0].split()
    else:
        numbers = [*_lines(group / "cpu.cfs_quota_us"), *_lines(group / "cpu.cfs_period_us")]
    try:
        quota, period = map(int, numbers)
    except ValueError:  # "max", or nothing there
        return None
    return quota / period if quota > 0 and period > 0 else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []
