"""How often the gate is wrong: simulated machines, and recorded blocks replayed. Judged by the gate's own code.

    python -m benchmarks.gate_simulation synthetic [--calibration FILE] [--quick] [--json FILE]
    python -m benchmarks.gate_simulation replay [benchmarks/results/gate-recording.jsonl] [--quick] [--json FILE]

``synthetic`` takes a made-up machine (:mod:`benchmarks.gate_noise`), as quiet as a real one and with each disturbance:
false FAIL of an unchanged service, with a block as one observation and, beside it, with each pair taken for one;
then the power against planted slowdowns. ``replay`` takes a recording of unchanged code (:mod:`benchmarks.gate_replay`):
as it is, with each disturbance added, and with planted slowdowns, one of them as large as a real tail was.
Shares are given with exact one-sided 95 % bounds.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import orjson
import typer

from benchmarks.gate_disturbance import Array
from benchmarks.gate_effects import EFFECTS, GATES, Effect, measured, plant
from benchmarks.gate_noise import Machine, block_rows, calibrated, disturbed, pair_rows, shown_by_pairs
from benchmarks.gate_replay import replay as replay_rows
from benchmarks.gate_rows import refusing
from benchmarks.gate_tally import Tally, markdown, worst
from benchmarks.record import RESULTS
from tailgate.harness.compare.blocks.row import BlockRow, read_rows
from tailgate.harness.compare.decision.decision import judge
from tailgate.harness.compare.decision.design import plan_design
from tailgate.harness.results.comparison import Design

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)

RECORDING, PLANTED = RESULTS / "gate-recording.jsonl", RESULTS / "gate-blocks-planted.jsonl"
# What the first session of the recording came to.
CALIBRATION = RESULTS / "gate-calibration.json"
# With 20,000 runs a rate of 0.5 % is known to 0.1 %, so that 1 % can be told from it.
RUNS, QUICK_RUNS = 20_000, 400
# The work of a tail: 1 request in 50 takes 50 ms more (benchmarks/gate_cases.py).
TAIL_CASE = "stall"

Unit = Callable[[Array, Machine], list[BlockRow]]
Parts = Mapping[str, Sequence[Tally]]
Runs = Annotated[int, typer.Option(min=1, help="comparisons for each condition without a change")]
Quick = Annotated[bool, typer.Option("--quick", help=f"{QUICK_RUNS} of them: a look, no proof")]
Json = Annotated[Path | None, typer.Option("--json", help="where to write the figures")]


@dataclass(frozen=True, slots=True)
class Condition:
    """What is simulated.

    Attributes:
        name: of the condition.
        machine: its noise.
        effect: planted into head.
        design: in the unit's observations.
        runs: how many comparisons.
        unit: what counts as one observation.
        seed: of the noise.
    """

    name: str
    machine: Machine
    effect: Effect
    design: Design
    runs: int
    unit: Unit = block_rows
    seed: int = 0


def simulate(condition: Condition) -> Tally:
    """Judge made-up comparisons under one condition."""
    machine, unit = condition.machine, condition.unit
    random, tally = np.random.default_rng(condition.seed), Tally(condition.name)
    blocks = condition.design.blocks // (1 if unit is block_rows else machine.pairs)
    for _ in range(condition.runs):
        rows = unit(shown_by_pairs(machine, random, blocks), machine)
        tally.add(judge([plant(row, condition.effect) for row in rows], condition.design, GATES))
    return tally


def conditions(machine: Machine, runs: int, design: Design) -> dict[str, list[Condition]]:
    """Return everything that is simulated, by part."""
    machines = disturbed(machine)
    pairs = plan_design(GATES, blocks=[look.blocks * machine.pairs for look in design.looks])
    starts = ("quiet", "start effects 1 %", "start effects 3 %")
    return {
        "unchanged, by blocks": [Condition(name, one, {}, design, runs) for name, one in machines.items()],
        "unchanged, by pairs": [
            Condition(f"pairs, {name}", machines[name], {}, pairs, runs, unit=pair_rows) for name in starts
        ],
        "planted slowdowns": [
            Condition(f"{planted}, {name}", machines[name], dict(effect), design, max(1, runs // 20))
            for name in starts
            for planted, effect in EFFECTS.items()
        ],
    }


@app.command()
def synthetic(
    runs: Runs = RUNS,
    calibration: Annotated[
        Path, typer.Option(help="calibration.json of tailgate calibrate, for the machine's noise")
    ] = CALIBRATION,
    jobs: Annotated[int, typer.Option(min=1, help="processes")] = 1,
    *,
    quick: Quick = False,
    json: Json = None,
) -> None:
    """Judge comparisons on made-up machines; 20,000 runs take some 6 minutes of processor time."""
    with refusing():
        machine = calibrated(calibration)
    design = plan_design(GATES)
    print(f"Noise of a block: {machine.noise} in cpu, p50, p95, p99, from {machine.origin}.")
    parts: dict[str, list[Tally]] = {}
    with ProcessPoolExecutor(jobs) as pool:
        for title, asked in conditions(machine, QUICK_RUNS if quick else runs, design).items():
            parts[title] = list(pool.map(simulate, asked))
            _print(title, parts[title])
    _write(json, design, parts, {"noise": machine.noise, "origin": machine.origin})


@app.command()
def replay(
    blocks: Annotated[Path, typer.Argument(help="recorded A/A blocks, JSON lines")] = RECORDING,
    runs: Runs = RUNS,
    planted: Annotated[
        Path, typer.Option(help="blocks with planted code, which tell how large a tail is")
    ] = PLANTED,
    *,
    join: Annotated[
        bool,
        typer.Option(
            "--join", help="take recordings that followed each other as one; see benchmarks/README.md"
        ),
    ] = False,
    quick: Quick = False,
    json: Json = None,
) -> None:
    """Judge windows of recorded blocks."""
    with refusing():
        design, rows = plan_design(GATES), read_rows(blocks)
        if join:
            rows = tuple(replace(row, run="") for row in rows)
        tail = measured(read_rows(planted), TAIL_CASE) if planted.exists() else None
        effects = EFFECTS if tail is None else {**EFFECTS, f"`{TAIL_CASE}` as measured": tail}
        parts = replay_rows(rows, design, runs=QUICK_RUNS if quick else runs, effects=effects)
    for title, tallies in parts.items():
        _print(title, tallies)
    if tail is None:
        print(f"\nNo block of {TAIL_CASE!r} in {planted}: its tail as measured is not planted.")
    _write(json, design, parts, {"recording": blocks.name, "blocks": len(rows), "joined": join})


def _print(title: str, tallies: Sequence[Tally]) -> None:
    print(f"\n{title}\n\n{markdown(tallies)}", flush=True)
    if title.startswith("unchanged"):
        print(f"\n{worst(tallies)}", flush=True)


def _write(path: Path | None, design: Design, parts: Parts, about: Mapping[str, object]) -> None:
    if path is None:
        return
    document = {
        "looks": [look.blocks for look in design.looks],
        "alpha": design.alpha,
        "beta": design.beta,
        **about,
        **{title: [tally.document() for tally in tallies] for title, tallies in parts.items()},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


if __name__ == "__main__":
    app()
