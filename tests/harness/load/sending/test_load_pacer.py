"""The fine wait, by a clock of its own: how much of a wait is slept through, and how much polled."""

from types import SimpleNamespace

import pytest

from tailgate.harness.load import Scheduling, TimerMode
from tailgate.harness.load.sending import pacer as pacer_module
from tailgate.harness.load.sending.pacer import Pacer

POLL_NS = 1_000


class Kernel:
    """Its clock moves by what is slept, and by a microsecond for each poll; a socket becomes ready at a moment."""

    def __init__(self, ready_ns=None):
        self.now_ns = 0
        self.slept_ns = []
        self.ready_ns = ready_ns

    def poll(self, *_):
        self.now_ns += POLL_NS
        return [(7, 1)] if self.ready_ns is not None and self.now_ns >= self.ready_ns else []

    def select(self, _read, _write, _error, seconds):
        ends_ns = self.now_ns + round(seconds * 1e9)
        if self.ready_ns is not None:
            ends_ns = min(ends_ns, self.ready_ns)
        self.slept_ns.append(ends_ns - self.now_ns)
        self.now_ns = ends_ns


def wait(monkeypatch, until_ns, mode, scheduling=Scheduling.NORMAL, ready_ns=None):
    kernel = Kernel(ready_ns)
    epoll = SimpleNamespace(poll=kernel.poll, fileno=lambda: 3, close=lambda: None)
    monkeypatch.setattr(pacer_module, "select", SimpleNamespace(epoll=lambda: epoll, select=kernel.select))
    monkeypatch.setattr(pacer_module, "time", SimpleNamespace(monotonic_ns=lambda: kernel.now_ns))
    pacer = Pacer(mode, scheduling)
    events = pacer.wait(until_ns)
    return events, kernel, pacer


@pytest.mark.parametrize(
    ("mode", "scheduling", "until_ns", "slept_ns"),
    [
        (TimerMode.SLEEP, Scheduling.NORMAL, 1_001_000, [1_000_000]),
        (TimerMode.SLEEP, Scheduling.FIFO, 1_001_000, [1_000_000]),
        (TimerMode.SPIN, Scheduling.NORMAL, 1_001_000, [700_000]),
        (TimerMode.SPIN, Scheduling.FIFO, 1_001_000, [700_000]),
        (TimerMode.SPIN, Scheduling.NORMAL, 201_000, []),
        (TimerMode.SPIN, Scheduling.FIFO, 201_000, [50_000]),  # a quarter of the wait is left to others
    ],
)
def test_a_wait_is_slept_through_but_for_what_is_spun(monkeypatch, mode, scheduling, until_ns, slept_ns):
    events, kernel, pacer = wait(monkeypatch, until_ns, mode, scheduling)
    assert events == []
    assert kernel.slept_ns == slept_ns
    assert until_ns <= kernel.now_ns <= until_ns + POLL_NS
    assert pacer.idle_ns == kernel.now_ns - POLL_NS


@pytest.mark.parametrize("ready_ns", [300_000, 900_000])
@pytest.mark.parametrize("mode", TimerMode)
def test_a_ready_socket_ends_the_wait(monkeypatch, mode, ready_ns):
    events, kernel, _ = wait(monkeypatch, 1_001_000, mode, ready_ns=ready_ns)
    assert events == [(7, 1)]
    assert ready_ns <= kernel.now_ns <= ready_ns + POLL_NS


@pytest.mark.parametrize("until_ns", [0, 500])
def test_what_is_due_is_not_waited_for(monkeypatch, until_ns):
    _, kernel, pacer = wait(monkeypatch, until_ns, TimerMode.SPIN)
    assert (kernel.slept_ns, pacer.idle_ns) == ([], 0)
