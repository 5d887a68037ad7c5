"""Comparisons on made-up machines: unchanged code and planted slowdowns, by blocks and by pairs."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.gate.simulation.disturbances import Array
from benchmarks.gate.simulation.effects import EFFECTS, GATES, Effect, plant
from benchmarks.gate.simulation.machines import Machine, block_rows, disturbed, pair_rows, shown_by_pairs
from benchmarks.gate.simulation.tally import Tally
from tailgate.harness.compare.blocks.row import BlockRow
from tailgate.harness.compare.decision.decision import judge
from tailgate.harness.compare.decision.design import plan_design
from tailgate.harness.results.comparison import Design

STARTS = ("quiet", "start effects 1 %", "start effects 3 %")


@dataclass(frozen=True, slots=True)
class Condition:
    """A machine, an effect planted into head, and a number of comparisons of one design.

    ``unit`` is what counts as one observation: :func:`block_rows` or :func:`pair_rows`.
    """

    name: str
    machine: Machine
    effect: Effect
    design: Design
    runs: int
    unit: Callable[[Array, Machine], list[BlockRow]] = block_rows


def simulate(condition: Condition) -> Tally:
    """Judge made-up comparisons under one condition."""
    machine, unit = condition.machine, condition.unit
    random, tally = np.random.default_rng(0), Tally(condition.name)
    blocks = condition.design.blocks // (1 if unit is block_rows else machine.pairs)
    for _ in range(condition.runs):
        rows = unit(shown_by_pairs(machine, random, blocks), machine)
        tally.add(judge([plant(row, condition.effect) for row in rows], condition.design, GATES))
    return tally


def conditions(machine: Machine, runs: int, design: Design) -> dict[str, list[Condition]]:
    """Return every condition, by part."""
    machines = disturbed(machine)
    pairs = plan_design(GATES, blocks=[look.blocks * machine.pairs for look in design.looks])
    return {
        "unchanged, by blocks": [Condition(name, one, {}, design, runs) for name, one in machines.items()],
        "unchanged, by pairs": [
            Condition(f"pairs, {name}", machines[name], {}, pairs, runs, pair_rows) for name in STARTS
        ],
        "planted slowdowns": [
            Condition(f"{planted}, {name}", machines[name], effect, design, max(1, runs // 20))
            for name in STARTS
            for planted, effect in EFFECTS.items()
        ],
    }
