"""``tailgate judge``: a run judged again from what it kept. Nothing is measured."""

from pathlib import Path
from typing import Annotated

import typer

from tailgate.harness import results_file
from tailgate.harness.budgets import find_budgets
from tailgate.harness.cli.listing import PluginFiles
from tailgate.harness.cli.report import Format, FormatOption, Results, show
from tailgate.harness.cli.run import Status, status_of_verdict
from tailgate.harness.errors import UsageError
from tailgate.harness.gate_settings import GateSettings, parse_options
from tailgate.harness.outcome import outcome_of
from tailgate.harness.plugins import create_plugin_manager
from tailgate.harness.rejudge import Terms, judge_again
from tailgate.harness.results import RunResult
from tailgate.harness.verdict import worst

# The options of the run that say what a verdict does.
_SAID = ("inconclusive", "enforce")

BudgetFile = Annotated[
    Path | None,
    typer.Option("--budgets", "--perf-budgets", help="Other budgets than those of the run: a TOML file."),
]
Confidence = Annotated[
    float | None,
    typer.Option("--confidence", "--perf-confidence", help="Another confidence than that of the run."),
]
LensSettings = Annotated[
    list[str] | None,
    typer.Option(
        "--lens", "--perf-lens", help="p95=8%, p95.margin=1%, memory=gate or p99=report; may be repeated."
    ),
]


def judge(
    results: Results,
    budgets: BudgetFile = None,
    confidence: Confidence = None,
    lens: LensSettings = None,
    plugin: PluginFiles = None,
    format_: FormatOption = Format.TERMINAL,
) -> None:
    """Judge a run again from its folder: by the same terms, or by other budgets, confidence or tolerances.

    Exit status as of compare, by the options of the run.
    """
    if confidence is not None and not 0.5 < confidence < 1:
        raise UsageError(f"--confidence: expected a share between 0.5 and 1, got {confidence}")
    path = results / results_file.RESULTS if results.is_dir() else results
    terms = Terms(
        None if budgets is None else find_budgets(budgets, Path.cwd()), confidence, tuple(lens or ())
    )
    measures = create_plugin_manager(plugin or ()).measures()
    result = judge_again(results_file.read(path), path.parent, measures, terms)
    show(result, format_)
    failing = [one.verdict for one in result.scenarios if outcome_of(one, _settings(result)).fails]
    raise typer.Exit(status_of_verdict(worst(failing)) if failing else Status.PASS)


def _settings(result: RunResult) -> GateSettings:
    """Return what the run said of its verdicts; all else is as nobody had said anything."""
    return parse_options(
        lambda option: result.settings.get(option.field) if option.name in _SAID else None, Path.cwd()
    )
