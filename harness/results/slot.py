"""What one slot measured, in the numbers that reports show.

A number that is missing, infinite or not a number is None. None is never 0.
"""

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
    """Exact quantiles of times, from raw records.

    Attributes:
        n: how many times they are of.
        p50_s: median, in seconds.
        p95_s: in seconds.
        p99_s: in seconds.
        max_s: the longest, in seconds.
    """

    n: int
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    max_s: float | None


@dataclass(frozen=True, slots=True)
class Interval:
    """Bounds of a number that is known to lie between them.

    Attributes:
        low: None when nothing bounds it from below.
        high: None when nothing bounds it from above.
    """

    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class StageMeans:
    """Where a request's time went, on the average.

    Attributes:
        queue_s: waiting for the executor.
        decode_s: bytes to model input.
        compute_s: in the model.
        encode_s: model output to bytes.
        transport_s: what the client saw beyond the server's own total.
    """

    queue_s: float | None = None
    decode_s: float | None = None
    compute_s: float | None = None
    encode_s: float | None = None
    transport_s: float | None = None


@dataclass(frozen=True, slots=True)
class MachineUse:
    """What the machine says of a stretch of time.

    Attributes:
        steal_share: of processor time that the hypervisor gave to others.
        cpu_pressure_share: of time in which some task waited for a processor (PSI).
        server_cpu_s_per_request: processor seconds of the server's processes for each request.
        generator_cpu_share: of one processor that the load generator used.
    """

    steal_share: float | None = None
    cpu_pressure_share: float | None = None
    server_cpu_s_per_request: float | None = None
    generator_cpu_share: float | None = None


@dataclass(frozen=True, slots=True)
class ResourceUse:
    """What the server's processes held during a phase.

    Attributes:
        n: readings.
        rss_first_bytes: resident memory at the first reading.
        rss_last_bytes: at the last.
        rss_peak_bytes: the most at any.
        fds_peak: the most open file descriptors.
        threads_peak: the most threads.
    """

    n: int
    rss_first_bytes: int
    rss_last_bytes: int
    rss_peak_bytes: int
    fds_peak: int
    threads_peak: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseResult:
    """One phase of one slot, measured.

    Attributes:
        name: as the scenario has it.
        measured: False for a warm-up.
        duration_s: from the first intended time to the last answer.
        intended: requests that the plan holds.
        requests: requests that have a record.
        outcomes: requests by kind of end (``ok``, ``shed``, ``timeout``, …).
        offered_per_s: rate of the intended times.
        achieved_per_s: rate of good answers.
        lag: from the intended time to the moment at which the generator took the request up.
        client: latency from the intended time to the last byte.
        server: by quantile name, the bounds that the server's histogram gives, in seconds; None without metrics.
        stages: None where the target tells none.
        batch_sizes: batches by the upper edge of their bucket, ``+Inf`` for the last; None without metrics.
        machine: None where it was not read.
        loop: CLOSED for a probe of capacity, whose latencies count from the send and mean little.
        resources: what the server's processes held; None where they cannot be seen.
        yardsticks: the harness's fixed piece of work, timed before the phase and after it; empty where it was not.
    """

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
    """One course of a scenario against one arm.

    Attributes:
        scenario: its name.
        arm: name of the arm.
        block: number of the block; a block has fresh starts of every arm.
        start: how often the arm had been started, this start included.
        seed: of the plan.
        phases: in the order in which they ran.
        samples: file of the raw records, relative to the results; None where none were kept.
        faults: what voids the slot; empty for a sound one.
    """

    scenario: str
    arm: str
    block: int
    start: int
    seed: int
    phases: tuple[PhaseResult, ...]
    samples: str | None = None
    faults: tuple[Fault, ...] = ()
