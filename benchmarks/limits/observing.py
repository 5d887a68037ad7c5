"""What ids, the access log and traces cost a request: processor time with a model that does nothing, beside another revision.

    python -m benchmarks.limits.observing [--base REVISION] [--rounds 9] [--requests 20000] [--json FILE]

Each round runs each variant once, in a random order, each in a process of its own (:mod:`benchmarks.limits.request_cost`).
``loop`` is the processor time of the event loop's thread. ``process`` has the threads that write the log and make spans, too.
The log goes to ``/dev/null``. The requests wait now and then until all spans are made, so that none is dropped.
"""

import os
import random
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.table import Table

from benchmarks import record, targets
from benchmarks.environments import ROOT
from benchmarks.limits.startup import checkout
from benchmarks.serving.client import Rounds
from benchmarks.spread import Spread, spread
from benchmarks.targets import Sense, Target

SCRIPT = ROOT / "benchmarks" / "limits" / "request_cost.py"
TRACE = "traceparent: 00-{{0:032x}}-{{0:016x}}-{}\r\n"
# A header line of each request, with its number in it, and the service's settings.
VARIANTS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "plain": ("", {}),
    "ids": ("X-Request-ID: {:032x}\r\n", {}),
    "trace ids": (TRACE.format("01"), {}),
    "access log, 1 %": ("", {"access_log": 0.01}),
    "access log, all": ("", {"access_log": 1.0}),
    "traces, none kept": (TRACE.format("00"), {"traces": True}),
    "traces, all kept": (TRACE.format("01"), {"traces": True}),
}
PLAIN, BASE = "plain", "plain, base"
MOST_OFF_US = 1.0
KEYS = ("loop_us", "process_us")
Found = Mapping[str, list[dict[str, float]]]


def measured(folder: Path, variant: str, requests: int) -> dict[str, float]:
    """Return what a request costs in a revision's folder."""
    line, settings = VARIANTS[variant]
    command = [sys.executable, str(SCRIPT), line, orjson.dumps(settings).decode(), str(requests)]
    environment = os.environ | {"PYTHONPATH": str(folder)}
    done = subprocess.run(
        command, cwd=folder, env=environment, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    spent: dict[str, float] = orjson.loads(done.stdout)
    return spent


def measure(base: Path, rounds: int, requests: int) -> Found:
    """Return what a request costs, by variant and round."""
    names = [BASE, *VARIANTS]
    found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    order = random.Random(0)
    for number in range(rounds):
        for name in order.sample(names, len(names)):
            side, variant = (base, PLAIN) if name == BASE else (ROOT, name)
            found[name].append(measured(side, variant, requests))
        print(f"observing: round {number + 1} of {rounds} done", flush=True)
    return found


def beyond(found: Found, name: str, than: str, key: str) -> Spread:
    """Return what one variant costs beyond another, round by round."""
    return spread([one[key] - other[key] for one, other in zip(found[name], found[than], strict=True)])


def judge(found: Found) -> list[Target]:
    """Return the target."""
    off = beyond(found, PLAIN, BASE, "process_us")
    return [Target("log and traces off, beyond the base", Sense.AT_MOST, MOST_OFF_US, off, "µs")]


def costs(found: Found) -> dict[str, dict[str, Spread]]:
    """Return what each variant costs: beyond the plain one, and the plain one itself."""
    table = {name: {key: beyond(found, name, PLAIN, key) for key in KEYS} for name in found if name != PLAIN}
    return {PLAIN: {key: spread([one[key] for one in found[PLAIN]]) for key in KEYS}} | table


def shown(found: Found) -> Table:
    """Return the costs for a terminal."""
    table = Table(
        title="µs of processor per request; all but the first beyond the first: median (least to most)"
    )
    for heading in ("", "event loop", "process"):
        table.add_column(heading)
    for name, cost in costs(found).items():
        table.add_row(name, *map(str, cost.values()))
    return table


def main(
    base: Annotated[
        str, typer.Option(help="the revision beside which the working tree is measured")
    ] = "HEAD",
    rounds: Rounds = 9,
    requests: Annotated[int, typer.Option(help="of each variant in each round")] = 20_000,
    json: record.Json = record.RESULTS / "observing.json",
) -> None:
    """Measure what ids, the access log and traces cost a request."""
    document = record.Record("observing", {"base": base, "rounds": rounds, "requests": requests}, json)
    with checkout(base) as folder:
        found = measure(folder, rounds, requests)
    judged = judge(found)
    document.write({"targets": targets.rows(judged), "costs": costs(found), "rounds": found})
    for table in (targets.table(judged), shown(found)):
        Console(width=120).print(table)
    print(f"written: {json}")


if __name__ == "__main__":
    typer.run(main)
