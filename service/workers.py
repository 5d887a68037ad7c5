"""Threads for what takes longer than some microseconds: decoding, and writing out large answers.

What waits for a thread is still its owner's to take back: nobody decodes the photograph of a client that has gone, and it takes
no place from others from that moment on. A deadline is answered when it passes, whether a thread has begun or not.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import takewhile

from tailgate.service.errors import Expired
from tailgate.service.forecast import Decoding

# Called with what the work returned or raised, and the seconds that it took in its thread; None where nobody waited for that.
Then = Callable[[object, float | None], None]


class Work:
    """One piece of work; all methods but :meth:`do` are called on the event loop.

    Args:
        function: the work.
        then: called once with what came of it, unless it has been dropped.
        left: called once, when it has been taken back before a thread had it.
        began_s: when its request began, on the clock of ``time.perf_counter``.
        timeout_s: its client's patience from then on, None for no end.

    Attributes:
        submitted_s: when it began to wait.
    """

    __slots__ = ("_function", "_future", "_left", "_then", "_timer", "began_s", "submitted_s", "timeout_s")

    def __init__(
        self,
        function: Callable[[], object],
        then: Then,
        left: "Callable[[Work], None]",
        began_s: float = 0.0,
        timeout_s: float | None = None,
    ) -> None:
        self.submitted_s = time.perf_counter()
        self.began_s, self.timeout_s = began_s, timeout_s
        self._function: Callable[[], object] | None = function
        self._then: Then | None = then
        self._left = left
        self._future: Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waits(self) -> bool:
        """Whether no thread has begun it."""
        return self._function is not None

    def given(self, future: "Future[None]", timer: asyncio.TimerHandle | None) -> None:
        """Take note of what runs it, and of what ends it at its deadline."""
        self._future, self._timer = future, timer

    def drop(self) -> None:
        """Nobody waits for it any more: it is not begun, if it has not been, and nothing comes of it."""
        if self._forget() is not None and self._future is not None and self._future.cancel():
            # The pool keeps what is cancelled until a thread comes to it; the body that was to be decoded must not stay so long.
            self._function = None
            self._left(self)

    def do(self) -> object:
        """Do it, and return what it returned or raised; in a thread."""
        function, self._function = self._function, None
        assert function is not None
        try:
            return function()
        except BaseException as error:  # noqa: BLE001 - handed to the request that it belongs to
            return error

    def come_back(self, outcome: object, run_s: float) -> None:
        """Go on with what the thread has made of it."""
        then = self._forget()
        if then is not None:
            then(outcome, run_s)

    def end(self, error: Exception) -> None:
        """Go on with an error at once, and drop the work."""
        then = self._then
        self.drop()
        if then is not None:
            then(error, None)

    def expire(self) -> None:
        """Answer its deadline, which has passed."""
        self.end(Expired("the request's deadline passed while it waited to be decoded"))

    def _forget(self) -> Then | None:
        then, self._then = self._then, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return then


class Workers:
    """The threads, and what waits for them or is in them. Called on the event loop.

    Args:
        name: of the threads.
        threads: how many.
        loop: on which everything else happens.

    Attributes:
        done: called with the seconds of each piece of work, after its ``then``.
    """

    def __init__(self, name: str, threads: int, loop: asyncio.AbstractEventLoop) -> None:
        self.done: Callable[[float], None] = lambda _: None
        self._loop = loop
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
        # Those that have neither come back nor been taken back, the oldest first.
        self._unfinished: dict[Work, None] = {}
        # Guards the three numbers below, since threads begin and end at any time.
        self._lock = threading.Lock()
        self._waiting = self._running = 0
        self._starts_s = 0.0

    @property
    def unfinished(self) -> int:
        """Pieces that have neither come back nor been taken back."""
        return len(self._unfinished)

    def start(self) -> None:
        """Start all threads, which the pool would do one by one, in requests that each would fail for want of a thread.

        Raises:
            RuntimeError: the system allows no more threads.
        """
        together = threading.Barrier(
            self._threads
        )  # a thread that waits is not taken for the next piece of work
        try:
            for _ in range(self._threads):
                self._pool.submit(together.wait)
        except BaseException:
            together.abort()
            self.stop()
            raise

    def submit(
        self,
        then: Then,
        function: Callable[[], object],
        *,
        began_s: float = 0.0,
        timeout_s: float | None = None,
    ) -> Work:
        """Run ``function`` in a thread, and ``then`` on the event loop with what it returned or raised.

        Args:
            then: goes on.
            function: the work.
            began_s: when its request began, on the clock of ``time.perf_counter``.
            timeout_s: the time from then on after which it comes to :class:`Expired`; None for never.
        """
        work = Work(function, then, self._left, began_s, timeout_s)
        self._unfinished[work] = None
        with self._lock:
            self._waiting += 1
        timer = None
        if timeout_s is not None:
            timer = self._loop.call_later(max(0.0, began_s + timeout_s - work.submitted_s), work.expire)
        work.given(self._pool.submit(self._run, work), timer)
        return work

    def decoding(self, now_s: float) -> Decoding:
        """Return what the threads have to do; may be called by any thread."""
        with self._lock:
            spent_s = self._running * now_s - self._starts_s
            return Decoding(self._threads, self._waiting, self._running, spent_s)

    def newest_waiting(self) -> Iterator[Work]:
        """Yield those that wait for a thread, the last first; none may come or leave meanwhile."""
        return takewhile(lambda work: work.waits, reversed(self._unfinished))

    def stop(self) -> None:
        """Begin nothing more, and wait for nobody."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _run(self, work: Work) -> None:
        """Do the work; in a thread."""
        start_s = time.perf_counter()
        with self._lock:
            self._waiting -= 1
            self._running += 1
            self._starts_s += start_s
        outcome = work.do()
        run_s = time.perf_counter() - start_s
        with self._lock:
            self._running -= 1
            self._starts_s = self._starts_s - start_s if self._running else 0.0  # no rounding outlasts this
        with contextlib.suppress(RuntimeError):  # the loop has been closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._come_back, work, outcome, run_s)

    def _come_back(self, work: Work, outcome: object, run_s: float) -> None:
        del self._unfinished[work]
        work.come_back(outcome, run_s)
        self.done(run_s)

    def _left(self, work: Work) -> None:
        del self._unfinished[work]
        with self._lock:
            self._waiting -= 1
