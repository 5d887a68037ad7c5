"""Disturbances, stronger than those that were seen, added to made-up blocks and to recorded ones.

What happens in time happens to *windows*, the half seconds that the arms get in turn. It reaches an arm through the
windows that were its own::

    start    drawn once for each start of an arm: two starts of one program settle at different levels
    drift    a random walk of the machine's speed from window to window, on through all blocks
    burst    now and then one window is hit, the tail more than the median
    steal    now and then a stretch of 1 to 12 windows is slowed, as by a neighbour on the same hardware

All are added to the logarithms of an arm's values. An arm's level in a block is the mean over its windows: to the first
order, small changes act so on a pooled quantile. Requests are not simulated.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from benchmarks.gate.simulation.effects import FIELDS
from tailgate import UsageError

Array = NDArray[np.float64]

# How strongly a start's level, a burst and stolen time show through each of FIELDS.
START_SHOWS = np.array([1.0, 1.0, 1.0, 1.0])
BURST_SHOWS = np.array([0.2, 0.5, 1.0, 2.0])
STEAL_SHOWS = np.array([0.3, 1.0, 1.0, 1.0])
LONGEST_STEAL = 12
ARMS = "bh"


@dataclass(frozen=True, slots=True)
class Disturbance:
    """Standard deviations and sizes of natural logarithms."""

    start: float = 0.0  # deviation of the level of a start
    drift: float = 0.0  # deviation of the step of the machine's speed from one window to the next
    burst_share: float = 0.0  # of windows, hit by a burst of size ``burst``
    burst: float = 1.0  # size
    steal_share: float = 0.0  # of windows, at which a stretch of stolen time of size ``steal`` begins
    steal: float = 0.3  # size


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
    """Return the turns of one block in the notation of its row: so many windows of each arm in each pair, by coins."""
    coins = random.random((pairs, windows)) < 0.5
    return " ".join("".join("hb" if coin else "bh" for coin in pair) for pair in coins)


def pair_levels(what: Disturbance, orders: Sequence[str], random: np.random.Generator) -> Array:
    """Return the logarithms that are added to each arm in each pair.

    ``orders`` are the turns of each block, in order of time: letters ``b`` and ``h``, a space between pairs. The result
    has the shape (pairs of all blocks, 2 arms: base and head, :data:`FIELDS`).

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
    """Return the logarithms that are added to each arm in each block, shape (blocks, 2 arms, :data:`FIELDS`)."""
    levels = pair_levels(what, orders, random)
    counts = np.array([len(order.split()) for order in orders])
    sums = np.add.reduceat(levels, np.cumsum(counts) - counts, axis=0)
    result: Array = sums / counts[:, None, None]
    return result


def _in_time(what: Disturbance, windows: int, random: np.random.Generator) -> Array:
    """Return the logarithms that are added to each window, shape (windows, :data:`FIELDS`)."""
    shown = np.cumsum(random.normal(0, what.drift, windows))[:, None] * np.ones(len(FIELDS))
    shown += (random.random((windows, 1)) < what.burst_share) * what.burst * BURST_SHOWS
    for begin in np.flatnonzero(random.random(windows) < what.steal_share):
        shown[begin : begin + random.integers(1, LONGEST_STEAL + 1)] += what.steal * STEAL_SHOWS
    return shown
