"""What many simulated comparisons came to, counted, with exact bounds. For simulating the gate."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import mean, median

from harness.comparison.decision import Decision
from harness.statistics import share_interval
from harness.verdict import Verdict

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
    """

    name: str
    verdicts: Counter[Verdict] = field(default_factory=Counter)
    failed_lenses: Counter[str] = field(default_factory=Counter)
    blocks: list[int] = field(default_factory=list)
    load_s: list[float] = field(default_factory=list)
    wall_s: list[float] = field(default_factory=list)

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
        """Return how often a verdict came, with its exact one-sided bounds (Clopper-Pearson)."""
        runs, hits = sum(self.verdicts.values()), self.verdicts[verdict]
        interval = share_interval(hits, runs, CONFIDENCE)
        return (
            hits / runs if runs else 0.0,
            interval.low or 0.0,
            1.0 if interval.high is None else interval.high,
        )

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
        }


def markdown(tallies: Iterable[Tally]) -> str:
    """Return a table: one line a condition."""
    lines = [
        "| condition | runs | FAIL | 95 % bounds | PASS | INCONCLUSIVE | INVALID | load, median | time, median |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [_line(tally) for tally in tallies]
    return "\n".join(lines)


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
    )
    return f"| {' | '.join(cells)} |"


def percent(share: float) -> str:
    """Write a share as a percentage with two digits, or one decimal near 100."""
    return f"{share * 100:.1f} %" if share >= 0.1 else f"{share * 100:.2g} %"
