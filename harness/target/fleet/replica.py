"""One replica of a fleet: a process in a place, ended as a supervisor would, and asked for its counts until its end."""

import contextlib
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import httpx

from tailgate.harness.errors import MeasurementError
from tailgate.harness.target.asking.client import asking_client
from tailgate.harness.target.asking.exposition import Scrape, get, parse, summed
from tailgate.harness.target.asking.metric_names import MetricNames
from tailgate.harness.target.asking.selector import read_selector
from tailgate.harness.target.fleet.books import ReplicaBook
from tailgate.harness.target.launching.launch import Launch
from tailgate.harness.target.launching.process import HOST, ServerProcess
from tailgate.harness.target.settings import TargetSettings

READ_EVERY_S = 0.1
READ_TIMEOUT_S = 2.0
# From an answer's last byte to the moment at which a server that counts afterwards has counted it.
SETTLED_S = 2.0


class Replica:
    """A process, started in a place of a fleet."""

    def __init__(self, place: int, port: int, launch: Launch, settings: TargetSettings, log: Path) -> None:
        self.place = place
        self.server = ServerProcess(launch, log, port)
        self._settings = settings
        self._since_ns: int | None = None
        self._told_ns: int | None = None
        self._until_ns: int | None = None
        self._killed = False
        self._before = 0.0  # counted before the phase
        self._counted: float | None = None
        self._read_ns: tuple[int, int] | None = None

    def start(self) -> None:
        """Start it; :attr:`server` says when it is ready."""
        self._since_ns = time.monotonic_ns()
        self.server.start()

    def begin(self) -> None:
        """Begin a phase, with nothing in flight: what it has counted so far is not of it."""
        self._since_ns = self._counted = self._read_ns = None
        self._settle()
        self._before = self._counted or 0.0

    def finish(self) -> None:
        """End a phase, with nothing in flight."""
        self._settle()

    def retire(self) -> None:
        """Tell it to end by SIGTERM to its first process, and read its counts until it has ended, or its time to drain has."""
        self._signal(signal.SIGTERM, (self.server.pid,))
        deadline_s = time.monotonic() + self.server.launch.stop_timeout_s
        while self.server.alive() and time.monotonic() < deadline_s:
            self._read()
            time.sleep(READ_EVERY_S)
        self._end()

    def kill(self) -> None:
        """End it by SIGKILL to all its processes."""
        self._killed = True
        self._read()
        self._signal(signal.SIGKILL, self.server.pids())
        self._end()

    def book(self) -> ReplicaBook:
        """Return what is known of it in this phase."""
        counted = None if self._counted is None else self._counted - self._before
        return ReplicaBook(
            self.place, self._since_ns, self._told_ns, self._until_ns, self._killed, counted, self._read_ns
        )

    def _signal(self, number: signal.Signals, pids: Sequence[int | None]) -> None:
        self._told_ns = time.monotonic_ns()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                if pid is not None:
                    os.kill(pid, number)

    def _end(self) -> None:
        self.server.stop()
        self._until_ns = time.monotonic_ns()

    def _settle(self) -> None:
        """Read its counts until two readings agree."""
        deadline_s, before = time.monotonic() + SETTLED_S, -1.0
        while self._read() and self._counted != before and time.monotonic() < deadline_s:
            before = self._counted or 0.0
            time.sleep(READ_EVERY_S)

    def _read(self) -> bool:
        """Read its counts; return whether it tells them."""
        url = self._metrics_url()
        if url is None:
            return False
        began_ns = time.monotonic_ns()
        try:
            with asking_client(READ_TIMEOUT_S, self._settings.headers) as client:
                scrape = parse(get(client, url), time.monotonic_ns())
        except (MeasurementError, httpx.HTTPError):
            return False
        found = counted(scrape, self._settings.metric_names)
        if found is None:
            return False
        self._counted, self._read_ns = found, (began_ns, scrape.time_ns)
        return True

    def _metrics_url(self) -> str | None:
        path = self._settings.metrics_path
        return None if path is None else f"http://{HOST}:{self.server.metrics_port or self.server.port}{path}"


def counted(scrape: Scrape, names: MetricNames) -> float | None:
    """Return how many requests a server counted, by its counter or else its histogram; None where it has neither.

    A counter that has no series yet has counted nothing.
    """
    told = [
        *([names.requests_total, f"{names.requests_total}_total"] if names.requests_total else []),
        *([str(read_selector(names.request_seconds).suffixed("_count"))] if names.request_seconds else []),
    ]
    for name in told:
        selector = read_selector(name)
        total = summed(scrape.chosen(selector))
        if total is None and selector.name.removesuffix("_total") in scrape.kinds:
            total = 0.0
        if total is not None:
            return total
    return None
