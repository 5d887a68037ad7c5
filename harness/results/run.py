"""What a run came to: all that a reporter needs, kept by :mod:`tailgate.harness.results.file` as JSON.

``results.schema.json`` is the contract and describes every field. A number that is missing or not finite is
None, and the ``note`` or ``reason`` beside it says which. None is never 0.
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
    """One side of a run."""

    name: str
    target: str
    facts: Mapping[str, Scalar] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioResult:
    """One scenario's answer."""

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
    """A whole run; ``results.schema.json`` describes every field."""

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
