"""What a ledger adds up to: verdicts by case, with exact bounds of how often each comes.

A share of few runs is hardly known: no false FAIL in 20 runs still allows 14 %.
"""

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tailgate.harness.results.ledger import Entry
from tailgate.harness.results.verdict import Verdict
from tailgate.harness.statistics import share_interval

# One-sided, of each end of a rate's interval.
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Rate:
    """How often something happened, with its exact interval (Clopper & Pearson).

    Attributes:
        hits: how often.
        n: of so many.
        low: lower end, one-sided confidence 0.95; None of nothing.
        high: upper end.
    """

    hits: int
    n: int
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class CaseSummary:
    """What the comparisons of one case came to.

    Attributes:
        case: its name.
        runs: how many.
        verdicts: runs by verdict, those that occurred.
        failed: runs that were FAIL, of those that are not INVALID: false alarms of unchanged code, detections of a
            regression.
        inconclusive: likewise INCONCLUSIVE.
        lens_failed: by lens, runs whose lens was FAIL, of those in which it was judged.
        load_s: median seconds of load.
        wall_s: median seconds of all blocks.
    """

    case: str
    runs: int
    verdicts: Mapping[Verdict, int]
    failed: Rate
    inconclusive: Rate
    lens_failed: Mapping[str, Rate]
    load_s: float
    wall_s: float


def summarise(entries: Iterable[Entry]) -> tuple[CaseSummary, ...]:
    """Return a summary of each case, in the order in which they first occur."""
    cases: dict[str, list[Entry]] = {}
    for entry in entries:
        cases.setdefault(entry.case, []).append(entry)
    return tuple(_summary(case, found) for case, found in cases.items())


def rate(hits: int, n: int) -> Rate:
    """Return how often, with its exact interval."""
    return Rate(hits, n, *share_interval(hits, n, CONFIDENCE))


def _summary(case: str, entries: Sequence[Entry]) -> CaseSummary:
    judged = [entry for entry in entries if entry.verdict is not Verdict.INVALID]
    names = list(dict.fromkeys(name for entry in judged for name in entry.lenses))
    lens_failed = {}
    for name in names:
        seen = [entry.lenses[name].verdict for entry in judged if name in entry.lenses]
        seen = [verdict for verdict in seen if verdict is not Verdict.INVALID]
        lens_failed[name] = rate(seen.count(Verdict.FAIL), len(seen))
    verdicts = [entry.verdict for entry in judged]
    return CaseSummary(
        case=case,
        runs=len(entries),
        verdicts=dict(Counter(entry.verdict for entry in entries)),
        failed=rate(verdicts.count(Verdict.FAIL), len(verdicts)),
        inconclusive=rate(verdicts.count(Verdict.INCONCLUSIVE), len(verdicts)),
        lens_failed=lens_failed,
        load_s=statistics.median(entry.load_s for entry in entries),
        wall_s=statistics.median(entry.wall_s for entry in entries),
    )
