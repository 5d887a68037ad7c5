"""What a run came to: all that a reporter needs, kept by :mod:`tailgate.harness.results.file` as JSON.

A number that is missing or not finite is None, and the ``note`` or ``reason`` beside it says which. None is never 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from msgspec import Meta

from tailgate.harness.profiles import Profile
from tailgate.harness.results.comparison import ComparisonResult
from tailgate.harness.results.criterion import CriterionResult, Waiver
from tailgate.harness.results.failure import Failure
from tailgate.harness.results.fault import Fault
from tailgate.harness.results.preflight import Preflight
from tailgate.harness.results.slot import SlotResult
from tailgate.harness.results.verdict import Verdict
from tailgate.harness.results.yardstick import Yardstick

SCHEMA_VERSION = "1.5"
Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What a machine is, in facts that change a latency."""

    processor: str | None  # model name
    processors: int | None  # those that this process may run on, which a container can limit
    processors_online: int | None  # those of the machine
    memory_bytes: int | None  # of the machine
    hypervisor: bool | None  # whether it is a virtual machine; None where the processor does not tell
    kernel: str  # release of the kernel
    platform: str  # operating system and architecture
    python: str  # implementation and version
    gpu: str | None = None  # names of the GPUs; None without the extra ``gpu`` or a driver
    gpu_driver: str | None = None  # version of the driver


@dataclass(frozen=True, slots=True)
class Code:
    """What the working tree of a run's project was."""

    commit: Annotated[str, Meta(min_length=7), "full hash of its commit"]
    branch: Annotated[str | None, "name of the branch; null where none is checked out"]
    dirty: Annotated[bool, "tracked files differ from the commit"]


@dataclass(frozen=True, slots=True)
class ArmResult:
    """One side of a run."""

    name: Annotated[str, "head, or base for the side that it is compared with"]
    target: Annotated[str, "specification of the target"]
    facts: Annotated[
        Mapping[str, Scalar], "how the target describes itself: model, device, precision, weights"
    ] = field(default_factory=dict)
    preflight: Annotated[tuple[Preflight, ...], "the first answer to each request, before any load"] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioResult:
    """One scenario's answer."""

    name: Annotated[str, "unique within a run"]
    seed: Annotated[int, Meta(ge=0), "that its plans were drawn from"]
    verdict: Annotated[
        Verdict, "the worst of its criteria's, or the comparison's; INVALID where a fault voids it"
    ]
    criteria: Annotated[tuple[CriterionResult, ...], "in the scenario's order"]
    reproduce: Annotated[str, "command line that runs it again, with the same seed"]
    faults: Annotated[tuple[Fault, ...], "what voids it"] = ()
    description: Annotated[str, "one sentence"] = ""
    comparison: Annotated[ComparisonResult | None, "with the base; null where budgets were checked"] = None
    failures: Annotated[
        Mapping[str, tuple[Failure, ...]],
        "by arm, requests of the measured phases without a good answer, by kind, the most frequent first",
    ] = field(default_factory=dict)
    notes: Annotated[tuple[str, ...], "what a reader must know to understand the verdict"] = ()
    proposal: Annotated[
        str, "a line of budgets to start from, made from the measured values; empty if budgets were judged"
    ] = ""
    refused: Annotated[
        str, "why head FAILs without any load: its first answer is wrong, and base's is right; else empty"
    ] = ""
    waivers: Annotated[
        tuple[Waiver, ...],
        "what a reviewed file accepts; no verdict is changed by them, but the test may pass",
    ] = ()

    @property
    def reason(self) -> str:
        """Why, in one line: a fault, a wrong first answer, or the comparison's reason; empty where criteria say it."""
        compared = "" if self.comparison is None else self.comparison.reason
        said = next((fault.text for fault in self.faults), self.refused or compared)
        # A server's log may follow on further lines.
        return said.partition("\n")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """A whole run."""

    run_id: Annotated[str, Meta(min_length=1), "unique; names the run's directory"]
    started_at: Annotated[
        str,
        Meta(pattern="^\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}(\\.\\d+)?(Z|\\+00:00)$"),
        "ISO 8601, in UTC, such as 2026-11-22T14:37:05Z",
    ]
    duration_s: Annotated[Annotated[float, Meta(ge=0)] | None, "wall time of the whole run"]
    command: Annotated[str, "that started it"]
    verdict: Annotated[Verdict, "the worst of its scenarios'; INVALID if nothing was measured"]
    reasons: Annotated[tuple[str, ...], "why it is not PASS, the most important first"]
    machine: Annotated[Mapping[str, Scalar], "its fingerprint: processor, cores, kernel, versions"]
    yardstick_before: Annotated[
        Yardstick | None, "the harness's fixed piece of work, timed before the run; null if it was not timed"
    ]
    yardstick_after: Annotated[Yardstick | None, "the same after it"]
    profile: Annotated[Profile, "how much evidence was asked for"]
    settings: Annotated[Mapping[str, Scalar], "options that affect the result"]
    arms: Annotated[tuple[ArmResult, ...], "what was measured"]
    slots: Annotated[tuple[SlotResult, ...], "in the order in which they ran"]
    scenarios: Annotated[tuple[ScenarioResult, ...], "the result of each scenario"]
    tailgate_version: Annotated[str, "of the harness that wrote it"]
    code: Annotated[
        Code | None, "the project's working tree, which need not be what the target runs; null without git"
    ] = None
    planned: Annotated[
        int | None,
        "how many scenarios the run was to measure; if `scenarios` has fewer, it was cut short; null before version 1.5",
    ] = None
    schema_version: Annotated[str, "of this format"] = SCHEMA_VERSION
