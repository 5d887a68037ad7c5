"""The harness's side of many generators: slice the plan, agree upon a beginning, wait, and merge what they recorded.

No generator hears anything while it sends. All begin a phase at one moment, which each is told in its own clock; so the
clocks are read before, between and after the phases.
"""

import contextlib
import dataclasses
import tempfile
import time
from collections.abc import Iterator, Mapping
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, Self

from tailgate import __version__
from tailgate.harness.errors import LoadError
from tailgate.harness.load.generator import MARGIN_S, READY_S, LoadGenerator, refuse_unsendable
from tailgate.harness.load.link import introduction
from tailgate.harness.load.many.clocks import TRIPS, ClockReading, Trip, drift, read_clock, schedule_error_s
from tailgate.harness.load.many.engine import GeneratorEngine, GeneratorWorker
from tailgate.harness.load.many.gathering import Gathering
from tailgate.harness.load.many.slicing import slice_of
from tailgate.harness.load.report import Part, PhaseReport, decode_report, together
from tailgate.harness.load.settings import SETTINGS, LoadSettings, write_settings
from tailgate.harness.scenario.plan import Plan, write_plan
from tailgate.harness.target.launching.last_words import tail

# From the agreement to the beginning: for the command to reach the first generator, and each further one.
_LEAD_NS, _LEAD_EACH_NS = 100_000_000, 200_000


@dataclasses.dataclass(slots=True, eq=False)
class _Running:
    """A generator, ready to send its slice."""

    index: int
    worker: GeneratorWorker
    name: str
    plan: Plan
    here: bool = False
    same_clock: bool = False
    clock: ClockReading = dataclasses.field(init=False)

    def read_clock(self) -> ClockReading:
        trips = [Trip(*self.worker.link.ask_clock()) for _ in range(TRIPS)]
        self.clock = read_clock(trips, same=self.same_clock)
        return self.clock


