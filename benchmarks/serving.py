"""tailgate beside its peers and beside its limits: ``make bench``.

    python -m benchmarks.serving [--quick] [--rounds 5] [--seconds 2] [--workload noop] [--server mosec] [--json FILE]

Every server runs on one processor and the client on another. All servers of a workload are started once, and only the
one that is measured runs: the others are stopped by SIGSTOP. For each number of connections there are several rounds;
each round measures every server once, in an order that changes, and a ratio is taken within a round. The full run takes
about 25 minutes, ``--quick`` about 6; the first run installs the peers as well.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from filelock import FileLock, Timeout
from rich.console import Console

from benchmarks import comparison, limits, record, targets
from benchmarks.client import Client, Effort, default_client
from benchmarks.environments import cache
from benchmarks.roster import Entry, roster
from benchmarks.targets import Target
from benchmarks.workloads import WORKLOADS


def run(
    workloads: Sequence[str],
    entries: Sequence[Entry],
    connections: Sequence[int],
    effort: Effort,
    json: Path,
    *,
    with_limits: bool,
) -> None:
    """Measure all that was asked for, print it, and keep it after each step."""
    console = Console(width=140)
    servers = {entry.name: [*entry.requirements, entry.note] for entry in entries}
    document = record.Record("serving", {"effort": effort, "servers": servers}, json)
    cells, absent, judged = comparison.Cells(), dict[str, dict[str, str]](), list[Target]()
    figures: dict[str, Any] = {}
    for workload in workloads:
        found, absent[workload] = comparison.measure_workload(workload, entries, connections, effort)
        cells |= found
        console.print(comparison.table(workload, cells, absent[workload]))
        document.write({"cells": comparison.rows(cells), "absent": absent})
    if with_limits:
        judged, figures = limits.measure(effort)
    judged = [*judged, *comparison.judge(cells)]
    console.print(targets.table(judged))
    document.write(
        {
            "targets": targets.rows(judged),
            "limits": figures,
            "cells": comparison.rows(cells),
            "absent": absent,
        }
    )


def main(  # noqa: PLR0913 - each is an option of the command line
    *,
    quick: Annotated[
        bool, typer.Option("--quick", help="2 rounds of 1 s, no-op and MobileNet, 1 and 64 connections")
    ] = False,
    rounds: Annotated[int | None, typer.Option(help="interleaved rounds; default 5")] = None,
    seconds: Annotated[float | None, typer.Option(help="length of each measurement; default 2")] = None,
    workload: Annotated[
        list[str] | None, typer.Option(help=f"one of {', '.join(WORKLOADS)}; may be repeated")
    ] = None,
    server: Annotated[
        list[str] | None, typer.Option(help="compare tailgate with this one; may be repeated")
    ] = None,
    client: Annotated[Client | None, typer.Option(help="default: wrk where it is installed")] = None,
    with_limits: Annotated[
        bool, typer.Option("--limits/--no-limits", help="the bare model's limits as well")
    ] = True,
    json: Annotated[Path | None, typer.Option(help="where the results go")] = None,
) -> None:
    """Measure tailgate beside its peers and its limits."""
    known = {entry.name: entry for entry in roster()}
    names = [comparison.TAILGATE, *(server or [name for name in known if name != comparison.TAILGATE])]
    unknown = [name for name in names if name not in known] + [
        name for name in workload or () if name not in WORKLOADS
    ]
    if unknown:
        raise typer.BadParameter(f"{unknown[0]!r} is none of {', '.join([*known, *WORKLOADS])}")
    workloads = workload or (["noop", "mobilenet"] if quick else list(WORKLOADS))
    connections = (1, 64) if quick else comparison.CONNECTIONS
    path = json or (cache() / "serving-quick.json" if quick else record.RESULTS / "serving.json")
    effort = Effort(
        rounds or (2 if quick else 5), seconds or (1.0 if quick else 2.0), client or default_client()
    )
    start_s = time.monotonic()
    try:
        with FileLock(cache() / "lock", timeout=0):
            run(
                workloads,
                [known[name] for name in names],
                connections,
                effort,
                path,
                with_limits=with_limits,
            )
    except Timeout:
        raise SystemExit(
            "another benchmark runs in this checkout, and the two would measure each other"
        ) from None
    print(f"written: {path} ({(time.monotonic() - start_s) / 60:.0f} minutes)")


if __name__ == "__main__":
    typer.run(main)
