"""The verdicts of many simulated comparisons, counted, with exact bounds."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import mean, median
from typing import Any

from tailgate import Verdict
from tailgate.harness.results.comparison import Decision
from tailgate.harness.statistics import share_interval
from tailgate.harness.units import percent

CONFIDENCE = 0.95
HEADINGS = (
    *("condition", "runs", "FAIL", "95 % bounds", "PASS", "INCONCLUSIVE", "INVALID"),
    *("load, median", "time, median", "time, mean"),
)


@dataclass(slots=True)
class Tally:
    """Verdicts of comparisons under one condition."""

    name: str  # of the condition
    independent: int | None = (
        None  # how many of them share no block with another; None where all were drawn by themselves
    )
    verdicts: Counter[Verdict] = field(default_factory=Counter)  # how often each
    failed_lenses: Counter[str] = field(default_factory=Counter)  # how often each lens failed
    blocks: list[int] = field(default_factory=list)  # good blocks of each
    load_s: list[float] = field(default_factory=list)  # measured load of each
    wall_s: list[float] = field(default_factory=list)  # time of each

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
        """Return the share of a verdict, with its exact one-sided bounds (Clopper-Pearson).

        Where comparisons share blocks, the bounds are those of as many as share none, with the share rounded away from
        the bound, so that they are never too narrow.
        """
        runs, hits = self.verdicts.total(), self.verdicts[verdict]
        share = hits / runs if runs else 0.0
        n = runs if self.independent is None else self.independent
        low, high = (hits, hits) if n == runs else (math.floor(share * n + 1e-9), math.ceil(share * n - 1e-9))
        above = share_interval(high, n, CONFIDENCE).high
        return share, share_interval(low, n, CONFIDENCE).low or 0.0, 1.0 if above is None else above

    def document(self) -> dict[str, object]:
        """Return the figures for JSON."""
        return {
            "name": self.name,
            "runs": self.verdicts.total(),
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


def markdown(conditions: Iterable[Mapping[str, Any]]) -> str:
    """Return a table with one line per condition, made of what :meth:`Tally.document` returns."""
    lines = [f"| {' | '.join(HEADINGS)} |", "|---" * len(HEADINGS) + "|"]
    return "\n".join([*lines, *map(_line, conditions)])


def worst(conditions: Iterable[Mapping[str, Any]]) -> str:
    """Return in a sentence the highest bound of FAIL among these, each taken by itself."""
    high, name = max((one["fail"][2], one["name"]) for one in conditions)
    return f"FAIL at most {percent(high)} of runs (exact, one-sided 95 %, of each by itself; worst: {name})."


def _line(condition: Mapping[str, Any]) -> str:
    runs, (fail, low, high) = condition["runs"], condition["fail"]
    others = (
        condition["verdicts"].get(each.value, 0) / runs if runs else 0.0
        for each in (Verdict.PASS, Verdict.INCONCLUSIVE, Verdict.INVALID)
    )
    times_s = [condition[name] for name in ("load_s_median", "wall_s_median", "wall_s_mean")]
    minutes = ["–" if seconds is None else f"{seconds / 60:.1f} min" for seconds in times_s]
    shares = [percent(fail), f"{percent(low)} to {percent(high)}", *map(percent, others)]
    return f"| {' | '.join([condition['name'], f'{runs:,}', *shares, *minutes])} |"
