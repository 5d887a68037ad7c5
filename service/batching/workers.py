"""Threads for work that takes longer than some microseconds: decoding, and writing out large answers.

Work that waits for a thread can be taken back: nobody decodes the photograph of a client that has left, and from that moment
the photograph takes no place from others.
"""

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Callable, Iterator
from itertools import takewhile
from typing import TYPE_CHECKING

from tailgate.service.batching.forecast import Decoding

if TYPE_CHECKING:
    from tailgate.service.batching.requests.infer import Waiting

JOIN_TIMEOUT_S = 0.1


class Workers:
    """The threads, and the requests that wait for them or have them. Called on the event loop."""

    def __init__(self, name: str, threads: int, loop: asyncio.AbstractEventLoop) -> None:
        # Called with the seconds of each piece of work, after its request has gone on.
        self.done: Callable[[float], None] = lambda _: None
        self._loop = loop
        self._jobs: queue.SimpleQueue[Waiting | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}_{number}", daemon=True)
            for number in range(threads)
        ]
        # The requests whose work has neither come back nor been taken back, the oldest first.
        self.unfinished: dict[Waiting, None] = {}
        # Guards the numbers below and every request's ``work``: threads begin and end at any time.
        self._lock = threading.Lock()
        self._waiting = self._running = 0
        self._starts_s = 0.0

    def start(self) -> None:
        """Start all threads; RuntimeError where the system allows no more, and :meth:`stop` ends those that have started."""
        for thread in self._threads:
            thread.start()

    def submit(self, request: "Waiting", work: Callable[[], object]) -> None:
        """Do a request's work in a thread; its ``worked`` goes on with its outcome."""
        request.work_since_s = time.perf_counter()
        self.unfinished[request] = None
        with self._lock:
            request.work = work
            self._waiting += 1
        self._jobs.put(request)

    def drop(self, request: "Waiting") -> None:
        """Take a request's work back, if no thread has begun it."""
        with self._lock:
            if request.work is None:
                return
            request.work = None
            self._waiting -= 1
        del self.unfinished[request]

    def decoding(self, now_s: float) -> Decoding:
        """Return how much the threads have to do; may be called by any thread."""
        with self._lock:
            spent_s = self._running * now_s - self._starts_s
            return Decoding(len(self._threads), self._waiting, self._running, spent_s)

    def newest_waiting(self) -> Iterator["Waiting"]:
        """Yield the requests that wait for a thread, the last first; none may come or leave meanwhile."""
        return takewhile(lambda request: request.work is not None, reversed(self.unfinished))

    def stop(self) -> None:
        """Begin nothing more; a thread that works ends with its work, and nobody waits for it."""
        with self._lock:
            for request in self.unfinished:
                request.work = None
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(JOIN_TIMEOUT_S)

    def _run(self) -> None:
        """Do what is to be done, until :meth:`stop`; in a thread."""
        while (request := self._jobs.get()) is not None:
            with self._lock:
                work, request.work = request.work, None
                if work is None:
                    continue
                start_s = time.perf_counter()
                self._waiting -= 1
                self._running += 1
                self._starts_s += start_s
            try:
                outcome = work()
            except BaseException as error:  # noqa: BLE001 - handed to its request
                outcome = error
            run_s = time.perf_counter() - start_s
            with self._lock:
                self._running -= 1
                # Zero where none runs, so that no rounding outlasts this.
                self._starts_s = self._starts_s - start_s if self._running else 0.0
            with contextlib.suppress(RuntimeError):  # the loop has been closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._come_back, request, outcome, run_s)
            del work, outcome, request  # an idle thread keeps nobody's picture

    def _come_back(self, request: "Waiting", outcome: object, run_s: float) -> None:
        del self.unfinished[request]
        request.worked(outcome, run_s)
        self.done(run_s)
