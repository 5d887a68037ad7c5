"""What the generator says of itself after a phase: facts for others to judge the measurement by."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import orjson
from numpy.typing import NDArray

from tailgate.harness.load.clocks import ClockSpan
from tailgate.harness.load.records.samples import Outcome
from tailgate.harness.load.settings import Scheduling, TimerMode
from tailgate.harness.results.failure import Failure, pooled
from tailgate.harness.results.slot import Loop


@dataclass(frozen=True, slots=True)
class Lag:
    """How late the generator took requests up, in seconds after their intended times.

    It is the generator's own fault: the wait for a connection is not in it.
    """

    p50_s: float
    p99_s: float
    max_s: float


@dataclass(frozen=True, slots=True)
class Part:
    """What one of many generators did in a phase."""

    name: str
    here: bool  # on the machine of the harness
    requests: int
    lag: Lag
    utilisation: float  # share of the time in which it had something to do
    cpu_s: float
    run_delay_per_request_s: float | None
    # By how much its requests may have come early or late beside those of the others, for its clock is another.
    schedule_error_s: float
    drift: float  # share by which its seconds may differ from those of the harness


@dataclass(frozen=True, slots=True)
class PhaseReport:
    """One phase as the generator ran it."""

    phase: int  # its index
    name: str
    outcomes: Mapping[Outcome, int]  # requests by outcome; all outcomes are there
    failures: tuple[Failure, ...]  # by kind, the most frequent first, without those that were planned
    start_ns: int  # CLOCK_MONOTONIC at the phase's time 0
    end_ns: int  # when nothing was in flight any more
    lag: Lag
    wall_s: float  # from time 0 until then
    busy_s: float  # of these, with something to do; in the rest it waited, asleep or spinning
    cpu_s: float  # processor time that it used, spinning included
    # Time that it was ready to run and another had the processor; None if the kernel keeps no count.
    run_delay_s: float | None
    connections_opened: int
    connections_lost_idle: int  # closed by the server while idle
    stale_retries: int  # requests moved from a dead connection to another before anything was sent
    waited_requests: int  # requests that found no idle connection
    # On how many connections the server answers at a time, and so the most that were open; None for no bound.
    at_once: int | None
    timer: TimerMode
    scheduling: Scheduling  # how the kernel let it run, which may be less than it asked for
    loop: Loop
    processor: int | None  # the one that it was bound to, or None
    unkept_answers: int = 0  # whole answers that found no room beside those that are kept
    clocks: tuple[ClockSpan, ...] = ()  # how long it took by other clocks; none in reports of older versions
    parts: tuple[Part, ...] = ()  # one per generator, where there are many

    @property
    def requests(self) -> int:
        """Requests sent or tried: all that the plan has for the phase."""
        return sum(self.outcomes.values())

    @property
    def ok(self) -> int:
        """Requests with a good answer."""
        return self.outcomes[Outcome.OK]

    @property
    def failed(self) -> int:
        """Requests that ended in any other way."""
        return self.requests - self.ok

    @property
    def utilisation(self) -> float:
        """Share of the time in which the generator had something to do; near 1, it was the bottleneck."""
        # What it did shortly before time 0 counts too, and must not make more than a whole.
        return min(1.0, self.busy_s / self.wall_s)

    @property
    def cpu_here_s(self) -> float:
        """Processor time that was used on the machine of the harness."""
        return sum(part.cpu_s for part in self.parts if part.here) if self.parts else self.cpu_s

    @property
    def run_delay_per_request_s(self) -> float | None:
        """Mean time that each request added to the wait for a processor; None if the kernel keeps no count."""
        return None if self.run_delay_s is None else self.run_delay_s / self.requests


def lag_of(lags_ns: NDArray[np.int64]) -> Lag:
    """Summarise the lags of a phase's requests, shape (n,), n at least 1; quantiles are observed values."""
    p50, p99 = np.quantile(lags_ns, (0.5, 0.99), method="inverted_cdf") / 1e9
    return Lag(float(p50), float(p99), float(lags_ns.max() / 1e9))


def together(reports: Sequence[PhaseReport], parts: Sequence[Part]) -> PhaseReport:
    """Return the reports of many generators on one phase as one; lag and utilisation are of the worst of them."""
    first, start_ns = reports[0], min(one.start_ns for one in reports)
    end_ns = max(one.end_ns for one in reports)
    wall_s = (end_ns - start_ns) / 1e9
    delays_s = [one.run_delay_s for one in reports]
    return dataclasses.replace(
        first,
        outcomes={outcome: sum(one.outcomes[outcome] for one in reports) for outcome in Outcome},
        failures=pooled(failure for one in reports for failure in one.failures),
        start_ns=start_ns,
        end_ns=end_ns,
        lag=Lag(*(max(getattr(one.lag, field) for one in reports) for field in ("p50_s", "p99_s", "max_s"))),
        wall_s=wall_s,
        busy_s=wall_s * max(one.utilisation for one in reports),
        cpu_s=sum(one.cpu_s for one in reports),
        run_delay_s=None if None in delays_s else sum(filter(None, delays_s)),
        connections_opened=sum(one.connections_opened for one in reports),
        connections_lost_idle=sum(one.connections_lost_idle for one in reports),
        stale_retries=sum(one.stale_retries for one in reports),
        waited_requests=sum(one.waited_requests for one in reports),
        at_once=None if first.at_once is None else sum(one.at_once or 0 for one in reports),
        scheduling=max((one.scheduling for one in reports), key=list(Scheduling).index),
        unkept_answers=sum(one.unkept_answers for one in reports),
        clocks=tuple(span for one in reports for span in one.clocks),
        parts=tuple(parts),
    )


def encode_report(report: PhaseReport) -> dict[str, Any]:
    """Return a report as JSON values, its outcomes by name."""
    values: dict[str, Any] = orjson.loads(orjson.dumps(report, option=orjson.OPT_NON_STR_KEYS))
    values["outcomes"] = {outcome.name: count for outcome, count in report.outcomes.items()}
    return values


def decode_report(values: Mapping[str, Any]) -> PhaseReport:
    """Return the report that :func:`encode_report` encoded."""
    outcomes = {Outcome[name]: count for name, count in values["outcomes"].items()}
    return msgspec.convert({**values, "outcomes": outcomes}, PhaseReport)
