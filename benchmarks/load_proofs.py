"""Every claim of the load generator, measured on this machine: is it true, how fast is it, does it know its limits?

    python -m benchmarks.load_proofs [--aiohttp-python PATH] [--json FILE]

Prints a table (claim, measured, limit, met) and writes all figures as JSON. It takes about five minutes, and wants
two processors to itself. ``--aiohttp-python`` names an interpreter that has aiohttp, which is nobody's dependency here.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from benchmarks import load_limits, load_peers, load_truth
from benchmarks.claims import Claim, rows, table
from benchmarks.record import RESULTS, Record


def main(
    aiohttp_python: Annotated[str, typer.Option(help="interpreter that has aiohttp")] = sys.executable,
    scale: Annotated[float, typer.Option(help="of all lengths; below 1 for a quick look")] = 1.0,
    json: Annotated[Path, typer.Option(help="write the figures here")] = RESULTS / "load-proofs.json",
) -> None:
    """Measure every claim of the load generator."""
    record = Record("load-proofs", {"scale": scale}, json)
    claims: list[Claim] = []
    figures: dict[str, Any] = {}
    parts: dict[str, Callable[[], tuple[list[Claim], dict[str, Any]]]] = {
        "truth": lambda: load_truth.prove(30 * scale),
        "peers": lambda: load_peers.prove(max(1.0, 6 * scale), aiohttp_python),
        "limits": lambda: load_limits.prove(max(1.0, 10 * scale), max(20_000, round(1_000_000 * scale))),
    }
    for name, prove in parts.items():
        found, figures[name] = prove()
        claims += found
        record.write({"claims": rows(claims), **figures})
    console = Console(width=140)
    console.print(table(claims))
    console.print(load_peers.table(figures["peers"]["busy"]))
    console.print(figures["limits"]["stated"], highlight=False)
    for case in ("starved", "same loops, real-time"):
        said = figures["limits"]["starved"][case]
        reasons = "; ".join(said["faults"]) or "no fault"
        console.print(
            f"four loops on its processor, scheduling {said['scheduling']}: {said['verdict']}: {reasons}"
        )


if __name__ == "__main__":
    typer.run(main)
