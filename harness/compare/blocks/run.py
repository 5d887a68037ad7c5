"""The run of a comparison: block after block, until there is a reason to stop.

There are four: every lens is decided or the last look is over; too many blocks are void; the allowed time or
blocks are spent; the record is broken. A ratio that looks good or bad in between is shown, and stops nothing.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tailgate.harness.compare.blocks.block import BlockRecord
from tailgate.harness.compare.blocks.row import BlockRow, append_rows
from tailgate.harness.compare.blocks.schedule import BlockPlan
from tailgate.harness.compare.decision.attribution import attribute
from tailgate.harness.compare.decision.decision import judge
from tailgate.harness.results.comparison import Attribution, Decision, Design, Lens
from tailgate.harness.results.fault import Fault
from tailgate.harness.results.verdict import Verdict
from tailgate.harness.units import percent


@dataclass(frozen=True, slots=True)
class Limits:
    """When to stop without a decision."""

    time_s: float  # of all blocks; a block that would end beyond it is not begun
    blocks: int | None = None  # at most; None for as many as the design has, and void ones


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a comparison came to: rows of all blocks, and as in the results."""

    rows: tuple[BlockRow, ...]
    decision: Decision
    attributions: tuple[Attribution, ...]
    faults: tuple[Fault, ...] = ()
    stopped: str = ""


def run_blocks(  # noqa: PLR0913 - the loop is free of measuring, judging and limits
    measure: Callable[[BlockPlan], BlockRecord],
    plan: Callable[[int], BlockPlan],
    design: Design,
    lenses: Sequence[Lens],
    limits: Limits,
    *,
    kept: Path,
    tell: Callable[[str], None] = lambda _: None,
    now_s: Callable[[], float] = time.monotonic,
) -> Outcome:
    """Measure blocks until there is a reason to stop, and append each one's row to the file ``kept``."""
    began_s = now_s()
    rows: list[BlockRow] = []
    faults: tuple[Fault, ...] = ()
    stopped = ""
    decision = judge(rows, design, lenses)
    while not decision.finished and not faults:
        stopped = _limit_reached(rows, limits, now_s() - began_s)
        if stopped:
            break
        record = measure(plan(len(rows)))
        faults = record.faults
        if faults:
            stopped = "the record is broken"
            break
        rows.append(record.block)
        append_rows(kept, rows[-1:])
        decision = judge(rows, design, lenses)
        tell(_ended(record.block))
    return Outcome(tuple(rows), decision, attributions_of(decision, rows), faults, stopped)


def come_to(rows: Sequence[BlockRow], design: Design, lenses: Sequence[Lens]) -> Outcome:
    """Return what the blocks come to that an exception left."""
    decision = judge(rows, design, lenses)
    return Outcome(tuple(rows), decision, attributions_of(decision, rows))


def attributions_of(decision: Decision, rows: Sequence[BlockRow]) -> tuple[Attribution, ...]:
    """Return where the change went, for each lens that moved."""
    good = [row for row in rows if row.void is None]
    moved = [result.lens for result in decision.results if result.verdict is Verdict.FAIL]
    found = [attribute(lens, good) for lens in moved]
    return tuple(one for one in found if one is not None)


def _limit_reached(rows: Sequence[BlockRow], limits: Limits, spent_s: float) -> str:
    """Return which limit forbids a next block; empty for none."""
    if limits.blocks is not None and len(rows) >= limits.blocks:
        return f"the allowed number of blocks is spent: {limits.blocks} (--perf-blocks)"
    next_s = statistics.median(row.wall_s for row in rows) if rows else 0.0
    if rows and spent_s + next_s > limits.time_s:
        return f"the allowed time is spent: {limits.time_s / 60:g} minutes (--perf-time-limit)"
    return ""


def _ended(row: BlockRow) -> str:
    """Return a line on a block that has ended."""
    came_to = "good" if row.void is None else f"void: {row.void}"
    machine = "" if row.steal_share is None else f", steal {percent(row.steal_share)}"
    return f"block {row.index + 1} is {came_to} ({row.wall_s:.0f} s{machine})"
