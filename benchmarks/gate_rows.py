"""What the programs about recorded blocks share: blocks as small as many can be kept, and refusals without a traceback."""

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

import typer

from tailgate.harness.compare.blocks.row import ArmRow, BlockRow
from tailgate.harness.errors import HarnessError

DIGITS = 6
REFUSED = 2


@contextlib.contextmanager
def refusing() -> Iterator[None]:
    """Say what cannot be done in one sentence, and end the program with status 2."""
    try:
        yield
    except HarnessError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(REFUSED) from error


def small(row: BlockRow) -> BlockRow:
    """Return a block without its stages and with six digits."""
    changes: dict[str, Any] = _rounded(row, ("load_s", "wall_s", "steal_share", "cpu_pressure_share"))
    for arm in ("base", "head"):
        shown: ArmRow = getattr(row, arm)
        names = [one.name for one in dataclasses.fields(shown) if one.name not in {"requests", "failed"}]
        changes[arm] = dataclasses.replace(shown, **{**_rounded(shown, names), "stages_s": {}})
    return dataclasses.replace(row, **changes)


def _rounded(row: object, names: Iterable[str]) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in names}
    return {name: float(f"{value:.{DIGITS}g}") for name, value in values.items() if isinstance(value, float)}
