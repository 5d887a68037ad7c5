"""What a slot is, and what it measured: the values between measuring and judging.

:mod:`tailgate.harness.observe.slot` makes a record, :mod:`tailgate.harness.observe.slot_file` keeps it, and :mod:`tailgate.harness.verdict.judging` judges it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tailgate.harness.load import PhaseReport
from tailgate.harness.load.samples import Samples
from tailgate.harness.observe.machine import MachineDelta
from tailgate.harness.observe.window import PhaseRecord
from tailgate.harness.results.fault import Fault
from tailgate.harness.results.yardstick import Yardstick
from tailgate.harness.scenario.behaviour import Behaviour
from tailgate.harness.scenario.scenario import Scenario
from tailgate.harness.target.settings import MetricNames
from tailgate.harness.units import Quantity


@dataclass(frozen=True, slots=True)
class Slot:
    """What a slot is, before it has run.

    Attributes:
        scenario: its load in numbers; its limits may be open, and are then those of ``quantities``.
        arm: which side of a run, ``head`` or ``base``.
        block: a block holds slots of every arm, each arm freshly started.
        start: how often the arm had been started, this start included.
        seed: of the plan.
        quantities: the scenario's budgets.
        yardstick: the reading that the load was drawn by; None where it was not timed.
        scenarios: over how many the error is split that the run allows.
    """

    scenario: Scenario
    arm: str
    block: int
    start: int
    seed: int
    quantities: Mapping[str, Quantity] = field(default_factory=dict)
    yardstick: Yardstick | None = None
    scenarios: int = 1


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
        names: what the target calls its metrics.
        processes: of the server; None where they cannot be seen.
    """

    slot: Slot
    planned: tuple[int, ...]
    phases: tuple[PhaseRecord, ...]
    reports: tuple[PhaseReport, ...]
    machines: tuple[MachineDelta, ...]
    samples: Path
    faults: tuple[Fault, ...]
    names: MetricNames = field(default_factory=MetricNames)
    processes: int | None = None


def clients(samples: Samples) -> tuple[Samples, Samples]:
    """Return the records of the clients that wait for their answers, and of those that disturb."""
    waits = samples["behaviour"] == Behaviour.WAITS
    return samples[waits], samples[~waits]
