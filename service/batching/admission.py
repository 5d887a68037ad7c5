"""Who is let in, and who is refused because of the others: decided by what is to be expected of both queues.

There is no time for a request whose deadline would pass if its batch became as large as the one that runs; nor, where there is a
latency objective, for one that would miss it if its batch became full. :func:`why_late` decides; :class:`Admission` brings it
the state of the queues and the clock.
"""

import asyncio
import math
import time
from collections.abc import Callable, Iterable

from tailgate.service.batching.dispatcher import Dispatcher
from tailgate.service.batching.forecast import Forecast, Outlook
from tailgate.service.batching.requests.infer import Waiting
from tailgate.service.batching.workers import Workers
from tailgate.service.errors import Late, QueueFull

# An event loop that is woken for each request takes the processor from the model each time, only to refuse: at twice its
# capacity, a service on one processor reached 0.76 of it. Looking at the sockets every two milliseconds it takes all that has
# come together, as network drivers do with packets, and reaches 0.86: a refusal costs 36 µs instead of 57. It rests so only
# while the accepted requests have work for much longer, so that the executor never waits.
REST_S = 0.002
WORK_S = 10 * REST_S


def why_late(
    outlook: Outlook,
    timeout_s: float | None,
    spent_s: float,
    objective_s: float | None,
    waited_s: float = 0.0,
) -> str | None:
    """Say why a request would be done too late; None where it would not.

    Args:
        outlook: of a request that comes now.
        timeout_s: its client's own patience, None for no end.
        spent_s: how much of it has gone.
        objective_s: the latency that is to be kept, None for no such aim.
        waited_s: how long it has waited since it was accepted.
    """
    likely_s = spent_s + outlook.likely_s
    if timeout_s is not None and likely_s > timeout_s:
        return f"it would take {likely_s * 1e3:.0f} ms, and its client waits {timeout_s * 1e3:.0f} ms"
    latest_s = waited_s + outlook.latest_s
    if objective_s is not None and latest_s > objective_s:
        latest_ms, objective_ms = latest_s * 1e3, objective_s * 1e3
        return f"it may take {latest_ms:.0f} ms, and TAILGATE_LATENCY_OBJECTIVE_MS is {objective_ms:g}"
    return None


def given_up(
    newest_first: Iterable[Waiting],
    outlook: Callable[[int], Outlook],
    objective_s: float | None,
    now_s: float,
) -> list[tuple[Waiting, str]]:
    """Return those that wait to be decoded and would be late, and why: the last that came, up to one that would not.

    They have waited already: only if they are likely to be late is that to be for nothing. ``outlook`` is of a request behind
    all that wait but so many, the last; ``objective_s`` is the latency that is to be kept, None for no such aim.
    """
    late: list[tuple[Waiting, str]] = []
    for each in newest_first:
        likely_s = outlook(len(late) + 1).likely_s
        waited_s, spent_s = now_s - each.work_since_s, now_s - each.start_s
        timeout_s = None if each.deadline_s is None else each.deadline_s - each.start_s
        reason = why_late(Outlook(likely_s, likely_s), timeout_s, spent_s, objective_s, waited_s)
        if reason is None:
            break
        late.append((each, f"after {waited_s * 1e3:.0f} ms it still waits to be decoded: {reason}"))
    return late


def whole_seconds(seconds: float) -> int:
    """Return what Retry-After can say: whole seconds, 1 at least."""
    return max(1, math.ceil(seconds))


