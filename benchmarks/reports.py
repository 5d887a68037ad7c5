"""How long a report takes to draw, as every run does at its end, and the command ``tailgate report RUN --html`` beside it.

    python -m benchmarks.reports [RUN] [--rounds 5] [--json FILE]

Once for a made-up run of 1,000,000 requests, and once for a gate's: that of RUN, or a made-up one of four scenarios with 9,000
requests. Each round is a process of its own. The command also starts Python and imports the gate, which a run has done anyway.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import print as show

from benchmarks.environments import ROOT
from benchmarks.record import RESULTS, Json, Record
from benchmarks.spread import Spread, spread
from benchmarks.targets import Sense, Target, rows, table
from tailgate.harness.report.html import REPORT

DRAW = """
import pathlib, sys, time
from tailgate.harness.report.html.page import render
from tailgate.harness.results import file
run = pathlib.Path(sys.argv[1])
began_s = time.monotonic()
(run / "report.html").write_text(render(file.read(run / "results.json"), run), encoding="utf-8")
print(time.monotonic() - began_s)
"""
# Where the tests make up runs.
MADE_UP = [ROOT / "tests" / "harness", ROOT / "tests" / "harness" / "report"]
WANTED_S = {"1,000,000 requests": 5.0, "a run of the gate": 1.0}


def made_up() -> Mapping[str, Callable[[Path], Any]]:
    """Return the kinds of run that the tests make up."""
    sys.path += map(str, MADE_UP)
    from kinds import KINDS  # type: ignore[import-not-found] # noqa: PLC0415 - only now on the path

    kinds: Mapping[str, Callable[[Path], Any]] = KINDS
    return kinds


def drawing(run: Path, rounds: int) -> Spread:
    """Return the seconds that drawing and writing the report of a run takes."""
    return spread(
        [
            float(
                subprocess.run(
                    [sys.executable, "-c", DRAW, str(run)], check=True, capture_output=True, text=True
                ).stdout
            )
            for _ in range(rounds)
        ]
    )


def command(run: Path, rounds: int) -> Spread:
    """Return the seconds of wall time that the command takes, from its start to its end."""
    wall_s = []
    for _ in range(rounds):
        began_s = time.monotonic()
        words = [sys.executable, "-m", "tailgate.harness.cli", "report", str(run), "--html"]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        wall_s.append(time.monotonic() - began_s)
    return spread(wall_s)


def main(
    run: Annotated[
        Path | None, typer.Argument(help="folder of a run of the gate; default: a made-up one")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1)] = 5,
    json: Json = RESULTS / "reports.json",
) -> None:
    """Time reports."""
    record = Record("reports", {"rounds": rounds, "run": "made up" if run is None else run.name}, json)
    judged = []
    with tempfile.TemporaryDirectory() as folder:
        kinds = made_up()
        _, million = kinds["million"](Path(folder) / "million")
        gate = run or kinds["pass"](Path(folder) / "gate")[1]
        for (what, wanted_s), place in zip(WANTED_S.items(), (million, gate), strict=True):
            drawn_s, whole_s = drawing(place, rounds), command(place, rounds)
            note = f"{(place / REPORT).stat().st_size:,} bytes; the command takes {whole_s} s"
            judged.append(Target(f"report of {what}", Sense.AT_MOST, wanted_s, drawn_s, "s", note))
            record.write({"targets": rows(judged)})
    show(table(judged))
    for one in judged:
        print(f"{one.what}: {one.note}")


if __name__ == "__main__":
    typer.run(main)
