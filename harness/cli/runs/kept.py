"""``tailgate report`` and ``tailgate judge``: a run once more from what it kept. Nothing is measured."""

import contextlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson
import typer
from rich.console import Console

from tailgate.harness.cli import Format, Status
from tailgate.harness.cli.runs.newest import find_results
from tailgate.harness.cli.told import as_json
from tailgate.harness.compare.answers.kept import terms_of
from tailgate.harness.errors import BudgetError, MeasurementError
from tailgate.harness.options.reading import parse_options
from tailgate.harness.options.settings import GateSettings
from tailgate.harness.plugins.manager import create_plugin_manager
from tailgate.harness.report import escape, github, markdown, terminal
from tailgate.harness.report.html import HtmlReporter
from tailgate.harness.results import file as results_file
from tailgate.harness.results import folder
from tailgate.harness.results.run import RunResult
from tailgate.harness.scenario.budgets import find_budgets
from tailgate.harness.session.outcome import failing
from tailgate.harness.session.rejudge import Terms, judge_again

# How judging says that Ctrl-C ended a scenario.
BY_A_KEY = "cut short by KeyboardInterrupt"
# The options of the run that say what a verdict does.
_SAID = ("inconclusive", "enforce")


def report(asked: Path | None, form: Format) -> None:
    """Show a run again."""
    path = find_results(asked)
    show(results_file.read(path), path.parent, form)


def picture(asked: Path | None) -> Path:
    """Write the HTML report of a run into its folder; return its path."""
    path = find_results(asked)
    with folder.reading(path.parent):
        result = results_file.read(path)
        _say_cut_short(result, path.parent)
        try:
            return HtmlReporter().write(result, path.parent)
        except OSError as error:
            raise MeasurementError(f"cannot write the report into {path.parent}: {error.strerror}") from error


def show(result: RunResult, directory: Path, form: Format) -> None:
    """Write a result to standard output; that it was cut short goes to standard error, or stands in the JSON."""
    if form is Format.JSON:
        as_json(run=result, directory=str(directory), cut_short=cut_short(result, directory) or None)
        return
    _say_cut_short(result, directory)
    if form is Format.MARKDOWN:
        # A runner of CI reads standard output for commands, whatever the format.
        typer.echo(escape.terminal(markdown.render(result)), nl=False)
    elif form is Format.GITHUB:
        for line in github.annotations(
            result, _budgets_of(result), Path(os.environ.get("GITHUB_WORKSPACE", "."))
        ):
            typer.echo(line)
    elif form is Format.BADGE:
        typer.echo(orjson.dumps(github.badge(result)))
    else:
        terminal.render(result, Console(highlight=False), terminal.Detail.EVERYTHING)


def _budgets_of(result: RunResult) -> Path | None:
    """Return the file of a run's budgets, as seen from here; None where there is none, or it is none any longer."""
    given = result.settings.get("budgets")
    with contextlib.suppress(BudgetError):
        return find_budgets(None if given is None else Path(str(given)), Path.cwd()).source
    return None


def cut_short(result: RunResult, directory: Path) -> str:
    """Return how much of a run was measured before it ended, or so far; empty for a whole one."""
    done, planned = len(result.scenarios), result.planned or 0
    by_a_key = [
        one.name for one in result.scenarios if any(fault.text.startswith(BY_A_KEY) for fault in one.faults)
    ]
    if done >= planned and not by_a_key:
        return ""
    why = f"was interrupted (Ctrl-C) in scenario {by_a_key[0]}" if by_a_key else "was cut short"
    if folder.in_use(directory.parent) and directory.name == folder.runs(directory.parent)[-1].name:
        why = "is still going on"
    return f"{why}: {done} of {max(done, planned)} scenarios are in the results"


def _say_cut_short(result: RunResult, directory: Path) -> None:
    if said := cut_short(result, directory):
        typer.echo(escape.terminal(f"run {result.run_id} {said}"), err=True)


def judge(asked: Path | None, said: Mapping[str, object], plugins: Sequence[Path], form: Format) -> Status:
    """Judge a run again, and show what it came to; the status is that of a comparison with the options of the run.

    ``said`` are other terms, as text by the names of options; None for those of the run.
    """
    from tailgate.harness.cli.run import STATUSES  # noqa: PLC0415 - loads pytest

    path = find_results(asked)
    options = parse_options(lambda option: said.get(option.field), Path.cwd())
    answers = terms_of(options.answer_tolerance, options.answer_ignore)
    terms = Terms(
        None if options.budgets is None else find_budgets(options.budgets, Path.cwd()),
        options.confidence if "confidence" in options.given else None,
        options.lens,
        answers if answers.options else None,
    )
    measures = create_plugin_manager(plugins).measures()
    with folder.reading(path.parent):
        result = judge_again(results_file.read(path), path.parent, measures, terms)
    show(result, path.parent, form)
    return STATUSES[failing(result, _settings(result))]


def _settings(result: RunResult) -> GateSettings:
    """Return what the run said of its verdicts; all else is as nobody had said anything."""
    return parse_options(
        lambda option: result.settings.get(option.field) if option.name in _SAID else None, Path.cwd()
    )
