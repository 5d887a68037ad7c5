"""Overload: tailgate, Mosec and LitServe with twice their capacity offered, and tailgate with ten times.

    python -m benchmarks.serving.overload [--quick] [--seconds 10] [--server mosec] [--json FILE]

The server runs on one processor, the harness's generator on another. A closed loop finds the capacity; then comes a
multiple of it in open loop, then half of it. The figures are those of the gate's own measures
(:mod:`tailgate.harness.measures`), from the same kinds of records. Each server is started anew and alone. About 3 minutes.
"""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks import record
from benchmarks.environments import AbsentError, alone, cache
from benchmarks.serving.overload_case import Case, measure
from benchmarks.serving.roster import TAILGATE, entries
from benchmarks.workloads import mobilenet, photo
from tailgate import HarnessError

SERVERS = ("tailgate", "mosec", "litserve")
MOBILENET_OBJECTIVE_S = 0.25
PHOTO_OBJECTIVE_S = 1.0
HEADINGS = (
    *("server", "model", "offered", "saturated", "goodput", "accepted p99", "refused", "lost", "refusal p50"),
    *("CPU of a refusal", "health p90", "memory before → after", "settled after"),
)


def cases(names: Sequence[str]) -> list[Case]:
    """Return these servers side by side, then tailgate alone with the demonstration model."""
    found = [Case(entry, mobilenet(), 2.0, MOBILENET_OBJECTIVE_S) for entry in entries(names)]
    if TAILGATE.name in names:
        found += [Case(TAILGATE, photo(), times, PHOTO_OBJECTIVE_S) for times in (2.0, 10.0)]
    return found


def run(chosen: Sequence[Case], seconds: float, path: Path) -> None:
    """Measure one case after the other, print a table, and write the results after each."""
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
    table = markdown(rows)
    path.with_suffix(".md").write_text(table, encoding="utf-8")
    print(table)


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the table. A cell is empty where nothing could be measured."""
    lines = ["| " + " | ".join(HEADINGS) + " |", "|" + " --- |" * len(HEADINGS)]
    lines += ["| " + " | ".join(_cells(row)) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    outcomes, memory, refusal_cpu_s = row["outcomes"], row["rss_bytes"], row["refusal_cpu_s"]
    return (
        row["server"],
        row["workload"],
        f"{row['times']:g} ×",
        _value(row["saturated_per_s"], "/s"),
        _value(row["goodput_share"], " %", 100),
        _value(row["accepted_p99_s"], " ms", 1e3),
        f"{outcomes['shed'] / sum(outcomes.values()):.0%}",
        _value(row["lost_rate"], " %", 100),
        _value(row["refusal_p50_s"], " ms", 1e3),
        "" if refusal_cpu_s is None else f"{refusal_cpu_s * 1e6:,.0f} µs",
        _value(row["health_p90_s"], " ms", 1e3),
        "" if memory is None else f"{memory['before'] / 2**20:,.0f} → {memory['after'] / 2**20:,.0f} MiB",
        _value(row["settle_s"], " s"),
    )


def _value(estimate: Mapping[str, Any] | None, unit: str, scale: float = 1.0) -> str:
    if estimate is None or estimate["value"] is None:
        return ""
    value = estimate["value"] * scale
    if value == float("inf"):
        return "never"
    return f"{value:,.3g}{unit}" if value < 1000 else f"{value:,.0f}{unit}"


def main(
    *,
    quick: Annotated[bool, typer.Option("--quick", help="2 s of each load, to see that it works")] = False,
    seconds: Annotated[float | None, typer.Option(help="length of each load; default 10")] = None,
    server: Annotated[
        list[str] | None, typer.Option(help=f"default: {', '.join(SERVERS)}; may be repeated")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="where the results go")] = None,
) -> None:
    """Measure what servers do with more than they can do."""
    chosen = cases(server or SERVERS)
    path = json or (cache() / "overload-quick.json" if quick else record.RESULTS / "overload.json")
    start_s = time.monotonic()
    with alone():
        run(chosen, seconds or (2.0 if quick else 10.0), path)
    print(f"written: {path} ({(time.monotonic() - start_s) / 60:.1f} minutes)")


if __name__ == "__main__":
    typer.run(main)
