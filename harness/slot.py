"""One slot: one scenario, once, against one running target. Everything is measured here, and nothing is judged.

Between phases nothing is in flight, and the server's metrics are scraped, so that each phase has its own difference.
What was measured lies on disk as it came: the plan, one raw record a request, the scrapes word for word, the readings of
the server's resources, and the probes.
"""

import contextlib
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import orjson

from harness import machine
from harness.behaviour import Behaviour
from harness.errors import LoadError, MeasurementError, TargetError
from harness.faults import Cause, Fault
from harness.load import Generator, LoadSettings, PhaseReport
from harness.load.files import SAMPLES
from harness.machine import MachineDelta
from harness.metrics import SCRAPES, Metrics, scraping_client
from harness.periodic import Periodic
from harness.plan import Plan, PlannedPhase
from harness.probes import Asked, Prober, ProbeRecord, probing_client, probing_period_s
from harness.resources import ResourceReading, ResourceSeries, ResourceWitness, period_s, series
from harness.samples import Samples
from harness.scenario import Scenario
from harness.scrape import ServerDelta
from harness.target import RunningTarget
from harness.window import PhaseRecord, throughput_per_s

RESOURCES = "resources.jsonl"
PROBES = "probes.jsonl"
# From a connection that breaks to the exit of a process that dumps its core or is reaped late.
SETTLE_S = 1.0
SETTLE_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Slot:
    """What a slot is, before it has run.

    Attributes:
        scenario: resolved.
        arm: which side of a run, ``head`` or ``base``.
        block: a block holds slots of every arm, each arm freshly started.
        start: how often the arm had been started, this start included.
        seed: of the plan.
    """

    scenario: Scenario
    arm: str
    block: int
    start: int
    seed: int


@dataclass(frozen=True, slots=True, eq=False)
class SlotRecord:
    """What a slot measured.

    Attributes:
        slot: what it was.
        planned: requests of each phase in the plan.
        phases: as both witnesses saw them; fewer than planned where the slot was cut short.
        reports: what the generator says of itself, for each of ``phases``.
        machines: what the machine says, for each of ``phases``.
        samples: the raw records' file.
        faults: what kept the slot from being whole.
        processes: of the server; None where they cannot be seen.
    """

    slot: Slot
    planned: tuple[int, ...]
    phases: tuple[PhaseRecord, ...]
    reports: tuple[PhaseReport, ...]
    machines: tuple[MachineDelta, ...]
    samples: Path
    faults: tuple[Fault, ...]
    processes: int | None = None


