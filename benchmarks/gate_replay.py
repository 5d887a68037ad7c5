"""Recorded A/A blocks replayed through the gate, in the order in which they happened.

A window of blocks that followed each other in one recording is judged as if it were a comparison. Blocks are never
drawn at random: whatever connects neighbours (drift, a noisy hour) stays. Two things are drawn, and the design
itself allows both: where a window begins, and for each block which arm is called base, since base and head were the
same program and coins had settled who was who. A slowdown is planted by multiplying what head shows.

Windows overlap, so that the exact bounds speak of the coins and the window's place *given these recorded blocks*;
they do not turn one night on one machine into all nights.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np

from benchmarks.gate_effects import EFFECTS, GATES, UNCHANGED, Effect, plant
from benchmarks.gate_tally import Tally
from harness.comparison.decision import judge
from harness.comparison.design import Design
from harness.comparison.lens import Lens
from harness.comparison.observation import BlockRow, swapped
from harness.errors import UsageError


def recordings(rows: Sequence[BlockRow], least: int) -> list[list[BlockRow]]:
    """Return the rows by recording, those with at least so many blocks.

    Raises:
        UsageError: none is long enough.
    """
    runs = [list(group) for _, group in groupby(rows, key=lambda row: row.run)]
    long = [run for run in runs if len(run) >= least]
    if not long:
        raise UsageError(
            f"no recording has {least} blocks in a row, the longest has {max(map(len, runs), default=0)}: record more"
        )
    return long


def windows(
    runs: Sequence[Sequence[BlockRow]], length: int, count: int, random: np.random.Generator
) -> Iterator[list[BlockRow]]:
    """Yield windows of blocks that follow each other, arms named anew by a coin a block.

    Args:
        runs: recordings; each place for a window in any of them is equally likely.
        length: of a window; a shorter recording is one window.
        count: how many.
        random: where from.
    """
    places = [(run, start) for run in runs for start in range(max(1, len(run) - length + 1))]
    for _ in range(count):
        run, start = places[random.integers(len(places))]
        window = run[start : start + length]
        coins = random.random(len(window)) < 0.5
        yield [swapped(row) if coin else row for row, coin in zip(window, coins, strict=True)]


def replay(
    rows: Sequence[BlockRow],
    design: Design,
    lenses: Sequence[Lens] = GATES,
    *,
    unchanged_runs: int = 2000,
    planted_runs: int = 400,
    seed: int = 0,
) -> list[Tally]:
    """Judge windows of recorded blocks, unchanged and with each planted effect."""
    runs = recordings(rows, design.looks[0].blocks)
    length = design.blocks + design.max_void_blocks
    tallies = []
    conditions: list[tuple[str, Effect, int]] = [("unchanged", UNCHANGED, unchanged_runs)]
    conditions += [(name, effect, planted_runs) for name, effect in EFFECTS.items()]
    for name, effect, count in conditions:
        tally = Tally(name)
        for window in windows(runs, length, count, np.random.default_rng(seed)):
            tally.add(judge([plant(row, effect) for row in window], design, lenses))
        tallies.append(tally)
    return tallies
