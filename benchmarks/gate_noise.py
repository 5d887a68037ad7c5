"""A made-up machine: blocks with the noise that was measured on real ones, and worse. For simulating the gate.

Each slot of an arm shows, through each lens, its usual value times e to a sum of::

    start    drawn once for each start of an arm: two starts of one program settle at different levels
    drift    a random walk of the machine's speed from slot to slot, the same whoever runs
    own      independent noise of the slot, in part common to the lenses
    burst    now and then a slot is hit as a whole, the tail more than the median
    steal    now and then a stretch of slots in a row is slowed, as by a neighbour on the same hardware

A block's value is the geometric mean over its slots, which stands for pooling them.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from harness.comparison.observation import ArmRow, BlockRow

FIELDS = ("cpu_s", "p50_s", "p95_s", "p99_s")
USUAL = np.array([7.0, 0.010, 0.020, 0.040])
# How strongly a start's level, a burst and stolen time show through each lens.
START_SHOWS = np.array([1.0, 1.0, 1.0, 1.0])
BURST_SHOWS = np.array([0.2, 0.5, 1.0, 2.0])
STEAL_SHOWS = np.array([0.3, 1.0, 1.0, 1.0])
REQUESTS = 700
BLOCK_LOAD_S, BLOCK_WALL_S = 16.0, 22.0


@dataclass(frozen=True, slots=True)
class Machine:
    """How noisy a machine is; standard deviations of natural logarithms.

    Attributes:
        slot: of one slot's own noise, for each of :data:`FIELDS`: a pair's over √2 (docs/gate.md), 2 s slots.
        start: of the level of a start.
        drift: of the step of the machine's speed from one slot to the next.
        burst_share: of slots hit by a burst, which adds :attr:`burst`.
        steal_share: of slots at which a stretch of stolen time begins, 1 to 12 slots long, which adds :attr:`steal`.
        pairs: of slots in each block.
        common: share of the own noise's variance that all lenses have in common.
    """

    slot: tuple[float, float, float, float] = (0.03, 0.057, 0.11, 0.22)
    start: float = 0.0
    drift: float = 0.0
    burst_share: float = 0.0
    burst: float = 0.4
    steal_share: float = 0.0
    steal: float = 0.3
    pairs: int = 4
    common: float = 0.5


QUIET = Machine()
MACHINES = {
    "quiet": QUIET,
    "start effects 1 %": replace(QUIET, start=0.01),
    "start effects 3 %": replace(QUIET, start=0.03),
    "drift 2 % a slot": replace(QUIET, drift=0.02),
    "bursts in 1 of 20 slots": replace(QUIET, burst_share=0.05),
    "steal": replace(QUIET, steal_share=0.05),
    "all of them": replace(QUIET, start=0.03, drift=0.02, burst_share=0.05, steal_share=0.05),
}


def slots(machine: Machine, random: np.random.Generator, blocks: int) -> NDArray[np.float64]:
    """Return logarithms of what slots show over their usual values, shape (blocks, pairs, 2 arms, lenses)."""
    shape = (blocks, machine.pairs, 2)
    common = random.normal(0, np.sqrt(machine.common), (*shape, 1))
    own = random.normal(0, np.sqrt(1 - machine.common), (*shape, len(FIELDS)))
    shown = (common + own) * np.array(machine.slot)
    shown += random.normal(0, machine.start, (blocks, 1, 2, 1)) * START_SHOWS
    shown += (random.random((*shape, 1)) < machine.burst_share) * machine.burst * BURST_SHOWS
    # What happens in order of time is drawn in order of time, and then dealt to the arms by coins.
    in_time = np.cumsum(random.normal(0, machine.drift, blocks * machine.pairs * 2))[:, None] * np.ones(
        len(FIELDS)
    )
    for begin in np.flatnonzero(random.random(len(in_time)) < machine.steal_share):
        in_time[begin : begin + random.integers(1, 13)] += machine.steal * STEAL_SHOWS
    in_time = in_time.reshape(*shape, len(FIELDS))
    swap = random.random((blocks, machine.pairs)) < 0.5
    in_time[swap] = in_time[swap][:, ::-1]
    result: NDArray[np.float64] = shown + in_time
    return result


def block_rows(shown: NDArray[np.float64]) -> list[BlockRow]:
    """Return one row a block, of slots as :func:`slots` gives them."""
    return [
        _row(index, levels, BLOCK_LOAD_S, BLOCK_WALL_S) for index, levels in enumerate(shown.mean(axis=1))
    ]


def pair_rows(shown: NDArray[np.float64]) -> list[BlockRow]:
    """Return one row a pair of slots, as if pairs were independent observations."""
    pairs, part = shown.reshape(-1, 2, len(FIELDS)), 1 / shown.shape[1]
    return [
        _row(index, levels, BLOCK_LOAD_S * part, BLOCK_WALL_S * part) for index, levels in enumerate(pairs)
    ]


def _row(index: int, levels: NDArray[np.float64], load_s: float, wall_s: float) -> BlockRow:
    base, head = (_arm(USUAL * np.exp(level)) for level in levels)
    return BlockRow(index, base, head, load_s=load_s, wall_s=wall_s)


def _arm(shown: NDArray[np.float64]) -> ArmRow:
    cpu_s, p50_s, p95_s, p99_s = map(float, shown)
    return ArmRow(REQUESTS, 0, cpu_s=cpu_s, p50_s=p50_s, p95_s=p95_s, p99_s=p99_s)
