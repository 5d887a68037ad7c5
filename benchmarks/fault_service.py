"""The service as a process under faults: started, asked for its counters and memory from outside, held, stopped and killed."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

from benchmarks import fault_models
from benchmarks.environments import ROOT

PATIENCE_S = 180.0
LOOK_S = 0.02
Counts = dict[str, float]


class FaultService:
    """``python -m tailgate.service`` with the model of :mod:`benchmarks.fault_models`; a context manager.

    Args:
        batch_ms: what the model takes for a batch.
        settings: of the service, by their names.
    """

    def __init__(self, batch_ms: float = 0.0, **settings: object) -> None:
        self._directory = tempfile.TemporaryDirectory()
        folder = Path(self._directory.name)
        self._hold, self._computed = folder / "hold", folder / "computed"
        self._log = (folder / "log").open("w+")
        self._settings = {
            "model": "benchmarks.fault_models:marked",
            "threads": 1,
            "executor": "eager",
            "log_format": "json",
        } | settings
        self._batch_ms = batch_ms

    def __enter__(self) -> Self:
        """Start it, and wait until it is ready."""
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Kill it, if it is still there."""
        self.kill()
        self._log.close()
        self._directory.cleanup()

    def start(self) -> None:
        """Start a process, and wait until it is ready."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.address = listener.getsockname()
            environment = {f"TAILGATE_{name.upper()}": str(value) for name, value in self._settings.items()}
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tailgate.service"],
                env=os.environ
                | environment
                | {
                    "TAILGATE_FD": str(listener.fileno()),
                    "FAULT_HOLD": str(self._hold),
                    "FAULT_COMPUTED": str(self._computed),
                    "FAULT_BATCH_MS": str(self._batch_ms),
                },
                cwd=ROOT,
                pass_fds=(listener.fileno(),),
                stderr=self._log,
            )
        self.until(lambda: self._process.poll() is not None or self.status("/health/ready") == 200)
        if self._process.poll() is not None:
            raise SystemExit(f"the service did not start:\n{self.log()[-2000:]}")
        self._computed.write_bytes(b"")

    def log(self) -> str:
        """Return what the service has logged."""
        return Path(self._log.name).read_text()

    def status(self, path: str) -> int | None:
        """Return the status of a GET, None where nobody answers."""
        try:
            return httpx.get(f"http://127.0.0.1:{self.address[1]}{path}", timeout=PATIENCE_S).status_code
        except httpx.TransportError:
            return None

    def counts(self) -> Counts:
        """Return the counters of ended requests by outcome, of cut connections by reason, and the gauges of the moment."""
        text = httpx.get(f"http://127.0.0.1:{self.address[1]}/metrics", timeout=PATIENCE_S).text
        found: Counts = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                name = sample.name.removeprefix("tailgate_")
                label = sample.labels.get("outcome") or sample.labels.get("reason")
                if name in ("requests_total", "connections_cut_total"):
                    found[f"{name.removesuffix('_total')}:{label}"] = sample.value
                elif name in (
                    "in_flight",
                    "queue_depth",
                    "batch_size_sum",
                    "failed_runs_total",
                    "queue_seconds_count",
                ):
                    found[name] = sample.value
        return found

    def rss_mb(self) -> float:
        """Return the process's resident memory in MB."""
        return psutil.Process(self._process.pid).memory_info().rss / 1e6

    def peak_mb(self) -> float:
        """Return the largest resident memory since the last :meth:`forget_peak`, in MB."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return next(
            int(line.split()[1]) * 1024 / 1e6 for line in status.splitlines() if line.startswith("VmHWM")
        )

    def forget_peak(self) -> None:
        """Begin a new peak of memory."""
        Path(f"/proc/{self._process.pid}/clear_refs").write_text("5")

    def hold(self) -> None:
        """Have every batch wait from now on."""
        self._hold.touch()

    def let_go(self) -> None:
        """Let batches run again."""
        self._hold.unlink(missing_ok=True)

    def hang(self, *, on: bool) -> None:
        """Have items that say so hang, or end them."""
        path = self._hold.with_suffix(".hang")
        path.touch() if on else path.unlink(missing_ok=True)

    def computed(self) -> list[int]:
        """Return the numbers of the items that were computed."""
        return fault_models.numbers(self._computed.read_bytes())

    def settled(self) -> Counts:
        """Wait until nothing is in flight, and return the counters."""
        self.until(lambda: self.counts()["in_flight"] == 0 and self.counts()["queue_depth"] == 0)
        return self.counts()

    def until(self, condition: object) -> None:
        """Look until something holds.

        Raises:
            TimeoutError: it never did.
        """
        end_s = time.monotonic() + PATIENCE_S
        while not condition():  # type: ignore[operator]
            if time.monotonic() > end_s:
                raise TimeoutError(self.log()[-2000:])
            time.sleep(LOOK_S)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self._process.send_signal(signal.SIGTERM)

    def exit_status(self) -> int:
        """Wait for the end."""
        return self._process.wait(PATIENCE_S)

    def kill(self) -> None:
        """Send SIGKILL, and wait for the end."""
        self.let_go()
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()


def difference(before: Mapping[str, float], after: Mapping[str, float]) -> Counts:
    """Return what has been counted in between, without zeros."""
    found = {name: value - before.get(name, 0.0) for name, value in after.items()}
    return {name: value for name, value in found.items() if value}


def ended(counts: Mapping[str, float]) -> float:
    """Return how many requests have ended, by any outcome."""
    return sum(value for name, value in counts.items() if name.startswith("requests:"))
