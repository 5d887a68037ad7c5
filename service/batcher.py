"""The thread that keeps the executor busy: a lock, a clock and a thread around :class:`service.batching.BatchQueue`.

The thread takes its next batch itself, the moment the last one is done, instead of asking the event loop for it: a busy
event loop never leaves the executor idle. Results go back to the loop in one call for a whole batch.
"""

import threading
import time
from collections.abc import Callable, Sequence

import structlog

from service.batching import BatchPolicy, BatchQueue, Ticket
from service.errors import ModelFailure
from service.items import Item, Result

Compute = Callable[[Sequence[Item]], list[Result | ModelFailure]]
Deliver = Callable[[list[Ticket]], None]


class Batcher:
    """Accepts tickets from the event loop and ends each exactly once through ``deliver``.

    ``deliver`` is called in the batcher's thread, with tickets whose ``outcome`` is set. ``defer`` runs a function a
    moment later in the submitting thread: an event loop's ``call_soon`` lets all requests that came in with one poll of
    the sockets go as one batch, instead of waking the thread for the first of them alone.
    """

    def __init__(
        self,
        policy: BatchPolicy,
        compute: Compute,
        deliver: Deliver,
        clock: Callable[[], float] = time.perf_counter,
        defer: Callable[[Callable[[], None]], object] = lambda ring: ring(),
    ) -> None:
        self._queue = BatchQueue(policy)
        self._compute = compute
        self._deliver = deliver
        self._clock = clock
        self._defer = defer
        self._rung = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._loop, name="tailgate-executor", daemon=True)
        self._log = structlog.get_logger("tailgate.batcher")

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._queue)

    def start(self) -> None:
        """Begin to take batches."""
        self._thread.start()

    def submit(self, ticket: Ticket) -> None:
        """Accept a request; raises what :meth:`BatchQueue.put` raises."""
        with self._changed:
            self._queue.put(ticket)
        if not self._rung:
            self._rung = True
            self._defer(self._ring)

    def _ring(self) -> None:
        """Wake the thread if it waits."""
        self._rung = False
        with self._changed:
            self._changed.notify()

    def withdraw(self, ticket: Ticket) -> bool:
        """Take a request back before it is bound; True means that it will not be delivered."""
        with self._changed:
            return self._queue.withdraw(ticket)

    def close(self) -> None:
        """Accept nothing more, finish what was accepted, end the thread."""
        with self._changed:
            self._queue.close()
            self._changed.notify()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread's end; False when it has not ended in time."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _loop(self) -> None:
        while (tickets := self._next()) is not None:
            expired = [ticket for ticket in tickets if ticket.bound_s is None]
            if expired:
                self._deliver(expired)
            batch = tickets[len(expired) :]
            if batch:
                self._run(batch)
                self._deliver(batch)

    def _next(self) -> list[Ticket] | None:
        """Wait for tickets that leave the queue; None when it is closed and empty."""
        with self._changed:
            while True:
                tickets, wait = self._queue.take(self._clock())
                if tickets:
                    return tickets
                if self._queue.closed:
                    return None
                until_s = None if wait is None else wait.until_s
                self._changed.wait(None if until_s is None else max(0.0, until_s - self._clock()))

    def _run(self, batch: list[Ticket]) -> None:
        start_s = self._clock()
        try:
            outcomes = self._compute([ticket.item for ticket in batch])
            ended = list(zip(batch, outcomes, strict=True))
        except BaseException:  # noqa: BLE001 - logged, and answered to each; a SystemExit, too, would end this thread
            # Inference answers a model's errors itself, so this is a fault of ours; the thread has to live on.
            self._log.exception("a batch failed outside the model", batch_size=len(batch))
            ended = [(ticket, ModelFailure("the service failed on this request")) for ticket in batch]
        elapsed_s = self._clock() - start_s
        for ticket, outcome in ended:
            ticket.computed_s = elapsed_s
            ticket.outcome = outcome
