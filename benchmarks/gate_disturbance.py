"""What disturbs a block, worse than was seen: added to made-up blocks and to recorded ones. For simulating the gate.

Everything that happens in time happens to *windows*, the half seconds that the arms get in turn, and reaches an arm
through the windows that were its own::

    start    drawn once for each start of an arm: two starts of one program settle at different levels
    drift    a random walk of the machine's speed from window to window, on through all blocks
    burst    now and then one window is hit, the tail more than the median
    steal    now and then a stretch of 1 to 12 windows is slowed, as by a neighbour on the same hardware

All are logarithms, added to those of what an arm shows. An arm's level in a block is the mean over its windows. That is
how a sum of small changes acts on a pooled quantile, to the first order, and is no simulation of requests.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from benchmarks.gate_effects import FIELDS
from tailgate.harness.errors import UsageError

Array = NDArray[np.float64]

# How strongly a start's level, a burst and stolen time show through each of FIELDS.
START_SHOWS = np.array([1.0, 1.0, 1.0, 1.0])
BURST_SHOWS = np.array([0.2, 0.5, 1.0, 2.0])
STEAL_SHOWS = np.array([0.3, 1.0, 1.0, 1.0])
LONGEST_STEAL = 12
ARMS = "bh"


@dataclass(frozen=True, slots=True)
class Disturbance:
    """How much is added; standard deviations and sizes of natural logarithms.

    Attributes:
        start: deviation of the level of a start.
        drift: deviation of the step of the machine's speed from one window to the next.
        burst_share: of windows that are hit by a burst, which adds :attr:`burst`.
        burst: size of one.
        steal_share: of windows at which a stretch of stolen time begins, which adds :attr:`steal`.
        steal: size of it.
    """

    start: float = 0.0
    drift: float = 0.0
    burst_share: float = 0.0
    burst: float = 1.0
    steal_share: float = 0.0
    steal: float = 0.3


NOTHING = Disturbance()
DISTURBANCES: Mapping[str, Disturbance] = MappingProxyType(
    {
        "start effects 1 %": Disturbance(start=0.01),
        "start effects 3 %": Disturbance(start=0.03),
        "drift 2 % a window": Disturbance(drift=0.02),
        "bursts in 1 of 20 windows": Disturbance(burst_share=0.05),
        "steal": Disturbance(steal_share=0.05),
        "all of them": Disturbance(start=0.03, drift=0.02, burst_share=0.05, steal_share=0.05),
    }
)


def drawn_order(pairs: int, windows: int, random: np.random.Generator) -> str:
    """Return the turns of one block as rows note them: so many windows of each arm in each pair, by coins."""
    coins = random.random((pairs, windows)) < 0.5
    return " ".join("".join("hb" if coin else "bh" for coin in pair) for pair in coins)


def pair_levels(what: Disturbance, orders: Sequence[str], random: np.random.Generator) -> Array:
    """Return what is added to each arm in each pair.

    Args:
        what: disturbs.
        orders: the turns of each block, in order of time: letters ``b`` and ``h``, a space between pairs.
        random: where from.

    Returns:
        Logarithms, shape (pairs of all blocks, 2 arms: base and head, lenses as :data:`~benchmarks.gate_effects.FIELDS`).

    Raises:
        UsageError: a block without turns of both arms.
    """
    pairs = [pair for order in orders for pair in order.split()]
    if not all(order.split() for order in orders) or any(set(pair) != set(ARMS) for pair in pairs):
        raise UsageError("a disturbance acts on windows, and a block says no order of its arms' windows")
    arms = np.array([ARMS.index(letter) for pair in pairs for letter in pair])
    cells = 2 * np.repeat(np.arange(len(pairs)), [len(pair) for pair in pairs]) + arms
    sums = np.zeros((2 * len(pairs), len(FIELDS)))
    np.add.at(sums, cells, _in_time(what, len(cells), random))
    levels = (sums / np.bincount(cells)[:, None]).reshape(len(pairs), 2, len(FIELDS))
    starts = random.normal(0, what.start, (len(orders), 2, 1)) * START_SHOWS
    levels += np.repeat(starts, [len(order.split()) for order in orders], axis=0)
    return levels


def block_levels(what: Disturbance, orders: Sequence[str], random: np.random.Generator) -> Array:
    """Return what is added to each arm in each block, shape (blocks, 2 arms, lenses); otherwise as :func:`pair_levels`."""
    levels = pair_levels(what, orders, random)
    counts = np.array([len(order.split()) for order in orders])
    sums = np.add.reduceat(levels, np.cumsum(counts) - counts, axis=0)
    result: Array = sums / counts[:, None, None]
    return result


def _in_time(what: Disturbance, windows: int, random: np.random.Generator) -> Array:
    """Return what is added to each window, shape (windows, lenses), whoever has it."""
    shown = np.cumsum(random.normal(0, what.drift, windows))[:, None] * np.ones(len(FIELDS))
    shown += (random.random((windows, 1)) < what.burst_share) * what.burst * BURST_SHOWS
    for begin in np.flatnonzero(random.random(windows) < what.steal_share):
        shown[begin : begin + random.integers(1, LONGEST_STEAL + 1)] += what.steal * STEAL_SHOWS
    return shown
