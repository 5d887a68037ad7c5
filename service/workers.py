"""Threads for what takes longer than some microseconds: decoding, and writing out large answers.

What waits for a thread is still its owner's to take back: nobody decodes the photograph of a client that has gone, and it takes
no place from others from that moment on. A deadline is answered when it passes, whether a thread has begun or not.
"""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from service.errors import Expired

Then = Callable[[object], None]


class Work:
    """One piece of work; all methods are called on the event loop.

    Args:
        function: the work.
        then: called once with what came of it, unless it has been dropped.
        left: called once, when it has no place among those who wait any more.
    """

    __slots__ = ("_function", "_future", "_left", "_then", "_timer")

    def __init__(self, function: Callable[[], object], then: Then, left: Callable[[], None]) -> None:
        self._function: Callable[[], object] | None = function
        self._then: Then | None = then
        self._left = left
        self._future: Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def given(self, future: "Future[None]", timer: asyncio.TimerHandle | None) -> None:
        """Take note of what runs it, and of what ends it at its deadline."""
        self._future, self._timer = future, timer

    def drop(self) -> None:
        """Nobody waits for it any more: it is not begun, if it has not been, and nothing comes of it."""
        if self._forget() is not None and self._future is not None and self._future.cancel():
            # The pool keeps what is cancelled until a thread comes to it; the body that was to be decoded must not stay so long.
            self._function = None
            self._left()

    def do(self) -> object:
        """Do it, and return what it returned or raised; in a thread."""
        function, self._function = self._function, None
        assert function is not None
        try:
            return function()
        except BaseException as error:  # noqa: BLE001 - handed to the request that it belongs to
            return error

    def come_back(self, outcome: object) -> None:
        """Go on with what the thread has made of it."""
        self._left()
        then = self._forget()
        if then is not None:
            then(outcome)

    def expire(self) -> None:
        """Answer its deadline, which has passed."""
        then = self._then
        self.drop()
        if then is not None:
            then(Expired("the request's deadline passed while it waited to be decoded"))

    def _forget(self) -> Then | None:
        then, self._then = self._then, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return then


class Workers:
    """The threads, and how many pieces of work wait for them or are in them. Called on the event loop.

    Args:
        name: of the threads.
        threads: how many.
        loop: on which everything else happens.

    Attributes:
        waiting: pieces that have neither come back nor been taken back.
    """

    def __init__(self, name: str, threads: int, loop: asyncio.AbstractEventLoop) -> None:
        self.waiting = 0
        self._loop = loop
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix=name)

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

    def submit(self, then: Then, function: Callable[[], object], *, deadline_s: float | None = None) -> Work:
        """Run ``function`` in a thread, and ``then`` on the event loop with what it returned or raised.

        Args:
            then: goes on.
            function: the work.
            deadline_s: on the clock of ``time.perf_counter``, after which it comes to :class:`Expired`; None for never.
        """
        work = Work(function, then, self._left)
        self.waiting += 1
        timer = None
        if deadline_s is not None:
            timer = self._loop.call_later(max(0.0, deadline_s - time.perf_counter()), work.expire)
        work.given(self._pool.submit(self._run, work), timer)
        return work

    def stop(self) -> None:
        """Begin nothing more, and wait for nobody."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _run(self, work: Work) -> None:
        """Do the work; in a thread."""
        outcome = work.do()
        with contextlib.suppress(RuntimeError):  # the loop has been closed: nobody waits any more
            self._loop.call_soon_threadsafe(work.come_back, outcome)

    def _left(self) -> None:
        self.waiting -= 1
