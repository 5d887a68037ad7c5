"""The ledger of the gate's proofs as Markdown tables."""

from collections.abc import Iterable, Sequence

from benchmarks.gate_cases import CASES, RETIRED, Case
from tailgate.harness.results.ledger import Entry
from tailgate.harness.results.ledger_summary import Rate, rate, summarise
from tailgate.harness.results.verdict import Verdict
from tailgate.harness.units import percent, significant

NOTE = (
    "Right: of the runs that are not INVALID; at least and at most: the exact one-sided 95 % bounds of that share. By a tail: "
    "of the runs that FAILed, those that p95 or p99 failed by then; by a tail alone: those in which no other lens did. Minutes "
    "are the median of a run, and of all runs in all; wall time has starts and warm-up in it."
)
VERDICTS = (Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.INVALID)
HEADINGS = (
    "case",
    "runs",
    *(verdict.value for verdict in VERDICTS),
    "right",
    "at least",
    "at most",
    "right lens",
    "by a tail",
    "by a tail alone",
    "right stage",
    "load, min",
    "wall, min",
    "load in all, min",
    "wall in all, min",
)


def tables(entries: Sequence[Entry], cases: Sequence[Case] = (*CASES, *RETIRED)) -> str:
    """Return the table by case, and below it what unchanged code came to."""
    lines = [_line(HEADINGS), _line(["---"] * len(HEADINGS))]
    for case in cases:
        of_case = [entry for entry in entries if entry.case == case.name]
        if of_case:
            lines.append(_line(_row(case, of_case)))
    machines = sorted({entry.machine for entry in entries})
    return "\n".join(
        [
            *lines,
            "",
            NOTE,
            "",
            *_unchanged(entries, cases),
            *(f"Machine: {machine}." for machine in machines),
            "",
        ]
    )


def _row(case: Case, entries: Sequence[Entry]) -> list[str]:
    judged = [entry for entry in entries if entry.verdict is not Verdict.INVALID]
    (summary,) = summarise(entries)
    right = rate(sum(entry.verdict in case.right for entry in judged), len(judged))
    return [
        f"{case.what} (`{case.name}`)",
        str(summary.runs),
        *(str(summary.verdicts.get(verdict, 0)) for verdict in VERDICTS),
        f"{right.hits} of {right.n}",
        percent(right.low),
        percent(right.high),
        _named(case.lens_named(entry) for entry in judged),
        _named(case.tail_named(entry) for entry in judged),
        _named(case.tail_alone(entry) for entry in judged),
        _named(case.stage_named(entry) for entry in judged),
        significant(summary.load_s / 60),
        significant(summary.wall_s / 60),
        significant(sum(entry.load_s for entry in entries) / 60),
        significant(sum(entry.wall_s for entry in entries) / 60),
    ]


def _named(answers: Iterable[bool | None]) -> str:
    seen = [answer for answer in answers if answer is not None]
    return f"{sum(seen)} of {len(seen)}" if seen else "–"


def _unchanged(entries: Sequence[Entry], cases: Sequence[Case]) -> Iterable[str]:
    """Yield what nobody wants to hear of unchanged code, with exact bounds."""
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
