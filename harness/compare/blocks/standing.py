"""What a comparison is doing at one moment, for those who watch it. Nothing of this decides anything."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from tailgate.harness.compare.blocks.row import BlockRow
from tailgate.harness.compare.blocks.run import Limits
from tailgate.harness.compare.decision.design import NEVER
from tailgate.harness.compare.decision.lens_result import judge_lens
from tailgate.harness.results.comparison import Design, Lens, LensResult, Look

# One-sided error of either end of the intervals that are shown between two looks: 95 % in all.
SHOWN_LEVEL = 0.025


@dataclass(frozen=True, slots=True)
class Begun:
    """What is known when a block begins. Times are of ``time.monotonic``."""

    at_s: float
    measured: int  # blocks before this one, void ones too
    voided: int  # of these
    wanted: int | None  # good blocks at the next look; None where no look follows
    usual_s: float | None  # how long a block takes; None before the first
    limit_s: float  # when the allowed time is spent
    changes: tuple[LensResult, ...] = ()  # of the gating lenses, by the good blocks so far

    @property
    def last(self) -> int | None:
        """Number of the block after which the next look comes, if no further one is void; None for no look."""
        return None if self.wanted is None else self.wanted + self.voided

    def left_s(self, now_s: float) -> float | None:
        """Return the seconds to the next look; None where no look follows, or before a block has ended."""
        if self.last is None or self.usual_s is None:
            return None
        return max(0.0, (self.last - self.measured) * self.usual_s - (now_s - self.at_s))


@dataclass(eq=False, slots=True)
class Standing:
    """What a comparison is doing now: its own thread writes it, and another one may read it at any time."""

    scenario: str
    doing: str = "starting"
    since_s: float = field(default_factory=time.monotonic)
    block: Begun | None = None  # None before the first block

    def do(self, what: str) -> None:
        """Note what is done from now on."""
        self.doing, self.since_s = what, time.monotonic()


def begun(
    rows: Sequence[BlockRow],
    design: Design,
    lenses: Sequence[Lens],
    limits: Limits,
    began_s: float,
    now_s: float,
) -> Begun:
    """Return what is known when the block after these begins; ``began_s`` is when the first one did."""
    good = [row for row in rows if row.void is None]
    later = [look.blocks for look in design.looks if look.blocks > len(good) and look.blocks != NEVER]
    look = Look(len(good), SHOWN_LEVEL, SHOWN_LEVEL)
    return Begun(
        at_s=now_s,
        measured=len(rows),
        voided=len(rows) - len(good),
        wanted=later[0] if later else None,
        usual_s=statistics.median(row.wall_s for row in rows) if rows else None,
        limit_s=began_s + limits.time_s,
        changes=tuple(judge_lens(lens, good, look) for lens in lenses if lens.gates) if good else (),
    )
