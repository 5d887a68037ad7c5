"""What one arm showed in one block: from its raw records to the numbers and arrays that an observation is made of.

Between :mod:`tailgate.harness.compare.blocks.block`, which measures, and :mod:`tailgate.harness.compare.blocks.observation`. Pure.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from tailgate.harness.compare.blocks.disturbance import disturbance_of
from tailgate.harness.compare.blocks.observation import ArmBlock
from tailgate.harness.compare.blocks.row import STAGES
from tailgate.harness.compare.blocks.schedule import Arm
from tailgate.harness.compare.load import CAPACITY
from tailgate.harness.load.samples import Samples
from tailgate.harness.observe.slot_record import SlotRecord
from tailgate.harness.observe.window import Window, failed, latencies_s, throughput_per_s


def arm_block(
    arm: Arm, record: SlotRecord, start_up_s: float | None, rooms_ns: Mapping[int, NDArray[np.int64]]
) -> ArmBlock:
    """Return what an arm showed in the measured slots of a block.

    Args:
        arm: which.
        record: of its course.
        start_up_s: from launch to ready; None if unseen.
        rooms_ns: by index of an interleaved phase, each request's time to the other arm's next window.
    """
    pairs = [
        (phase, used)
        for phase, used in zip(record.phases, record.machines, strict=True)
        if phase.phase.measured
    ]
    cpu_s = [used.process_cpu_s for _, used in pairs]
    held = [reading.rss_bytes for phase, _ in pairs for reading in phase.resources]
    samples = Window(tuple(phase for phase, _ in pairs)).samples
    probe = next((phase.samples for phase in record.phases if phase.phase.name == CAPACITY), None)
    seconds = latencies_s(samples)
    return ArmBlock(
        arm=arm.value,
        requests=len(samples),
        failed=int(failed(samples).sum()),
        latencies_s=seconds,
        cpu_s=None if None in cpu_s or not cpu_s else sum(used for used in cpu_s if used is not None),
        stages_s=stages_s(samples),
        peak_rss_bytes=max(held, default=None),
        start_up_s=start_up_s,
        capacity_per_s=None if probe is None else throughput_per_s(probe),
        slots=len(pairs),
        steal_share=disturbance_of((record,)).steal_share,
        spilled=_spilled(record, rooms_ns) if rooms_ns else None,
    )


def _spilled(record: SlotRecord, rooms_ns: Mapping[int, NDArray[np.int64]]) -> int:
    """Return how many requests ended after the other arm's next window had begun."""
    phases = [
        (record.phases[index].samples, room) for index, room in rooms_ns.items() if index < len(record.phases)
    ]
    return sum(
        int((samples["done_ns"] - samples["intended_ns"] > room[samples["request"]]).sum())
        for samples, room in phases
    )


def stages_s(samples: Samples) -> Mapping[str, NDArray[np.float64]]:
    """Return each request's seconds by stage, shape (requests,), NaN where not told; empty where nobody told any.

    ``transport`` is what of the latency no other stage took: the network, the kernel, the client's own lag.
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
