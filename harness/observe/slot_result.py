"""From what a slot measured to the numbers that reports show; nothing here has a say in a verdict."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tailgate.harness import statistics
from tailgate.harness.errors import MeasurementError
from tailgate.harness.load import PhaseReport
from tailgate.harness.load.records.samples import Outcome, Samples
from tailgate.harness.load.settings import read_id_prefix
from tailgate.harness.load.wire.request_id import request_id
from tailgate.harness.observe import histogram
from tailgate.harness.observe.beside.resources import ResourceReading
from tailgate.harness.observe.machine import MachineDelta
from tailgate.harness.observe.slot_record import SlotRecord
from tailgate.harness.observe.window import (
    PhaseRecord,
    duration_s,
    failed,
    gaps_s,
    latencies_s,
    offered_rate_per_s,
    reading_lags_s,
    streamed,
)
from tailgate.harness.results.fault import Fault
from tailgate.harness.results.slot import (
    Interval,
    MachineUse,
    PhaseResult,
    Quantiles,
    ResourceUse,
    SlotResult,
    Slowest,
    StageMeans,
    StreamTimes,
)
from tailgate.harness.scenario.scenario import quantile_name
from tailgate.harness.target.asking.metric_names import MetricNames

SHOWN = (0.5, 0.95, 0.99)
STAGES = ("queue", "decode", "compute", "encode")


def slot_result(record: SlotRecord, faults: tuple[Fault, ...], root: Path) -> SlotResult:
    """Summarise a slot; paths are relative to ``root``."""
    phases = zip(record.planned, record.phases, record.reports, record.machines, strict=False)
    slot = record.slot
    id_prefix = read_id_prefix(record.samples.parent)
    return SlotResult(
        scenario=slot.scenario.name,
        arm=slot.arm,
        block=slot.block,
        start=slot.start,
        seed=slot.seed,
        phases=tuple(
            phase_result(planned, phase, report, used, record.names, id_prefix)
            for planned, phase, report, used in phases
        ),
        samples=str(record.samples.relative_to(root)) if record.samples.is_file() else None,
        faults=faults,
    )


def phase_result(
    planned: int,
    record: PhaseRecord,
    report: PhaseReport,
    used: MachineDelta,
    names: MetricNames,
    id_prefix: str,
) -> PhaseResult:
    """Summarise one phase; ``id_prefix`` is of its requests' ids, empty where they had none."""
    samples, everything = record.samples, record.every_sample
    good = samples[~failed(samples)]
    first_ns = int(everything["intended_ns"].min()) if len(everything) else 0
    duration_s = (int(everything["done_ns"].max()) - first_ns) / 1e9 if len(everything) else None
    outcomes = Counter(Outcome(code).name.lower() for code in everything["outcome"])
    return PhaseResult(
        name=record.phase.name,
        measured=record.phase.measured,
        duration_s=duration_s,
        intended=planned,
        requests=len(everything),
        outcomes=dict(outcomes),
        offered_per_s=offered_rate_per_s(everything),
        achieved_per_s=len(good) / duration_s if duration_s else None,
        lag=_quantiles(
            (everything["dispatched_ns"] - everything["intended_ns"])[everything["dispatched_ns"] > 0] / 1e9
        ),
        client=_quantiles(latencies_s(samples)),
        first_byte=_quantiles(latencies_s(samples, "first_byte_ns")),
        streams=_stream_times(record),
        slowest=_slowest(good, id_prefix),
        server=_server_quantiles(record, names),
        stages=_stage_means(good),
        batch_sizes=_batch_sizes(record, names),
        machine=_machine_use(used, report, len(everything)),
        loop=record.phase.loop,
        resources=_resource_use(record.resources),
        yardsticks=record.yardsticks or (),
    )


def _stream_times(record: PhaseRecord) -> StreamTimes | None:
    asked = streamed(record.samples)
    good = asked[(asked["events"] > 0) & ~failed(asked)]
    if not len(good):
        return None
    events, seconds = int(good["events"].sum(dtype=np.int64)), duration_s(record.samples)
    return StreamTimes(
        answers=len(good),
        events=events,
        events_per_s=events / seconds if seconds else None,
        first_event=_quantiles(latencies_s(asked, "first_event_ns")),
        gaps=_quantiles(gaps_s(record)),
        reading_lag=_quantiles(reading_lags_s([record])),
    )


def _resource_use(readings: Sequence[ResourceReading]) -> ResourceUse | None:
    if not readings:
        return None
    return ResourceUse(
        n=len(readings),
        rss_first_bytes=readings[0].rss_bytes,
        rss_last_bytes=readings[-1].rss_bytes,
        rss_peak_bytes=max(one.rss_bytes for one in readings),
        fds_peak=max(one.fds for one in readings),
        threads_peak=max(one.threads for one in readings),
    )


def _quantiles(seconds: NDArray[np.float64]) -> Quantiles | None:
    if not len(seconds):
        return None
    p50_s, p95_s, p99_s = (_finite(statistics.quantile(seconds, share)) for share in SHOWN)
    return Quantiles(len(seconds), p50_s, p95_s, p99_s, _finite(float(seconds.max())))


def _slowest(good: Samples, id_prefix: str) -> Slowest | None:
    if not (len(good) and id_prefix):
        return None
    seconds = latencies_s(good)
    place = int(seconds.argmax())
    number = int(good["phase"][place]), int(good["request"][place])
    return Slowest(float(seconds[place]), request_id(id_prefix, *number))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _server_quantiles(record: PhaseRecord, names: MetricNames) -> Mapping[str, Interval] | None:
    try:
        found = record.request_histogram(names)
    except MeasurementError:  # whoever judges by it says so
        return None
    if not found.n:
        return None
    return {quantile_name(share): Interval(*found.quantile_bucket(share)) for share in SHOWN}


def _batch_sizes(record: PhaseRecord, names: MetricNames) -> Mapping[str, float] | None:
    if record.server is None or names.batch_size is None:
        return None
    try:
        found = histogram.from_delta(record.server, names.batch_size)
    except MeasurementError:  # the target has no such histogram
        return None
    counts = np.diff(np.asarray(found.cumulative, dtype=float), prepend=0.0)
    return {
        "+Inf" if math.isinf(edge) else f"{edge:g}": float(count)
        for edge, count in zip(found.edges, counts, strict=True)
        if count
    }


def _stage_means(good: Samples) -> StageMeans | None:
    told = good[~np.isnan(good["server_s"])]
    if not len(told):
        return None
    means = {f"{stage}_s": _mean(told[f"{stage}_s"]) for stage in STAGES}
    wire_s = (told["done_ns"] - told["sent_ns"]) / 1e9
    return StageMeans(**means, transport_s=float(np.mean(wire_s - told["server_s"])))


def _mean(seconds: NDArray[np.float32]) -> float | None:
    told = seconds[~np.isnan(seconds)]
    return float(told.mean(dtype=np.float64)) if len(told) else None


def _machine_use(used: MachineDelta, report: PhaseReport, requests: int) -> MachineUse:
    cpu_s, stalled = used.process_cpu_s, used.stalled_share
    return MachineUse(
        steal_share=used.steal_share,
        cpu_pressure_share=None if stalled is None else stalled.get("cpu"),
        server_cpu_s_per_request=cpu_s / requests if cpu_s is not None and requests else None,
        generator_cpu_share=report.cpu_s / report.wall_s if report.wall_s else None,
    )
