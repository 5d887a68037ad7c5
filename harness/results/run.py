"""What a run came to: one value that holds all that a reporter needs, and that a file keeps.

:mod:`tailgate.harness.results.file` writes and reads it as JSON, whose contract is ``results.schema.json``. Nothing is
measured, judged or formatted here.

A number that is missing, infinite or not a number is None, ``null`` in the file, and the ``note`` or ``reason`` beside
it says which: "no bound from above", "the quantile lies among failed requests". None is never 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tailgate.harness.profiles import Profile
from tailgate.harness.results.comparison import ComparisonResult
from tailgate.harness.results.criterion import CriterionResult
from tailgate.harness.results.failure import Failure
from tailgate.harness.results.fault import Fault
from tailgate.harness.results.slot import SlotResult
from tailgate.harness.results.verdict import Verdict
from tailgate.harness.results.yardstick import Yardstick

SCHEMA_VERSION = "1.2"
Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a machine is, in facts that change a latency.

    Attributes:
        processor: model name.
        processors: those that this process may run on, which a container can limit.
        processors_online: those of the machine.
        memory_bytes: of the machine.
        hypervisor: whether it is a virtual machine; None where the processor does not tell.
        kernel: release of the kernel.
        platform: operating system and architecture.
        python: implementation and version.
        gpu: names of the GPUs; None without the extra ``gpu`` or a driver.
        gpu_driver: version of the driver.
    """

    processor: str | None
    processors: int | None
    processors_online: int | None
    memory_bytes: int | None
    hypervisor: bool | None
    kernel: str
    platform: str
    python: str
    gpu: str | None = None
    gpu_driver: str | None = None


@dataclass(frozen=True, slots=True)
class ArmResult:
    """One side of a run.

    Attributes:
        name: ``head``, or ``base`` for what it is compared with.
        target: specification of the target.
        facts: how the target describes itself: model, device, precision, weights.
    """

    name: str
    target: str
    facts: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioResult:
    """One scenario's answer.

    Attributes:
        name: unique within a run.
        seed: that its plans were drawn from.
        verdict: the worst of its criteria's; INVALID where a fault voids it.
        criteria: in the scenario's order.
        faults: what voids it.
        reproduce: command line that runs it again, with the same seed.
        description: one sentence.
        comparison: with the base; None where budgets were checked. It has the verdict then, and there are no criteria.
        failures: by arm, requests of the measured phases without a good answer, by kind, the most frequent first.
        notes: what a reader must know to take the numbers right.
    """

    name: str
    seed: int
    verdict: Verdict
    criteria: tuple[CriterionResult, ...]
    reproduce: str
    faults: tuple[Fault, ...] = ()
    description: str = ""
    comparison: ComparisonResult | None = None
    failures: Mapping[str, tuple[Failure, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """A whole run.

    Attributes:
        run_id: unique; names the run's directory.
        started_at: ISO 8601, in UTC, such as ``2026-11-22T14:37:05Z``.
        duration_s: wall time of the whole run.
        command: that started it.
        verdict: the worst of its scenarios'; INVALID where nothing was measured.
        reasons: why it is not PASS, the most telling first.
        machine: its fingerprint: processor, cores, kernel, versions.
        yardstick_before: the harness's fixed piece of work, timed before the run; None when it was not.
        yardstick_after: the same after it.
        profile: how much evidence was asked for.
        settings: options that had a say.
        arms: what was measured.
        slots: in the order in which they ran.
        scenarios: what they came to.
        tailgate_version: of the harness that wrote it.
        schema_version: of this format.
    """

    run_id: str
    started_at: str
    duration_s: float | None
    command: str
    verdict: Verdict
    reasons: tuple[str, ...]
    machine: Mapping[str, Scalar]
    yardstick_before: Yardstick | None
    yardstick_after: Yardstick | None
    profile: Profile
    settings: Mapping[str, Scalar]
    arms: tuple[ArmResult, ...]
    slots: tuple[SlotResult, ...]
    scenarios: tuple[ScenarioResult, ...]
    tailgate_version: str
    schema_version: str = SCHEMA_VERSION
