"""The log of single requests: those that fail, are refused or are slow, and a share of all, each with its id.

Each kind of event has one line per second at most, however many requests it meets. The first request is logged at once. At
the end of the second the longest of the requests that followed is logged, with the number of the others. The access log has a
line for each request that is drawn.

No line holds a payload, nor a token or a query. What a client has done wrong is told in words that may repeat what it sent
(:data:`OWN_WORDS` are the outcomes where they do not): such a reason is not logged.
"""

import asyncio
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog

from tailgate.service.errors import FAILED, Outcome

PERIOD_S = 1.0
_REFUSED = "a request was refused"
_SLOW = "a request was slow"
# What a request fails with, or is refused with because of others; a client's own mistakes are only counted.
_EVENTS = dict.fromkeys((Outcome.FULL, Outcome.LATE, Outcome.UNAVAILABLE, Outcome.EXPIRED), _REFUSED) | {
    Outcome.ERROR: FAILED
}
OWN_WORDS = frozenset(_EVENTS)
_ENDED = "a request ended"
Facts = dict[str, Any]
Later = Callable[[float, Callable[[], None]], object]
_Kind = tuple[str, str, str]  # event, outcome, type of our own fault


@dataclass(slots=True)
class _Longest:
    """The longest request of one kind within a second, and how many others there were."""

    total_s: float
    facts: Facts
    others: int = 0


def call_later(delay_s: float, function: Callable[[], None]) -> asyncio.TimerHandle:
    """Call a function on the running event loop after so many seconds."""
    return asyncio.get_running_loop().call_later(delay_s, function)


class Journal:
    """Logs requests. All methods are called on the event loop.

    Args:
        slow_ms: milliseconds from which a request is slow; None for never.
        later: calls a function after so many seconds.
        share: of the requests that the access log has.
        draw: returns a number from 0 to 1, below 1.
    """

    def __init__(
        self,
        slow_ms: float | None,
        later: Later = call_later,
        share: float = 0.0,
        draw: Callable[[], float] = random.random,
    ) -> None:
        # From which a request is slow, in seconds; infinite for never.
        self.slow_s = math.inf if slow_ms is None else slow_ms / 1000
        self.share = share  # of the requests that the access log has
        self._later = later
        self._draw = draw
        # Kinds that had a line within the last second, and what has come since.
        self._since: dict[_Kind, _Longest | None] = {}
        self._log = structlog.get_logger("tailgate.request")

    def draws(self) -> bool:
        """Tell whether the access log has the next request."""
        return self._draw() < self.share

    def note(
        self,
        outcome: Outcome,
        total_s: float,
        describe: Callable[[], Facts],
        fault: BaseException | None = None,
        *,
        drawn: bool = False,
    ) -> None:
        """Log a request that has ended, now or at the end of the second, where it is worth a line.

        Args:
            outcome: how it ended.
            total_s: how long it took.
            describe: returns what the line says; called only where the request may get a line.
            fault: our own that it met; each type of fault is a kind, and its first line has the traceback.
            drawn: the access log has it.
        """
        if drawn:
            self._log.info(_ENDED, outcome=outcome.value, total_ms=_ms(total_s), **describe())
        event = _EVENTS.get(outcome) or (_SLOW if total_s >= self.slow_s else None)
        if event is None:
            return
        kind = (event, outcome.value, "" if fault is None else type(fault).__name__)
        told: Facts = {} if fault is None else {"exc_info": fault}
        if kind not in self._since:
            self._write(kind, total_s, describe() | told)
            self._begin(kind)
            return
        longest = self._since[kind]
        if longest is None:
            self._since[kind] = _Longest(total_s, describe() | told)
            return
        longest.others += 1
        if total_s > longest.total_s:
            longest.total_s, longest.facts = total_s, describe() | told

    def flush(self) -> None:
        """Log what waits for the end of its second; called when the service stops."""
        for kind in tuple(self._since):
            self._end(kind)

    def _begin(self, kind: _Kind) -> None:
        self._since[kind] = None
        self._later(PERIOD_S, partial(self._go_on, kind))

    def _go_on(self, kind: _Kind) -> None:
        if self._end(kind):
            self._begin(kind)

    def _end(self, kind: _Kind) -> bool:
        """End the second of a kind; tell whether a line has been written."""
        longest = self._since.pop(kind, None)
        if longest is None:
            return False
        others = {"others": longest.others} if longest.others else {}
        self._write(kind, longest.total_s, longest.facts | others)
        return True

    def _write(self, kind: _Kind, total_s: float, facts: Facts) -> None:
        event, outcome, _ = kind
        write = self._log.error if event == FAILED else self._log.warning
        write(event, outcome=outcome, total_ms=_ms(total_s), **facts)


def _ms(seconds: float) -> float:
    return round(seconds * 1e3, 3)
