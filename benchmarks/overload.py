"""Overload: what tailgate, LitServe and Mosec do with twice what they can do, and tailgate with ten times.

    python -m benchmarks.overload [--quick] [--seconds 10] [--server mosec] [--json FILE]

The server runs on one processor, the harness's generator on another. A closed loop finds what the server can do; then
comes a multiple of that in open loop, then half of it. What is shown is measured by the gate's own measures
(:mod:`tailgate.harness.measures`), from the same kinds of records. Each server is started anew and alone. About 3 minutes.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from filelock import FileLock, Timeout

from benchmarks import overload_table, record
from benchmarks.environments import AbsentError, cache
from benchmarks.overload_case import Case, measure
from benchmarks.roster import roster
from benchmarks.workloads import mobilenet, photo
from tailgate.harness.errors import HarnessError

PEERS = ("tailgate", "mosec", "litserve")
MOBILENET_OBJECTIVE_S = 0.25
PHOTO_OBJECTIVE_S = 1.0


def cases(names: Sequence[str]) -> list[Case]:
    """Return what is measured: these servers side by side, then tailgate alone on the demonstration model."""
    entries = {entry.name: entry for entry in roster()}
    found = [Case(entries[name], mobilenet(), 2.0, MOBILENET_OBJECTIVE_S) for name in names]
    if "tailgate" in names:
        found += [Case(entries["tailgate"], photo(), times, PHOTO_OBJECTIVE_S) for times in (2.0, 10.0)]
    return found


def run(chosen: Sequence[Case], seconds: float, path: Path) -> None:
    """Measure one case after the other, print a table, and keep the results after each."""
    document = record.Record("overload", {"seconds": seconds}, path)
    rows: list[dict[str, Any]] = []
    absent: dict[str, str] = {}
    for case in chosen:
        try:
            rows.append(measure(case, seconds, cache() / "overload" / case.name))
        except (AbsentError, HarnessError) as error:
            absent[case.name] = str(error).splitlines()[0]
            print(f"absent: {case.name}: {absent[case.name]}", flush=True)
        document.write({"cases": rows, "absent": absent})
    table = overload_table.markdown(rows)
    path.with_suffix(".md").write_text(table, encoding="utf-8")
    print(table)


def main(
    *,
    quick: Annotated[bool, typer.Option("--quick", help="2 s of each load, to see that it works")] = False,
    seconds: Annotated[float | None, typer.Option(help="length of each load; default 10")] = None,
    server: Annotated[list[str] | None, typer.Option(help=f"of {', '.join(PEERS)}; may be repeated")] = None,
    json: Annotated[Path | None, typer.Option(help="where the results go")] = None,
) -> None:
    """Measure what servers do with more than they can do."""
    names = server or list(PEERS)
    if unknown := sorted(set(names) - {entry.name for entry in roster()}):
        raise typer.BadParameter(f"there is no server {unknown[0]!r}")
    path = json or (cache() / "overload-quick.json" if quick else record.RESULTS / "overload.json")
    start_s = time.monotonic()
    try:
        with FileLock(cache() / "lock", timeout=0):
            run(cases(names), seconds or (2.0 if quick else 10.0), path)
    except Timeout:
        raise SystemExit(
            "another benchmark runs in this checkout, and the two would measure each other"
        ) from None
    print(f"written: {path} ({(time.monotonic() - start_s) / 60:.1f} minutes)")


if __name__ == "__main__":
    typer.run(main)
