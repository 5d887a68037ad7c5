"""The schedule of a comparison: who goes first, and with which seeds. The same seed gives the same schedule.

A coin says which arm goes first in each pair of windows (a whole slot is one window): in a fixed order the
first window's effect on the second (caches, frequency, garbage) would look like a difference of the code.
Both arms of a pair send the same requests, different pairs different ones. A coin says which arm is launched
first, and so gets the kernel's first port; from then on they alternate, while the processors stay for two
blocks.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# A plan's seed fits into a JSON number that every reader keeps whole.
SEEDS = 2**31


class Arm(enum.Enum):
    """A side of a comparison."""

    BASE = "base"
    HEAD = "head"

    @property
    def other(self) -> "Arm":
        """The opposite side."""
        return Arm.HEAD if self is Arm.BASE else Arm.BASE


@dataclass(frozen=True, slots=True)
class BlockPlan:
    """A fresh start of both arms, and the pairs between that start and the end."""

    index: int
    seed: int  # of the plan that both arms send; each pair draws from a stream of its own
    launched_first: Arm
    coins: tuple[int, ...]  # by pair, the seed of its coins

    def first(self, pair: int, windows: int = 1) -> tuple[Arm, ...]:
        """Return who goes first in each pair of windows; more windows leave the coins of the first."""
        coins = np.random.default_rng(self.coins[pair])
        return tuple(_coin(coins) for _ in range(windows))

    def order(self, windows: Sequence[int]) -> str:
        """Return so many windows of each arm by pair in order of time: a letter each, a space between pairs."""
        return " ".join(
            "".join(first.value[0] + first.other.value[0] for first in self.first(pair, count))
            for pair, count in enumerate(windows)
        )


def plan_block(seed: int, index: int, pairs: int) -> BlockPlan:
    """Return one block of the run of this seed; blocks can be asked for in any order."""
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
