"""Which processors the servers of a block may use: few, and the same for both arms; the harness keeps off them.

Between :mod:`tailgate.harness.compare.blocks.block`, which starts both arms, and the load. Linux only, since only there the threads of another
process can be moved.

**Why.** A program stays on the processor that it last ran on, and two processors of one machine, above all of a virtual one, are
not equally fast for seconds on end: what else the core and its caches serve is not ours to see. With each arm on a processor
of its own that is a difference between the arms which no taking of turns cancels. On the *same* processor it is common to
both, and does (docs/error-rates.md has the figures).

Which processor it is goes by the block's number: what is wrong with one of them shall not be in all blocks. Servers are started on
all processors, as they would be anywhere, and moved before the warm-up; so a service that counts its processors at its
start still sees them all.
"""

import contextlib
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tailgate.harness.errors import TargetError, UsageError

PROC = Path("/proc")
# What a service says of itself, and what of it makes it need more than a few processors.
DEVICE, CPU, THREADS = "device", "cpu", "threads"
# Two blocks in a row, which differ in who is launched first, have the same processors.
BLOCKS_IN_PLACE = 2

Move = Callable[[int, Collection[int]], None]


@dataclass(frozen=True, slots=True)
class Split:
    """Who runs where in a block.

    Attributes:
        servers: processors of both servers.
        harness: those of the harness, and of generators that have none for themselves.
    """

    servers: frozenset[int]
    harness: frozenset[int]


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
        """Whether the servers can get so many, and the harness has one left."""
        return 0 < self.servers < len(self.free)

    @property
    def free(self) -> tuple[int, ...]:
        """Those that are no generator's own."""
        return tuple(processor for processor in self.allowed if processor != self.generator)

    def split(self, index: int) -> Split:
        """Return who runs where in the block of this number."""
        free, first = self.free, index // BLOCKS_IN_PLACE
        servers = frozenset(free[(first + step) % len(free)] for step in range(self.servers))
        return Split(servers, frozenset(free) - servers)


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

    Raises:
        UsageError: the user asked for what cannot be.
    """
    if not wanted:
        return None, ""
    sharing = Sharing(_allowed(), wanted, generator)
    reason = _refusal(sharing)
    if reason and asked:
        raise UsageError(f"--perf-processors={wanted}: {reason}")
    if not reason and not asked:
        reason = next(filter(None, (_needs_more(told, wanted) for told in facts)), "")
    if reason:
        return None, f"each server runs on any processor, which adds noise: {reason}"
    which = "one processor" if wanted == 1 else f"{wanted} processors"
    return (
        sharing,
        f"both servers ran on the same {which} of {len(sharing.free)}, and moved on after every two blocks",
    )


def _allowed() -> tuple[int, ...]:
    return tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else ()


def _refusal(sharing: Sharing) -> str:
    """Return why this cannot be on this machine; empty where it can."""
    if not sharing.allowed:
        return "this system does not let a program choose its processors"
    if not sharing.possible:
        own = "" if sharing.generator is None else " beside the load generator's own"
        return f"there are {len(sharing.free)}{own}, and the harness needs one that no server runs on"
    try:
        os.sched_setaffinity(0, sharing.allowed)
    except OSError as error:
        # A container's rule, which would refuse the servers' processes as well.
        return f"this system refuses to move a process: {error.strerror}"
    return ""


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
        TargetError: a process cannot be moved.
    """
    move = move or os.sched_setaffinity
    before = os.sched_getaffinity(0)
    try:
        for pids, processors in ((servers, split.servers), (generators, split.harness)):
            for pid in pids:
                _move_process(pid, processors, move)
        # Threads and processes that this one starts begin where it is.
        move(0, split.harness)
        yield
    finally:
        move(0, before)


def _move_process(pid: int, processors: Collection[int], move: Move) -> None:
    """Move all threads of a process; those that a thread starts before it is moved are seen on the next reading.

    Raises:
        TargetError: the system refuses.
    """
    moved: set[int] = set()
    try:
        while new := _threads(pid) - moved:
            for thread in new:
                # It may have ended meanwhile.
                with contextlib.suppress(ProcessLookupError):
                    move(thread, processors)
            moved |= new
    except OSError as error:
        raise TargetError(
            f"cannot keep process {pid} to the processors {sorted(processors)}: {error.strerror}; --perf-processors=0 "
            "leaves all processors to everybody"
        ) from error


def _threads(pid: int) -> set[int]:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return {int(entry.name) for entry in (PROC / str(pid) / "task").iterdir()}
    return set()
