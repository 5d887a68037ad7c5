"""What one slot measured, in the numbers that reports show."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from tailgate.harness.results.fault import Fault
from tailgate.harness.results.yardstick import Yardstick

# An edge of a histogram, as Prometheus writes it.
Edge = Annotated[str, Meta(pattern="^(\\+Inf|[0-9]+(\\.[0-9]+)?(e[+-]?[0-9]{1,2})?)$")]


class Loop(enum.Enum):
    """Whether the server's answers have a say in when requests leave."""

    OPEN = "open loop"  # they have none: latency counts from the intended time
    CLOSED = "closed loop"  # the next request waits for the last answer: for capacity, and never for latency


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Exact quantiles of times, from raw records."""

    n: Annotated[int, Meta(ge=0), "how many times they are of"]
    p50_s: Annotated[float | None, "median, in seconds"]
    p95_s: Annotated[float | None, "in seconds"]
    p99_s: Annotated[float | None, "in seconds"]
    max_s: Annotated[float | None, "the longest, in seconds"]


@dataclass(frozen=True, slots=True)
class Interval:
    """Bounds of a number that is known to lie between them."""

    low: Annotated[float | None, "null when nothing bounds it from below"]
    high: Annotated[float | None, "null when nothing bounds it from above"]


@dataclass(frozen=True, slots=True)
class StageMeans:
    """Where a request's time went, on the average."""

    queue_s: Annotated[float | None, "waiting for the executor"] = None
    decode_s: Annotated[float | None, "bytes to model input"] = None
    compute_s: Annotated[float | None, "in the model"] = None
    encode_s: Annotated[float | None, "model output to bytes"] = None
    transport_s: Annotated[float | None, "what the client saw beyond the server's own total"] = None


@dataclass(frozen=True, slots=True)
class StreamTimes:
    """What the answers of a phase showed that were streams of events."""

    answers: Annotated[int, Meta(ge=1), "good answers with at least one event"]
    events: Annotated[int, Meta(ge=1), "of all of them"]
    events_per_s: Annotated[
        Annotated[float, Meta(ge=0)] | None, "tokens per second, from the first intended time to the last end"
    ]
    first_event: Annotated[Quantiles | None, "from the intended time to the first event"] = None
    gaps: Annotated[Quantiles | None, "between an event and the next of its answer, pooled"] = None
    reading_lag: Annotated[
        Quantiles | None,
        "how long the kernel had held an event when the generator read it; null where it did not tell",
    ] = None


@dataclass(frozen=True, slots=True)
class MachineUse:
    """What the machine says of a stretch of time."""

    steal_share: Annotated[
        Annotated[float, Meta(ge=0)] | None, "of processor time that the hypervisor gave to others"
    ] = None
    cpu_pressure_share: Annotated[
        Annotated[float, Meta(ge=0)] | None, "of time in which some task waited for a processor (PSI)"
    ] = None
    server_cpu_s_per_request: Annotated[
        Annotated[float, Meta(ge=0)] | None, "processor seconds of the server's processes for each request"
    ] = None
    generator_cpu_share: Annotated[
        Annotated[float, Meta(ge=0)] | None, "of one processor that the load generator used"
    ] = None


@dataclass(frozen=True, slots=True)
class ResourceUse:
    """What the server's processes held during a phase."""

    n: Annotated[int, Meta(ge=1), "readings"]
    rss_first_bytes: Annotated[int, Meta(ge=0), "resident memory at the first reading"]
    rss_last_bytes: Annotated[int, Meta(ge=0), "at the last"]
    rss_peak_bytes: Annotated[int, Meta(ge=0), "the most at any"]
    fds_peak: Annotated[int, Meta(ge=0), "the most open file descriptors"]
    threads_peak: Annotated[int, Meta(ge=0), "the most threads"]


@dataclass(frozen=True, slots=True)
class Slowest:
    """The good answer that took longest, by its request."""

    latency_s: Annotated[float, "from the intended time to the last byte"]
    request_id: Annotated[str, "X-Request-ID and trace id that were sent, to be found in the server's log"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseResult:
    """One phase of one slot, measured."""

    name: Annotated[str, "as the scenario has it"]
    measured: Annotated[bool, "false for a warm-up"]
    duration_s: Annotated[
        Annotated[float, Meta(ge=0)] | None, "from the first intended time to the last answer"
    ]
    intended: Annotated[int, Meta(ge=0), "requests that the plan holds"]
    requests: Annotated[int, Meta(ge=0), "requests that have a record"]
    outcomes: Annotated[Mapping[str, int], "requests by kind of end (ok, shed, timeout, …)"]
    offered_per_s: Annotated[Annotated[float, Meta(ge=0)] | None, "rate of the intended times"]
    achieved_per_s: Annotated[Annotated[float, Meta(ge=0)] | None, "rate of good answers"]
    lag: Annotated[
        Quantiles | None, "from the intended time to the moment at which the generator took the request up"
    ] = None
    client: Annotated[Quantiles | None, "latency from the intended time to the last byte"] = None
    first_byte: Annotated[Quantiles | None, "from the intended time to the first byte of the answer"] = None
    streams: Annotated[StreamTimes | None, "null where no good answer was a stream"] = None
    slowest: Annotated[Slowest | None, "null where no answer was good, or requests had no ids"] = None
    server: Annotated[
        Mapping[str, Interval] | None,
        "by quantile name, the bounds that the server's histogram gives, in seconds; null without metrics",
    ] = None
    stages: Annotated[StageMeans | None, "null where the target tells none"] = None
    batch_sizes: Annotated[
        Mapping[Edge, Annotated[float, Meta(ge=0)]] | None,
        "batches by the upper edge of their bucket, +Inf for the last; null without metrics",
    ] = None
    machine: Annotated[MachineUse | None, "null where it was not read"] = None
    loop: Annotated[
        Loop, "closed loop for a probe of capacity, whose latencies count from the send and mean little"
    ] = Loop.OPEN
    resources: Annotated[
        ResourceUse | None, "what the server's processes held; null where they cannot be seen"
    ] = None
    yardsticks: Annotated[
        tuple[Yardstick, ...],
        "the harness's fixed piece of work, timed before the phase and after it; empty where it was not",
    ] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotResult:
    """One course of a scenario against one arm."""

    scenario: Annotated[str, "its name"]
    arm: Annotated[str, "name of the arm"]
    block: Annotated[int, Meta(ge=0), "number of the block; a block has fresh starts of every arm"]
    start: Annotated[int, Meta(ge=1), "how often the arm had been started, this start included"]
    seed: Annotated[int, Meta(ge=0), "of the plan"]
    phases: Annotated[tuple[PhaseResult, ...], "in the order in which they ran"]
    samples: Annotated[
        str | None, "file of the raw records, relative to the results; null where none were kept"
    ] = None
    faults: Annotated[tuple[Fault, ...], "what voids the slot; empty for a sound one"] = ()
