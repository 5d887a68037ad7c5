"""Notice a batch that does not end, so that whoever watches the process can restart it.

A thread inside a model cannot be interrupted. What can be done is to say so: while a batch has been running for longer than
``TAILGATE_WATCHDOG_S``, the service is neither live nor ready. If the batch ends after all, it is both again.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import structlog

from tailgate.service.errors import ModelFailure
from tailgate.service.models.items import Item, Result

T = TypeVar("T")
Answers = list[Result | ModelFailure]
Compute = Callable[[Sequence[Item]], Answers]
Begin = Callable[[Sequence[Item]], Callable[[], Answers]]


class Watchdog:
    """A computation, and since when its present batch has been running. Run by one thread, asked by any.

    Args:
        compute: runs a batch.
        limit_s: seconds that a batch may take, 0 for any time.
        clock: seconds.
    """

    def __init__(self, compute: Compute, limit_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._compute = compute
        self._limit_s = limit_s
        self._clock = clock
        self._began_s: float | None = None
        self._told_s: float | None = None
        self._log = structlog.get_logger("tailgate.watchdog")

    def run(self, items: Sequence[Item]) -> Answers:
        """Run a batch under watch."""
        return self._watch(partial(self._compute, items))

    def watched(self, begin: Begin) -> Begin:
        """Return ``begin`` under watch: the hand-over to the device, and later the wait for what it returned."""
        return lambda items: partial(self._watch, self._watch(partial(begin, items)))

    def _watch(self, call: Callable[[], T]) -> T:
        self._began_s = began_s = self._clock()
        try:
            return call()
        finally:
            self._began_s = None
            if self._told_s == began_s:
                self._log.warning("the batch has ended", seconds=round(self._clock() - began_s, 1))

    def reason(self) -> str | None:
        """Say what is wrong; None where nothing is. The first answer for a batch is logged as well."""
        began_s = self._began_s
        if began_s is None or not self._limit_s:
            return None
        running_s = self._clock() - began_s
        if running_s <= self._limit_s:
            return None
        text = f"a batch has been running for {running_s:.0f} s, longer than TAILGATE_WATCHDOG_S={self._limit_s:g}"
        if self._told_s != began_s:
            self._told_s = began_s
            self._log.error("not live", reason=text)
        return text
