"""The parent's side of the load generator: start it, run a phase, take the samples, leave nothing behind."""

import contextlib
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, Self

import orjson

from tailgate.harness.errors import LoadError, UsageError
from tailgate.harness.load.records.events import Events, read_events
from tailgate.harness.load.records.samples import SAMPLES, Samples, read_samples
from tailgate.harness.load.report import PhaseReport, decode_report
from tailgate.harness.load.settings import LOG, SETTINGS, LoadSettings, write_settings
from tailgate.harness.load.wire.request import encode_request
from tailgate.harness.scenario.plan import Plan, write_plan
from tailgate.harness.target.launching.last_words import tail

# For interpreter, imports and first connections on a busy machine.
READY_S = 60.0
# Beyond the moment at which the generator must have stopped by its own rules.
MARGIN_S = 15.0
# A generator that was asked to leave flushes its records and goes; after so long it is killed.
_LEAVE_S = 2.0


class LoadGenerator(Protocol):
    """Who sends a plan's requests, as a context manager; leaving it leaves nothing behind, whatever happened."""

    def __enter__(self) -> Self:
        """Start; raise UsageError for what cannot be sent, LoadError where nothing can be sent from."""

    def __exit__(self, *_: object) -> None:
        """End."""

    def prepare(self) -> None:
        """Do what takes a moment before a phase whose beginning is agreed upon."""

    def run_phase(self, index: int, stretch: float = 1.0, at_ns: int | None = None) -> PhaseReport:
        """Send one phase of the plan, and wait until nothing of it is in flight."""

    def stop(self) -> None:
        """Ask it to leave, from any thread."""

    @property
    def pids(self) -> tuple[int, ...]:
        """The sending processes on this machine."""

    def samples(self) -> Samples:
        """Return the samples so far, ordered by phase and request."""

    def events(self) -> Events:
        """Return the events of streamed answers so far, ordered by phase and request."""