def measure_slot(
    slot: Slot,
    plan: Plan,
    running: RunningTarget,
    settings: LoadSettings,
    directory: Path,
    tell: Callable[[str], None] = lambda _: None,
) -> SlotRecord:
    """Run every phase of the plan; a failure in the middle ends the slot, keeps what there is, and is its fault.

    Args:
        slot: what it is.
        plan: drawn from the slot's scenario and seed.
        running: takes load.
        settings: how the generator reaches it.
        directory: for everything that is measured.
        tell: takes a line before each phase.

    Raises:
        UsageError: a payload cannot be sent as an HTTP request.
    """
    course = Course(slot, plan, running, directory)
    try:
        with Generator(plan, settings, directory) as generator, course.client:
            for index, phase in enumerate(plan.phases):
                stretch = course.stretch(phase)
                tell(f"{plan.scenario}: {announcement(phase, stretch)}")
                course.run_phase(index, generator, stretch)
    except (LoadError, MeasurementError, TargetError) as error:
        course.faults.append(Fault(Cause.INTEGRITY, str(error)))
    if died(running, SETTLE_S if course.faults else 0.0):
        tail = running.log_tail()
        its_log = f"\nits log ends:\n{tail}" if tail else ""
        # First, since whatever else is wrong comes of it.
        course.faults.insert(0, Fault(Cause.INTEGRITY, f"the server died under load{its_log}"))
    return course.record()


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
    """A slot as it runs, phase by phase; who has several in turn, as a comparison has, drives each one's phases itself."""

    def __init__(self, slot: Slot, plan: Plan, running: RunningTarget, directory: Path) -> None:
        self._slot = slot
        self._plan = plan
        self._running = running
        self._directory = directory
        self.client = scraping_client(running.headers)
        self._metrics = Metrics(running, self.client, partial(self._append, SCRAPES))
        self.faults: list[Fault] = []
        self._deltas: list[ServerDelta | None] = []
        self._reports: list[PhaseReport] = []
        self._machines: list[MachineDelta] = []
        self._resources: list[ResourceSeries | None] = []
        self._probes: list[tuple[ProbeRecord, ...]] = []
        self._scrapes: list[int] = []
        self._processes: int | None = None
        self._samples: Samples | None = None

    def stretch(self, phase: PlannedPhase) -> float:
        """Return the seconds between two good answers of the phase that this one is relative to; 1 for none.

        Raises:
            MeasurementError: nothing was answered there.
        """
        if phase.relative_to is None:
            return 1.0
        return 1 / throughput_per_s(self._of_phase(phase.relative_to))

    def run_phase(
        self,
        index: int,
        generator: Generator,
        stretch: float,
        together: contextlib.AbstractContextManager[int | None] | None = None,
    ) -> None:
        """Scrape, send, scrape.

        Args:
            index: of the phase.
            generator: holds the plan.
            stretch: of the phase's offsets.
            together: entered for the load alone; gives CLOCK_MONOTONIC (ns) at the phase's time 0. None to begin at once.
        """
        pids = self._running.pids
        self._processes = None if pids is None else len(pids)
        before, machine_before = self._metrics.read(index), machine.read(pids or ())
        with self._witnesses(index, stretch), together or contextlib.nullcontext() as at_ns:
            report = generator.run_phase(index, stretch, at_ns)
        self._samples = generator.samples()
        machine_after = machine.read(self._running.pids or ())
        phase = self._slot.scenario.phases[index]
        delta, scrapes = self._metrics.settled(index, phase, before, self._of_phase(index))
        self._deltas.append(delta)
        self._scrapes.append(scrapes)
        self._reports.append(report)
        self._machines.append(machine.difference(machine_before, machine_after))
        if delta is not None and report.ok:
            delta.refuse_missing(self._running.settings.metric_names)

    @contextlib.contextmanager
    def _witnesses(self, index: int, stretch: float) -> Iterator[None]:
        """Watch the server's processes beside the load, and ask what a probed phase wants asked."""
        running, phase = self._running, self._slot.scenario.phases[index]
        resources = ResourceWitness(lambda: running.pids, partial(self._keep, RESOURCES, index))
        length_s = self._plan.phases[index].length_s * stretch
        probers = []
        with contextlib.ExitStack() as stack:
            if phase.probes:
                urls = {
                    Asked.HEALTH: running.base_url + running.settings.readiness_path,
                    Asked.METRICS: running.metrics_url,
                }
                client = stack.enter_context(probing_client(running.headers))
                keep = partial(self._keep, PROBES, index)
                probers = [Prober(asked, url, client, keep) for asked, url in urls.items() if url is not None]
            for prober in probers:
                stack.enter_context(Periodic(prober, probing_period_s(phase.probes, length_s)))
            stack.enter_context(Periodic(resources, period_s(length_s)))
            yield
        self._resources.append(series(resources.readings))
        self._probes.append(tuple(record for prober in probers for record in prober.records))

    def _keep(self, name: str, index: int, value: ResourceReading | ProbeRecord) -> None:
        """Write one line at once, so that a run that is cut short keeps what it has.

        Raises:
            MeasurementError: the disk takes no more.
        """
        self._append(name, {"phase": index, **dataclasses.asdict(value)})

    def _append(self, name: str, line: Mapping[str, object]) -> None:
        try:
            with (self._directory / name).open("ab") as file:
                file.write(orjson.dumps(line) + b"\n")
        except OSError as error:
            raise MeasurementError(f"cannot write to {self._directory / name}: {error.strerror}") from error

    def record(self) -> SlotRecord:
        """Return what there is."""
        phases = tuple(
            self._phase_record(index) for index in range(len(self._deltas)) if self._samples is not None
        )
        return SlotRecord(
            slot=self._slot,
            planned=tuple(len(phase.offsets_ns) for phase in self._plan.phases),
            phases=phases,
            reports=tuple(self._reports),
            machines=tuple(self._machines),
            samples=self._directory / SAMPLES,
            faults=tuple(self.faults),
            processes=self._processes,
        )

    def _phase_record(self, index: int) -> PhaseRecord:
        samples = self._of_phase(index)
        waits = samples["behaviour"] == Behaviour.WAITS
        return PhaseRecord(
            self._slot.scenario.phases[index],
            samples[waits],
            self._deltas[index],
            samples[~waits],
            self._resources[index],
            self._probes[index],
            self._scrapes[index],
        )

    def _of_phase(self, index: int) -> Samples:
        assert self._samples is not None
        samples: Samples = self._samples[self._samples["phase"] == index]
        return samples
