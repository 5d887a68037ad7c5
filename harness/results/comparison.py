"""What a comparison came to: lenses, the design, what each lens showed, the decision, and where a change went.

Plain data. :mod:`tailgate.harness.compare` computes all of it.
"""

import enum
import math
from dataclasses import dataclass

from tailgate.harness.results.verdict import Better, Verdict
from tailgate.harness.units import Unit

_QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
# Begins why a comparison was stopped whose blocks are sound, and which can be judged by them.
CUT_SHORT = "before its end: "


class Scale(enum.Enum):
    """How head is set against base."""

    RATIO = "ratio"
    DIFFERENCE = "difference"


@dataclass(frozen=True, slots=True)
class Lens:
    """What is compared, and what is tolerated.

    Attributes:
        name: by which options, rows and reports call it.
        title: for people.
        unit: of one arm's value.
        better: which direction is an improvement. All that follows counts a change for the worse as positive.
        tolerance: PASS needs the change to be surely smaller than this: a share of the base (0.05 is 5 %) for a
            ratio, a difference of shares (0.005 is half a percentage point) for a difference.
        margin: FAIL needs the change to be surely larger than this, on the same scale.
        gates: its verdict counts; otherwise it is reported only.
        scale: ratio or difference.
    """

    name: str
    title: str
    unit: Unit
    better: Better
    tolerance: float
    margin: float = 0.0
    gates: bool = True
    scale: Scale = Scale.RATIO

    @property
    def quantile(self) -> float | None:
        """Which quantile of the latency this looks at; None for what is no quantile."""
        return _QUANTILES.get(self.name)

    def ln_worse(self, change: float) -> float:
        """Return a change for the worse, as a share of base, as a log ratio that is positive.

        5 % more where less is better is ln(1.05); 5 % less where more is better is -ln(0.95).
        """
        return math.log1p(change) if self.better is Better.LOWER else -math.log1p(-change)

    def share_worse(self, ln_worse: float) -> float:
        """Return such a log ratio as a share of base: the inverse of :meth:`ln_worse`."""
        return math.expm1(ln_worse) if self.better is Better.LOWER else -math.expm1(-ln_worse)


@dataclass(frozen=True, slots=True)
class Look:
    """One look at the data.

    Attributes:
        blocks: good blocks behind it.
        fail_level: one-sided nominal level of the test for FAIL, of each gating lens.
        pass_level: one-sided nominal level of the bound for PASS.
    """

    blocks: int
    fail_level: float
    pass_level: float


@dataclass(frozen=True, slots=True)
class Design:
    """When to look, and what each look may spend.

    Attributes:
        looks: ascending by blocks.
        alpha: bound of the probability that a run of unchanged code FAILs, over all gating lenses and scenarios.
        beta: bound of the probability, for each lens, that a change as large as its tolerance PASSes.
        gates: over how many tests (gating lenses x scenarios) alpha is split.
        max_void_share: INVALID when more than this share of the blocks is void.
    """

    looks: tuple[Look, ...]
    alpha: float
    beta: float
    gates: int
    max_void_share: float = 0.25

    @property
    def blocks(self) -> int:
        """Good blocks at the last look."""
        return self.looks[-1].blocks

    @property
    def max_void_blocks(self) -> int:
        """More void blocks than this, and the run is INVALID whatever follows."""
        return int(self.blocks * self.max_void_share / (1 - self.max_void_share))


@dataclass(frozen=True, slots=True)
class LensResult:
    """What one lens came to.

    Attributes:
        lens: which.
        verdict: PASS, FAIL, INCONCLUSIVE or INVALID.
        reason: a sentence for people that begins with one word for programs and a colon.
        change: head against base: the ratio (1.05 is 5 % more), or the difference of shares; None if unknown.
        low: lower end of its interval, on the same scale; None if nothing bounds it.
        high: upper end.
        low_level: attained one-sided error of the lower end; None without one.
        high_level: likewise of the upper end.
        base: the median over the blocks of base's value, in the lens's unit; None if unseen.
        head: likewise.
        n: blocks behind it.
        missing: good blocks in which this lens saw nothing.
        look: at which look, from 1, it was decided or last examined; None before the first.
        mde: the smallest change for the worse that this look would have called FAIL 95 times in 100, as a share of
            base; None if unknown, and for differences.
        further_blocks: how many blocks more would probably decide it; None where decided or not to be told.
    """

    lens: Lens
    verdict: Verdict
    reason: str
    change: float | None
    low: float | None
    high: float | None
    low_level: float | None
    high_level: float | None
    base: float | None
    head: float | None
    n: int
    missing: int
    look: int | None
    mde: float | None
    further_blocks: int | None


@dataclass(frozen=True, slots=True)
class Decision:
    """What a comparison came to so far.

    Attributes:
        verdict: the worst of the gating lenses; INVALID where too many blocks are void.
        reason: why, in one sentence.
        results: by lens, in the order given.
        finished: nothing that could still be measured would change the verdict, or the last look is over.
        look: how many looks are over.
        blocks: good blocks behind the last look.
        voided: void blocks so far.
        next_look_blocks: good blocks needed for the next look; None when finished.
        load_s: measured load of all blocks given, void ones too.
        wall_s: time of all blocks given.
    """

    verdict: Verdict
    reason: str
    results: tuple[LensResult, ...]
    finished: bool
    look: int
    blocks: int
    voided: int
    next_look_blocks: int | None
    load_s: float
    wall_s: float


@dataclass(frozen=True, slots=True)
class StageChange:
    """How one stage moved.

    Attributes:
        stage: which.
        change_s: seconds a request, head less base.
        low_s: lower end of its interval; None if nothing bounds it.
        high_s: upper end.
        share: of the sum of all stages' changes; None where that sum is nil.
    """

    stage: str
    change_s: float
    low_s: float | None
    high_s: float | None
    share: float | None


@dataclass(frozen=True, slots=True)
class Attribution:
    """Where a change went.

    Attributes:
        lens: of which lens.
        stages: all that were told and can have a part in it, in the order of a request's way.
        moved: the stage whose interval excludes 0 with the largest part, in the direction of the sum, of CPU time the one
            that grew most; None where none does.
    """

    lens: Lens
    stages: tuple[StageChange, ...]
    moved: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonResult:
    """Head against base under one scenario.

    Attributes:
        decision: by lens and in all.
        design: when it was looked at the data, and how much error each look could spend.
        attributions: which stage moved, of the lenses that did.
        rows: file of the blocks as numbers, one a line, relative to the results; it can be judged again.
        order: by block, one letter a slot in order of time, ``b`` or ``h``.
        voids: why blocks do not count.
        steal_share: of processor time, the median over the blocks; None if unseen.
        cpu_pressure_share: of the time some work waited for a processor, likewise.
        stopped: why no further block was measured; empty where the decision itself was the end. Begins with
            :data:`CUT_SHORT` where something ended the run that says nothing against its blocks.
        notes: what a reader must know to take the numbers right.
    """

    decision: Decision
    design: Design
    attributions: tuple[Attribution, ...]
    rows: str
    order: tuple[str, ...] = ()
    voids: tuple[str, ...] = ()
    steal_share: float | None = None
    cpu_pressure_share: float | None = None
    stopped: str = ""
    notes: tuple[str, ...] = ()

    @property
    def reason(self) -> str:
        """Why it came to its verdict, in one sentence, with the stages that moved of the lenses that gate."""
        gates = [one for one in self.attributions if one.lens.gates]
        stages = {one.moved: None for one in gates if one.moved is not None}
        moved = f" (mostly in {', '.join(stages)})" if stages else ""
        return self.decision.reason + moved
