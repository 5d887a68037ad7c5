"""What a run came to: one value that holds all that a reporter needs, and that a file keeps.

Stands between the judge and the reporters. :mod:`tailgate.harness.results_file` writes and reads it as JSON, whose contract is
``results.schema.json``. Nothing is measured, judged or formatted here. It is one long list of fields, kept together
because it is one document.

A number that is missing, infinite or not a number is None, ``null`` in the file, and the ``note`` or ``reason`` beside
it says which: "no bound from above", "the quantile lies among failed requests". None is never 0.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from tailgate.harness.comparison.attribution import Attribution
from tailgate.harness.comparison.decision import Decision
from tailgate.harness.comparison.design import Design
from tailgate.harness.failures import Failure
from tailgate.harness.faults import Fault
from tailgate.harness.scenario import Loop, Profile, Ref, Witness
from tailgate.harness.verdict import Better, Judgement, Unit, Verdict
from tailgate.harness.yardstick import Yardstick

SCHEMA_VERSION = "1.2"
# Begins why a comparison was stopped whose blocks are sound, and which can be judged by them.
CUT_SHORT = "before its end: "

Scalar = str | int | float | bool | None


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
class CriterionResult:
    """One question with its answer.

    Attributes:
        name: unique within a scenario unless the same is asked of other phases.
        measure: what was measured, such as ``p95``.
        witness: whose record was judged.
        phases: pooled for it.
        limit: in ``unit``.
        unit: of limit, value, low and high.
        better: which direction is an improvement.
        value: point estimate.
        low: lower end of the interval; None when nothing bounds it from below.
        high: upper end; None when nothing bounds it from above.
        n: samples behind it; None when nothing was estimated.
        worth: how many independent samples would say as much; None where they are taken as independent.
        confidence: one-sided, of the end that PASS goes by; None when nothing was estimated.
        fail_limit: FAIL goes by it; less strict than ``limit``, which PASS goes by, where the yardstick moved.
        fail_confidence: one-sided, of the end that FAIL goes by.
        margin: share of the limit between it and the value, positive on the right side; None without either.
        verdict: what it came to.
        reason: why, in a sentence.
        note: what a reader must know to take the numbers right, or empty.
    """

    name: str
    measure: str
    witness: Witness
    phases: tuple[str, ...]
    limit: float
    unit: Unit
    better: Better
    value: float | None
    low: float | None
    high: float | None
    n: int | None
    worth: float | None
    confidence: float | None
    fail_limit: float
    fail_confidence: float
    margin: float | None
    verdict: Verdict
    reason: str
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonResult:
    """Head against base under one scenario.

    Attributes:
        decision: by lens and in all.
        design: when it was looked at the data, and how much error each look could spend.
        attributions: which stage moved, of the lenses that did.
        rows: file of the blocks as numbers, one a line, relative to the results; it can be judged again.
        order: by block, one letter a slot in order of time, ``b`` or ``h``.
        voids: why blocks do not count.
        steal_share: of processor time, the median over the blocks; None if unseen.
        cpu_pressure_share: of the time some work waited for a processor, likewise.
        stopped: why no further block was measured; empty where the decision itself was the end. Begins with
            :data:`CUT_SHORT` where something ended the run that says nothing against its blocks.
        notes: what a reader must know to take the numbers right.
    """

    decision: Decision
    design: Design
    attributions: tuple[Attribution, ...]
    rows: str
    order: tuple[str, ...] = ()
    voids: tuple[str, ...] = ()
    steal_share: float | None = None
    cpu_pressure_share: float | None = None
    stopped: str = ""
    notes: tuple[str, ...] = ()

    @property
    def reason(self) -> str:
        """Why it came to its verdict, in one sentence, with the stages that moved of the lenses that gate."""
        gates = [one for one in self.attributions if one.lens.gates]
        stages = {one.moved: None for one in gates if one.moved is not None}
        moved = f" (mostly in {', '.join(stages)})" if stages else ""
        return self.decision.reason + moved


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


def margin(value: float, limit: float, better: Better) -> float | None:
    """Return the share of the limit that lies between it and the value, positive on the right side.

    0.2 for 80 ms of 100 ms, and for 120/s where 100/s are asked; None for a limit of 0, which has no shares.
    """
    if limit == 0:
        return None
    room = limit - value if better is Better.LOWER else value - limit
    return room / abs(limit)


def criterion_result(judgement: Judgement) -> CriterionResult:
    """Return a judgement as the results hold it, with open and infinite numbers as None and a note of them.

    Raises:
        TypeError: its limit still names a number of the budget file.
    """
    criterion, estimate = judgement.criterion, judgement.estimate
    if isinstance(criterion.limit, Ref):
        raise TypeError(f"{criterion.name} was judged against the unresolved limit {criterion.limit}")
    value = None if estimate is None else _finite(estimate.value)
    note = "" if estimate is None else estimate.note
    if estimate is not None and estimate.value == math.inf:
        note = note or "the value is infinite"
    return CriterionResult(
        name=criterion.name,
        measure=criterion.measure,
        witness=criterion.witness,
        phases=criterion.phases,
        limit=criterion.limit,
        unit=judgement.unit,
        better=judgement.better,
        value=value,
        low=None if estimate is None else _finite(estimate.low),
        high=None if estimate is None else _finite(estimate.high),
        n=None if estimate is None else estimate.n,
        worth=None if estimate is None else estimate.worth,
        fail_limit=judgement.fail_limit,
        fail_confidence=judgement.fail_confidence,
        confidence=None if estimate is None else estimate.confidence,
        margin=None if value is None else margin(value, criterion.limit, judgement.better),
        verdict=judgement.verdict,
        reason=judgement.reason,
        note=note,
    )


def _finite(number: float | None) -> float | None:
    return number if number is not None and math.isfinite(number) else None
