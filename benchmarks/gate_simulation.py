"""How often the gate is wrong: simulated machines, and recorded blocks replayed. Judged by the gate's own code.

    python -m benchmarks.gate_simulation synthetic [--runs 1000] [--json FILE]
    python -m benchmarks.gate_simulation replay benchmarks/results/gate-blocks.jsonl [--runs 2000] [--json FILE]

``synthetic`` takes the machines of :mod:`benchmarks.gate_noise`: false FAIL of an unchanged service on each, with a
block as one observation and, beside it, with each pair of slots taken for one; then the power against planted
slowdowns. ``replay`` takes recorded A/A blocks (:mod:`benchmarks.gate_replay`). Shares are given with exact
one-sided 95 % bounds.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import orjson
import typer
from numpy.typing import NDArray

from benchmarks.gate_effects import EFFECTS, GATES, UNCHANGED, Effect, plant
from benchmarks.gate_noise import MACHINES, Machine, block_rows, pair_rows, slots
from benchmarks.gate_replay import replay as replay_rows
from benchmarks.gate_tally import Tally, markdown
from harness.comparison.decision import judge
from harness.comparison.design import Design, plan_design
from harness.comparison.observation import BlockRow, read_rows

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)

Unit = Callable[[NDArray[np.float64]], list[BlockRow]]
Json = Annotated[Path | None, typer.Option("--json", help="where to write the figures")]


def simulate(
    name: str,
    machine: Machine,
    effect: Effect,
    design: Design,
    runs: int,
    *,
    unit: Unit = block_rows,
    seed: int = 0,
) -> Tally:
    """Judge made-up comparisons of one machine.

    Args:
        name: of the condition.
        machine: its noise.
        effect: planted into head.
        design: in the unit's observations.
        runs: how many.
        unit: what counts as one observation.
        seed: of the noise.
    """
    random, tally = np.random.default_rng(seed), Tally(name)
    observations = 1 if unit is block_rows else machine.pairs
    for _ in range(runs):
        shown = slots(machine, random, design.blocks // observations)
        tally.add(judge([plant(row, effect) for row in unit(shown)], design, GATES))
    return tally


def false_alarms(runs: int, design: Design) -> list[Tally]:
    """Return what an unchanged service comes to on each machine, by blocks."""
    return [simulate(name, machine, UNCHANGED, design, runs) for name, machine in MACHINES.items()]


def by_pairs(runs: int, design: Design) -> list[Tally]:
    """Return the same with each pair of slots taken for an independent observation, where starts have effects."""
    tallies = []
    for name in ("quiet", "start effects 1 %", "start effects 3 %"):
        machine = MACHINES[name]
        pairs = plan_design(GATES, blocks=[look.blocks * machine.pairs for look in design.looks])
        tallies.append(simulate(f"pairs, {name}", machine, UNCHANGED, pairs, runs, unit=pair_rows))
    return tallies


def power(runs: int, design: Design) -> list[Tally]:
    """Return what planted slowdowns come to on a quiet machine and on one with start effects."""
    return [
        simulate(f"{effect_name}, {name}", MACHINES[name], effect, design, runs)
        for name in ("quiet", "start effects 1 %", "start effects 3 %")
        for effect_name, effect in EFFECTS.items()
    ]


@app.command()
def synthetic(
    runs: Annotated[int, typer.Option(min=1, help="comparisons for each condition without a change")] = 1000,
    json: Json = None,
) -> None:
    """Judge comparisons on made-up machines."""
    design = plan_design(GATES)
    parts = {
        "unchanged, by blocks": false_alarms(runs, design),
        "unchanged, by pairs": by_pairs(max(1, runs // 4), design),
        "planted slowdowns": power(max(1, runs // 8), design),
    }
    for title, tallies in parts.items():
        print(f"\n{title}\n\n{markdown(tallies)}", flush=True)
    _write(json, design, parts)


@app.command()
def replay(
    blocks: Annotated[Path, typer.Argument(help="recorded A/A blocks, JSON lines")],
    runs: Annotated[int, typer.Option(min=1, help="windows without a change")] = 2000,
    *,
    join: Annotated[
        bool, typer.Option("--join", help="take recordings that followed each other as one")
    ] = False,
    json: Json = None,
) -> None:
    """Judge windows of recorded blocks."""
    design, rows = plan_design(GATES), read_rows(blocks)
    if join:
        rows = tuple(replace(row, run="") for row in rows)
    tallies = replay_rows(rows, design, unchanged_runs=runs, planted_runs=max(1, runs // 5))
    print(markdown(tallies))
    _write(json, design, {f"replay of {blocks.name}": tallies})


def _write(
    path: Path | None, design: Design, parts: dict[str, Sequence[Tally]] | dict[str, list[Tally]]
) -> None:
    if path is None:
        return
    document = {
        "looks": [look.blocks for look in design.looks],
        "alpha": design.alpha,
        "beta": design.beta,
        **{title: [tally.document() for tally in tallies] for title, tallies in parts.items()},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


if __name__ == "__main__":
    app()
