"""Every claim of the load generator, measured on this machine.

    python -m benchmarks.load [--aiohttp-python PATH] [--json FILE]

It takes about six minutes and wants two processors to itself. ``--aiohttp-python`` names an interpreter that has
aiohttp, which is no dependency here.
"""

import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer
from rich.console import Console

from benchmarks import record, targets
from benchmarks.load import capacity, clients, streaming, truth
from benchmarks.targets import Target


def main(
    aiohttp_python: Annotated[str, typer.Option(help="interpreter that has aiohttp")] = sys.executable,
    scale: Annotated[float, typer.Option(help="of all lengths; below 1 for a quick look")] = 1.0,
    json: record.Json = record.RESULTS / "load-proofs.json",
) -> None:
    """Measure every claim of the load generator."""
    document = record.Record("load-proofs", {"scale": scale}, json)
    judged: list[Target] = []
    figures: dict[str, Any] = {}
    parts: dict[str, Callable[[], tuple[list[Target], dict[str, Any]]]] = {
        "truth": lambda: truth.prove(30 * scale),
        "streams": lambda: streaming.prove(30 * scale),
        "peers": lambda: clients.prove(max(1.0, 6 * scale), aiohttp_python),
        "limits": lambda: capacity.prove(max(1.0, 10 * scale), max(20_000, round(1_000_000 * scale))),
    }
    for name, prove in parts.items():
        found, figures[name] = prove()
        judged += found
        document.write({"claims": targets.rows(judged), **figures})
    console = Console(width=140)
    console.print(targets.table(judged))
    console.print(clients.table(figures["peers"]["busy"]))
    console.print(figures["limits"]["stated"], highlight=False)
    for case in ("starved", "same loops, real-time"):
        said = figures["limits"]["starved"][case]
        reasons = "; ".join(said["faults"]) or "no fault"
        console.print(
            f"4 loops on its processor, scheduling {said['scheduling']}: {said['verdict']}: {reasons}"
        )
    print(f"written: {json}")


if __name__ == "__main__":
    typer.run(main)
