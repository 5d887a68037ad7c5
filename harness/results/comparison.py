"""What a comparison came to, as results keep it; :mod:`tailgate.harness.compare` computes it.

``results.schema.json`` describes every field.
"""

import enum
import math
from dataclasses import dataclass

from tailgate.harness.results.verdict import Better, Verdict
from tailgate.harness.units import Unit

_QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
# ``stopped`` begins with this where the blocks before are sound and can be judged.
CUT_SHORT = "before its end: "


class Scale(enum.Enum):
    """How head is set against base."""

    RATIO = "ratio"
    DIFFERENCE = "difference"


@dataclass(frozen=True, slots=True)
class Lens:
    """What is compared, and what is tolerated."""

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
        """The quantile of the latency; None for other lenses."""
        return _QUANTILES.get(self.name)

    def ln_worse(self, change: float) -> float:
        """Return a worsening, a share of base, as a positive log ratio: ln(1.05), or -ln(0.95)."""
        return math.log1p(change) if self.better is Better.LOWER else -math.log1p(-change)

    def share_worse(self, ln_worse: float) -> float:
        """Return the inverse of :meth:`ln_worse`."""
        return math.expm1(ln_worse) if self.better is Better.LOWER else -math.expm1(-ln_worse)


@dataclass(frozen=True, slots=True)
class Look:
    """One look at the data."""

    blocks: int
    fail_level: float
    pass_level: float


@dataclass(frozen=True, slots=True)
class Design:
    """When to look, and what each look may spend."""

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
        """With more void blocks the run is INVALID, whatever follows."""
        return int(self.blocks * self.max_void_share / (1 - self.max_void_share))


@dataclass(frozen=True, slots=True)
class LensResult:
    """What one lens came to."""

    lens: Lens
    verdict: Verdict
    reason: str
    change: float | None = None
    low: float | None = None
    high: float | None = None
    low_level: float | None = None
    high_level: float | None = None
    base: float | None = None
    head: float | None = None
    n: int = 0
    missing: int = 0
    look: int | None = None
    mde: float | None = None
    further_blocks: int | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What a comparison came to so far."""

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
    """How one stage moved."""

    stage: str
    change_s: float
    low_s: float | None
    high_s: float | None
    share: float | None


@dataclass(frozen=True, slots=True)
class Attribution:
    """Where a change went."""

    lens: Lens
    stages: tuple[StageChange, ...]
    moved: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonResult:
    """Head against base under one scenario."""

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
        """The decision's reason, with the stages that moved of the gating lenses."""
        gates = [one for one in self.attributions if one.lens.gates]
        stages = {one.moved: None for one in gates if one.moved is not None}
        moved = f" (mostly in {', '.join(stages)})" if stages else ""
        return self.decision.reason + moved
