"""The test kit for authors of plugins: a clock that tests move, samples, and a whole result, made to measure.

Everything here is deterministic, and nothing waits. :func:`fake_server_spec` names a server as a target.
"""

import dataclasses
import shlex
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from tailgate.harness.load.records.samples import SAMPLE, Outcome, Samples
from tailgate.harness.profiles import PROFILES
from tailgate.harness.results.criterion import CriterionResult, Witness, margin
from tailgate.harness.results.fault import Fault
from tailgate.harness.results.run import ArmResult, RunResult, ScenarioResult
from tailgate.harness.results.slot import Interval, MachineUse, PhaseResult, Quantiles, SlotResult, StageMeans
from tailgate.harness.results.verdict import Better, Verdict, worst
from tailgate.harness.results.yardstick import Yardstick
from tailgate.harness.units import Unit

# Any moment but 0, which means "never" in a sample.
START_NS = 1_000_000_000
YARDSTICKS = (Yardstick(0.0130, 0.0125, 0.0135, 60), Yardstick(0.0131, 0.0126, 0.0136, 60))


class FakeClock:
    """A clock that only :meth:`sleep` and :meth:`advance` move; call it for the time in seconds.

    Attributes:
        now_s: the time.
        sleeps_s: every wait that was asked for.
    """

    def __init__(self, now_s: float = 0.0) -> None:
        self.now_s = now_s
        self.sleeps_s: list[float] = []

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self.now_s

    def advance(self, seconds: float) -> None:
        """Move the time on."""
        self.now_s += seconds

    def sleep(self, seconds: float) -> None:
        """Move the time on, and remember that somebody waited."""
        self.sleeps_s.append(seconds)
        self.advance(seconds)


def samples(
    latencies_s: Sequence[float],
    *,
    interval_s: float = 0.01,
    lag_s: float = 0.0,
    outcomes: Sequence[Outcome] | None = None,
    phase: int = 0,
    start_ns: int = START_NS,
) -> Samples:
    """Return one record a latency, shape (n,), of requests that were meant to leave ``interval_s`` apart.

    Args:
        latencies_s: from the intended time to the last byte, in seconds.
        interval_s: between two intended times.
        lag_s: of the generator; the connection is there at once.
        outcomes: one a request; None for all OK. A request without an answer has status 0 and no first byte.
        phase: index of the phase.
        start_ns: the first intended time.
    """
    n = len(latencies_s)
    ends = np.full(n, Outcome.OK) if outcomes is None else np.array(outcomes)
    made = np.zeros(n, SAMPLE)
    made["request"] = np.arange(n)
    made["phase"] = phase
    made["intended_ns"] = start_ns + np.rint(np.arange(n) * interval_s * 1e9)
    made["dispatched_ns"] = made["sent_ns"] = made["intended_ns"] + round(lag_s * 1e9)
    made["done_ns"] = made["intended_ns"] + np.rint(np.asarray(latencies_s, dtype=float) * 1e9)
    made["outcome"] = ends
    made["status"] = [_STATUS.get(Outcome(end), 0) for end in ends]
    made["first_byte_ns"] = np.where(made["status"] > 0, made["done_ns"], 0)
    made["bytes_received"] = np.where(made["status"] > 0, 100, 0)
    for stage in ("queue_s", "decode_s", "compute_s", "encode_s", "server_s", "retry_after_s"):
        made[stage] = np.nan
    return made


_STATUS = {
    Outcome.OK: 200,
    Outcome.REDIRECT: 307,
    Outcome.CLIENT_ERROR: 400,
    Outcome.SERVER_ERROR: 500,
    Outcome.SHED: 503,
}


def fake_server_spec(service_time_ms: float = 1.0, queue_capacity: int | None = None) -> str:
    """Return the target specification of a fake server with a set service time, and a bound on what waits."""
    python = shlex.quote(sys.executable)
    # -P: a folder called harness in the current directory is not this one.
    bound = "" if queue_capacity is None else f" --queue-capacity {queue_capacity}"
    return f"command:{python} -P -m tailgate.harness.testing.fake_server --fd {{fd}} --service-time-ms {service_time_ms:g}{bound}"


