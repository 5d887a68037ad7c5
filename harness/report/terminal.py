"""The terminal report: the verdict and why, what does not hold, and what to do now; each thing once.

It fits any width, and is plain text where output goes to a file.
"""

import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence

from rich.console import Console
from rich.text import Text

from tailgate.harness.report import comparison, console, criteria, summary
from tailgate.harness.report.advice import advice
from tailgate.harness.report.escape import shown
from tailgate.harness.report.why import bounded, headline, measured, told, why_of_scenario, without_keyword
from tailgate.harness.results.criterion import CriterionResult
from tailgate.harness.results.run import RunResult, ScenarioResult
from tailgate.harness.results.slot import PhaseResult
from tailgate.harness.results.verdict import SEVERITY, Verdict
from tailgate.harness.units import Unit, percent, quantity
from tailgate.harness.verdict.waivers import is_waived

STYLES: Mapping[Verdict, str] = {
    Verdict.PASS: "green",
    Verdict.FAIL: "bold red",
    Verdict.INCONCLUSIVE: "yellow",
    Verdict.INVALID: "bold magenta",
}
# Columns of words; all others are of numbers.
_LEFT = ("criterion", "lens", "verdict", "scenario", "nearest to its limit")
_PASSED = ("scenario", "criteria", "nearest to its limit", "value", "limit", "of limit", "verdict")


class Detail(enum.IntEnum):
    """How much is printed."""

    VERDICTS = -1  # a line per scenario
    USUAL = 0  # what it takes to understand the verdict and to go on
    EVERYTHING = 1

    @classmethod
    def of(cls, verbosity: int) -> "Detail":
        """Return how much pytest's verbosity asks for."""
        return cls(max(cls.VERDICTS, min(cls.EVERYTHING, verbosity)))


def screen_of(width: int, *, colours: bool) -> Console:
    """Return a terminal of this width; whether it has colours is decided already, and no variable has a say."""
    return Console(
        width=width,
        height=25,  # or a terminal that calls itself dumb would have 80 columns
        force_terminal=colours,
        color_system="standard" if colours else None,
        no_color=not colours,
        highlight=False,
    )


def render(result: RunResult, screen: Console, detail: Detail = Detail.USUAL) -> None:
    """Print a result; text that is not the harness's own is escaped."""
    result = shown(result)
    scenarios = sorted(result.scenarios, key=lambda one: SEVERITY.index(one.verdict))
    if detail is Detail.VERDICTS:
        _verdicts(result, scenarios, screen)
        return
    every = detail is Detail.EVERYTHING
    console.sentence(screen, Text(headline(result), style=_style(result)), indent=0)
    if every or len(result.arms) > 1:
        arms = (f"{arm.name}: {arm.target} {summary.facts_line(arm.facts)}".rstrip() for arm in result.arms)
        _print(arms, screen)
    _print(summary.first_answers(result) if every else (), screen)
    phases = summary.measured_phases(result)
    brief = [one for one in scenarios if not every and len(scenarios) > 1 and _is_brief(one)]
    for scenario in (one for one in scenarios if one not in brief):
        _scenario(scenario, phases[scenario.name], result, screen, every=every)
    if brief:
        screen.print()
        console.table(screen, _PASSED, [_passed(one) for one in brief], _LEFT)
    _next(result, scenarios, screen, every=every)


def _print(lines: Iterable[str], screen: Console) -> None:
    for line in lines:
        console.sentence(screen, line)


def _verdicts(result: RunResult, scenarios: Sequence[ScenarioResult], screen: Console) -> None:
    """Print a line per scenario, the worst first; of a run of one, or of none, its verdict and why."""
    if len(scenarios) <= 1:
        screen.print(Text(headline(result), style=STYLES[result.verdict]), soft_wrap=True)
        return
    for one in scenarios:
        line = f"{one.verdict.value}: {one.name}: {why_of_scenario(one)}"
        screen.print(Text(line, style=STYLES[one.verdict]), soft_wrap=True)


def _is_brief(scenario: ScenarioResult) -> bool:
    """Tell whether a line says enough of a scenario: all of its criteria hold, and nothing is remarked."""
    passed = scenario.verdict is Verdict.PASS and scenario.comparison is None
    return passed and bool(scenario.criteria) and not scenario.notes


def _passed(scenario: ScenarioResult) -> Sequence[Text]:
    nearest = max(scenario.criteria, key=criteria.nearness)
    _, value, _, limit, share, verdict = criteria.row(nearest)
    cells = (scenario.name, str(len(scenario.criteria)), nearest.name, value, limit, share, verdict)
    return _row(cells, STYLES[scenario.verdict])


def _row(cells: Sequence[str], style: str) -> Sequence[Text]:
    """Return cells whose last one, a verdict, has a style."""
    *others, verdict = cells
    return (*map(Text, others), Text(verdict, style=style))


def _style(result: RunResult) -> str:
    # Neither green nor red: something is worse than asked, and somebody has accepted it.
    return STYLES[Verdict.INCONCLUSIVE] if is_waived(result) else STYLES[result.verdict]


