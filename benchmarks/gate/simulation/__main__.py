"""How often the gate is wrong: made-up machines, and recorded blocks replayed. Judged by the gate's own code.

    python -m benchmarks.gate.simulation synthetic [--calibration FILE] [--quick] [--json FILE]
    python -m benchmarks.gate.simulation replay [benchmarks/results/gate-recording.jsonl] [--quick] [--json FILE]

``synthetic`` takes a made-up machine, as quiet as a real one and with each disturbance: false FAIL of an unchanged
service, with a block as one observation and with each pair as one, then the power against planted slowdowns. ``replay``
takes a recording of unchanged code: as it is, with each disturbance added, and with planted slowdowns, one of them as
large as a real tail was. Shares have exact one-sided 95 % bounds.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Annotated

import orjson
import typer

from benchmarks.gate.rows import refusing
from benchmarks.gate.simulation.effects import EFFECTS, GATES, measured
from benchmarks.gate.simulation.machines import calibrated
from benchmarks.gate.simulation.replay import RECORDING
from benchmarks.gate.simulation.replay import replay as replay_rows
from benchmarks.gate.simulation.synthetic import conditions, simulate
from benchmarks.gate.simulation.tally import Tally, markdown, worst
from benchmarks.record import RESULTS
from tailgate.harness.compare.blocks.row import read_rows
from tailgate.harness.compare.decision.design import plan_design
from tailgate.harness.results.comparison import Design

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)

PLANTED = RESULTS / "gate-blocks-planted.jsonl"
CALIBRATION = RESULTS / "gate-calibration.json"  # of the recording's first session
# With 20,000 runs a rate of 0.5 % is known to 0.1 %, so that 1 % can be told from it.
RUNS, QUICK_RUNS = 20_000, 400
# The work of a tail: 1 request in 50 takes 50 ms more.
TAIL_CASE = "stall"

Runs = Annotated[int, typer.Option(min=1, help="comparisons for each condition without a change")]
Quick = Annotated[bool, typer.Option("--quick", help=f"{QUICK_RUNS} of them: a look, no proof")]
Json = Annotated[Path | None, typer.Option("--json", help="where the figures go")]


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
        Path, typer.Option(help="blocks with planted code, which show how large a tail is")
    ] = PLANTED,
    *,
    quick: Quick = False,
    json: Json = None,
) -> None:
    """Judge windows of recorded blocks."""
    with refusing():
        design, rows = plan_design(GATES), read_rows(blocks)
        tail = measured(read_rows(planted), TAIL_CASE) if planted.exists() else None
        effects = EFFECTS if tail is None else {**EFFECTS, f"`{TAIL_CASE}` as measured": tail}
        parts = replay_rows(rows, design, runs=QUICK_RUNS if quick else runs, effects=effects)
    for title, tallies in parts.items():
        _print(title, tallies)
    if tail is None:
        print(f"\nNo block of {TAIL_CASE!r} in {planted}: its tail as measured is not planted.")
    _write(json, design, parts, {"recording": blocks.name, "blocks": len(rows)})


def _print(title: str, tallies: Sequence[Tally]) -> None:
    rows = [tally.document() for tally in tallies]
    print(f"\n{title}\n\n{markdown(rows)}", flush=True)
    if title.startswith("unchanged"):
        print(f"\n{worst(rows)}", flush=True)


def _write(
    path: Path | None, design: Design, parts: Mapping[str, Sequence[Tally]], about: Mapping[str, object]
) -> None:
    if path is None:
        return
    looks = [look.blocks for look in design.looks]
    figures = {title: [tally.document() for tally in tallies] for title, tallies in parts.items()}
    document = {"looks": looks, "alpha": design.alpha, "beta": design.beta, **about, **figures}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


if __name__ == "__main__":
    app()