def criterion_result(
    measure: str = "p95",
    value: float | None = 0.08,
    *,
    limit: float = 0.1,
    verdict: Verdict = Verdict.PASS,
    **changes: Any,
) -> CriterionResult:
    """Return a judged latency criterion whose interval is 10 % of its value each way; ``changes`` replace fields."""
    made = CriterionResult(
        name=f"{measure} (client)",
        measure=measure,
        witness=Witness.CLIENT,
        phases=("steady",),
        limit=limit,
        unit=Unit.SECONDS,
        better=Better.LOWER,
        value=value,
        low=None if value is None else value * 0.9,
        high=None if value is None else value * 1.1,
        n=1_000,
        worth=800.0,
        confidence=0.99,
        fail_limit=limit,
        fail_confidence=0.998,
        margin=None if value is None else margin(value, limit, Better.LOWER),
        verdict=verdict,
        reason="as the test has it",
    )
    return dataclasses.replace(made, **changes)


def run_result(
    criteria: Sequence[CriterionResult] | None = None,
    *,
    scenario: str = "steady",
    faults: Sequence[Fault] = (),
    **changes: Any,
) -> RunResult:
    """Return the result of one scenario against one arm, every part of it filled in; ``changes`` replace fields."""
    judged = tuple([criterion_result()] if criteria is None else criteria)
    verdict = Verdict.INVALID if faults else worst([criterion.verdict for criterion in judged])
    made = RunResult(
        run_id="20261122-143705-steady",
        started_at="2026-11-22T14:37:05Z",
        duration_s=42.0,
        command="pytest -m perf",
        verdict=verdict,
        reasons=(),
        machine={"processor": "Example 9000", "processors": 2, "memory_bytes": 2**33, "governor": None},
        yardstick_before=YARDSTICKS[0],
        yardstick_after=YARDSTICKS[1],
        profile=PROFILES["default"],
        settings={"perf_seed": 7, "perf_inconclusive": "fail"},
        arms=(ArmResult("head", "service", {"model": "demo", "device": "cpu", "weights": "trained"}),),
        slots=(_slot(scenario, tuple(faults)),),
        scenarios=(
            ScenarioResult(
                name=scenario,
                seed=7,
                verdict=verdict,
                criteria=judged,
                reproduce=f"pytest -m perf --perf-scenario={scenario} --perf-seed=7",
                faults=tuple(faults),
                description="one rate for a while",
            ),
        ),
        tailgate_version="0.1.0",
    )
    return dataclasses.replace(made, **changes)


def _slot(scenario: str, faults: tuple[Fault, ...]) -> SlotResult:
    warm_up = PhaseResult(
        name="warm-up",
        measured=False,
        duration_s=1.0,
        intended=50,
        requests=50,
        outcomes={"ok": 50},
        offered_per_s=50.0,
        achieved_per_s=50.0,
    )
    measured = PhaseResult(
        name="steady",
        measured=True,
        duration_s=20.0,
        intended=1_000,
        requests=1_000,
        outcomes={"ok": 998, "timeout": 2},
        offered_per_s=50.1,
        achieved_per_s=49.9,
        lag=Quantiles(1_000, 1e-5, 2e-5, 5e-5, 1e-4),
        client=Quantiles(1_000, 0.05, 0.08, 0.09, 0.12),
        server={"p95": Interval(0.075, 0.085), "p99": Interval(0.085, None)},
        stages=StageMeans(
            queue_s=0.010, decode_s=0.004, compute_s=0.035, encode_s=0.0001, transport_s=0.0009
        ),
        batch_sizes={"1.0": 600.0, "2.0": 150.0, "4.0": 40.0, "+Inf": 0.0},
        machine=MachineUse(0.004, 0.03, 0.0333, 0.05),
        yardsticks=YARDSTICKS,
    )
    samples_file = f"samples/{scenario}-1.bin"
    return SlotResult(
        scenario=scenario,
        arm="head",
        block=0,
        start=1,
        seed=7,
        phases=(warm_up, measured),
        samples=samples_file,
        faults=faults,
    )
