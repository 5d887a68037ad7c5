"""Which processors the servers of a block may use: few, and the same for both arms. Linux only.

A program stays on the processor that it last ran on, and two processors of one machine, above all a virtual
one, can differ in speed for seconds. With one processor per arm no taking of turns cancels that difference;
on the *same* one it is common to both (docs/explanation/error-rates.md has the figures). The block's number says which it
is, so that one bad processor is not in all blocks. Servers start on all processors, and are moved before the
warm-up.
"""

import contextlib
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tailgate.harness.errors import TargetError, UsageError

PROC = Path("/proc")
# Two successive blocks, which differ in who is launched first, have the same processors.
BLOCKS_IN_PLACE = 2


@dataclass(frozen=True, slots=True)
class Split:
    """Processors of both servers in a block, and of the harness and generators that have none of their own."""

    servers: frozenset[int]
    harness: frozenset[int]


@dataclass(frozen=True, slots=True)
class Sharing:
    """How the allowed processors are split, block by block."""

    allowed: tuple[int, ...]
    servers: int  # how many of them the servers get
    generator: int | None = None  # the one that the generators keep for themselves, if any

    @property
    def possible(self) -> bool:
        """Whether the servers can get so many, and one is left for the harness."""
        return 0 < self.servers < len(self.free)

    @property
    def free(self) -> tuple[int, ...]:
        """The processors but the generator's own."""
        return tuple(processor for processor in self.allowed if processor != self.generator)

    def split(self, index: int) -> Split:
        """Return who runs where in the block of this number."""
        free, first = self.free, index // BLOCKS_IN_PLACE
        servers = frozenset(free[(first + step) % len(free)] for step in range(self.servers))
        return Split(servers, frozenset(free) - servers)


def choose_sharing(
    wanted: int | None, facts: Iterable[Mapping[str, str]], generator: int | None, *, asked: bool
) -> tuple[Sharing | None, str]:
    """Return how the servers share processors, or None if both keep all, and what a reader must know of it.

    Args:
        wanted: how many processors they shall have; None and 0 for all.
        facts: how each side describes itself.
        generator: the processor that the generators keep for themselves.
        asked: by the user; else by the load, for a service that computes on so few.

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
    """Return why this machine cannot do it; empty if it can."""
    if not sharing.allowed:
        return "this system does not let a program choose its processors"
    if not sharing.possible:
        own = "" if sharing.generator is None else " beside the load generator's own"
        return f"there are {len(sharing.free)}{own}, and the harness needs one that no server runs on"
    try:
        os.sched_setaffinity(0, sharing.allowed)
    except OSError as error:
        # A container's rule, which would refuse the servers' processes as well.
        return f"this system does not allow a process to be moved: {error.strerror}"
    return ""


def _needs_more(facts: Mapping[str, str], processors: int) -> str:
    """Return why a side should not be kept to so few processors; empty if nothing speaks against it."""
    device, threads = facts.get("device"), facts.get("threads")
    if device != "cpu":
        return f"a side computes on {device or 'an unknown device'}"
    if threads is None or not threads.isdecimal() or int(threads) > processors:
        return f"a side computes with {threads or 'untold'} threads; --perf-processors keeps it to fewer all the same"
    return ""


@contextlib.contextmanager
def kept_to(split: Split, servers: Iterable[int], generators: Iterable[int]) -> Iterator[None]:
    """Keep servers, generators and this thread to their processors; the thread gets its own back.

    Raises:
        TargetError: a process cannot be moved.
    """
    before = os.sched_getaffinity(0)
    try:
        for pids, processors in ((servers, split.servers), (generators, split.harness)):
            for pid in pids:
                _move_process(pid, processors)
        # Threads and processes that this one starts begin where it is.
        os.sched_setaffinity(0, split.harness)
        yield
    finally:
        os.sched_setaffinity(0, before)


def _move_process(pid: int, processors: Collection[int]) -> None:
    """Move all threads of a process, until a reading shows no new ones."""
    moved: set[int] = set()
    try:
        while new := _threads(pid) - moved:
            for thread in new:
                with contextlib.suppress(ProcessLookupError):
                    os.sched_setaffinity(thread, processors)
            moved |= new
    except OSError as error:
        raise TargetError(
            f"cannot keep process {pid} to the processors {sorted(processors)}: {error.strerror}; --perf-processors=0 "
            "lets everything use all processors"
        ) from error


def _threads(pid: int) -> set[int]:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return {int(entry.name) for entry in (PROC / str(pid) / "task").iterdir()}
    return set()
