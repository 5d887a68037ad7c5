"""Slowdowns planted into recorded or made-up blocks, by multiplying head's values; tests/plants has real ones."""

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from tailgate.harness.compare.blocks.row import BlockRow
from tailgate.harness.compare.lens import LENSES
from tailgate.harness.results.comparison import Lens

Effect = Mapping[str, float]

FIELDS = ("cpu_s", "p50_s", "p95_s", "p99_s")
GATES: tuple[Lens, ...] = tuple(lens for lens in LENSES if lens.gates)
UNCHANGED: Effect = MappingProxyType({})
EFFECTS: Mapping[str, Effect] = MappingProxyType(
    {
        "all +2 %": dict.fromkeys(FIELDS, 1.02),
        "all +5 %": dict.fromkeys(FIELDS, 1.05),
        "all +10 %": dict.fromkeys(FIELDS, 1.10),
        "cpu, p50 and p95 +5 %": dict.fromkeys(("cpu_s", "p50_s", "p95_s"), 1.05),
        "p95 and p99 +10 %": {"p95_s": 1.10, "p99_s": 1.10},
        "p99 +50 %": {"p99_s": 1.50},
    }
)


def measured(rows: Sequence[BlockRow], case: str) -> Effect | None:
    """Return the median ratio of head to base over the blocks of a planted case; None where there is none.

    ``run`` of the case's rows begins with its name, as :mod:`benchmarks.gate.proofs` writes it.
    """
    of_case = [row for row in rows if row.void is None and row.run.split(" ")[0] == case]
    found = {}
    for name in (*FIELDS, "mean_s"):
        arms = [(getattr(row.base, name), getattr(row.head, name)) for row in of_case]
        ratios = [head / base for base, head in arms if base and head and math.isfinite(base + head)]
        if ratios:
            found[name] = statistics.median(ratios)
    return found or None


def plant(row: BlockRow, effect: Effect) -> BlockRow:
    """Return the block with head's values multiplied; a missing value stays missing.

    An effect on the median is one on all requests: it applies to the mean, unless the effect names one, and to the mean
    seconds of all stages.
    """
    if "p50_s" in effect:
        effect = {"mean_s": effect["p50_s"], **effect}
    changed: dict[str, Any] = {
        name: value * factor
        for name, factor in effect.items()
        if (value := getattr(row.head, name)) is not None
    }
    if "p50_s" in effect and "mean" in row.head.stages_s:
        mean_s = {stage: seconds * effect["p50_s"] for stage, seconds in row.head.stages_s["mean"].items()}
        changed["stages_s"] = {**row.head.stages_s, "mean": mean_s}
    return dataclasses.replace(row, head=dataclasses.replace(row.head, **changed))