class Generators(LoadGenerator):
    """Many generators that send one plan.

    Records come at the end of each phase. Where a generator is lost, a LoadError names it, and the phase has no record.
    """

    def __init__(self, engine: GeneratorEngine, plan: Plan, settings: LoadSettings, directory: Path) -> None:
        super().__init__(plan, settings, directory)
        self._engine = engine
        self._stack = contextlib.ExitStack()
        self._running: list[_Running] = []

    def __enter__(self) -> Self:
        """Start the generators, give each its slice, and wait until their first connections stand."""
        self._directory.mkdir(parents=True, exist_ok=True)
        with contextlib.ExitStack() as stack:
            workers = stack.enter_context(self._engine.start(self._directory))
            count = len(workers)
            if not count:
                raise LoadError(f"{self._engine.spec} started no generator")
            settings = shared(self._settings, count)
            slices = [slice_of(self._plan, index, count) for index in range(count)]
            # The last one has the most connections of a closed loop.
            refuse_unsendable(slices[-1], settings)
            write_plan(self._plan, self._directory)
            write_settings(self._settings, self._directory / SETTINGS)
            us = introduction({})
            self._running = [
                _Running(index, worker, worker.name or f"number {index + 1}", slices[index])
                for index, worker in enumerate(workers)
            ]
            for one in self._running:
                self._meet(one, us)
            for one in self._running:
                self._equip(one, settings)
            deadline_s = time.monotonic() + READY_S
            for one in self._running:
                self._told(one, "ready", deadline_s)
            self._gathering = Gathering(self._directory, count)
            stack.callback(self._gathering.close)
            self.prepare()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """End all of them."""
        self._stack.close()

    def prepare(self) -> None:
        """Read all clocks."""
        for one in self._running:
            with self._named(one):
                one.read_clock()

    def stop(self) -> None:
        """Ask all to leave, from any thread."""
        for one in self._running:
            one.worker.link.stop()

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes on this machine."""
        return tuple(one.worker.pid for one in self._running if one.worker.pid is not None)

    def run_phase(self, index: int, stretch: float = 1.0, at_ns: int | None = None) -> PhaseReport:
        """Send one phase; raise LoadError, which names the generator, where one of them does not manage."""
        if at_ns is None:
            self.prepare()
            way_ns = max(one.clock.error_ns for one in self._running)
            at_ns = time.monotonic_ns() + _LEAD_NS + len(self._running) * _LEAD_EACH_NS + 4 * way_ns
        sending = [one for one in self._running if one.plan.phases[index].offsets_ns.size]
        before = {one.index: one.clock for one in sending}
        for one in sending:
            with self._named(one):
                one.worker.link.tell(run=index, stretch=stretch, at_ns=one.clock.to_there(at_ns))
        wait_s = max(0.0, (at_ns - time.monotonic_ns()) / 1e9)
        length_s = self._plan.phases[index].length_s * stretch
        deadline_s = time.monotonic() + wait_s + length_s + self._settings.timeout_s + MARGIN_S
        unkept = self._gathering.unkept
        told = self._gathered(sending, deadline_s)
        self.prepare()
        self._gathering.merge()
        report = together(
            [_here(told[one.index], before[one.index]) for one in sending],
            [_part(one, told[one.index], before[one.index]) for one in sending],
        )
        return dataclasses.replace(
            report, unkept_answers=report.unkept_answers + self._gathering.unkept - unkept
        )

    def _meet(self, one: _Running, us: Mapping[str, Any]) -> None:
        """Hear what a generator says of itself."""
        said = self._message(one, time.monotonic() + READY_S)
        if not one.worker.name:
            # Several may run on one machine, which knows one name.
            one.name = f"{one.index + 1}-{said['name']}"
        if said["version"] != __version__:
            raise LoadError(
                f"generator {one.name!r} has tailgate {said['version']}, expected {__version__}, as the harness has; install "
                "the same there"
            )
        one.here = said["machine"] is not None and said["machine"] == us["machine"]
        one.same_clock = said["clock"] is not None and said["clock"] == us["clock"]

    def _equip(self, one: _Running, settings: LoadSettings) -> None:
        """Give a generator its slice and the settings."""
        with tempfile.TemporaryDirectory(prefix="tailgate-slice-") as folder, self._named(one):
            write_plan(one.plan, Path(folder))
            environment = write_settings(settings, Path(folder) / SETTINGS)
            files = sorted(Path(folder).iterdir())
            one.worker.link.tell(files=[path.name for path in files], environment=environment)
            for path in files:
                one.worker.link.send_records(path.read_bytes())

    def _gathered(self, sending: list[_Running], deadline_s: float) -> dict[int, PhaseReport]:
        """Wait for all, taking the records of each as it is done; the first that fails ends the wait."""
        pending = {one.worker.link.descriptor: one for one in sending}
        reports: dict[int, PhaseReport] = {}
        while pending:
            ready = wait(list(pending), max(0.0, deadline_s - time.monotonic()))
            if not ready:
                names = ", ".join(repr(one.name) for one in pending.values())
                raise LoadError(f"generator {names} said nothing in time")
            for descriptor in [descriptor for descriptor in pending if descriptor in ready]:
                one = pending.pop(descriptor)
                reports[one.index] = decode_report(self._told(one, "done", deadline_s))
                with self._named(one):
                    self._gathering.take(one.index, one.worker.link, one.clock.offset_ns)
        return reports

    def _told(self, one: _Running, event: str, deadline_s: float) -> dict[str, Any]:
        """Return the values of the next event of a generator, which must be the one named."""
        values = self._message(one, deadline_s)
        said = values.pop("event", None)
        if said != event:
            raise LoadError(
                f"generator {one.name!r}: {values['message']}"
                if said == "error"
                else f"generator {one.name!r} said {said!r}, expected {event!r}"
            )
        return values

    def _message(self, one: _Running, deadline_s: float) -> dict[str, Any]:
        with self._named(one):
            link = one.worker.link
            if not wait([link.descriptor], max(0.0, deadline_s - time.monotonic())):
                raise LoadError(f"generator {one.name!r} said nothing in time{_log(one.worker)}")
            return link.told()

    @contextlib.contextmanager
    def _named(self, one: _Running) -> Iterator[None]:
        """Name the generator whose link breaks."""
        try:
            yield
        except (EOFError, OSError) as error:
            why = str(error) or "it is gone"
            raise LoadError(
                f"generator {one.name!r} of {self._engine.spec} was lost ({why}){_log(one.worker)}"
            ) from error


def shared(settings: LoadSettings, workers: int) -> LoadSettings:
    """Return the settings of each generator; raise LoadError where the server answers on fewer connections than there are."""
    at_once = settings.at_once
    if at_once is not None and at_once < workers:
        raise LoadError(
            f"the server answers on {at_once} connections at a time, which {workers} generators cannot share; have "
            f"{at_once} at most"
        )
    return dataclasses.replace(
        settings,
        connections_warm=-(-settings.connections_warm // workers),
        at_once=None if at_once is None else at_once // workers,
        # Which processors there are is known where it runs.
        processor=None,
    )


def _here(report: PhaseReport, clock: ClockReading) -> PhaseReport:
    """Return a generator's report with the times of the harness's clock."""
    start_ns, end_ns = report.start_ns - clock.offset_ns, report.end_ns - clock.offset_ns
    return dataclasses.replace(report, start_ns=start_ns, end_ns=end_ns)


def _part(one: _Running, report: PhaseReport, before: ClockReading) -> Part:
    return Part(
        name=one.name,
        here=one.here,
        requests=report.requests,
        lag=report.lag,
        utilisation=report.utilisation,
        cpu_s=report.cpu_s,
        run_delay_per_request_s=report.run_delay_per_request_s,
        schedule_error_s=schedule_error_s(before, one.clock),
        drift=drift(before, one.clock),
    )


def _log(worker: GeneratorWorker) -> str:
    said = "" if worker.log is None else tail(worker.log).strip()
    return f"; its log ends:\n{said}" if said else ""
