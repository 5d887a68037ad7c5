"""Blocks as small as many of them can be kept: without stages, with six digits."""

import dataclasses
from collections.abc import Iterable
from typing import Any

from harness.comparison.observation import ArmRow, BlockRow

DIGITS = 6


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
