"""The thread that keeps the executor busy: a lock, a clock and a thread around :class:`tailgate.service.batching.policy.BatchQueue`.

The thread takes its next batch itself, the moment the last one is done. A busy event loop therefore never leaves the executor
idle. Results go back to the loop in one call per batch. The thread sleeps only while nothing waits, so that at full load no
request pays for a wake-up.

An executor that hands a batch to a device and returns at once has a second loop: while the device has one batch, the thread
puts the next one together, as soon as that is full, and only then waits for the first. At most two are under way.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, NoReturn

import structlog

from tailgate.service.batching.decoded import Coming
from tailgate.service.batching.forecast import Running
from tailgate.service.batching.policy import BatchPolicy, BatchQueue, Q, Wait
from tailgate.service.errors import FAILED, ModelFailure
from tailgate.service.models.items import Answers, Item

Compute = Callable[[Sequence[Item]], Answers]
Finish = Callable[[], Answers]
Begin = Callable[[Sequence[Item]], Finish]


@dataclass(slots=True)
class _Begun(Generic[Q]):
    """A batch that the device has."""

    batch: list[Q]
    finish: Finish  # waits for it
    start_s: float  # when it had the device to itself, or began to be put together for an idle one


class Dispatcher(Generic[Q]):
    """Accepts requests from the event loop, and ends each exactly once through ``deliver``.

    Args:
        policy: the rule of batching.
        compute: runs a batch.
        deliver: called in the dispatcher's thread with the requests of a batch, whose ``outcome`` is set.
        clock: seconds.
        defer: runs a function a moment later in the submitting thread. An event loop's ``call_soon`` lets all requests of
            one poll of the sockets go as one batch, instead of waking the thread for the first of them alone.
        begin: in place of ``compute``: hands a batch to the device, and returns what waits for the answers.
        expected_s: seconds of a batch by its size: whether it pays to wait for others, and whether a batch that is bound
            behind another would outlast a deadline.
        coming: what is being decoded on the processors that the batches need.
    """

    def __init__(  # noqa: PLR0913 - each is one thing that a test replaces
        self,
        policy: BatchPolicy,
        compute: Compute,
        deliver: Callable[[list[Q]], None],
        clock: Callable[[], float] = time.perf_counter,
        defer: Callable[[Callable[[], None]], object] = lambda ring: ring(),
        begin: Begin | None = None,
        expected_s: Callable[[int], float] = lambda _: 0.0,
        *,
        coming: Callable[[], Coming] = Coming,
    ) -> None:
        self._queue = BatchQueue[Q](policy, expected_s, coming)
        self._compute = compute
        self._begin = begin
        self._expected_s = expected_s
        self._limit_s = policy.limit_s
        self._deliver = deliver
        self._clock = clock
        self._defer = defer
        # The batch that is computed, None between batches; read by any thread.
        self.running: Running | None = None
        self._told: Running | None = None
        # Whether the bell will ring; only the submitting thread uses it.
        self._rung = False
        # Guards the queue and ``_asleep``. The bell is a lock of its own, held except between the ring and the awakening: it
        # costs a third of a Condition, which makes a lock for each wait.
        self._lock = threading.Lock()
        self._asleep = False
        # What the thread waits for; set before it falls asleep.
        self._wait = Wait()
        self._bell = threading.Lock()
        self._bell.acquire()
        # Asked with every request; Thread.is_alive() costs ten calls.
        self._ended = False
        self._thread = threading.Thread(target=self._work, name="tailgate-executor", daemon=True)
        self._log = structlog.get_logger("tailgate.dispatcher")

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._queue)

    @property
    def hung(self) -> str | None:
        """Why no batch ends any more, None while all is well; may be called by any thread.

        A thread inside a model cannot be interrupted. What can be done is to tell whoever can restart the process, until the
        batch ends after all.
        """
        running = self.running
        if running is None:
            return "the executor's thread has ended" if self._ended and not self._queue.closed else None
        running_s = self._clock() - running.start_s
        if not self._limit_s or running_s <= self._limit_s:
            return None
        text = f"a batch has been running for {running_s:.0f} s, longer than TAILGATE_WATCHDOG_S={self._limit_s:g}"
        if self._told is not running:
            self._told = running
            self._log.error("not live", reason=text)
        return text

    def start(self) -> None:
        """Begin to take batches."""
        self._thread.start()

    def submit(self, request: Q) -> None:
        """Accept a request; raises what :meth:`BatchQueue.put` raises."""
        with self._lock:
            self._queue.put(request)
        self._ring_for(request)

    def submit_all(self, requests: Sequence[Q]) -> None:
        """Accept several requests at once, so that no batch has only some of them; raises what :meth:`BatchQueue.put_all` raises."""
        with self._lock:
            self._queue.put_all(requests)
        self._ring_for(requests[-1])

    def _ring_for(self, request: Q) -> None:
        # Read outside the lock: the thread falls asleep only after it has looked into the queue, and so sees this request.
        if self._asleep and not self._rung and self._ends(self._wait, request):
            self._rung = True
            self._defer(self._ring)

    def _ends(self, wait: Wait, request: Q) -> bool:
        """Whether a new request ends a wait: with it there are enough, or it cannot wait so long."""
        if len(self._queue) >= wait.size:
            return True
        return (
            request.deadline_s is not None and wait.until_s is not None and request.deadline_s <= wait.until_s
        )

    def withdraw(self, request: Q) -> bool:
        """Take a request back before it is bound; True means that it will not be delivered."""
        with self._lock:
            return self._queue.withdraw(request)

    def close(self) -> None:
        """Accept nothing more, finish what was accepted, end the thread."""
        with self._lock:
            self._queue.close()
            self._wake()

    def join(self, timeout_s: float) -> bool:
        """Wait for the thread's end; False when it has not ended in time."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _work(self) -> None:
        """Take batches until the queue is closed and empty; in the thread."""
        try:
            (self._loop if self._begin is None else self._loop_two_deep)()
        finally:
            self._ended = True

    def _loop(self) -> None:
        while (batch := self._next()) is not None:
            self._run(batch)
            self._deliver(batch)

    def _loop_two_deep(self) -> None:
        while (batch := self._next()) is not None:
            begun: _Begun[Q] | None = self._hand_over(batch)
            while begun is not None:
                with self._lock:
                    now_s = self._clock()
                    ends_s = begun.start_s + self._expected_s(len(begun.batch))
                    batch, _ = self._queue.take(now_s, max(now_s, ends_s))
                following = self._hand_over(batch, begun) if batch else None
                self._finish(begun, following)
                self._deliver(begun.batch)
                begun = following

    def _next(self) -> list[Q] | None:
        """Wait for a batch; None when the queue is closed and empty."""
        while True:
            with self._lock:
                batch, wait = self._queue.take(self._clock())
                if batch:
                    return batch
                if self._queue.closed:
                    return None
                assert wait is not None
                self._wait = wait
                self._asleep = True
            self._sleep(wait.until_s)

    def _sleep(self, until_s: float | None) -> None:
        rung = self._bell.acquire(timeout=-1 if until_s is None else max(0.0, until_s - self._clock()))
        if not rung:
            with self._lock:
                if not self._asleep:  # it rang in between: silence it
                    self._bell.acquire()
                self._asleep = False

    def _ring(self) -> None:
        self._rung = False
        with self._lock:
            self._wake()

    def _wake(self) -> None:
        """Ring the bell once for a thread that sleeps; with the lock held."""
        if self._asleep:
            self._asleep = False
            self._bell.release()

    def _run(self, batch: list[Q]) -> None:
        start_s = self._clock()
        self.running = Running(len(batch), start_s)
        answers = self._answers(batch, lambda: self._compute([request.item for request in batch]))
        self._note_end(None)
        now_s = self._clock()
        with self._lock:
            self._queue.ended(now_s, len(batch))
        _end(batch, answers, now_s - start_s)

    def _hand_over(self, batch: list[Q], ahead: _Begun[Q] | None = None) -> _Begun[Q]:
        """Begin a batch, at once or behind one that the device has."""
        start_s = self._clock()
        if ahead is None:
            self.running = Running(len(batch), start_s)
        else:
            self.running = Running(len(ahead.batch), ahead.start_s, behind=len(batch))
        assert self._begin is not None
        try:
            finish = self._begin([request.item for request in batch])
        except BaseException as error:  # noqa: BLE001 - raised where the batch is answered
            finish = partial(_throw, error)
        return _Begun(batch, finish, start_s)

    def _finish(self, begun: _Begun[Q], following: _Begun[Q] | None) -> None:
        """Wait for a batch; afterwards the device is the following one's, and its time runs."""
        answers = self._answers(begun.batch, begun.finish)
        now_s = self._clock()
        self._note_end(None if following is None else Running(len(following.batch), now_s))
        if following is not None:
            following.start_s = now_s
            for request in following.batch:
                request.bound_s = now_s
        with self._lock:
            self._queue.ended(now_s, len(begun.batch))
        _end(begun.batch, answers, now_s - begun.start_s)

    def _note_end(self, following: Running | None) -> None:
        ended, self.running = self.running, following
        if ended is not None and self._told is ended:
            self._log.warning("the batch has ended", seconds=round(self._clock() - ended.start_s, 1))

    def _answers(self, batch: list[Q], finish: Finish) -> Answers:
        """Return an answer per request, whatever happens; a SystemExit, too, would end this thread."""
        try:
            answers = finish()
            if len(answers) == len(batch):
                return answers
            self._log.error(
                "a batch has another number of answers", batch_size=len(batch), answers=len(answers)
            )
        except BaseException:  # noqa: BLE001 - the model's errors are answers; this is our own fault
            self._log.exception("a batch failed outside the model", batch_size=len(batch))
        return [ModelFailure(FAILED) for _ in batch]


def _end(batch: Sequence[Q], answers: Answers, elapsed_s: float) -> None:
    for request, outcome in zip(batch, answers, strict=True):
        request.computed_s = elapsed_s
        request.outcome = outcome


def _throw(error: BaseException) -> NoReturn:
    raise error
