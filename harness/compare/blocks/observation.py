"""One observation: what an arm's raw records of one block come to, as numbers.

Why the block is the unit: two starts of one program settle at different levels, so slots of one start are not
independent. Within a block the arms of unchanged code are exchangeable, since coins settle which is called
base. So ln(head/base) is symmetric about 0, whatever its distribution; the signed-rank test assumes no more.
Leaving out a block keeps this if the reason treats both arms alike: a signal of the machine, or a value
missing in either arm.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tailgate.harness import statistics
from tailgate.harness.compare.blocks.disturbance import disturbance_of
from tailgate.harness.compare.blocks.row import STAGES, ArmRow, least_requests
from tailgate.harness.compare.load import CAPACITY
from tailgate.harness.load.records.samples import Samples
from tailgate.harness.observe.slot_record import SlotRecord
from tailgate.harness.observe.window import (
    PhaseRecord,
    Window,
    failed,
    gaps_s,
    latencies_s,
    streamed,
    throughput_per_s,
)
from tailgate.harness.results.comparison import LATENCIES

Seconds = NDArray[np.float64]

# From this quantile on, a block's value is the geometric mean of its slots' own. One stall fills the top
# hundredth of a pooled block, which then tells of that stall alone. In simulated blocks of four slots
# (benchmarks/gate/estimators.py) the log ratio of the pooled p99 spreads by 30 to 50 % with stalls, that of
# the slots' mean by 20 to 39 %; without stalls by 6.0 and 4.8 %. In real pairs, at 34 % for slots of 1 s the
# mean of five has 15 %, and slots of 5 s had 27 %. A median would hide a change that stalls one slot in four.
# For p95 the mean does as often harm as good, but a p95 estimated otherwise than p99 can come out above it.
# For p50 it brings nothing.
BY_SLOT = 0.95
# Requests between these shares of the ranks are about a quantile. It moves as they do, and their stages sum
# to it.
ABOUT = {"p50": (0.35, 0.65), "p95": (0.90, 0.99), "p99": (0.97, 1.0)}


def observe_arm(
    record: SlotRecord, start_up_s: float | None, rooms_ns: Mapping[int, NDArray[np.int64]]
) -> ArmRow:
    """Return what an arm showed in the measured slots of a block.

    Args:
        record: of its course.
        start_up_s: from launch to ready; None if unseen.
        rooms_ns: by index of an interleaved phase, each request's time to the other arm's next window.
    """
    pairs = [
        (phase, used.process_cpu_s)
        for phase, used in zip(record.phases, record.machines, strict=True)
        if phase.phase.measured
    ]
    cpu_s = [used for _, used in pairs if used is not None]
    held = [reading.rss_bytes for phase, _ in pairs for reading in phase.resources]
    phases = [phase for phase, _ in pairs]
    samples = Window(tuple(phases)).samples
    probe = next((phase.samples for phase in record.phases if phase.phase.name == CAPACITY), None)
    return dataclasses.replace(
        arm_row(latencies_s(samples), int(failed(samples).sum()), stages_s(samples), len(pairs)),
        **times_within_answers(phases, samples),
        cpu_s=sum(cpu_s) if cpu_s and len(cpu_s) == len(pairs) else None,
        peak_rss_bytes=max(held, default=None),
        start_up_s=start_up_s,
        capacity_per_s=None if probe is None else throughput_per_s(probe),
        steal_share=disturbance_of((record,)).steal_share,
        spilled=_spilled(record, rooms_ns) if rooms_ns else None,
    )


def arm_row(seconds: Seconds, failed: int, stages_s: Mapping[str, Seconds], slots: int) -> ArmRow:
    """Return an arm's requests as numbers; a quantile without enough samples beyond it is None.

    Args:
        seconds: latencies, shape (requests,), in order of slot and request; a failed request is +inf.
        failed: how many.
        stages_s: by stage, shape (requests,), NaN where not told; empty where nobody told any.
        slots: how many equally long ones the requests came in; 0 if unknown.
    """
    quantiles: dict[str, Any] = {
        f"{name}_s": quantile_s(seconds, share, slots) for name, share in LATENCIES.items()
    }
    return ArmRow(
        requests=len(seconds),
        failed=failed,
        mean_s=float(np.mean(seconds)) if len(seconds) else None,
        stages_s=_stage_means(seconds, stages_s),
        **quantiles,
    )


def times_within_answers(phases: Sequence[PhaseRecord], samples: Samples) -> dict[str, Any]:
    """Return by an ArmRow's field the quantiles of times to the first byte and event, and between events.

    ``samples`` are those of all phases.
    """
    times = {"ttfb_p95_s": quantile_s(latencies_s(samples, "first_byte_ns"), 0.95, len(phases))}
    if samples["events"].any():
        first_event_s = latencies_s(streamed(samples), "first_event_ns")
        times["ttft_p95_s"] = quantile_s(first_event_s, 0.95, len(phases))
        times["gap_p99_s"] = quantile_s(np.concatenate([*map(gaps_s, phases)]), 0.99, len(phases))
    return times


def quantile_s(seconds: Seconds, share: float, slots: int) -> float | None:
    """Return a quantile of times in order of slot; None without enough of them beyond it."""
    if len(seconds) < least_requests(share):
        return None
    # With less than one request beyond it in a slot, a slot's quantile would be its maximum.
    if share < BY_SLOT or slots < 2 or len(seconds) * (1 - share) < slots:
        return statistics.quantile(seconds, share)
    by_slot = [statistics.quantile(part, share) for part in np.array_split(seconds, slots)]
    # Events that were read in one piece are 0 s apart, which has no logarithm.
    if not all(by_slot):
        return 0.0
    return math.exp(math.fsum(map(math.log, by_slot)) / slots)


def _stage_means(seconds: Seconds, stages_s: Mapping[str, Seconds]) -> dict[str, dict[str, float]]:
    """Return mean seconds by place (``mean``, ``p50`` …) and stage, of answers that told their stages."""
    stages_s = {stage: spent for stage, spent in stages_s.items() if not np.isnan(spent).all()}
    told = np.isfinite(seconds)
    for spent in stages_s.values():
        told &= ~np.isnan(spent)
    order = np.flatnonzero(told)[np.argsort(seconds[told], kind="stable")]
    places = {"mean": order}
    for place, (low, high) in ABOUT.items():
        places[place] = order[math.floor(low * len(order)) : math.ceil(high * len(order))]
    return {
        place: {stage: float(np.mean(spent[chosen])) for stage, spent in stages_s.items()}
        for place, chosen in places.items()
        if len(chosen) and stages_s
    }


def _spilled(record: SlotRecord, rooms_ns: Mapping[int, NDArray[np.int64]]) -> int:
    """Return how many requests ended after the other arm's next window had begun."""
    phases = [
        (record.phases[index].samples, room) for index, room in rooms_ns.items() if index < len(record.phases)
    ]
    return sum(
        int((samples["done_ns"] - samples["intended_ns"] > room[samples["request"]]).sum())
        for samples, room in phases
    )


def stages_s(samples: Samples) -> Mapping[str, Seconds]:
    """Return each request's seconds by stage, shape (requests,), NaN where not told; empty if none told.

    ``transport`` is the rest of the latency: the network, the kernel, the client's own lag.
    """
    told = ~np.isnan(samples["server_s"]) & ~failed(samples)
    if not told.any():
        return {}
    inside = {
        stage: np.where(told, samples[f"{stage}_s"].astype(np.float64), np.nan)
        for stage in STAGES
        if stage != "transport"
    }
    spent = np.sum([np.nan_to_num(seconds) for seconds in inside.values()], axis=0)
    return {**inside, "transport": np.where(told, latencies_s(samples) - spent, np.nan)}
