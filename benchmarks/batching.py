"""What batching buys: the service at a batch cap of 32 over a cap of 1, beside the bare model's own ratio.

    python -m benchmarks.batching [--rounds 5] [--seconds 3] [--json FILE]

The load saturates: 64 connections, each with its next request at once. In each round all of these run one after the
other, in an order that changes: cap 1 and cap 32 on one processor with the client on another, both again without
pinning, and the bare model at batches of 1 and 32. A ratio is taken within a round.
"""

import random
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from benchmarks import record, workloads
from benchmarks.bare import Bare
from benchmarks.client import Client, Effort, Figures, default_client
from benchmarks.compiling import Executor, executor_of
from benchmarks.fleet import Fleet, Slot
from benchmarks.pinning import both, client_processor, server_processor
from benchmarks.roster import roster
from benchmarks.scrape import batch_sizes, histogram
from benchmarks.spread import Spread, ratio, spread
from benchmarks.workloads import Workload

CONNECTIONS = 64
CAPS = (1, workloads.CAP)
PINNINGS = ("pinned", "unpinned")
TARGET_RATIO = 3.0
TARGET_SHARE = 0.8


def slots(workload: Workload) -> list[Slot]:
    """Return the four servers: each cap, on one processor and on both."""
    tailgate = roster()[0]
    return [
        Slot(
            f"{pinning} cap {cap}",
            tailgate,
            workload,
            str(server_processor()) if pinning == "pinned" else both(),
            {"TAILGATE_MAX_BATCH_SIZE": str(cap)},
        )
        for pinning in PINNINGS
        for cap in CAPS
    ]


def measure(executor: Executor, effort: Effort) -> dict[str, Any]:
    """Run all rounds; return the figures of each server, the bare model's, and the batch sizes under load."""
    workload, order = workloads.mobilenet(executor.value), random.Random(0)
    figures: dict[str, list[Figures]] = {}
    bare: dict[int, list[float]] = {cap: [] for cap in CAPS}
    sizes: dict[str, dict[str, int]] = {}
    with (
        Fleet(slots(workload)) as fleet,
        Bare(workload.environment, workload.body, server_processor()) as model,
    ):
        if fleet.absent:
            raise SystemExit(f"the service did not start: {fleet.absent}")
        fleet.check_answers()
        for number in range(effort.rounds):
            for name in order.sample(sorted(fleet.running), len(fleet.running)):
                with fleet.only(name) as server:
                    before = batch_sizes(server.base_url)
                    figures.setdefault(name, []).append(
                        fleet.load(name, CONNECTIONS, effort.seconds, effort.client, client_processor())
                    )
                with fleet.only(name) as server:
                    sizes[name] = histogram(before, batch_sizes(server.base_url))
            for cap, batch_s in model.batch_seconds(CAPS, effort.seconds).items():
                bare[cap].append(cap / batch_s)
            print(f"round {number + 1} of {effort.rounds} done", flush=True)
    return {"figures": figures, "bare": bare, "batch_sizes": sizes}


def summarise(measured: dict[str, Any]) -> dict[str, Any]:
    """Return throughputs, ratios and shares, each with its spread over the rounds."""
    rates = {name: [one.requests_per_s for one in cells] for name, cells in measured["figures"].items()}
    bare = ratio(measured["bare"][CAPS[1]], measured["bare"][CAPS[0]])
    ratios = {
        pinning: ratio(rates[f"{pinning} cap {CAPS[1]}"], rates[f"{pinning} cap {CAPS[0]}"])
        for pinning in PINNINGS
    }
    return {
        "requests_per_s": {name: spread(values) for name, values in rates.items()},
        "failed": {name: sum(one.failed for one in cells) for name, cells in measured["figures"].items()},
        "bare_items_per_s": {cap: spread(values) for cap, values in measured["bare"].items()},
        "bare_ratio": bare,
        "ratio": ratios,
        "share_of_bare_ratio": {pinning: ratio(one.values, bare.values) for pinning, one in ratios.items()},
        "batch_sizes": measured["batch_sizes"],
    }


def show(console: Console, summary: dict[str, Any]) -> None:
    """Print the tables."""
    table = Table(title=f"requests/s at {CONNECTIONS} connections: median (least to most)")
    for heading in ("", "cap 1", f"cap {CAPS[1]}", "ratio", "share of bare ratio"):
        table.add_column(heading, justify="left" if not heading else "right")
    for pinning in PINNINGS:
        cells = [summary["requests_per_s"][f"{pinning} cap {cap}"] for cap in CAPS]
        table.add_row(
            pinning,
            *map(str, cells),
            str(summary["ratio"][pinning]),
            str(summary["share_of_bare_ratio"][pinning]),
        )
    table.add_row(
        "bare model", *(str(summary["bare_items_per_s"][cap]) for cap in CAPS), str(summary["bare_ratio"]), ""
    )
    console.print(table)
    for name, sizes in summary["batch_sizes"].items():
        console.print(
            f"batches by size, {name}, last round:",
            ", ".join(f"≤{float(edge):g}: {n}" for edge, n in sizes.items()),
        )
    for pinning in PINNINGS:
        one: Spread = summary["ratio"][pinning]
        share: Spread = summary["share_of_bare_ratio"][pinning]
        met = one.median >= TARGET_RATIO and share.median >= TARGET_SHARE
        console.print(
            f"{pinning}: {one.median:.2f} times (target {TARGET_RATIO:g}), {share.median:.2f} of the bare ratio "
            f"(target {TARGET_SHARE:g}): {'met' if met else 'NOT MET'}"
        )


def main(
    rounds: Annotated[int, typer.Option(help="interleaved rounds")] = 5,
    seconds: Annotated[float, typer.Option(help="length of each measurement")] = 3.0,
    executor: Annotated[Executor, typer.Option(help="of the service and of the bare model")] = Executor.EAGER,
    client: Annotated[Client | None, typer.Option(help="default: wrk where it is installed")] = None,
    json: Annotated[Path, typer.Option(help="where the results go")] = record.RESULTS / "batching.json",
) -> None:
    """Measure the service at batch cap 1 and 32 beside the bare model."""
    effort = Effort(rounds, seconds, client or default_client())
    if executor is Executor.COMPILED:
        executor = executor_of(workloads.mobilenet())
    settings = {"effort": effort, "connections": CONNECTIONS, "executor": executor}
    document = record.Record("batching", settings, json)
    summary = summarise(measure(executor, effort))
    document.write(summary)
    show(Console(width=120), summary)
    print(f"written: {json}")


if __name__ == "__main__":
    typer.run(main)
