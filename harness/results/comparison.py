"""What a comparison came to, as results keep it; :mod:`tailgate.harness.compare` computes it."""

import enum
import math
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta

from tailgate.harness.results.answers import AnswersResult
from tailgate.harness.results.verdict import Better, Verdict, worst
from tailgate.harness.units import Unit

LATENCIES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
QUANTILES = LATENCIES | {"ttfb_p95": 0.95, "ttft_p95": 0.95, "gap_p99": 0.99}
# ``stopped`` begins with this where the blocks before are sound and can be judged.
CUT_SHORT = "before its end: "


class Scale(enum.Enum):
    """How head is set against base."""

    RATIO = "ratio"
    DIFFERENCE = "difference"


@dataclass(frozen=True, slots=True)
class Lens:
    """What is compared, and what is tolerated."""

    name: Annotated[str, "by which options, rows and reports call it"]
    title: Annotated[str, "for people"]
    unit: Annotated[Unit, "of one arm's value"]
    better: Annotated[
        Better,
        "which direction is an improvement. All that follows counts a change for the worse as positive",
    ]
    tolerance: Annotated[
        float,
        "PASS needs the change to be surely smaller than this: a share of the base (0.05 is 5 %) for a ratio, a difference of shares (0.005 is half a percentage point) for a difference",
    ]
    margin: Annotated[float, "FAIL needs the change to be surely larger than this, on the same scale"] = 0.0
    gates: Annotated[bool, "its verdict counts; otherwise it is reported only"] = True
    scale: Annotated[Scale, "ratio or difference"] = Scale.RATIO
    waived: Annotated[
        float | None,
        "a reviewed waiver accepts a change for the worse up to this, on the scale of the tolerance; null without one",
    ] = None

    @property
    def quantile(self) -> float | None:
        """The quantile of the times that it looks at; None for a lens on something else."""
        return QUANTILES.get(self.name)

    def ln_worse(self, change: float) -> float:
        """Return a worsening, a share of base, as a positive log ratio: ln(1.05), or -ln(0.95)."""
        return math.log1p(change) if self.better is Better.LOWER else -math.log1p(-change)

    def as_share(self, change: float | None) -> float | None:
        """Return a ratio or a difference as a share: 0.05 for the ratio 1.05; None where it is unknown or infinite."""
        if change is None or not math.isfinite(change):
            return None
        return change - 1.0 if self.scale is Scale.RATIO else change

    def worse(self, change: float | None) -> float | None:
        """Return a ratio or a difference as how much worse head is, on the scale of the tolerance; None where unknown."""
        more = self.as_share(change)
        return more if more is None or self.better is Better.LOWER else -more

    def share_worse(self, ln_worse: float) -> float:
        """Return the inverse of :meth:`ln_worse`."""
        return math.expm1(ln_worse) if self.better is Better.LOWER else -math.expm1(-ln_worse)


@dataclass(frozen=True, slots=True)
class Look:
    """One look at the data."""

    blocks: Annotated[int, Meta(ge=0), "good blocks behind it"]
    fail_level: Annotated[float, "one-sided nominal level of the test for FAIL, of each gating lens"]
    pass_level: Annotated[float, "one-sided nominal level of the bound for PASS"]


@dataclass(frozen=True, slots=True)
class Design:
    """When to look, and what each look may spend."""

    looks: Annotated[tuple[Look, ...], "ascending by blocks"]
    alpha: Annotated[
        float,
        "bound of the probability that a run of unchanged code FAILs, over all gating lenses and scenarios",
    ]
    beta: Annotated[
        float, "bound of the probability, for each lens, that a change as large as its tolerance PASSes"
    ]
    gates: Annotated[int, Meta(ge=0), "over how many tests (gating lenses x scenarios) alpha is split"]
    max_void_share: Annotated[float, "INVALID when more than this share of the blocks is void"] = 0.25

    @property
    def blocks(self) -> int:
        """Good blocks at the last look."""
        return self.looks[-1].blocks

    @property
    def max_void_blocks(self) -> int:
        """With more void blocks the run is INVALID, whatever follows."""
        return int(self.blocks * self.max_void_share / (1 - self.max_void_share))


