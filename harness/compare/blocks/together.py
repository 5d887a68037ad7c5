"""Both arms at once: steps of each, a common start, a common end, and if one fails, an end for the other.

Each arm of an interleaved pair runs in a thread, which mostly waits for its generator's process.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import TypeVar

from tailgate.harness.compare.blocks.schedule import Arm
from tailgate.harness.errors import TargetError

T = TypeVar("T")

# From the meeting to the common start: for both commands to reach their generators, which need 20 ms more.
LEAD_NS = 50_000_000


def at_once(step: Callable[[Arm], T], arms: Iterable[Arm]) -> dict[Arm, T]:
    """Take a step of each arm at the same time, and wait for all, in an interruption too."""
    arms = tuple(arms)
    with ThreadPoolExecutor(len(arms)) as pool:
        # Executor.map would cancel what has not begun when the first step fails.
        steps = {arm: pool.submit(step, arm) for arm in arms}
        wait(steps.values())
    return {arm: one.result() for arm, one in steps.items()}


@contextlib.contextmanager
def started_at_once(
    start: Callable[[Arm, contextlib.ExitStack], T], arms: Iterable[Arm]
) -> Iterator[Mapping[Arm, T]]:
    """Start both arms at once, and stop both at once; the stack of each ends what its start has begun."""
    stacks = {arm: contextlib.ExitStack() for arm in arms}

    def stop() -> None:
        at_once(lambda arm: stacks[arm].close(), stacks)

    try:
        yield at_once(lambda arm: start(arm, stacks[arm]), stacks)
    except BaseException:
        # A tear-down that fails afterwards must not be told in its place.
        with contextlib.suppress(TargetError):
            stop()
        raise
    stop()


class Meeting:
    """A context manager that each party enters once in its own thread, and in which they wait for each other.

    Entering gives the common start. Leaving waits, too: whoever is done first must not be scraped under the
    load of the last. Whoever waits when a party fails gets a ``BrokenBarrierError``.
    """

    def __init__(self, parties: int) -> None:
        self._at_ns = 0
        self._before = threading.Barrier(parties, self._agree)
        self._after = threading.Barrier(parties)

    def __enter__(self) -> int:
        """Wait for all, and return the nanosecond of CLOCK_MONOTONIC at which all begin."""
        self._before.wait()
        return self._at_ns

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait until all are done; a failure ends the meeting at once."""
        if kind is None:
            self._after.wait()
        else:
            self.break_off()

    def break_off(self) -> None:
        """Let nobody wait any longer."""
        self._before.abort()
        self._after.abort()

    def _agree(self) -> None:
        self._at_ns = time.monotonic_ns() + LEAD_NS


def run_together(steps: Iterable[Callable[[Meeting], object]], stop: Callable[[], None]) -> None:
    """Take steps at the same time and wait for all; each enters the meeting once.

    ``stop`` ends what a step may be waiting for, after a failure or an interruption.

    Raises:
        BaseException: of the step that failed first, not of one that was only let go by it.
    """
    steps = tuple(steps)
    meeting = Meeting(len(steps))
    done: set[Future[object]] = set()
    with ThreadPoolExecutor(len(steps)) as pool:
        futures = [pool.submit(step, meeting) for step in steps]
        try:
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            if len(done) < len(steps) or any(one.exception() for one in done):
                meeting.break_off()
                stop()
    errors = [one.exception() for one in sorted(futures, key=lambda one: one not in done)]
    failures = [error for error in errors if error is not None]
    if failures:
        # Whoever was let go may have ended before the failure itself.
        raise next(
            (one for one in failures if not isinstance(one, threading.BrokenBarrierError)), failures[0]
        )
