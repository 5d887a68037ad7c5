"""One slot: one scenario, once, against one running target. Everything is measured here, and nothing is judged.

Between phases nothing is in flight, and the server's metrics are scraped, so that each phase has its own difference.
What was measured lies on disk as it came: the plan, one raw record a request, and the scrapes word for word.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import orjson

from harness import machine
from harness.errors import LoadError, MeasurementError, TargetError
from harness.faults import Cause, Fault
from harness.load import Generator, LoadSettings, PhaseReport
from harness.load.files import SAMPLES
from harness.machine import MachineDelta
from harness.plan import Plan, PlannedPhase
from harness.samples import Samples
from harness.scenario import Scenario
from harness.scrape import Scrape, ServerDelta, difference, get, parse
from harness.target import RunningTarget
from harness.window import PhaseRecord

SCRAPES = "scrapes.jsonl"
SCRAPE_TIMEOUT_S = 30.0
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
    """

    slot: Slot
    planned: tuple[int, ...]
    phases: tuple[PhaseRecord, ...]
    reports: tuple[PhaseReport, ...]
    machines: tuple[MachineDelta, ...]
    samples: Path
    faults: tuple[Fault, ...]


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
    course = _Course(slot, plan, running, directory)
    try:
        with Generator(plan, settings, directory) as generator, course.client:
            for index, phase in enumerate(plan.phases):
                tell(f"{plan.scenario}: {announcement(phase)}")
                course.run_phase(index, generator)
    except (LoadError, MeasurementError, TargetError) as error:
        course.faults.append(Fault(Cause.INTEGRITY, str(error)))
    if _died(running, SETTLE_S if course.faults else 0.0):
        tail = running.log_tail()
        its_log = f"\nits log ends:\n{tail}" if tail else ""
        # First, since whatever else is wrong comes of it.
        course.faults.insert(0, Fault(Cause.INTEGRITY, f"the server died under load{its_log}"))
    return course.record()


def _died(running: RunningTarget, within_s: float) -> bool:
    """Tell whether the server is gone; one that has just crashed may take a moment to be seen as that."""
    deadline_s = time.monotonic() + within_s
    while running.alive():
        if time.monotonic() >= deadline_s:
            return False
        time.sleep(SETTLE_POLL_S)
    return True


def announcement(phase: PlannedPhase) -> str:
    """Return what a phase is going to do, such as "phase steady, 1,000 requests at 15.7/s, about 64 s"."""
    requests, last_s = len(phase.offsets_ns), float(phase.offsets_ns[-1]) / 1e9
    rate = f" at {requests / last_s:,.1f}/s" if last_s else " at once"
    digits = 0 if last_s >= 10 else 1
    return f"phase {phase.name}, {requests:,} requests{rate}, about {last_s:,.{digits}f} s"


class _Course:
    """The slot as it runs."""

    def __init__(self, slot: Slot, plan: Plan, running: RunningTarget, directory: Path) -> None:
        self._slot = slot
        self._plan = plan
        self._running = running
        self._directory = directory
        self.client = httpx.Client(timeout=SCRAPE_TIMEOUT_S, trust_env=False)
        self.faults: list[Fault] = []
        self._deltas: list[ServerDelta | None] = []
        self._reports: list[PhaseReport] = []
        self._machines: list[MachineDelta] = []
        self._samples: Samples | None = None

    def run_phase(self, index: int, generator: Generator) -> None:
        """Scrape, send, scrape."""
        before, machine_before = self._scrape(index), machine.read(self._running.pids or ())
        report = generator.run_phase(index)
        self._samples = generator.samples()
        machine_after, after = machine.read(self._running.pids or ()), self._scrape(index)
        self._deltas.append(None if before is None or after is None else difference(before, after))
        self._reports.append(report)
        self._machines.append(machine.difference(machine_before, machine_after))

    def record(self) -> SlotRecord:
        """Return what there is."""
        samples = self._samples
        phases = tuple(
            PhaseRecord(phase, samples[samples["phase"] == index], delta)
            for index, (phase, delta) in enumerate(
                zip(self._slot.scenario.phases, self._deltas, strict=False)
            )
            if samples is not None
        )
        return SlotRecord(
            slot=self._slot,
            planned=tuple(len(phase.offsets_ns) for phase in self._plan.phases),
            phases=phases,
            reports=tuple(self._reports),
            machines=tuple(self._machines),
            samples=self._directory / SAMPLES,
            faults=tuple(self.faults),
        )

    def _scrape(self, index: int) -> Scrape | None:
        """Read the metrics, keep them word for word, and parse them."""
        url = self._running.metrics_url
        if url is None:
            return None
        text = get(self.client, url)
        time_ns = time.monotonic_ns()
        with (self._directory / SCRAPES).open("ab") as file:
            file.write(orjson.dumps({"phase": index, "time_ns": time_ns, "text": text}) + b"\n")
        return parse(text, time_ns)
