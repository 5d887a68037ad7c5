"""Slowdowns planted into rows, by multiplying what head shows, for simulating the gate; tests/plants has real ones."""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from harness.comparison.lens import LENSES, Lens
from harness.comparison.observation import BlockRow

Effect = Mapping[str, float]

GATES: tuple[Lens, ...] = tuple(lens for lens in LENSES if lens.gates)


def _all(factor: float) -> Effect:
    return dict.fromkeys(("cpu_s", "p50_s", "p95_s", "p99_s"), factor)


UNCHANGED: Effect = MappingProxyType({})
EFFECTS: Mapping[str, Effect] = MappingProxyType(
    {
        "all +2 %": _all(1.02),
        "all +5 %": _all(1.05),
        "all +10 %": _all(1.10),
        "p95 and p99 +10 %": {"p95_s": 1.10, "p99_s": 1.10},
        "p99 +50 %": {"p99_s": 1.50},
    }
)


def plant(row: BlockRow, effect: Effect) -> BlockRow:
    """Return the block with head's values multiplied; what was not seen stays so.

    With the median go the mean seconds of all stages: an effect on it is one on all requests.
    """
    values = {name: getattr(row.head, name) for name in effect}
    changed: dict[str, Any] = {
        name: value * effect[name] for name, value in values.items() if value is not None
    }
    if "p50_s" in effect and "mean" in row.head.stages_s:
        mean_s = {stage: seconds * effect["p50_s"] for stage, seconds in row.head.stages_s["mean"].items()}
        changed["stages_s"] = {**row.head.stages_s, "mean": mean_s}
    return dataclasses.replace(row, head=dataclasses.replace(row.head, **changed))
