"""The terminal report: the verdict first, then what was measured, advice, and how to run it again.

It fits 80 columns, and is plain text where output goes to a file.
"""

from collections.abc import Mapping, Sequence

from rich.console import Console, JustifyMethod
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tailgate.harness.report import comparison, summary
from tailgate.harness.report.advice import advice
from tailgate.harness.report.escape import shown
from tailgate.harness.results.comparison import ComparisonResult
from tailgate.harness.results.run import RunResult, ScenarioResult
from tailgate.harness.results.slot import PhaseResult
from tailgate.harness.results.verdict import Verdict
from tailgate.harness.units import Unit, percent, quantity

STYLES: Mapping[Verdict, str] = {
    Verdict.PASS: "green",
    Verdict.FAIL: "bold red",
    Verdict.INCONCLUSIVE: "yellow",
    Verdict.INVALID: "bold magenta",
}
INDENT = 2
_LEFT = ("criterion", "lens", "verdict")


def render(result: RunResult, console: Console) -> None:
    """Print a result; text that is not the harness's own is escaped."""
    result = shown(result)
    console.print(Text(summary.headline(result), style=STYLES[result.verdict]))
    for arm in result.arms:
        _line(console, f"{arm.name}: {arm.target} {summary.facts_line(arm.facts)}".rstrip())
    for line in summary.first_answers(result):
        _line(console, line)
    phases = summary.measured_phases(result)
    for scenario in result.scenarios:
        _scenario(scenario, phases[scenario.name], console)
    console.print()
    _list(console, "machine", summary.machine_parts(result))
    if said := summary.confidence(result):
        _line(console, said)
    for sentence in advice(result):
        _line(console, f"→ {sentence}")
    for line in summary.proposals(result):
        console.print(Text(line), soft_wrap=True)
    for scenario in result.scenarios:
        # Whole, so that it can be copied: the terminal wraps it, not this program.
        console.print(Text(f"reproduce {scenario.name}: {scenario.reproduce}"), soft_wrap=True)


def _scenario(scenario: ScenarioResult, phases: Sequence[PhaseResult], console: Console) -> None:
    compared = scenario.comparison
    spent = _load(scenario, phases) if compared is None else comparison.title(scenario)
    verdict = (scenario.verdict.value, STYLES[scenario.verdict])
    title = Text.assemble((scenario.name, "bold"), ": ", verdict, f"  {spent}")
    console.print()
    console.print(title, soft_wrap=compared is not None)
    if compared is not None:
        _comparison(scenario, compared, phases, console)
        return
    if scenario.criteria:
        console.print(Padding(_table(scenario), (0, 0, 0, INDENT), expand=False))
    for remark in (*summary.remarks(scenario), *summary.slowest(phases)):
        _line(console, remark)
    shares = summary.batch_shares(phases)
    _list(console, "batch sizes", [f"{size}: {percent(share)}" for size, share in shares.items()])
    for times, parts in summary.answer_times(phases).items():
        _list(console, times, parts)
    means = summary.stage_means(phases).items()
    _list(
        console, "where time went", [f"{stage} {quantity(mean_s, Unit.SECONDS)}" for stage, mean_s in means]
    )
    _list(console, "yardstick before, between and after the phases", summary.yardsticks(phases))
    _list(console, "limits by its readings, to pass / to fail", summary.limits(scenario))


def _load(scenario: ScenarioResult, phases: Sequence[PhaseResult]) -> str:
    load = summary.load(phases)
    if not load.requests:
        return f"seed {scenario.seed}"
    return (
        f"seed {scenario.seed}, {load.requests:,} requests, {load.failed:,} failed, "
        f"offered {quantity(load.offered_per_s, Unit.PER_SECOND)}, "
        f"achieved {quantity(load.achieved_per_s, Unit.PER_SECOND)}"
    )


def _comparison(
    scenario: ScenarioResult, compared: ComparisonResult, phases: Sequence[PhaseResult], console: Console
) -> None:
    # A space between columns, or eight of them would not fit 80.
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    for column in comparison.COLUMNS:
        table.add_column(column, justify="left" if column in _LEFT else "right", no_wrap=True)
    for result in compared.decision.results:
        *cells, verdict = comparison.row(result)
        style = STYLES[result.verdict] if result.lens.gates else "dim"
        table.add_row(*map(Text, cells), Text(verdict, style=style))
    console.print(Padding(table, (0, 0, 0, INDENT), expand=False))
    remarks = (*summary.remarks(scenario), *comparison.remarks(compared), *summary.slowest(phases))
    for sentence in remarks:
        _line(console, sentence)


def _table(scenario: ScenarioResult) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for column in summary.COLUMNS:
        # Only a criterion's name may break over lines; a number never does.
        justify: JustifyMethod = "left" if column in _LEFT else "right"
        table.add_column(column, justify=justify, no_wrap=column != "criterion", overflow="fold")
    for criterion in scenario.criteria:
        *cells, verdict = summary.row(criterion)
        table.add_row(*map(Text, cells), Text(verdict, style=STYLES[criterion.verdict]))
    return table


def _line(console: Console, text: str) -> None:
    """Print a sentence, indented and wrapped at words."""
    width = max(console.width - INDENT, INDENT + 1)
    for line in Text(text).wrap(console, width):
        line.rstrip()
        console.print(Text(" " * INDENT).append_text(line), soft_wrap=True)


def _list(console: Console, title: str, parts: Sequence[str]) -> None:
    """Print parts after a title, wrapped between parts only; nothing without any."""
    if not parts:
        return
    line = f"{' ' * INDENT}{title}: {parts[0]}"
    for part in parts[1:]:
        if len(line) + len(part) + len(", ,") > console.width:
            console.print(Text(f"{line},"), soft_wrap=True)
            line = f"{' ' * 2 * INDENT}{part}"
        else:
            line = f"{line}, {part}"
    console.print(Text(line), soft_wrap=True)
