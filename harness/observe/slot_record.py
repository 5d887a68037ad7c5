"""What a slot is, and what it measured: the values between measuring and judging."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tailgate.harness.load import PhaseReport
from tailgate.harness.load.records.samples import Samples
from tailgate.harness.observe.machine import MachineDelta
from tailgate.harness.observe.window import PhaseRecord
from tailgate.harness.results.fault import Fault
from tailgate.harness.results.yardstick import Yardstick
from tailgate.harness.scenario.behaviour import Behaviour
from tailgate.harness.scenario.scenario import Scenario
from tailgate.harness.target.asking.metric_names import MetricNames
from tailgate.harness.units import Quantity


@dataclass(frozen=True, slots=True)
class Slot:
    """What a slot is, before it has run."""

    scenario: Scenario  # its limits may be open, and are then those of quantities
    arm: str  # head or base
    block: int  # holds slots of every arm, each arm freshly started
    start: int  # how often the arm had been started, this start included
    seed: int  # of the plan
    quantities: Mapping[str, Quantity] = field(default_factory=dict)  # the scenario's budgets
    yardstick: Yardstick | None = None  # the reading that the load was drawn by
    scenarios: int = 1  # over how many the error is split that the run allows


@dataclass(frozen=True, slots=True, eq=False)
class SlotRecord:
    """What a slot measured; phases are fewer than planned where it was cut short."""

    slot: Slot
    planned: tuple[int, ...]  # requests of each phase in the plan
    phases: tuple[PhaseRecord, ...]
    reports: tuple[PhaseReport, ...]
    machines: tuple[MachineDelta, ...]
    samples: Path
    faults: tuple[Fault, ...]  # what kept the slot from being whole
    names: MetricNames = field(default_factory=MetricNames)
    processes: int | None = None  # of the server; None where they cannot be seen


def clients(samples: Samples) -> tuple[Samples, Samples]:
    """Return the records of the clients that wait for their answers, and of those that disturb."""
    waits = samples["behaviour"] == Behaviour.WAITS
    return samples[waits], samples[~waits]
