"""``tailgate judge``: a comparison judged again from its blocks as they were kept. Nothing is measured."""

from pathlib import Path
from typing import Annotated

import typer

from harness import results_file
from harness.cli.report import Format, FormatOption, Results, show
from harness.cli.run import Status, status_of_verdict
from harness.comparison.rejudge import rejudged
from harness.gate_settings import GateSettings, parse_options
from harness.outcome import outcome_of
from harness.results import RunResult
from harness.verdict import worst

# The options of the run that say what a verdict does.
_SAID = ("inconclusive", "enforce")

LensSettings = Annotated[
    list[str] | None,
    typer.Option("--lens", help="p95=8%, p95.margin=1%, memory=gate or p99=report; may be repeated."),
]


def judge(results: Results, lens: LensSettings = None, format_: FormatOption = Format.TERMINAL) -> None:
    """Judge a comparison again, with the same design, and with other tolerances where they are given.

    Exit status as of compare, by the options of the run.
    """
    path = results / results_file.RESULTS if results.is_dir() else results
    result = rejudged(results_file.read(path), path.parent, tuple(lens or ()))
    show(result, format_)
    failing = [one.verdict for one in result.scenarios if outcome_of(one, _settings(result)).fails]
    raise typer.Exit(status_of_verdict(worst(failing)) if failing else Status.PASS)


def _settings(result: RunResult) -> GateSettings:
    """Return what the run said of its verdicts; all else is as nobody had said anything."""
    return parse_options(
        lambda option: result.settings.get(option.field) if option.name in _SAID else None, Path.cwd()
    )
