"""What many simulated comparisons came to, counted, with exact bounds. For simulating the gate."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import mean, median

from tailgate.harness.results.comparison import Decision
from tailgate.harness.results.verdict import Verdict
from tailgate.harness.statistics import share_interval

CONFIDENCE = 0.95


@dataclass(slots=True)
class Tally:
    """Verdicts of comparisons under one condition.

    Attributes:
        name: of the condition.
        verdicts: how often each.
        failed_lenses: how often each lens failed.
        blocks: good blocks that each used.
        load_s: measured load of each.
        wall_s: time of each.
        independent: how many of them share no block with another; None where all were drawn by themselves.
    """

    name: str
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    failed_lenses: Counter[str] = field(default_factory=Counter)
    blocks: list[int] = field(default_factory=list)
    load_s: list[float] = field(default_factory=list)
    wall_s: list[float] = field(default_factory=list)
    independent: int | None = None

    def add(self, decision: Decision) -> None:
        """Count one."""
        self.verdicts[decision.verdict] += 1
        self.failed_lenses.update(
            one.lens.name for one in decision.results if one.verdict is Verdict.FAIL and one.lens.gates
        )
        self.blocks.append(decision.blocks)
        self.load_s.append(decision.load_s)
        self.wall_s.append(decision.wall_s)

    def share(self, verdict: Verdict) -> tuple[float, float, float]:
        """Return how often a verdict came, with its exact one-sided bounds (Clopper-Pearson).

        Where comparisons share blocks, the bounds are those of as many as share none, with the share rounded away from
        the bound: never too narrow for being counted more than once.
        """
        runs, hits = sum(self.verdicts.values()), self.verdicts[verdict]
        share = hits / runs if runs else 0.0
        n = runs if self.independent is None else self.independent
        low, high = (hits, hits) if n == runs else (math.floor(share * n + 1e-9), math.ceil(share * n - 1e-9))
        above = share_interval(high, n, CONFIDENCE).high
        return share, share_interval(low, n, CONFIDENCE).low or 0.0, 1.0 if above is None else above

    def document(self) -> dict[str, object]:
        """Return the figures for JSON."""
        return {
            "name": self.name,
            "runs": sum(self.verdicts.values()),
            "verdicts": {verdict.value: count for verdict, count in self.verdicts.items()},
            "fail": self.share(Verdict.FAIL),
            "failed_lenses": dict(self.failed_lenses),
            "blocks_median": median(self.blocks) if self.blocks else None,
            "blocks_mean": mean(self.blocks) if self.blocks else None,
            "load_s_median": median(self.load_s) if self.load_s else None,
            "wall_s_median": median(self.wall_s) if self.wall_s else None,
            "wall_s_mean": mean(self.wall_s) if self.wall_s else None,
            "independent": self.independent,
        }


def markdown(tallies: Iterable[Tally]) -> str:
    """Return a table: one line a condition."""
    lines = [
        "| condition | runs | FAIL | 95 % bounds | PASS | INCONCLUSIVE | INVALID | load, median | time, median | time, mean |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [_line(tally) for tally in tallies]
    return "\n".join(lines)


def worst(tallies: Sequence[Tally]) -> str:
    """Return in a sentence the highest bound of FAIL among these, each taken by itself."""
    high, name = max((tally.share(Verdict.FAIL)[2], tally.name) for tally in tallies)
    return f"FAIL at most {percent(high)} of runs (exact, one-sided 95 %, of each by itself; worst: {name})."


def _line(tally: Tally) -> str:
    fail, low, high = tally.share(Verdict.FAIL)
    others = (tally.share(each)[0] for each in (Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.INVALID))
    cells: Sequence[str] = (
        tally.name,
        f"{sum(tally.verdicts.values()):,}",
        percent(fail),
        f"{percent(low)} to {percent(high)}",
        *map(percent, others),
        f"{median(tally.load_s) / 60:.1f} min" if tally.load_s else "–",
        f"{median(tally.wall_s) / 60:.1f} min" if tally.wall_s else "–",
        f"{mean(tally.wall_s) / 60:.1f} min" if tally.wall_s else "–",
    )
    return f"| {' | '.join(cells)} |"


def percent(share: float) -> str:
    """Write a share as a percentage with two digits, or one decimal near 100."""
    return f"{share * 100:.1f} %" if share >= 0.1 else f"{share * 100:.2g} %"
