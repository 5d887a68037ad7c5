"""One slot: one scenario, once, against one running target. Everything is measured here, and nothing is judged.

Between phases nothing is in flight, and the server's metrics are scraped, so that each phase has its own difference. After
each measured phase the yardstick is timed, beside a server that is idle. All that is measured lies on disk as it came;
:mod:`tailgate.harness.observe.slot_file` adds what else it takes to judge it.
"""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import httpx
import orjson

from tailgate.harness.errors import LoadError, MeasurementError, TargetError
from tailgate.harness.load import Generate, Generator, LoadGenerator, LoadSettings, PhaseReport
from tailgate.harness.load.records.samples import SAMPLES
from tailgate.harness.observe import machine
from tailgate.harness.observe.beside.moments import MOMENTS, PERIOD_S, Moment, Moments
from tailgate.harness.observe.beside.periodic import periodically
from tailgate.harness.observe.beside.probes import (
    GAUGES_LEAST,
    GAUGES_PERIOD_S,
    PROBE_TIMEOUT_S,
    Asked,
    ProbeRecord,
    ask,
    probing_period_s,
)
from tailgate.harness.observe.beside.resources import ResourceReading, period_s, read
from tailgate.harness.observe.beside.under_way import PhaseLoad
from tailgate.harness.observe.checked import check
from tailgate.harness.observe.machine import MachineDelta
from tailgate.harness.observe.scrapes import SCRAPE_TIMEOUT_S, SCRAPES, Metrics
from tailgate.harness.observe.slot_record import Slot, SlotRecord, clients
from tailgate.harness.observe.window import PhaseRecord, counted_requests, throughput_per_s
from tailgate.harness.results.fault import Cause, Fault
from tailgate.harness.results.yardstick import Yardstick
from tailgate.harness.scenario.plan import Plan, PlannedPhase
from tailgate.harness.scenario.scenario import Phase
from tailgate.harness.target.asking.exposition import Scrape
from tailgate.harness.target.launching.last_words import its_log
from tailgate.harness.target.target import RunningTarget

# Takes a phase that is about to be sent, and gives what is entered while it is.
Watching = Callable[[PhaseLoad], contextlib.AbstractContextManager[None]]

RESOURCES = "resources.jsonl"
PROBES = "probes.jsonl"
# From a connection that breaks to the exit of a process that dumps its core or is reaped late.
SETTLE_S = 1.0
SETTLE_POLL_S = 0.02


def measure_slot(  # noqa: PLR0913 - what is measured, where it goes, and who is told
    slot: Slot,
    plan: Plan,
    running: RunningTarget,
    settings: LoadSettings,
    directory: Path,
    tell: Callable[[str], None] = lambda _: None,
    read_yardstick: Callable[[], Yardstick] | None = None,
    *,
    watching: Watching | None = None,
    generate: Generate = Generator,
) -> SlotRecord:
    """Run every phase of the plan; a failure in the middle ends the slot, keeps what there is, and is its fault.

    ``tell`` takes a line before each phase. ``read_yardstick`` times the yardstick after each measured phase; None: it is
    not timed. ``watching`` is entered while a phase is sent, and ``generate`` makes who sends it. A payload that cannot be sent
    as an HTTP request is a UsageError.
    """
    course = Course(slot, plan, running, directory, pictured=True)
    try:
        with generate(plan, settings, directory) as generator, course.client:
            for index, phase in enumerate(plan.phases):
                stretch = course.stretch(phase)
                tell(f"{plan.scenario}: {announcement(phase, stretch)}")
                load = PhaseLoad(plan.scenario, index, phase, stretch, directory)
                course.run_phase(index, generator, stretch, None if watching is None else watching(load))
                if read_yardstick is not None and is_timed_after(slot.scenario.phases, index):
                    course.readings[index + 1] = read_yardstick()
    except (LoadError, MeasurementError, TargetError) as error:
        course.faults.append(Fault(Cause.INTEGRITY, str(error)))
    if died(running, SETTLE_S if course.faults else 0.0):
        # First, since whatever else is wrong comes of it.
        why = f"the server died under load{its_log(running.log_tail())}"
        course.faults.insert(0, Fault(Cause.INTEGRITY, why))
    return course.record()


