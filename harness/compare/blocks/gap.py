"""How long the gap between two windows must be: seen on base before the first block.

An answer computed beside the other arm's first requests makes the arms more alike, so that a change looks smaller. The
gap lets nearly all answers end. Base's latency sets it for both arms: head has no say in how it is measured.
"""

import contextlib
from collections.abc import Sequence

from tailgate.harness import statistics
from tailgate.harness.compare.blocks.bench import Bench, on_their_processors, start_arm
from tailgate.harness.compare.blocks.interleave import GAP_S, MAX_GAP_SHARE, can_interleave, window_s
from tailgate.harness.compare.blocks.row import BlockRow, spilled_share
from tailgate.harness.compare.blocks.schedule import Arm
from tailgate.harness.errors import LoadError, MeasurementError
from tailgate.harness.observe.slot_record import Slot
from tailgate.harness.observe.window import latencies_s
from tailgate.harness.scenario.plan import Plan
from tailgate.harness.units import Unit, percent, quantity

QUANTILE = 0.99


def find_gap_s(bench: Bench, seed: int) -> float:
    """Load base alone by a warm-up and a pair's requests; return p99 of their latencies, within the bounds of a gap.

    If base breaks under that load, return the least gap: the first block will say what broke.

    Raises:
        TargetError: base did not become ready, or cannot be kept to its processors.
    """
    measured = next(index for index, phase in enumerate(bench.scenario.phases) if phase.measured)
    if not can_interleave(bench.scenario.phases[measured]):
        return GAP_S
    requests = bench.draw(seed)
    longest_s = MAX_GAP_SHARE * window_s(requests.phases[measured])
    try:
        seen_s = _latency_s(bench, requests, measured, seed)
    except (LoadError, MeasurementError):
        return GAP_S
    return max(GAP_S, min(seen_s, longest_s))


def _latency_s(bench: Bench, requests: Plan, measured: int, seed: int) -> float:
    slot = Slot(bench.scenario, Arm.BASE.value, 0, 0, seed)
    with contextlib.ExitStack() as stack:
        running = start_arm(bench, slot, requests, "trial", stack)
        stack.enter_context(on_their_processors(bench, 0, [running]))
        for index in range(measured + 1):
            running.course.run_phase(index, running.generator, 1.0)
        record = running.course.record()
    return statistics.quantile(latencies_s(record.phases[measured].samples), QUANTILE)


def spill_note(rows: Sequence[BlockRow], gap_s: float) -> str:
    """Return the note how many answers ended in the other arm's window; empty without windows."""
    share = spilled_share([row for row in rows if row.void is None])
    if share is None:
        return ""
    return f"{percent(share)} of the answers ended in the other arm's window, after a gap of {quantity(gap_s, Unit.SECONDS)}"