class Crowd:
    """Lets the event loop rest, at most once between two looks at the sockets. Called on the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, sleep: Callable[[float], None] = time.sleep) -> None:
        self._loop = loop
        self._sleep = sleep
        self._resting = False

    def rest(self, work_s: float) -> None:
        """Rest when all that has come has been dealt with, if there is work for ``work_s``."""
        if work_s >= WORK_S and not self._resting:
            self._resting = True
            self._loop.call_soon(self._rest)

    def _rest(self) -> None:
        self._resting = False
        self._sleep(REST_S)


class Admission:
    """The door of both queues. Called on the event loop."""

    def __init__(
        self,
        forecast: Forecast,
        workers: Workers,
        dispatcher: Dispatcher[Waiting],
        crowd: Crowd,
        capacity: int,
        objective_s: float | None,
    ) -> None:
        self.forecast = forecast
        self._workers = workers
        self._dispatcher = dispatcher
        self._crowd = crowd
        self.capacity = capacity  # requests that may wait to be decoded or computed
        self.objective_s = objective_s  # the latency that is to be kept, None for no such aim

    def admit(self, timeout_s: float | None, spent_s: float = 0.0, *, decoded: bool, items: int = 1) -> None:
        """Refuse at once a request for which there is no room or no time.

        Asked before its body is read, so that it is not read for nothing, and again when the body is there: others may have
        come meanwhile, and whoever is still sending a body is in no queue that the first answer could have counted.

        Whoever finds a decoding thread and the executor free is taken: trying costs nobody anything, and shows how long both
        take now. Whoever need not wait behind others is not refused for the latency objective.

        Args:
            timeout_s: the client's own patience, None for no end.
            spent_s: how much of it has gone.
            decoded: its body goes through the decoding threads.
            items: how many inputs it has; each waits as a request does.

        Raises:
            QueueFull: as many requests as may wait to be decoded or computed already.
            Late: it would be answered too late.
        """
        waiting = self._waiting
        if waiting + items > self.capacity:
            raise QueueFull(waiting, self.capacity, items)
        running = self._dispatcher.running
        if (timeout_s is None and self.objective_s is None) or not (waiting or running):
            return
        now_s = time.perf_counter()
        # The last item of several waits for the others.
        computed_before = self._dispatcher.waiting + items - 1
        waits = self._dispatcher.waiting > 0
        decoding = None
        if decoded:
            decoding, computed_before = self._workers.decoding(now_s), waiting + items - 1
            waits = waits or decoding.busy
        if not waits and running is None:
            return
        outlook = self.forecast.outlook(computed_before, running, now_s, decoding)
        reason = why_late(outlook, timeout_s, spent_s, self.objective_s if waits else None)
        if reason is not None:
            raise Late(f"{waiting} requests wait already: {reason}; try again later")

    def note_decoding(self, run_s: float) -> None:
        """Learn from a decoded item, and refuse those who would be late by that.

        Decoding may take longer than was known when they were let in, after a start above all.
        """
        self.forecast.learn_decoding(run_s)
        now_s, waiting, running = time.perf_counter(), self._waiting, self._dispatcher.running
        decoding = self._workers.decoding(now_s)

        def outlook(left_out: int) -> Outlook:
            rest = decoding.without(left_out)
            return self.forecast.outlook(waiting - left_out, running, now_s, rest)

        late = given_up(self._workers.newest_waiting(), outlook, self.objective_s, now_s)
        if late:
            rest = decoding.without(len(late))
            drain_s = self.forecast.drain_s(waiting - len(late), running, now_s, rest)
            for request, reason in late:
                request.refuse(Late(f"{reason}; try again later", whole_seconds(drain_s)))

    def turn_away(self) -> int:
        """Return after how many seconds one who is refused may come back; of a crowd the sockets are read seldom."""
        wait_s = self.wait_s()
        self._crowd.rest(wait_s)
        return whole_seconds(wait_s)

    def wait_s(self) -> float:
        """Return the seconds until all who wait now are done; may be called by any thread."""
        now_s = time.perf_counter()
        decoding = self._workers.decoding(now_s)
        return self.forecast.drain_s(self._waiting, self._dispatcher.running, now_s, decoding)

    @property
    def _waiting(self) -> int:
        """Requests that wait to be decoded, are decoded, or wait for a batch."""
        return len(self._workers.unfinished) + self._dispatcher.waiting
