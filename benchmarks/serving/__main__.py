"""tailgate beside its peers and beside its limits: ``make bench``.

    python -m benchmarks.serving [--quick] [--rounds 5] [--seconds 2] [--workload noop] [--server mosec] [--json FILE]

Every server runs on one processor and the client on another. All servers of a workload are started once, and only the
measured one runs; SIGSTOP holds the others. For each number of connections there are several rounds. A round measures
every server once, in a random order, and a ratio is taken within a round. The full run takes about 25 minutes,
``--quick`` about 6; the first run installs the peers as well.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from benchmarks import record, targets
from benchmarks.environments import alone, cache
from benchmarks.limits import __main__ as limits
from benchmarks.serving import comparison
from benchmarks.serving.client import ClientOption, Effort, default_client
from benchmarks.serving.roster import ROSTER, Entry, entries
from benchmarks.targets import Target
from benchmarks.workloads import WORKLOADS


def run(
    workloads: Sequence[str],
    servers: Sequence[Entry],
    connections: Sequence[int],
    effort: Effort,
    json: Path,
    *,
    with_limits: bool,
) -> None:
    """Measure everything, print it, and write the results after each workload."""
    console = Console(width=140)
    notes = {entry.name: [*entry.requirements, entry.note] for entry in servers}
    document = record.Record("serving", {"effort": effort, "servers": notes}, json)
    cells, absent = comparison.Cells(), dict[str, dict[str, str]]()
    results: dict[str, Any] = {}
    for workload in workloads:
        found, absent[workload] = comparison.measure_workload(workload, servers, connections, effort)
        cells |= found
        console.print(comparison.table(workload, cells, absent[workload]))
        results = {"cells": comparison.rows(cells), "absent": absent}
        document.write(results)
    judged, figures = limits.measure(effort) if with_limits else (list[Target](), {})
    judged += comparison.judge(cells)
    console.print(targets.table(judged))
    document.write({"targets": targets.rows(judged), "limits": figures, **results})


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
    client: ClientOption = None,
    with_limits: Annotated[
        bool, typer.Option("--limits/--no-limits", help="the bare model's limits as well")
    ] = True,
    json: Annotated[Path | None, typer.Option(help="where the results go")] = None,
) -> None:
    """Measure tailgate beside its peers and its limits."""
    servers = entries(["tailgate", *server]) if server else ROSTER
    if unknown := [name for name in workload or () if name not in WORKLOADS]:
        raise typer.BadParameter(f"there is no workload {unknown[0]!r}; there are {', '.join(WORKLOADS)}")
    workloads = workload or (["noop", "mobilenet"] if quick else list(WORKLOADS))
    connections = (1, 64) if quick else comparison.CONNECTIONS
    path = json or (cache() / "serving-quick.json" if quick else record.RESULTS / "serving.json")
    effort = Effort(
        rounds or (2 if quick else 5), seconds or (1.0 if quick else 2.0), client or default_client()
    )
    start_s = time.monotonic()
    with alone():
        run(workloads, servers, connections, effort, path, with_limits=with_limits)
    print(f"written: {path} ({(time.monotonic() - start_s) / 60:.0f} minutes)")


if __name__ == "__main__":
    typer.run(main)
