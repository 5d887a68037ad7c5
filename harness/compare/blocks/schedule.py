"""The schedule of a comparison: who goes first, and with which seeds. Pure: the same seed gives the same schedule.

First step of a comparison; :mod:`tailgate.harness.compare.blocks.block` executes it. What it balances, and how:

* Which arm goes first in a pair of windows is an independent coin for each: with a fixed order, whatever the first
  window does to the second (caches, frequency, garbage) would be taken for a difference of the code. A pair that is not
  cut into windows is one pair of windows, whose slots are whole.
* The arms of a pair send the same requests at the same offsets within their windows, different pairs different ones.
* Which arm is launched first, and so gets the first port that the kernel gives, is a coin for the first block and
  alternates from there. The processors are the same for both arms (:mod:`tailgate.harness.compare.processors`), and stay for two blocks,
  so that each has seen either order.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tailgate.harness.errors import UsageError

# A plan's seed fits into a JSON number that every reader keeps whole.
SEEDS = 2**31


class Arm(enum.Enum):
    """A side of a comparison."""

    BASE = "base"
    HEAD = "head"

    @property
    def other(self) -> "Arm":
        """The one that it is compared with."""
        return Arm.HEAD if self is Arm.BASE else Arm.BASE


@dataclass(frozen=True, slots=True)
class BlockPlan:
    """A fresh start of both arms, and the pairs between that start and the end.

    Attributes:
        index: from 0.
        seed: of the plan that both arms send; each pair draws from a stream of its own.
        launched_first: gets the first port.
        coins: by pair, the seed of its coins.
    """

    index: int
    seed: int
    launched_first: Arm
    coins: tuple[int, ...]

    @property
    def launches(self) -> tuple[Arm, Arm]:
        """The arms in the order of their launch."""
        return self.launched_first, self.launched_first.other

    def first(self, pair: int, windows: int = 1) -> tuple[Arm, ...]:
        """Return the arm that goes first in each pair of windows.

        Args:
            pair: its number, from 0.
            windows: of each arm in the pair; more of them leave the coins of the first ones as they are.
        """
        coins = np.random.default_rng(self.coins[pair])
        return tuple(_coin(coins) for _ in range(windows))

    def order(self, windows: Sequence[int]) -> str:
        """Return the windows in the order of time: a letter each, ``b`` or ``h``, and a space between pairs.

        Args:
            windows: by pair, of each arm.
        """
        return " ".join(
            "".join(first.value[0] + first.other.value[0] for first in self.first(pair, count))
            for pair, count in enumerate(windows)
        )


def plan_block(seed: int, index: int, pairs: int) -> BlockPlan:
    """Return one block of the run of this seed.

    Args:
        seed: of the run.
        index: of the block, from 0; blocks can be asked for in any order.
        pairs: in each block.

    Raises:
        UsageError: there would be no pair.
    """
    if pairs < 1:
        raise UsageError(f"a block needs at least one pair, got {pairs}")
    # Streams apart by key: the run's own coin, then each block's.
    of_run = np.random.default_rng([seed, 0])
    of_block = np.random.default_rng([seed, 1, index])
    launched_first = _coin(of_run)
    return BlockPlan(
        index=index,
        seed=int(of_block.integers(SEEDS)),
        launched_first=launched_first if index % 2 == 0 else launched_first.other,
        coins=tuple(int(of_block.integers(SEEDS)) for _ in range(pairs)),
    )


def _coin(rng: np.random.Generator) -> Arm:
    return Arm.BASE if rng.integers(2) == 0 else Arm.HEAD
