"""Which processors the servers of a block may use: few, and the same for both arms; the harness keeps off them.

Between :mod:`harness.comparison.block`, which starts both arms, and the load. Linux only, since only there the threads of another
process can be moved.

**Why.** A program stays on the processor that it last ran on, and two processors of one machine, above all of a virtual one, are
not equally fast for seconds on end: what else the core and its caches serve is not ours to see. With each arm on a processor
of its own that is a difference between the arms which no taking of turns cancels. On the *same* processor it is common to
both, and does. Measured on a machine with two it halves the spread of a block of unchanged code or better (docs/error-rates.md).

Which processor it is goes by the block's number: what is wrong with one of them shall not be in all blocks. Servers are started on
all processors, as they would be anywhere, and moved before their first request; so a service that counts its
processors at its start still sees them all.
"""

import contextlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.errors import TargetError

PROC = Path("/proc")
# What a service says of itself, and what of it makes it need more than a few processors.
DEVICE, CPU, THREADS = "device", "cpu", "threads"

Move = Callable[[int, Collection[int]], None]


@dataclass(frozen=True, slots=True)
class Split:
    """Who runs where in a block.

    Attributes:
        servers: processors of both servers.
        others: those of the harness and its generators: all that are left.
    """

    servers: frozenset[int]
    others: frozenset[int]


@dataclass(frozen=True, slots=True)
class Sharing:
    """How the processors are split, block by block.

    Attributes:
        allowed: processors that this process may use, ascending.
        servers: how many of them the servers get.
        generator: the one that the generators keep for themselves; None where they have none.
    """

    allowed: tuple[int, ...]
    servers: int
    generator: int | None = None

    @property
    def possible(self) -> bool:
        """Whether the servers can get so many, and somebody else has one left."""
        return 0 < self.servers <= len(self._free) and self.servers < len(self.allowed)

    def split(self, index: int) -> Split:
        """Return who runs where in the block of this number."""
        free = self._free
        servers = frozenset(free[(index + step) % len(free)] for step in range(self.servers))
        return Split(servers, frozenset(self.allowed) - servers)

    @property
    def _free(self) -> tuple[int, ...]:
        return tuple(processor for processor in self.allowed if processor != self.generator)


def choose_sharing(
    wanted: int | None, facts: Iterable[Mapping[str, str]], generator: int | None, *, asked: bool
) -> tuple[Sharing | None, str]:
    """Return how the servers share processors, and what a reader must know of it.

    Args:
        wanted: how many processors they shall have; None and 0 for all.
        facts: how each side describes itself.
        generator: the processor that the generators keep for themselves.
        asked: the user said so; else it is what the load would have, for a service that computes on so few.

    Returns:
        None, and why, where both sides keep all processors; the reason is empty where that is what was wanted.
    """
    if not wanted:
        return None, ""
    allowed = tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else ()
    sharing = Sharing(allowed, wanted, generator)
    reason = ""
    if not sharing.possible:
        reason = f"of {len(allowed)} that this process may use, {wanted} leave none to the load generator"
    elif not asked:
        reason = next(filter(None, (_needs_more(told, wanted) for told in facts)), "")
    if reason:
        return None, f"each server runs on any processor, which adds noise: {reason}"
    free = len(allowed) - (generator is not None)
    which = "one processor" if wanted == 1 else f"{wanted} processors"
    return sharing, f"both servers run on the same {which} of {free}, another in each block"


def _needs_more(facts: Mapping[str, str], processors: int) -> str:
    """Return why a side should not be kept to so few processors; empty where nothing speaks against it."""
    device, threads = facts.get(DEVICE), facts.get(THREADS)
    if device != CPU:
        return f"a side computes on {device or 'a device that it does not tell'}"
    if threads is None or not threads.isdecimal() or int(threads) > processors:
        return f"a side computes with {threads or 'untold'} threads; --perf-processors keeps it to fewer all the same"
    return ""


@contextlib.contextmanager
def kept_to(
    split: Split, servers: Iterable[int], generators: Iterable[int], move: Move | None = None
) -> Iterator[None]:
    """Keep servers, generators and the calling thread to their processors; the thread gets its own back at the end.

    Args:
        split: who runs where.
        servers: their process ids, all that each has started included.
        generators: process ids of those that may be moved.
        move: keeps one thread to processors; None for the kernel's call.

    Raises:
        TargetError: a server's process is not ours to move.
    """
    move = move or os.sched_setaffinity
    for pid in servers:
        try:
            _move_threads(pid, split.servers, move)
        except PermissionError as error:
            raise TargetError(
                f"cannot keep the server's process {pid} to processors {sorted(split.servers)}: {error.strerror}. Does it "
                "run as another user? --perf-processors=0 leaves the servers all processors"
            ) from error
    for pid in generators:
        _move_threads(pid, split.others, move)
    before = os.sched_getaffinity(0)
    # Threads and processes that this one starts begin where it is.
    move(0, split.others)
    try:
        yield
    finally:
        move(0, before)


def _move_threads(pid: int, processors: Collection[int], move: Move) -> None:
    """Move all threads of a process; those that a thread starts before it is moved are seen on the next reading."""
    moved: set[int] = set()
    while new := _threads(pid) - moved:
        for thread in new:
            # It may have ended meanwhile.
            with contextlib.suppress(ProcessLookupError):
                move(thread, processors)
        moved |= new


def _threads(pid: int) -> set[int]:
    try:
        return {int(entry.name) for entry in (PROC / str(pid) / "task").iterdir()}
    except OSError:
        return set()