def is_timed_after(phases: Sequence[Phase], index: int) -> bool:
    """Tell whether the yardstick is timed after a phase: a measured one, unless the next follows it without a pause."""
    following = phases[index + 1 : index + 2]
    return phases[index].measured and not any(phase.without_pause for phase in following)


def died(running: RunningTarget, within_s: float) -> bool:
    """Tell whether the server is gone; one that has just crashed may take a moment to be seen as that."""
    deadline_s = time.monotonic() + within_s
    while running.alive():
        if time.monotonic() >= deadline_s:
            return False
        time.sleep(SETTLE_POLL_S)
    return True


def announcement(phase: PlannedPhase, stretch: float = 1.0) -> str:
    """Return what a phase is going to do, such as "phase steady, 1,000 requests at 15.7/s, about 64 s"."""
    requests, last_s = len(phase.offsets_ns), float(phase.offsets_ns[-1]) / 1e9 * stretch
    rate = f" at {requests / last_s:,.1f}/s" if last_s else " at once"
    digits = 0 if last_s >= 10 else 1
    return f"phase {phase.name}, {requests:,} requests{rate}, about {last_s:,.{digits}f} s"


class Course:
    """A slot as it runs, phase by phase; a comparison has several in turn, and drives each one's phases itself."""

    def __init__(
        self, slot: Slot, plan: Plan, running: RunningTarget, directory: Path, *, pictured: bool = False
    ) -> None:
        """``pictured``: read the machine and the server's gauges once per second, for pictures over time."""
        self._slot = slot
        self._plan = plan
        self._running = running
        self._directory = directory
        self._pictured = pictured
        self.client = running.client(SCRAPE_TIMEOUT_S, running.metrics_url)
        self._metrics = Metrics(running, self.client, partial(self._append, SCRAPES))
        self.faults: list[Fault] = []
        self._phases: list[PhaseRecord] = []
        self._reports: list[PhaseReport] = []
        self._machines: list[MachineDelta] = []
        self._processes: int | None = None
        # Of the yardstick, by how many phases were over.
        self.readings: dict[int, Yardstick] = {} if slot.yardstick is None else {0: slot.yardstick}

    def stretch(self, phase: PlannedPhase) -> float:
        """Return the seconds between two good answers of the phase that this one is relative to; 1 for none."""
        if phase.relative_to is None:
            return 1.0
        return 1 / throughput_per_s(self._phases[phase.relative_to].every_sample)

    def run_phase(
        self,
        index: int,
        generator: LoadGenerator,
        stretch: float,
        together: contextlib.AbstractContextManager[int | None] | None = None,
    ) -> None:
        """Scrape, send with offsets stretched, scrape.

        ``together`` is entered for the load alone, and gives CLOCK_MONOTONIC (ns) at the phase's time 0; None to begin at
        once.
        """
        pids = self._running.pids
        self._processes = None if pids is None else len(pids)
        before, machine_before = self._metrics.read(index), machine.read(pids or ())
        gauges = self._pictured and before is not None and self._has_gauges(before)
        generator.prepare()
        phase = self._slot.scenario.phases[index]
        with (
            self._act(phase),
            self._witnesses(index, stretch, gauges=gauges) as seen,
            self._moments(index, generator),
            together or contextlib.nullcontext() as at_ns,
        ):
            report = generator.run_phase(index, stretch, at_ns)
        resources, probes = seen
        samples = generator.samples()
        samples, checked = check(samples[samples["phase"] == index], self._plan.payloads, self._directory)
        events = generator.events()
        machine_after = machine.read(self._running.pids or ())
        delta, scrapes = self._metrics.settled(index, phase, before, samples)
        waiting, disturbers = clients(samples)
        self._phases.append(
            PhaseRecord(
                phase,
                waiting,
                delta,
                disturbers,
                tuple(resources),
                tuple(probes),
                scrapes,
                events=events[events["phase"] == index],
                checked=checked,
                folder=self._directory,
            )
        )
        self._reports.append(report)
        self._machines.append(machine.difference(machine_before, machine_after))
        if delta is not None and report.ok:
            delta.refuse_missing(self._running.settings.metric_names)
            # Without any count of requests, no later phase can be believed either.
            counted_requests(self._phases[-1], self._running.settings.metric_names)

    def _act(self, phase: Phase) -> contextlib.AbstractContextManager[None]:
        """Return what the target does while the phase is sent."""
        if phase.meanwhile is None:
            return contextlib.nullcontext()
        return self._running.meanwhile(phase.meanwhile, phase.name, self._directory)

    def _has_gauges(self, scrape: Scrape) -> bool:
        names = self._running.settings.metric_names
        told = [scrape.gauge(name) for name in (names.in_flight, names.queue_depth) if name is not None]
        return any(value is not None for value in told)

    @contextlib.contextmanager
    def _moments(self, index: int, generator: LoadGenerator) -> Iterator[None]:
        """Read the machine once per second beside the load."""
        if not self._pictured:
            yield
            return
        with Moments() as moments:

            def watch() -> None:
                self._keep(MOMENTS, index, moments.read(self._running.pids or (), generator.pids))

            with periodically(watch, PERIOD_S):
                yield

    @contextlib.contextmanager
    def _witnesses(
        self, index: int, stretch: float, *, gauges: bool
    ) -> Iterator[tuple[list[ResourceReading], list[ProbeRecord]]]:
        """Watch the server's processes beside the load, and ask what a probed phase or its pictures want asked."""
        running, phase = self._running, self._slot.scenario.phases[index]
        length_s = self._plan.phases[index].length_s * stretch
        resources: list[ResourceReading] = []
        probes: list[ProbeRecord] = []

        def watch() -> None:
            reading = read(running.pids or ())
            if reading is not None:
                resources.append(reading)
                self._keep(RESOURCES, index, reading)

        def probe(asked: Asked, url: str, client: httpx.Client) -> None:
            record = ask(asked, url, client, running.settings.metric_names if self._pictured else None)
            probes.append(record)
            self._keep(PROBES, index, record)

        with contextlib.ExitStack() as stack:
            path = running.settings.readiness_path
            every_s = probing_period_s(phase.probes, length_s) if phase.probes else GAUGES_PERIOD_S
            asks = phase.probes or (gauges and length_s >= GAUGES_LEAST * GAUGES_PERIOD_S)
            urls = {
                Asked.HEALTH: None if path is None or not phase.probes else running.base_url + path,
                Asked.METRICS: self._metrics.url if asks else None,
            }
            for asked, url in urls.items():
                if url is not None:
                    client = stack.enter_context(running.client(PROBE_TIMEOUT_S, url))
                    stack.enter_context(periodically(partial(probe, asked, url, client), every_s))
            stack.enter_context(periodically(watch, period_s(length_s)))
            yield resources, probes

    def _keep(self, name: str, index: int, value: ResourceReading | ProbeRecord | Moment) -> None:
        """Write one line at once, so that a run that is cut short keeps what it has."""
        self._append(name, {"phase": index, **dataclasses.asdict(value)})

    def _append(self, name: str, line: Mapping[str, object]) -> None:
        try:
            with (self._directory / name).open("ab") as file:
                file.write(orjson.dumps(line) + b"\n")
        except OSError as error:
            raise MeasurementError(f"cannot write to {self._directory / name}: {error.strerror}") from error

    def record(self) -> SlotRecord:
        """Return what there is."""
        return SlotRecord(
            slot=self._slot,
            planned=tuple(len(phase.offsets_ns) for phase in self._plan.phases),
            phases=tuple(
                dataclasses.replace(phase, yardsticks=self._around(index))
                for index, phase in enumerate(self._phases)
            ),
            reports=tuple(self._reports),
            machines=tuple(self._machines),
            samples=self._directory / SAMPLES,
            faults=tuple(self.faults),
            names=self._running.settings.metric_names,
            processes=self._processes,
        )

    def _around(self, index: int) -> tuple[Yardstick, Yardstick] | None:
        """Return the last reading before a phase and the first after it; None unless there are both."""
        before = [reading for over, reading in self.readings.items() if over <= index]
        after = [reading for over, reading in self.readings.items() if over > index]
        return (before[-1], after[0]) if before and after else None