@dataclass(frozen=True, slots=True)
class LensResult:
    """What one lens came to."""

    lens: Annotated[Lens, "which"]
    verdict: Annotated[Verdict, "PASS, FAIL, INCONCLUSIVE or INVALID"]
    reason: Annotated[str, "a sentence for people that begins with one word for programs and a colon"]
    change: Annotated[
        float | None,
        "head against base: the ratio (1.05 is 5 % more), or the difference of shares; null if unknown",
    ] = None
    low: Annotated[
        float | None, "lower end of its interval, on the same scale; null if nothing bounds it"
    ] = None
    high: Annotated[float | None, "upper end"] = None
    low_level: Annotated[float | None, "attained one-sided error of the lower end; null without one"] = None
    high_level: Annotated[float | None, "the same for the upper end"] = None
    base: Annotated[
        float | None, "the median over the blocks of base's value, in the lens's unit; null if unseen"
    ] = None
    head: Annotated[float | None, "likewise"] = None
    n: Annotated[int, Meta(ge=0), "blocks behind it"] = 0
    missing: Annotated[int, Meta(ge=0), "good blocks in which this lens saw nothing"] = 0
    look: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        "at which look, from 1, it was decided or last examined; null before the first",
    ] = None
    mde: Annotated[
        float | None,
        "the smallest change for the worse that this look would have called FAIL 95 times in 100, as a share of base; null if unknown, and for differences",
    ] = None
    further_blocks: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        "how many more blocks would probably decide it; null if decided or unknown",
    ] = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What a comparison came to so far."""

    verdict: Annotated[Verdict, "the worst of the gating lenses; INVALID where too many blocks are void"]
    reason: Annotated[str, "why, in one sentence"]
    results: Annotated[tuple[LensResult, ...], "by lens, in the order given"]
    finished: Annotated[
        bool, "nothing that could still be measured would change the verdict, or the last look is over"
    ]
    look: Annotated[int, Meta(ge=0), "how many looks are over"]
    blocks: Annotated[int, Meta(ge=0), "good blocks behind the last look"]
    voided: Annotated[int, Meta(ge=0), "void blocks so far"]
    next_look_blocks: Annotated[
        Annotated[int, Meta(ge=0)] | None, "good blocks needed for the next look; null when finished"
    ]
    load_s: Annotated[float, "measured load of all blocks given, void ones too"]
    wall_s: Annotated[float, "time of all blocks given"]


@dataclass(frozen=True, slots=True)
class StageChange:
    """How one stage moved."""

    stage: Annotated[str, "which"]
    change_s: Annotated[float, "seconds a request, head less base"]
    low_s: Annotated[float | None, "lower end of its interval; null if nothing bounds it"]
    high_s: Annotated[float | None, "upper end"]
    share: Annotated[float | None, "of the sum of all stages' changes; null if that sum is 0"]


@dataclass(frozen=True, slots=True)
class Attribution:
    """Where a change went."""

    lens: Annotated[Lens, "of which lens"]
    stages: Annotated[
        tuple[StageChange, ...],
        "all known stages that can have a part in it, in the order in which a request passes them",
    ]
    moved: Annotated[
        str | None,
        "the stage whose interval excludes 0 with the largest part, in the direction of the sum; for CPU time, the one that grew most; null if there is none",
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonResult:
    """Head against base under one scenario."""

    decision: Annotated[Decision, "by lens and in all"]
    design: Annotated[Design, "when the data were looked at, and how much error each look could spend"]
    attributions: Annotated[tuple[Attribution, ...], "which stage moved, of the lenses that did"]
    rows: Annotated[
        str, "file of the blocks as numbers, one a line, relative to the results; it can be judged again"
    ]
    order: Annotated[tuple[str, ...], "by block, one letter a slot in order of time, b or h"] = ()
    voids: Annotated[tuple[str, ...], "why blocks do not count"] = ()
    steal_share: Annotated[
        float | None, "share of CPU time that the hypervisor took, the median over the blocks; null if unseen"
    ] = None
    cpu_pressure_share: Annotated[
        float | None, "share of the time in which some work waited for a processor, likewise the median"
    ] = None
    stopped: Annotated[
        str, "why no further block was measured; empty where the decision itself was the end"
    ] = ""
    notes: Annotated[tuple[str, ...], "what a reader must know to understand the numbers"] = ()
    answers: Annotated[
        AnswersResult | None, "head's answers against base's; null where they were not looked at"
    ] = None

    @property
    def verdict(self) -> Verdict:
        """The decision's, or FAIL where answers fail beside it."""
        failed = self.answers is not None and self.answers.fails
        return worst([self.decision.verdict, Verdict.FAIL]) if failed else self.decision.verdict

    @property
    def reason(self) -> str:
        """The decision's reason, with the stages that moved of the gating lenses; before it, that of answers that fail."""
        gates = [one for one in self.attributions if one.lens.gates]
        stages = {one.moved: None for one in gates if one.moved is not None}
        moved = f" (mostly in {', '.join(stages)})" if stages else ""
        speed = self.decision.reason + moved
        answers = self.answers
        return f"{answers.reason}; speed: {speed}" if answers is not None and answers.fails else speed
