"""``tailgate report``: a run's results once more, in another form. Nothing is judged here, nor measured."""

from pathlib import Path

import typer
from rich.console import Console

from tailgate.harness.cli.form import Format
from tailgate.harness.report import escape, markdown, terminal
from tailgate.harness.results import file as results_file
from tailgate.harness.results.run import RunResult


def report(results: Path, form: Format) -> None:
    """Report a run again, from its results file or the folder that holds it."""
    show(results_file.read(results / results_file.RESULTS if results.is_dir() else results), form)


def show(result: RunResult, form: Format) -> None:
    """Write a result to standard output."""
    if form is Format.MARKDOWN:
        # A runner of CI reads standard output for commands, whatever the format.
        typer.echo(escape.terminal(markdown.render(result)), nl=False)
    else:
        terminal.render(result, Console(highlight=False))
