"""The fine wait: until a moment of the monotonic clock, or until a socket has something.

``epoll_wait`` counts in whole milliseconds, ``select`` in microseconds, and an epoll descriptor is selectable: so the
wait is a ``select`` on that one descriptor, which has none of its limits on many.
"""

import select
import time
from pathlib import Path

from tailgate.harness.load.settings import Scheduling, TimerMode

# Linux delays a sleeper's wake-up by up to 50 us to save power (prctl(2), PR_SET_TIMERSLACK); 1 ns turns it off.
_TIMER_SLACK = Path("/proc/self/timerslack_ns")

# A sleep ended at most this late in 99 of 100 cases on the virtual machines tried: spinning starts before.
_SPIN_NS = 300_000
_EVENTS_MAX = 256


class Pacer:
    """Waits for moments and sockets, and counts how long it waited for lack of work.

    Under real-time scheduling it sleeps through a quarter of every wait: the kernel takes a processor away for 50 ms
    from real-time programs that have had it for 95 % of a second (sched(7), sched_rt_runtime_us).
    """

    def __init__(self, mode: TimerMode, scheduling: Scheduling = Scheduling.NORMAL) -> None:
        self.epoll = select.epoll()
        self.idle_ns = 0
        self._waited_on = [self.epoll.fileno()]
        self._spin_ns = _SPIN_NS if mode is TimerMode.SPIN else 0
        self._real_time = scheduling is Scheduling.FIFO

    def sharpen(self) -> None:
        """Ask the kernel for wake-ups on time, where it lets us."""
        try:
            _TIMER_SLACK.write_text("1")
        except OSError:
            return  # The lag that remains is measured and reported.

    def wait(self, until_ns: int) -> list[tuple[int, int]]:
        """Return the descriptors that are ready as (descriptor, events); empty at ``until_ns``."""
        events = self.epoll.poll(0, _EVENTS_MAX)
        if events or (began_ns := time.monotonic_ns()) >= until_ns:
            return events
        wait_ns = until_ns - began_ns
        sleep_ns = max(wait_ns - self._spin_ns, wait_ns // 4 if self._real_time else 0)
        if sleep_ns > 0:
            select.select(self._waited_on, (), (), sleep_ns / 1e9)
            events = self.epoll.poll(0, _EVENTS_MAX)
        now_ns = time.monotonic_ns()
        if self._spin_ns:
            while not events and now_ns < until_ns:
                events = self.epoll.poll(0, _EVENTS_MAX)
                now_ns = time.monotonic_ns()
        self.idle_ns += now_ns - began_ns
        return events

    def close(self) -> None:
        """Close the epoll descriptor."""
        self.epoll.close()
