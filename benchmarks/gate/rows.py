"""Recorded blocks as they are kept, and what the commands about them refuse."""

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson
import typer

from tailgate import HarnessError
from tailgate.harness.compare.blocks.row import ArmRow, BlockRow, to_json
from tailgate.harness.results.ledger import append_line

DIGITS = 6
REFUSED = 2


@contextlib.contextmanager
def refusing() -> Iterator[None]:
    """Print an error of the harness as one sentence, and end the program with status 2."""
    try:
        yield
    except HarnessError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(REFUSED) from error


def append(rows: Iterable[BlockRow], run: str, path: Path) -> None:
    """Append blocks under a label, without their stages and with six digits.

    ``{}`` in the label stands for a block's own run.
    """
    for row in rows:
        kept = dataclasses.replace(small(row), run=run.format(row.run))
        append_line(orjson.dumps(to_json(kept)), path)


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


def swapped(row: BlockRow) -> BlockRow:
    """Return the block with its arms' names exchanged."""
    order = row.order.translate(str.maketrans("bh", "hb"))
    return dataclasses.replace(row, base=row.head, head=row.base, order=order)
