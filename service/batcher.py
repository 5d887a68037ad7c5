"""The thread that keeps the executor busy: a lock, a clock and a thread around :class:`tailgate.service.batching.BatchQueue`.

The thread takes its next batch itself, the moment the last one is done, instead of asking the event loop for it: a busy
event loop never leaves the executor idle. Results go back to the loop in one call for a whole batch.

The thread is woken only when it sleeps, which it does only when nothing waits: at full load no request costs a wake-up.

An executor that hands a batch to a device and returns at once has a second loop: while the device has one batch, the thread
puts the next together, as soon as that is full, and only then waits for the first. Never more than two are under way.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NoReturn

import structlog

from tailgate.service.batching import BatchPolicy, BatchQueue, Ticket
from tailgate.service.errors import ModelFailure
from tailgate.service.forecast import Running
from tailgate.service.items import Item, Result

Answers = list[Result | ModelFailure]
Compute = Callable[[Sequence[Item]], Answers]
Finish = Callable[[], Answers]
Begin = Callable[[Sequence[Item]], Finish]
Ended = list[tuple[Ticket, Result | ModelFailure]]
Deliver = Callable[[list[Ticket]], None]


@dataclass(slots=True)
class _Begun:
    """A batch that the device has.

    Attributes:
        batch: its tickets.
        finish: waits for it.
        start_s: when it had the device to itself, or began to be put together for an idle one.
    """

    batch: list[Ticket]
    finish: Finish
    start_s: float


class Batcher:
    """Accepts tickets from the event loop and ends each exactly once through ``deliver``.

    ``compute`` runs a batch. Where ``begin`` is given it takes its place: it hands a batch to the device, and what it returns
    waits for the answers. ``expected_s`` says how long a batch of some size takes, so that none is bound behind another which
    would outlast a deadline.

    ``deliver`` is called in the batcher's thread, with tickets whose ``outcome`` is set. ``defer`` runs a function a
    moment later in the submitting thread: an event loop's ``call_soon`` lets all requests that came in with one poll of
    the sockets go as one batch, instead of waking the thread for the first of them alone.

    Attributes:
        running: the batch that is computed, None between batches; read by any thread.
    """

    def __init__(
        self,
        policy: BatchPolicy,
        compute: Compute,
        deliver: Deliver,
        clock: Callable[[], float] = time.perf_counter,
        defer: Callable[[Callable[[], None]], object] = lambda ring: ring(),
        begin: Begin | None = None,
        expected_s: Callable[[int], float] = lambda _: 0.0,
    ) -> None:
        self._queue = BatchQueue(policy)
        self._compute = compute
        self._begin = begin
        self._expected_s = expected_s
        self._deliver = deliver
        self._clock = clock
        self._defer = defer
        self.running: Running | None = None
        # Whether the bell will ring: the submitting thread's own.
        self._rung = False
        # Guards the queue and ``_asleep``. A lock of its own for sleeping, held but for the moment between the ring and the
        # awakening, is a third of a Condition's cost, which makes one for each wait.
        self._lock = threading.Lock()
        self._asleep = False
        self._bell = threading.Lock()
        self._bell.acquire()
        loop = self._loop if begin is None else self._loop_two_deep
        self._thread = threading.Thread(target=loop, name="tailgate-executor", daemon=True)
        self._log = structlog.get_logger("tailgate.batcher")

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._queue)

    @property
    def lost(self) -> str | None:
        """Why nothing is taken any more: the thread has ended though it was not told to; None while all is well."""
        thread = self._thread
        if thread.is_alive() or thread.ident is None or self._queue.closed:
            return None
        return "the executor's thread has ended"

    def start(self) -> None:
        """Begin to take batches."""
        self._thread.start()

    def submit(self, ticket: Ticket) -> None:
        """Accept a request; raises what :meth:`BatchQueue.put` raises."""
        with self._lock:
            self._queue.put(ticket)
        # Read outside the lock: the thread falls asleep only after it has seen an empty queue, and so sees this ticket.
        if self._asleep and not self._rung:
            self._rung = True
            self._defer(self._ring)

    def withdraw(self, ticket: Ticket) -> bool:
        """Take a request back before it is bound; True means that it will not be delivered."""
        with self._lock:
            return self._queue.withdraw(ticket)

    def expire(self) -> tuple[list[Ticket], float]:
        """Take out what is late, which is not delivered then; see :meth:`BatchQueue.expire`."""
        with self._lock:
            return self._queue.expire(self._clock())

    def close(self) -> None:
        """Accept nothing more, finish what was accepted, end the thread."""
        with self._lock:
            self._queue.close()
            self._wake()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread's end; False when it has not ended in time."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _loop(self) -> None:
        while (tickets := self._next()) is not None:
            batch = self._deliver_expired(tickets)
            if batch:
                self._run(batch)
                self._deliver(batch)

    def _loop_two_deep(self) -> None:
        while (tickets := self._next()) is not None:
            begun = self._hand_over(tickets)
            while begun is not None:
                with self._lock:
                    now_s = self._clock()
                    ends_s = begun.start_s + self._expected_s(len(begun.batch))
                    tickets, _ = self._queue.take(now_s, max(now_s, ends_s))
                following = self._hand_over(tickets, begun)
                self._finish(begun, following)
                self._deliver(begun.batch)
                begun = following

    def _deliver_expired(self, tickets: list[Ticket]) -> list[Ticket]:
        """Deliver those that are late, which come first; return those to compute."""
        expired = [ticket for ticket in tickets if ticket.bound_s is None]
        if expired:
            self._deliver(expired)
        return tickets[len(expired) :]

    def _next(self) -> list[Ticket] | None:
        """Wait for tickets that leave the queue; None when it is closed and empty."""
        while True:
            with self._lock:
                tickets, wait = self._queue.take(self._clock())
                if tickets:
                    return tickets
                if self._queue.closed:
                    return None
                self._asleep = True
            self._sleep(None if wait is None else wait.until_s)

    def _sleep(self, until_s: float | None) -> None:
        """Wait for the bell, or for a time."""
        rung = self._bell.acquire(timeout=-1 if until_s is None else max(0.0, until_s - self._clock()))
        if not rung:
            with self._lock:
                if not self._asleep:  # it rang in between: silence it
                    self._bell.acquire()
                self._asleep = False

    def _ring(self) -> None:
        """Wake the thread if it sleeps."""
        self._rung = False
        with self._lock:
            self._wake()

    def _wake(self) -> None:
        """Ring the bell once for a thread that sleeps; with the lock held."""
        if self._asleep:
            self._asleep = False
            self._bell.release()

    def _run(self, batch: list[Ticket]) -> None:
        start_s = self._clock()
        self.running = Running(len(batch), start_s)
        ended = self._answered(batch, lambda: self._compute([ticket.item for ticket in batch]))
        self.running = None
        _end(ended, self._clock() - start_s)

    def _hand_over(self, tickets: list[Ticket], ahead: _Begun | None = None) -> _Begun | None:
        """Begin a batch, behind one that the device has or at once; None where nothing is to be computed."""
        batch = self._deliver_expired(tickets)
        if not batch:
            return None
        start_s = self._clock()
        if ahead is None:
            self.running = Running(len(batch), start_s)
        else:
            self.running = Running(len(ahead.batch), ahead.start_s, behind=len(batch))
        assert self._begin is not None
        try:
            finish = self._begin([ticket.item for ticket in batch])
        except BaseException as error:  # noqa: BLE001 - raised where the batch is answered
            finish = partial(_throw, error)
        return _Begun(batch, finish, start_s)

    def _finish(self, begun: _Begun, following: _Begun | None) -> None:
        """Wait for a batch; from its end on the device is the following one's, and its time runs."""
        ended = self._answered(begun.batch, begun.finish)
        now_s = self._clock()
        if following is None:
            self.running = None
        else:
            self.running = Running(len(following.batch), now_s)
            following.start_s = now_s
            for ticket in following.batch:
                ticket.bound_s = now_s
        _end(ended, now_s - begun.start_s)

    def _answered(self, batch: list[Ticket], answers: Finish) -> Ended:
        try:
            return list(zip(batch, answers(), strict=True))
        except BaseException:  # noqa: BLE001 - logged, and answered to each; a SystemExit, too, would end this thread
            # Inference answers a model's errors itself, so this is a fault of ours; the thread has to live on.
            self._log.exception("a batch failed outside the model", batch_size=len(batch))
            return [(ticket, ModelFailure("the service failed on this request")) for ticket in batch]


def _end(ended: Ended, elapsed_s: float) -> None:
    for ticket, outcome in ended:
        ticket.computed_s = elapsed_s
        ticket.outcome = outcome


def _throw(error: BaseException) -> NoReturn:
    raise error
