"""The service as a process under faults: started, observed from outside, held, stopped and killed."""

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Self

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.environments import ROOT
from benchmarks.faults import marked
from tailgate.harness.target.launching.launch import Launch
from tailgate.harness.target.launching.process import ServerProcess

PATIENCE_S = 180.0
LOOK_S = 0.02
COUNTERS = {"tailgate_requests_total": "requests", "tailgate_connections_cut_total": "connections_cut"}
OTHERS = ("in_flight", "queue_depth", "batch_size_sum", "failed_runs_total", "queue_seconds_count")
Counts = dict[str, float]


class FaultService:
    """``python -m tailgate.service`` with the model of :mod:`benchmarks.faults.marked`; a context manager.

    Args:
        batch_ms: duration of a batch.
        settings: of the service, by their names.
    """

    def __init__(self, batch_ms: float = 0.0, **settings: object) -> None:
        self._directory = tempfile.TemporaryDirectory()
        folder = Path(self._directory.name)
        self._hold, self._computed, self._log = folder / "hold", folder / "computed", folder / "log"
        model = {"model": "benchmarks.faults.marked:marked", "threads": 1, "executor": "eager"}
        given = model | {"log_format": "json", "fd": "{fd}"} | settings
        self._launch = Launch(
            (sys.executable, "-m", "tailgate.service"),
            {f"TAILGATE_{name.upper()}": str(value) for name, value in given.items()}
            | {"FAULT_HOLD": str(self._hold), "FAULT_COMPUTED": str(self._computed)}
            | {"FAULT_BATCH_MS": str(batch_ms)},
            ROOT,
            ready_timeout_s=PATIENCE_S,
        )

    def __enter__(self) -> Self:
        """Start it, and wait until it is ready."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Kill it where it still runs."""
        self.kill()
        self._directory.cleanup()

    def start(self) -> None:
        """Start a process, and wait until it is ready.

        Raises:
            TargetError: it did not become ready.
        """
        self._process = ServerProcess(self._launch, self._log)
        self._process.bring_up()
        self._computed.write_bytes(b"")

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return "127.0.0.1", self._process.port

    def status(self, path: str) -> int | None:
        """Return the status of a GET; None where nobody answers."""
        try:
            return httpx.get(self._process.base_url + path, timeout=PATIENCE_S).status_code
        except httpx.TransportError:
            return None

    def counts(self) -> Counts:
        """Return ended requests by outcome, cut connections by reason, and the gauges of the moment."""
        text = httpx.get(f"{self._process.base_url}/metrics", timeout=PATIENCE_S).text
        found: Counts = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                name = sample.name.removeprefix("tailgate_")
                if sample.name in COUNTERS:
                    label = sample.labels.get("outcome") or sample.labels.get("reason")
                    found[f"{COUNTERS[sample.name]}:{label}"] = sample.value
                elif name in OTHERS:
                    found[name] = sample.value
        return found

    def rss_mb(self) -> float:
        """Return the process's resident memory in MB."""
        return psutil.Process(self._process.pid).memory_info().rss / 1e6

    def peak_mb(self) -> float:
        """Return the largest resident memory since the last :meth:`forget_peak`, in MB."""
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM"))

    def forget_peak(self) -> None:
        """Begin a new peak of memory."""
        Path(f"/proc/{self._process.pid}/clear_refs").write_text("5")

    def hold(self) -> None:
        """Let every batch wait from now on."""
        self._hold.touch()

    def let_go(self) -> None:
        """Let batches run again."""
        self._hold.unlink(missing_ok=True)

    def hang(self, *, on: bool) -> None:
        """Let items with the mark HANG hang, or end them."""
        path = self._hold.with_suffix(".hang")
        path.touch() if on else path.unlink(missing_ok=True)

    def computed(self) -> list[int]:
        """Return the numbers of the computed items."""
        return marked.numbers(self._computed.read_bytes())

    def settled(self) -> Counts:
        """Wait until nothing is in flight, and return the counters."""
        self.until_counts(in_flight=0, queue_depth=0)
        return self.counts()

    def until_counts(self, **wanted: float) -> None:
        """Wait until these counts have these values.

        Raises:
            TimeoutError: they never had.
        """
        self.until(lambda: wanted.items() <= self.counts().items())

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition holds.

        Raises:
            TimeoutError: it never did.
        """
        end_s = time.monotonic() + PATIENCE_S
        while not condition():
            if time.monotonic() > end_s:
                raise TimeoutError(self._process.log_tail())
            time.sleep(LOOK_S)

    def exit_status(self) -> int:
        """Wait for the end, and return the exit status."""
        self.until(lambda: not self._process.alive())
        status = self._process.exit_code()
        assert status is not None
        return status

    def kill(self) -> None:
        """Send SIGKILL, and wait for the end."""
        self.let_go()
        if self._process.alive():
            self.signal(signal.SIGKILL)
        self.exit_status()
        self._process.stop()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the service itself."""
        assert self._process.pid is not None
        os.kill(self._process.pid, number)


def difference(before: Mapping[str, float], after: Mapping[str, float]) -> Counts:
    """Return the counts in between, without zeros."""
    found = {name: value - before.get(name, 0.0) for name, value in after.items()}
    return {name: value for name, value in found.items() if value}


def ended(counts: Mapping[str, float]) -> float:
    """Return how many requests have ended, by any outcome."""
    return sum(value for name, value in counts.items() if name.startswith("requests:"))