class Generator:
    """A running load generator, as a context manager; leaving it ends the process, whatever happened.

    Not thread-safe but for :meth:`stop`. ``KeyboardInterrupt`` may arrive at any time: records written so far stay in the
    directory, which is made if missing.
    """

    def __init__(self, plan: Plan, settings: LoadSettings, directory: Path) -> None:
        self._plan = plan
        self._settings = settings
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._unread = b""

    def __enter__(self) -> Self:
        """Start the process and wait until its first connections stand.

        Raise UsageError for a payload that is no HTTP request and for a closed loop of too many connections, LoadError where
        the generator does not start or cannot reach the server.
        """
        refuse_unsendable(self._plan, self._settings)
        self._directory.mkdir(parents=True, exist_ok=True)
        write_plan(self._plan, self._directory)
        headers = write_settings(self._settings, self._directory / SETTINGS)
        try:
            self._process = self._start(headers)
            self._expect("ready", READY_S)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self._end()

    def stop(self) -> None:
        """Ask the process to leave, from any thread: a phase that runs ends with a ``LoadError`` where it is awaited."""
        process = self._process
        if process is not None and process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()

    def run_phase(self, index: int, stretch: float = 1.0, at_ns: int | None = None) -> PhaseReport:
        """Send one phase of the plan, wait until nothing of it is in flight; raise LoadError where the generator does not manage.

        Args:
            index: of the phase.
            stretch: for a phase that is relative to a throughput, the seconds between two of its answers.
            at_ns: CLOCK_MONOTONIC at the phase's time 0; None for at once. Where it has passed already, intended times
                count from it all the same, and the lag says how late the generator was.
        """
        phase = self._plan.phases[index]
        process = self._running()
        assert process.stdin is not None
        try:
            process.stdin.write(orjson.dumps({"run": index, "stretch": stretch, "at_ns": at_ns}) + b"\n")
            process.stdin.flush()
        except (OSError, ValueError) as error:  # ValueError: its input was closed by stop()
            raise self._failure("is gone") from error
        wait_s = 0.0 if at_ns is None else max(0.0, (at_ns - time.monotonic_ns()) / 1e9)
        limit_s = wait_s + phase.length_s * stretch + self._settings.timeout_s
        return decode_report(self._expect("done", limit_s + MARGIN_S))

    def prepare(self) -> None:
        """Do what takes a moment before a phase whose beginning is agreed upon: nothing."""

    @property
    def pids(self) -> tuple[int, ...]:
        """Its process."""
        return (self._running().pid,)

    def samples(self) -> Samples:
        """Return the samples so far, ordered by phase and request; raise MeasurementError where there are none."""
        return read_samples(self._directory / SAMPLES)

    def events(self) -> Events:
        """Return the events of streamed answers so far, ordered by phase and request; none where no answer was a stream."""
        return read_events(self._directory)

    def _start(self, headers: Mapping[str, str]) -> subprocess.Popen[bytes]:
        with (self._directory / LOG).open("wb") as log:
            return subprocess.Popen(
                # -P: a folder called harness in the working directory must not take our place.
                [sys.executable, "-P", "-m", "tailgate.harness.load", str(self._directory)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                # numpy's linear algebra starts a thread for each processor, which this process never needs.
                env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", **headers},
                # Ctrl-C goes to the parent alone, which closes the lifeline.
                start_new_session=True,
            )

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise LoadError("the load generator is not running; use it inside its with block")
        return self._process

    def _expect(self, event: str, within_s: float) -> dict[str, Any]:
        """Return the values of the next event, which must be the one named."""
        line = self._read_line(time.monotonic() + within_s)
        if line is None:
            raise self._failure(f"said nothing for {within_s:.0f} s, waiting for {event!r}")
        if not line:
            raise self._failure("died")
        values: dict[str, Any] = orjson.loads(line)
        said = values.pop("event")
        if said == "error":
            raise LoadError(f"the load generator: {values['message']}")
        if said != event:
            raise self._failure(f"said {said!r}, expected {event!r}")
        return values

    def _read_line(self, deadline_s: float) -> bytes | None:
        """Return the next line; empty when the process closed its output, None at the deadline."""
        process = self._running()
        assert process.stdout is not None
        while b"\n" not in self._unread:
            remaining_s = deadline_s - time.monotonic()
            if remaining_s <= 0 or not select.select([process.stdout], (), (), remaining_s)[0]:
                return None
            piece = os.read(process.stdout.fileno(), 65536)
            if not piece:
                return b""
            self._unread += piece
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def _failure(self, what: str) -> LoadError:
        """End the process and return an error that quotes the end of its log."""
        process = self._running()
        self._end()
        log = tail(self._directory / LOG).strip() or "(empty)"
        return LoadError(
            f"the load generator {what} (exit status {process.returncode}); its log ends:\n{log}"
        )

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        # The end of its standard input asks it to leave; where it is gone already, there is nobody to ask.
        with contextlib.suppress(OSError):
            process.stdin.close()
        try:
            end(process)
        finally:
            process.stdout.close()


def end(process: subprocess.Popen[bytes]) -> None:
    """Wait for a generator that was asked to leave, and kill it where it stays."""
    try:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_LEAVE_S)
    finally:
        process.kill()
        process.wait()


def refuse_unsendable(plan: Plan, settings: LoadSettings) -> None:
    """Raise UsageError for a payload that is no HTTP request, and for a closed loop of too many connections."""
    for payload in plan.payloads:
        encode_request(payload, settings)
    for phase in plan.phases:
        if phase.closed_loop and phase.closed_loop.connections > settings.connections_max:
            raise UsageError(
                f"phase {phase.name!r}: a closed loop over {phase.closed_loop.connections} connections, but the "
                f"generator opens {settings.connections_max} (connections_max)"
            )


# Makes who sends a plan to a server, with the directory where the records go.
Generate = Callable[[Plan, LoadSettings, Path], LoadGenerator]
