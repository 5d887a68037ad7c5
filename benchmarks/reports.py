"""How long a report takes: ``tailgate report RUN --html``, as somebody waits for it.

    python -m benchmarks.reports [RUN] [--rounds 5] [--json FILE]

Once for a made-up run of 1,000,000 requests, and once for a gate's: that of RUN, or a made-up one of four scenarios with 9,000
requests. Each round is a process of its own, from its start to its end.
"""

import resource
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

# Where the tests make up runs.
MADE_UP = [ROOT / "tests" / "harness", ROOT / "tests" / "harness" / "report"]
WANTED_S = {"1,000,000 requests": 5.0, "a run of the gate": 1.0}


def made_up() -> Mapping[str, Callable[[Path], Any]]:
    """Return the kinds of run that the tests make up."""
    sys.path += map(str, MADE_UP)
    from kinds import KINDS  # type: ignore[import-not-found] # noqa: PLC0415 - only now on the path

    kinds: Mapping[str, Callable[[Path], Any]] = KINDS
    return kinds


def times(run: Path, rounds: int) -> tuple[Spread, Spread, int]:
    """Return the seconds of wall time and of processor time that the report of a run takes, and its bytes."""
    wall_s, cpu_s = [], []
    for _ in range(rounds):
        before, began_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        command = [sys.executable, "-m", "tailgate.harness.cli", "report", str(run), "--html"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        wall_s.append(time.monotonic() - began_s)
        cpu_s.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return spread(wall_s), spread(cpu_s), (run / REPORT).stat().st_size


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
            wall_s, cpu_s, size = times(place, rounds)
            note = f"{cpu_s} s of processor time, {size:,} bytes"
            judged.append(Target(f"report of {what}", Sense.AT_MOST, wanted_s, wall_s, "s", note))
            record.write({"targets": rows(judged)})
    show(table(judged))
    for one in judged:
        print(f"{one.what}: {one.note}")


if __name__ == "__main__":
    typer.run(main)
