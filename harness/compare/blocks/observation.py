"""One observation: one block, in which a fresh base and a fresh head met the same load by turns.

Between the run, which fills a :class:`Block` with raw samples, and the decision, which goes by a
:class:`~tailgate.harness.compare.blocks.row.BlockRow`. Nothing here judges.

**Why a block is the unit.** Two starts of one program settle at different levels, so slots of one start share a
level and are no independent observations. Within a block the arms are exchangeable if they are the same program:
which is called base has been settled by coins (order of the turns, of the launches and so of the ports). Swapping the arms turns
ln(head/base) into its negative, so under the hypothesis of no change it is symmetric about 0 *whatever* its
distribution; that is all that the signed-rank test assumes. Leaving out a block keeps this as long as the reason
treats both arms alike: an outcome-blind signal of the machine, or a value that is missing in either arm.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tailgate.harness.compare.blocks import reduction
from tailgate.harness.compare.blocks.row import ArmRow, BlockRow, least_requests
from tailgate.harness.compare.lens import LENSES
from tailgate.harness.errors import MeasurementError


@dataclass(frozen=True, slots=True)
class ArmBlock:
    """One arm in one block, as measured.

    Attributes:
        arm: ``base`` or ``head``.
        requests: sent in the measured slots.
        failed: how many of them failed.
        latencies_s: shape (requests,), pooled over the block's measured slots in order of slot and request; a failed
            request is +inf.
        cpu_s: CPU seconds of the server's processes over the measured slots; None if unseen.
        stages_s: by stage (:data:`STAGES`), shape (requests,): each request's seconds there, NaN where not told.
            ``transport`` is the rest, latency less the others, so that the stages of a request sum to its latency.
            Empty where the target tells no stages.
        peak_rss_bytes: of the server's processes; None if unseen.
        start_up_s: from launch to ready; None if unseen.
        capacity_per_s: requests a second at the knee; None if not probed.
        slots: how many slots were pooled, taken as equally long; 0 where unknown.
        steal_share: of this arm's measured time, stolen by the hypervisor; None if unseen.
        spilled: requests that ended after the other arm's next window had begun; None where nothing was cut into windows.
    """

    arm: str
    requests: int
    failed: int
    latencies_s: NDArray[np.float64]
    cpu_s: float | None
    stages_s: Mapping[str, NDArray[np.float64]]
    peak_rss_bytes: int | None = None
    start_up_s: float | None = None
    capacity_per_s: float | None = None
    slots: int = 0
    steal_share: float | None = None
    spilled: int | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """A fresh base and a fresh head under the same load.

    Attributes:
        index: from 0, in order of time within its run.
        base: one arm.
        head: the other.
        void: why the block must not count, by signals that don't know the outcome (steal, other programs, the
            generator's lateness); None for a good block.
        load_s: seconds of measured load, of both arms' turns.
        wall_s: seconds of everything: starts, warm-up, load, stops.
        steal_share: of the block's measured time, stolen by the hypervisor; None if unseen.
        cpu_pressure_share: of the measured time in which work waited for a processor (PSI); None if unseen.
        order: one letter a window (or whole slot) in order of time, ``b`` or ``h``, as the coins fell; a space between
            pairs.
        run: which recording this block belongs to; blocks of one run follow each other in time.
        processors: how many both servers shared; None where they had all.
    """

    index: int
    base: ArmBlock
    head: ArmBlock
    void: str | None = None
    load_s: float = 0.0
    wall_s: float = 0.0
    steal_share: float | None = None
    cpu_pressure_share: float | None = None
    order: str = ""
    run: str = ""
    processors: int | None = None


def observe(block: Block) -> BlockRow:
    """Return the block as numbers.

    Raises:
        MeasurementError: an arm contradicts itself: more failures than requests, or arrays of other lengths.
    """
    return BlockRow(
        index=block.index,
        base=observe_arm(block.base),
        head=observe_arm(block.head),
        void=block.void,
        load_s=block.load_s,
        wall_s=block.wall_s,
        steal_share=block.steal_share,
        cpu_pressure_share=block.cpu_pressure_share,
        order=block.order,
        run=block.run,
        processors=block.processors,
    )


def observe_arm(arm: ArmBlock) -> ArmRow:
    """Return one arm as numbers; a quantile without enough samples beyond it is None."""
    lengths = {len(arm.latencies_s), *(len(seconds) for seconds in arm.stages_s.values())}
    if lengths != {arm.requests} or not 0 <= arm.failed <= arm.requests:
        raise MeasurementError(
            f"{arm.arm}: {arm.requests} requests, {arm.failed} of them failed, with arrays of {sorted(lengths)}: "
            "each request has one latency and one time in each stage"
        )
    quantiles = {
        f"{lens.name}_s": reduction.quantile_s(arm.latencies_s, lens.quantile, arm.slots)
        for lens in LENSES
        if lens.quantile is not None and arm.requests >= least_requests(lens.quantile)
    }
    return ArmRow(
        requests=arm.requests,
        failed=arm.failed,
        cpu_s=arm.cpu_s,
        mean_s=float(np.mean(arm.latencies_s)) if arm.requests else None,
        peak_rss_bytes=arm.peak_rss_bytes,
        start_up_s=arm.start_up_s,
        capacity_per_s=arm.capacity_per_s,
        steal_share=arm.steal_share,
        stages_s=reduction.stage_means(arm.latencies_s, arm.stages_s),
        spilled=arm.spilled,
        **quantiles,
    )
