"""``tailgate history``: the runs that a folder of results remembers, also those whose own folders are gone."""

from pathlib import Path

from rich.console import Console

from tailgate.harness.cli.runs.newest import output_folder
from tailgate.harness.cli.told import as_json as tell
from tailgate.harness.errors import UsageError
from tailgate.harness.report.history import grouped, render
from tailgate.harness.results.history import HISTORY, read


def history(
    folder: Path | None, scenario: str | None, branch: str | None, last: int, *, as_json: bool
) -> None:
    """Print the history of a folder; where none is named, of the nearest one."""
    path = (folder or output_folder()) / HISTORY
    if folder is not None and folder.name == HISTORY:
        path = folder
    entries = read(path)
    groups = grouped(entries, scenario, branch)
    if as_json:
        tell(groups=groups)
        return
    if not groups:
        chosen = [
            f"{name} {value!r}" for name, value in (("scenario", scenario), ("branch", branch)) if value
        ]
        raise UsageError(
            f"no run of {' and '.join(chosen)} is among the {len(entries)} in {path}"
            if entries
            else f"there is no history in {path.parent}: tailgate run and tailgate compare write a line per run"
        )
    render(groups, Console(highlight=False), last)
