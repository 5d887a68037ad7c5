"""The ledger of the gate's proofs as Markdown tables, with exact bounds of how often each verdict comes.

A share of few runs is hardly known: no false FAIL in 20 runs still allows 14 %.
"""

import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from benchmarks.gate.cases import CASES, RETIRED, Case
from tailgate import Verdict
from tailgate.harness.results.ledger import Entry
from tailgate.harness.statistics import share_interval
from tailgate.harness.units import percent, significant

# One-sided, of each end of a rate's interval.
CONFIDENCE = 0.95
NOTE = (
    "Right: of the runs that are not INVALID; at least and at most: the exact one-sided 95 % bounds of that share. By a tail: "
    "of the runs that FAILed, those that p95 or p99 failed by then; by a tail alone: those in which no other lens did. Minutes "
    "are the median of a run, and of all runs in all; wall time has starts and warm-up in it."
)
VERDICTS = (Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.INVALID)
HEADINGS = (
    *("case", "runs", *(verdict.value for verdict in VERDICTS), "right", "at least", "at most"),
    *("right lens", "by a tail", "by a tail alone", "right stage"),
    *("load, min", "wall, min", "load in all, min", "wall in all, min"),
)


class Rate(NamedTuple):
    """How often something happened, with its exact interval (Clopper & Pearson); its ends are None of nothing."""

    hits: int
    n: int
    low: float | None
    high: float | None


def rate(hits: int, n: int) -> Rate:
    """Return how often, with its exact interval."""
    return Rate(hits, n, *share_interval(hits, n, CONFIDENCE))


def tables(entries: Sequence[Entry], cases: Sequence[Case] = (*CASES, *RETIRED)) -> str:
    """Return the table by case, and below it the rates of unchanged code."""
    lines = [_line(HEADINGS), _line(["---"] * len(HEADINGS))]
    for case in cases:
        of_case = [entry for entry in entries if entry.case == case.name]
        if of_case:
            lines.append(_line(_row(case, of_case)))
    machines = sorted({entry.machine for entry in entries})
    lines += ["", NOTE, "", *_unchanged(entries, cases)]
    return "\n".join([*lines, *(f"Machine: {machine}." for machine in machines), ""])


def _row(case: Case, entries: Sequence[Entry]) -> list[str]:
    judged = [entry for entry in entries if entry.verdict is not Verdict.INVALID]
    right = rate(sum(entry.verdict in case.right for entry in judged), len(judged))
    verdicts = [entry.verdict for entry in entries]
    questions = (case.lens_named, case.tail_named, case.tail_alone, case.stage_named)
    times_s = [entry.load_s for entry in entries], [entry.wall_s for entry in entries]
    return [
        f"{case.what} (`{case.name}`)",
        str(len(entries)),
        *(str(verdicts.count(verdict)) for verdict in VERDICTS),
        f"{right.hits} of {right.n}",
        percent(right.low),
        percent(right.high),
        *(_named(question, judged) for question in questions),
        *(significant(total(seconds) / 60) for total in (statistics.median, sum) for seconds in times_s),
    ]


def _named(question: Callable[[Entry], bool | None], entries: Sequence[Entry]) -> str:
    answers = [answer for answer in map(question, entries) if answer is not None]
    return f"{sum(answers)} of {len(answers)}" if answers else "–"


def _unchanged(entries: Sequence[Entry], cases: Sequence[Case]) -> Iterable[str]:
    """Yield the rates of wrong answers to unchanged code, with exact bounds."""
    names = {case.name for case in cases if case.right == frozenset({Verdict.PASS})}
    judged = [entry for entry in entries if entry.case in names and entry.verdict is not Verdict.INVALID]
    for verdict, what in ((Verdict.FAIL, "false FAIL"), (Verdict.INCONCLUSIVE, "INCONCLUSIVE")):
        yield f"Unchanged code, {what}: {_at_most(rate(sum(e.verdict is verdict for e in judged), len(judged)))}."
    for lens in dict.fromkeys(name for entry in judged for name in entry.lenses):
        seen = [entry.lenses[lens] for entry in judged if lens in entry.lenses and entry.lenses[lens].gates]
        failed = sum(one.verdict is Verdict.FAIL for one in seen)
        if failed:
            yield f"By {lens}: {_at_most(rate(failed, len(seen)))}."


def _at_most(found: Rate) -> str:
    return f"{found.hits} of {found.n} runs, at most {percent(found.high)} (exact, one-sided 95 %)"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
