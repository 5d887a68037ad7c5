"""The reporter ``markdown``: ``summary.md``, and the same text as the step summary of a GitHub Actions job."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tailgate.harness.report import comparison, criteria, summary
from tailgate.harness.report.advice import advice
from tailgate.harness.report.drawing import bars
from tailgate.harness.report.escape import cell, code, fenced, markdown
from tailgate.harness.report.why import headline
from tailgate.harness.results.comparison import ComparisonResult
from tailgate.harness.results.run import RunResult, ScenarioResult
from tailgate.harness.results.slot import PhaseResult
from tailgate.harness.units import Unit, percent, quantity, significant

SUMMARY = "summary.md"
STEP_SUMMARY = "GITHUB_STEP_SUMMARY"


@dataclass(frozen=True, slots=True)
class MarkdownReporter:
    """Writes ``summary.md``, and appends it to the file that ``$GITHUB_STEP_SUMMARY`` names."""

    name: str = "markdown"

    def write(self, result: RunResult, directory: Path) -> Path:
        """Write the file and return its path."""
        path = directory / SUMMARY
        text = render(result)
        path.write_text(text, encoding="utf-8")
        if step_summary := os.environ.get(STEP_SUMMARY):
            with Path(step_summary).open("a", encoding="utf-8") as file:
                file.write(text)
        return path


def render(result: RunResult) -> str:
    """Return the whole summary as GitHub-flavoured Markdown."""
    return "\n".join([*_lines(result), ""])


def _lines(result: RunResult) -> Iterator[str]:
    yield f"# {markdown(headline(result))}"
    phases = summary.measured_phases(result)
    for scenario in result.scenarios:
        yield from _scenario(scenario, phases[scenario.name])
    for title, body in (
        ("What to do next", [*_bullets(advice(result))]),
        ("Budgets to start from", [*_proposed(summary.proposals(result))]),
        ("What was measured", [*_measured(result)]),
        ("Machine", [*_machine(result)]),
    ):
        if body:
            yield from ("", f"## {title}", *body)


def _bullets(sentences: tuple[str, ...]) -> Iterator[str]:
    if sentences:
        yield ""
    for sentence in sentences:
        # The end of a log may follow on further lines.
        first, _, log = sentence.partition("\n")
        yield f"- {markdown(first)}"
        if log:
            indented = (f"  {line}" for block in fenced(log, "text") for line in block.splitlines())
            yield from ("", *indented, "")


def _proposed(lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield from ("", lines[0], "", *fenced("\n".join(lines[1:]), "toml"))


def _scenario(scenario: ScenarioResult, phases: Sequence[PhaseResult]) -> Iterator[str]:
    yield from ("", f"## {markdown(scenario.name)}: {scenario.verdict.value}", "")
    if scenario.comparison is not None:
        yield from _comparison(scenario, scenario.comparison, phases)
    else:
        yield from _budgets(scenario, phases)
    yield from ("", "Reproduce:", "", *fenced(scenario.reproduce, "sh"))


def _budgets(scenario: ScenarioResult, phases: Sequence[PhaseResult]) -> Iterator[str]:
    if scenario.criteria:
        yield from _table(criteria.COLUMNS, [criteria.row(criterion) for criterion in scenario.criteria])
        yield from _chart(bars.limits(scenario.criteria))
    line = summary.load_line(summary.load(phases))
    load = (f"{line}; seed {scenario.seed}",) if line else ()
    yield from _bullets((*summary.remarks(scenario), *load, *summary.slowest(phases)))
    if shares := summary.batch_shares(phases):
        cells = [percent(share) for share in shares.values()]
        yield from ("", *_table(("batch size", *shares), [("share of batches", *cells)]))
    if means := summary.stage_means(phases):
        times = [quantity(seconds, Unit.SECONDS) for seconds in means.values()]
        yield from ("", *_table(("stage", *means), [("mean time", *times)]))
    for title, parts in summary.answer_times(phases).items():
        yield from ("", f"{title.capitalize()}: {markdown(', '.join(parts))}.")
    if readings := summary.yardsticks(phases):
        yield from ("", f"Yardstick before, between and after the phases: {', '.join(readings)}.")
    if limits := summary.limits(scenario):
        yield from ("", f"Limits by its readings, to pass / to fail: {markdown(', '.join(limits))}.")


def _comparison(
    scenario: ScenarioResult, compared: ComparisonResult, phases: Sequence[PhaseResult]
) -> Iterator[str]:
    yield from _table(comparison.COLUMNS, [comparison.row(result) for result in compared.decision.results])
    yield from _chart(bars.changes(compared))
    said = (*summary.remarks(scenario), *comparison.remarks(compared), *summary.slowest(phases))
    yield from _bullets((comparison.title(scenario), *said))


def _chart(lines: Iterator[str]) -> Iterator[str]:
    if drawn := "\n".join(lines):
        yield from ("", *fenced(drawn, "text"))


def _measured(result: RunResult) -> Iterator[str]:
    if result.arms:
        yield ""
    for arm in result.arms:
        told = (f"{markdown(arm.name)}:", code(arm.target), markdown(summary.facts_line(arm.facts)))
        yield f"- {' '.join(filter(None, told))}"
    yield from (f"- {markdown(line)}" for line in summary.first_answers(result))
    wall = "" if result.duration_s is None else f" in {significant(result.duration_s)} s"
    yield f"- run {markdown(f'{result.run_id}, started {result.started_at}{wall}, tailgate {result.tailgate_version}')}"
    yield f"- {code(result.command)}"
    if result.settings:
        said = {name: value for name, value in result.settings.items() if value != ""}
        yield f"- settings: {markdown(summary.facts_line(said))}"


def _machine(result: RunResult) -> Iterator[str]:
    facts = [(name, cell(str(value))) for name, value in result.machine.items() if value is not None]
    if facts:
        yield from ("", *_table(("fact", "value"), facts))
    if parts := summary.machine_parts(result):
        yield from ("", f"During the run: {markdown(', '.join(parts))}.")
    if said := summary.confidence(result):
        yield from ("", f"{said.capitalize()}.")


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Yield a table. The first cell of a row is a name that is escaped; the others are fit as they are."""
    yield f"| {' | '.join(header)} |"
    yield f"| {' | '.join('---' for _ in header)} |"
    for name, *cells in rows:
        yield f"| {' | '.join((cell(name), *cells))} |"
