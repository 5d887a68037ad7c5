"""``tailgate report`` and ``tailgate judge``: a run once more from what it kept. Nothing is measured."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import typer
from rich.console import Console

from tailgate.harness.cli import Format, Status
from tailgate.harness.compare.answers.kept import terms_of
from tailgate.harness.errors import MeasurementError
from tailgate.harness.options.reading import parse_options
from tailgate.harness.options.settings import GateSettings
from tailgate.harness.plugins.manager import create_plugin_manager
from tailgate.harness.report import escape, markdown, terminal
from tailgate.harness.report.html import HtmlReporter
from tailgate.harness.results import file as results_file
from tailgate.harness.results import folder
from tailgate.harness.results.run import RunResult
from tailgate.harness.scenario.budgets import find_budgets
from tailgate.harness.session.outcome import failing
from tailgate.harness.session.rejudge import Terms, judge_again

# The options of the run that say what a verdict does.
_SAID = ("inconclusive", "enforce")


def read(results: Path) -> tuple[RunResult, Path]:
    """Read a results file, or that of a folder; return it with its folder."""
    path = results / results_file.RESULTS if results.is_dir() else results
    return results_file.read(path), path.parent


def picture(results: Path) -> Path:
    """Write the HTML report of a run into its folder; return its path."""
    with folder.reading(results if results.is_dir() else results.parent):
        result, directory = read(results)
        try:
            return HtmlReporter().write(result, directory)
        except OSError as error:
            raise MeasurementError(f"cannot write the report into {directory}: {error.strerror}") from error


def show(result: RunResult, form: Format) -> None:
    """Write a result to standard output."""
    if form is Format.MARKDOWN:
        # A runner of CI reads standard output for commands, whatever the format.
        typer.echo(escape.terminal(markdown.render(result)), nl=False)
    else:
        terminal.render(result, Console(highlight=False), terminal.Detail.EVERYTHING)


def judge(results: Path, said: Mapping[str, object], plugins: Sequence[Path], form: Format) -> Status:
    """Judge a run again, and show what it came to; the status is that of a comparison with the options of the run.

    ``said`` are other terms, as text by the names of options; None for those of the run.
    """
    from tailgate.harness.cli.run import STATUSES  # noqa: PLC0415 - loads pytest

    asked = parse_options(lambda option: said.get(option.field), Path.cwd())
    answers = terms_of(asked.answer_tolerance, asked.answer_ignore)
    terms = Terms(
        None if asked.budgets is None else find_budgets(asked.budgets, Path.cwd()),
        asked.confidence if "confidence" in asked.given else None,
        asked.lens,
        answers if answers.options else None,
    )
    measures = create_plugin_manager(plugins).measures()
    with folder.reading(results if results.is_dir() else results.parent):
        result = judge_again(*read(results), measures, terms)
    show(result, form)
    return STATUSES[failing(result, _settings(result))]


def _settings(result: RunResult) -> GateSettings:
    """Return what the run said of its verdicts; all else is as nobody had said anything."""
    return parse_options(
        lambda option: result.settings.get(option.field) if option.name in _SAID else None, Path.cwd()
    )
