"""``tailgate report``: a run's results once more, in another form. Nothing is judged here, nor measured."""

import enum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from tailgate.harness import results_file
from tailgate.harness.report import escape, markdown, terminal
from tailgate.harness.results import RunResult

Results = Annotated[Path, typer.Argument(help="A results.json, or the folder that holds it.")]


class Format(enum.Enum):
    """How a report is written."""

    TERMINAL = "terminal"
    MARKDOWN = "markdown"


FormatOption = Annotated[Format, typer.Option("--format", help="How to write it.")]


def report(results: Results, format_: FormatOption = Format.TERMINAL) -> None:
    """Report a run again, from its results alone."""
    show(results_file.read(results / results_file.RESULTS if results.is_dir() else results), format_)


def show(result: RunResult, form: Format) -> None:
    """Write a result to standard output."""
    if form is Format.MARKDOWN:
        # A runner of CI reads standard output for commands, whatever the format.
        typer.echo(escape.terminal(markdown.render(result)), nl=False)
    else:
        terminal.render(result, Console(highlight=False))
