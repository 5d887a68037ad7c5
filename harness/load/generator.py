"""The parent's side of the load generator: start it, run a phase, take the samples, leave nothing behind."""

import abc
import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Self

from tailgate.harness.errors import LoadError, UsageError
from tailgate.harness.load.link import Link, over_pipes
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
# numpy's linear algebra starts a thread for each processor, which no generator needs.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


class LoadGenerator(abc.ABC):
    """Who sends a plan's requests, as a context manager; leaving it leaves nothing behind, whatever happened.

    Not thread-safe but for :meth:`stop`. The directory, where the records go, is made if missing.
    """

    def __init__(self, plan: Plan, settings: LoadSettings, directory: Path) -> None:
        self._plan = plan
        self._settings = settings
        self._directory = directory

    @abc.abstractmethod
    def __enter__(self) -> Self:
        """Start; raise UsageError for what cannot be sent, LoadError where nothing can be sent from."""

    @abc.abstractmethod
    def __exit__(self, *_: object) -> None:
        """End."""

    @abc.abstractmethod
    def prepare(self) -> None:
        """Do what takes a moment before a phase whose beginning is agreed upon."""

    @abc.abstractmethod
    def run_phase(self, index: int, stretch: float = 1.0, at_ns: int | None = None) -> PhaseReport:
        """Send one phase of the plan, wait until nothing of it is in flight; raise LoadError where that fails.

        Args:
            index: of the phase.
            stretch: for a phase that is relative to a throughput, the seconds between two of its answers.
            at_ns: CLOCK_MONOTONIC here at the phase's time 0; None for as soon as can be. Where it has passed already,
                intended times count from it all the same, and the lag says how late the generator was.
        """

    @abc.abstractmethod
    def stop(self) -> None:
        """Ask it to leave, from any thread: a phase that runs ends with a ``LoadError`` where it is awaited."""

    @property
    @abc.abstractmethod
    def pids(self) -> tuple[int, ...]:
        """The sending processes on this machine."""

    def samples(self) -> Samples:
        """Return the samples so far, ordered by phase and request; raise MeasurementError where there are none."""
        return read_samples(self._directory / SAMPLES)

    def events(self) -> Events:
        """Return the events of streamed answers so far, ordered by phase and request; none where no answer was a stream."""
        return read_events(self._directory)


class Generator(LoadGenerator):
    """One process of this machine. Records that it wrote before a ``KeyboardInterrupt``, say, stay in the directory."""

    def __init__(self, plan: Plan, settings: LoadSettings, directory: Path) -> None:
        super().__init__(plan, settings, directory)
        self._started: tuple[subprocess.Popen[bytes], Link] | None = None

    def __enter__(self) -> Self:
        """Start the process and wait until its first connections stand.

        Raise UsageError for a payload that is no HTTP request and for a closed loop of too many connections, LoadError where
        the generator does not start or cannot reach the server.
        """
        refuse_unsendable(self._plan, self._settings)
        self._directory.mkdir(parents=True, exist_ok=True)
        write_plan(self._plan, self._directory)
        headers = write_settings(self._settings, self._directory / SETTINGS)
        # -P: a folder called tailgate in the working directory must not take our place.
        command = (sys.executable, "-P", "-m", "tailgate.harness.load", str(self._directory))
        self._started = started(command, self._directory / LOG, headers)
        try:
            self._expect("ready", READY_S)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self._end()

    def stop(self) -> None:
        """Ask the process to leave, from any thread."""
        running = self._started
        if running is not None:
            running[1].stop()

    def run_phase(self, index: int, stretch: float = 1.0, at_ns: int | None = None) -> PhaseReport:
        """Send one phase of the plan."""
        phase = self._plan.phases[index]
        _, link = self._running()
        try:
            link.tell(run=index, stretch=stretch, at_ns=at_ns)
        except OSError as error:
            raise self._failure("is gone") from error
        wait_s = 0.0 if at_ns is None else max(0.0, (at_ns - time.monotonic_ns()) / 1e9)
        limit_s = wait_s + phase.length_s * stretch + self._settings.timeout_s
        return decode_report(self._expect("done", limit_s + MARGIN_S))

    def prepare(self) -> None:
        """Do nothing: its clock is ours."""

    @property
    def pids(self) -> tuple[int, ...]:
        """Its process."""
        process, _ = self._running()
        return (process.pid,)

    def _running(self) -> tuple[subprocess.Popen[bytes], Link]:
        if self._started is None:
            raise LoadError("the load generator is not running; use it inside its with block")
        return self._started

    def _expect(self, event: str, within_s: float) -> dict[str, Any]:
        """Return the values of the next event, which must be the one named."""
        _, link = self._running()
        if not wait([link.descriptor], within_s):
            raise self._failure(f"said nothing for {within_s:.0f} s, waiting for {event!r}")
        try:
            values = link.told()
        except (EOFError, OSError) as error:
            raise self._failure("died") from error
        said = values.pop("event")
        if said == "error":
            raise LoadError(f"the load generator: {values['message']}")
        if said != event:
            raise self._failure(f"said {said!r}, expected {event!r}")
        return values

    def _failure(self, what: str) -> LoadError:
        """End the process and return an error that quotes the end of its log."""
        process, _ = self._running()
        self._end()
        log = tail(self._directory / LOG).strip() or "(empty)"
        return LoadError(
            f"the load generator {what} (exit status {process.returncode}); its log ends:\n{log}"
        )

    def _end(self) -> None:
        running, self._started = self._started, None
        if running is None:
            return
        process, link = running
        # The end of its standard input asks it to leave; where it is gone already, there is nobody to ask.
        link.stop()
        try:
            end(process)
        finally:
            link.close()


def started(
    command: Sequence[str], log: Path, further: Mapping[str, str]
) -> tuple[subprocess.Popen[bytes], Link]:
    """Start a program that sends, or what leads to one, with the link to it over its standard input and output.

    Its standard error goes into ``log``, and ``further`` are variables beside those of this process. Raise OSError where it
    cannot be started.
    """
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env={**os.environ, **ONE_THREAD, **further},
            # Ctrl-C goes to the parent alone, which closes the link.
            start_new_session=True,
        )
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdin, process.stdout:
        return process, over_pipes(os.dup(process.stdout.fileno()), os.dup(process.stdin.fileno()))


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
