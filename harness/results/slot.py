"""What one slot measured, in the numbers that reports show; ``results.schema.json`` describes every field."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from tailgate.harness.results.fault import Fault
from tailgate.harness.results.yardstick import Yardstick


class Loop(enum.Enum):
    """Whether the server's answers have a say in when requests leave."""

    OPEN = "open loop"  # they have none: latency counts from the intended time
    CLOSED = "closed loop"  # the next request waits for the last answer: for capacity, and never for latency


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Exact quantiles of times, from raw records."""

    n: int
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    max_s: float | None


@dataclass(frozen=True, slots=True)
class Interval:
    """Bounds of a number that is known to lie between them."""

    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class StageMeans:
    """Where a request's time went, on the average."""

    queue_s: float | None = None
    decode_s: float | None = None
    compute_s: float | None = None
    encode_s: float | None = None
    transport_s: float | None = None


@dataclass(frozen=True, slots=True)
class MachineUse:
    """What the machine says of a stretch of time."""

    steal_share: float | None = None
    cpu_pressure_share: float | None = None
    server_cpu_s_per_request: float | None = None
    generator_cpu_share: float | None = None


@dataclass(frozen=True, slots=True)
class ResourceUse:
    """What the server's processes held during a phase."""

    n: int
    rss_first_bytes: int
    rss_last_bytes: int
    rss_peak_bytes: int
    fds_peak: int
    threads_peak: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseResult:
    """One phase of one slot, measured."""

    name: str
    measured: bool
    duration_s: float | None
    intended: int
    requests: int
    outcomes: Mapping[str, int]
    offered_per_s: float | None
    achieved_per_s: float | None
    lag: Quantiles | None = None
    client: Quantiles | None = None
    server: Mapping[str, Interval] | None = None
    stages: StageMeans | None = None
    batch_sizes: Mapping[str, float] | None = None
    machine: MachineUse | None = None
    loop: Loop = Loop.OPEN
    resources: ResourceUse | None = None
    yardsticks: tuple[Yardstick, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotResult:
    """One course of a scenario against one arm."""

    scenario: str
    arm: str
    block: int
    start: int
    seed: int
    phases: tuple[PhaseResult, ...]
    samples: str | None = None
    faults: tuple[Fault, ...] = ()
