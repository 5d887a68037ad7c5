"""A server, its network and the clock, simulated: the sender runs its real course in no time, and exactly.

The clock moves only where the sender waits, and answers come when a single line of service says. What is real: the
schedule, the pool, the parser, the recorder. What is not: sockets, epoll, and time.
"""

import heapq
import select
from collections import defaultdict, deque
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace

import numpy as np

from tailgate.harness.load import LoadSettings
from tailgate.harness.load.records.recorder import Recorder
from tailgate.harness.load.records.samples import read_samples
from tailgate.harness.load.sending import pool as pool_module
from tailgate.harness.load.sending import sender as sender_module
from tailgate.harness.load.sending.sender import Sender
from tailgate.harness.load.wire.answer import Answer
from tailgate.harness.load.wire.stream import UNKNOWN_LAG
from tailgate.harness.scenario.payloads.payload import Payload
from tailgate.harness.scenario.plan import draw_plan
from tailgate.harness.scenario.scenario import Phase, Scenario

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n"
START_NS = 1_000_000_000


class SimulatedServer:
    """One server, first come first served; the k-th request takes ``service_s(k)`` seconds.

    Args:
        service_s: service time of a request by the order of its arrival.
        frozen_s: from when to when, in seconds of the clock, it begins nothing.
        in_line: one request waits for the end of another; otherwise all are served at once.
    """

    def __init__(
        self,
        service_s: Callable[[int], float],
        frozen_s: tuple[float, float] = (0.0, 0.0),
        *,
        in_line: bool = True,
    ):
        self.now_ns = START_NS
        self.arrived_ns: list[int] = []
        self.answered_ns: list[int] = []
        self._service_s = service_s
        self._frozen_ns = tuple(round(end * 1e9) for end in frozen_s)
        self._in_line = in_line
        self._free_ns = 0
        self._events: list[tuple[int, int, int]] = []

    def request(self, descriptor):
        """Take a request, and answer it in its turn."""
        begin_ns = max(self.now_ns, self._free_ns if self._in_line else 0)
        if self._frozen_ns[0] <= begin_ns < self._frozen_ns[1]:
            begin_ns = self._frozen_ns[1]
        self._free_ns = begin_ns + round(self._service_s(len(self.arrived_ns)) * 1e9)
        self.arrived_ns.append(self.now_ns)
        self.answered_ns.append(self._free_ns)
        self.tell(self._free_ns, descriptor, select.EPOLLIN)

    def piece(self, _descriptor):
        """Return what is read when an answer has come."""
        return OK

    def tell(self, at_ns, descriptor, event):
        """Make a descriptor ready at a moment."""
        heapq.heappush(self._events, (at_ns, descriptor, event))

    def wait(self, until_ns):
        """Move the clock to the next event or to the moment given, whichever is first."""
        if self._events:
            until_ns = min(until_ns, self._events[0][0])
        self.now_ns = max(self.now_ns, until_ns)
        ready = []
        while self._events and self._events[0][0] <= self.now_ns:
            ready.append(heapq.heappop(self._events)[1:])
        return ready


class StreamingServer(SimulatedServer):
    """Answers at once with a head, then with an event after each of these seconds; all requests are served at once.

    ``sent_ns`` has the moments of the events of each request.
    """

    def __init__(self, gaps_s: Callable[[int], list[float]], event: bytes = b"data: token\n\n"):
        super().__init__(lambda _: 0.0, in_line=False)
        self.sent_ns: list[list[int]] = []
        self._gaps_s = gaps_s
        self._event = event
        self._pieces: dict[int, deque[bytes]] = defaultdict(deque)

    def request(self, descriptor):
        """Take a request, and plan the pieces of its answer."""
        gaps_ns = [round(gap_s * 1e9) for gap_s in self._gaps_s(len(self.sent_ns))]
        self.sent_ns.append([self.now_ns + sum(gaps_ns[: index + 1]) for index in range(len(gaps_ns))])
        length = len(self._event) * len(gaps_ns)
        self._pieces[descriptor].append(STREAM % length)
        self.tell(self.now_ns, descriptor, select.EPOLLIN)
        for at_ns in self.sent_ns[-1]:
            self._pieces[descriptor].append(self._event)
            self.tell(at_ns, descriptor, select.EPOLLIN)

    def piece(self, descriptor):
        """Return the next piece."""
        return self._pieces[descriptor].popleft()


class Connection:
    """A connection to a simulated server, by the interface of the real one."""

    def __init__(self, server, number, _endpoint):
        self._server = server
        self.number = self.descriptor = number
        self.established = False
        self.flight = self.unsent = None
        self.answer = Answer()
        self.lag_ns = UNKNOWN_LAG

    def connect(self):
        self._server.tell(self._server.now_ns, self.descriptor, select.EPOLLOUT)

    def proceed(self):
        self.established = True

    def begin(self, _request):
        self.answer.begin()
        self._server.request(self.descriptor)

    def receive(self, buffer):
        piece = self._server.piece(self.descriptor)
        buffer[: len(piece)] = piece
        return len(piece)

    def stamp(self):
        self.lag_ns = 0

    def has_more(self):
        return False

    def close(self):
        self.answer.close()


class Pacer:
    """The wait that moves the simulated clock."""

    def __init__(self, server, _mode, _scheduling):
        self._server = server
        ignore = lambda *_: None  # noqa: E731 - three methods that do nothing
        self.epoll = SimpleNamespace(register=ignore, modify=ignore, unregister=ignore)
        self.idle_ns = 0

    def sharpen(self):
        pass

    def wait(self, until_ns):
        return self._server.wait(until_ns)

    def close(self):
        pass


def simulate(monkeypatch, directory, server, arrivals, requests, seed=1, **settings):
    """Send one phase to a simulated server; return its report and samples."""
    clock = SimpleNamespace(monotonic_ns=lambda: server.now_ns, process_time=lambda: 0.0)
    for module in (sender_module, pool_module):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(sender_module, "Pacer", partial(Pacer, server))
    monkeypatch.setattr(pool_module, "Connection", partial(Connection, server))
    phase = Phase("simulated", arrivals, requests=requests)
    plan = draw_plan(Scenario("s", "d", (phase,), ()), [Payload("a", b"", "")], seed)
    limits = {"connections_max": 1_000, "connections_warm": 1, "timeout_s": 600.0}
    recorder = Recorder(directory / "samples.bin")
    sender = Sender(plan, LoadSettings("127.0.0.1", 1, **{**limits, **settings}), recorder)
    sender.warm_up()
    report = sender.run_phase(0)
    sender.close()
    recorder.close()
    return report, read_samples(directory / "samples.bin")


def latency_s(samples):
    """Return seconds from the intended time to the last byte."""
    return (samples["done_ns"] - samples["intended_ns"]) / 1e9


def lindley_wait_s(arrivals_s, services_s):
    """Return each request's wait in a single line, first come first served.

    Lindley's recursion W' = max(0, W + S - A) (Proc. Cambridge Phil. Soc. 48, 1952), solved by the running minimum of
    its partial sums.
    """
    steps = np.concatenate([[0.0], np.cumsum(services_s[:-1] - np.diff(arrivals_s))])
    return steps - np.minimum.accumulate(steps)