def _scenario(
    scenario: ScenarioResult,
    phases: Sequence[PhaseResult],
    result: RunResult,
    screen: Console,
    *,
    every: bool,
) -> None:
    """Print one scenario; nothing of one of which the headline says all."""
    lines = () if every else tuple(_essentials(scenario, result))
    compared = scenario.comparison
    spent = summary.load_line(summary.load(phases)) if compared is None else comparison.spent(compared)
    if not (every or lines or spent or told(scenario).casefold() not in headline(result).casefold()):
        return
    verdict = (scenario.verdict.value, STYLES[scenario.verdict])
    screen.print()
    title = Text.assemble((scenario.name, "bold"), ": ", verdict, spent and f", {spent}")
    console.sentence(screen, title, indent=0)
    _table(scenario, screen, every=every)
    _print(lines, screen)
    if every:
        _everything(scenario, phases, screen)


def _table(scenario: ScenarioResult, screen: Console, *, every: bool) -> None:
    if scenario.comparison is not None:
        rows = [
            _row(comparison.row(one), STYLES[one.verdict] if one.lens.gates else "dim")
            for one in scenario.comparison.decision.results
            if every or one.lens.gates or one.base is not None or one.head is not None
        ]
        console.table(screen, comparison.COLUMNS, rows, _LEFT)
    elif scenario.criteria and (every or not scenario.faults):
        # Of a scenario with a fault the numbers mean nothing.
        ordered = sorted(
            scenario.criteria, key=lambda one: (SEVERITY.index(one.verdict), -criteria.nearness(one))
        )
        rows = [_row(criteria.row(one), STYLES[one.verdict]) for one in ordered]
        console.table(screen, criteria.COLUMNS, rows, _LEFT)


def _essentials(scenario: ScenarioResult, result: RunResult) -> Iterator[str]:
    """Yield what a reader needs beside the headline and the table, and neither has said."""
    said = told(next((one for one in result.scenarios if one.verdict is result.verdict), scenario))
    for text in (*(fault.text for fault in scenario.faults), *filter(None, (scenario.refused,))):
        yield from _unsaid(text, said)
    if scenario.verdict is not Verdict.PASS:
        yield from summary.failures(scenario)
    if not scenario.faults:
        line = headline(result)
        yield from (
            text for text in summary.reasons(scenario, _reason) if text.partition(": ")[2] not in line
        )
    if scenario.comparison is not None:
        yield from (line for line in comparison.essentials(scenario.comparison) if not line.endswith(said))
    # The headline of a run that waivers let pass says those that are in effect.
    yield from (
        text for text in summary.waivers(scenario) if text.removeprefix("waived: ") not in headline(result)
    )
    yield from scenario.notes


def _unsaid(text: str, said: str) -> Iterator[str]:
    """Yield the lines of a text without what the headline has said, which may stand at the end of the first line."""
    first, *others = text.splitlines()
    unsaid = first.removesuffix(said).removesuffix(": ")
    yield from filter(None, (unsaid, *others))


def _reason(one: CriterionResult) -> str:
    """Return what the numbers of a criterion in the table do not say."""
    if one.limit is not None and (measured(one) or bounded(one)):
        return one.note
    return without_keyword(one.reason)


def _everything(scenario: ScenarioResult, phases: Sequence[PhaseResult], screen: Console) -> None:
    """Print all that is known of a scenario beside its table."""
    compared = scenario.comparison
    lines = (f"seed {scenario.seed}", *summary.remarks(scenario))
    _print((*lines, *(comparison.remarks(compared) if compared else ()), *summary.slowest(phases)), screen)
    if compared is not None:
        return
    shares = summary.batch_shares(phases)
    console.parts(screen, "batch sizes", [f"{size}: {percent(share)}" for size, share in shares.items()])
    for times, parts in summary.answer_times(phases).items():
        console.parts(screen, times, parts)
    means = summary.stage_means(phases).items()
    console.parts(
        screen, "where time went", [f"{stage} {quantity(mean_s, Unit.SECONDS)}" for stage, mean_s in means]
    )
    console.parts(screen, "yardstick before, between and after the phases", summary.yardsticks(phases))
    console.parts(screen, "limits by its readings, to pass / to fail", summary.limits(scenario))


def _next(result: RunResult, scenarios: Sequence[ScenarioResult], screen: Console, *, every: bool) -> None:
    """Print what to do now, and with ``every`` what the machine did."""
    again = [one for one in scenarios if every or one.verdict is not Verdict.PASS]
    sentences, proposals = advice(result), summary.proposals(result)
    if sentences or proposals or again:
        screen.print()
    if every:
        console.parts(screen, "machine", summary.machine_parts(result))
        if said := summary.confidence(result):
            console.sentence(screen, said)
    _print((f"→ {one}" for one in sentences), screen)
    for place, line in enumerate(proposals):
        # The first is a sentence; all others are lines of a file.
        (console.whole if place else console.sentence)(screen, line)
    for one in again:
        console.whole(screen, f"reproduce {one.name}: {one.reproduce}")
