"""``tailgate samples export``: the raw records of a run as text."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from tailgate.harness.errors import HarnessError
from tailgate.harness.samples import export_csv, read_samples

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _samples() -> None:
    pass


@app.command("export")
def export_samples(
    file: Annotated[Path, typer.Argument(help="A samples.bin.")],
    csv: Annotated[Path | None, typer.Option(help="File to write; default: standard output.")] = None,
) -> None:
    """Write raw records as CSV, one line a request."""
    records = read_samples(file)
    if csv is None:
        export_csv(records, sys.stdout)
        return
    try:
        with csv.open("w", encoding="utf-8", newline="") as stream:
            export_csv(records, stream)
    except OSError as error:
        raise HarnessError(f"cannot write {csv}: {error.strerror}") from error
