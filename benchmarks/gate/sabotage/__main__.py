"""Real drills: ``tailgate drill`` run once for each sabotaged gate, and for healthy ones.

    python -m benchmarks.gate.sabotage [--only NAME ...] [--json FILE]

``benchmarks.gate.drills`` replays recorded blocks. Here each drill is the command as a user runs it, on a service of 4 ms, with
a plugin that sabotages it. A sabotaged gate is exposed where its drill's known answer is contradicted; a healthy one's holds.
"""

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.environments import ROOT
from benchmarks.gate.sabotage.plugin import SCENARIO, VARIABLE
from benchmarks.record import RESULTS, Json, Record
from tailgate.harness.drill import ledger
from tailgate.harness.results.verdict import Verdict

# Of the repository, where each drill runs.
FOLDER = Path(__file__).parent.relative_to(ROOT)
PATIENCE_S = 300
# p99 needs 500 requests per block, and the processor time of a program that waits is mostly its server's.
GATE = (
    f"--perf-plugin={FOLDER / 'plugin.py'}",
    f"--perf-scenario={SCENARIO}",
    f"--perf-target=command:{{python}} {FOLDER / 'served.py'} {{port}}",
    "--perf-payloads=body:x",
    "--perf-metrics-path=",
    "--perf-readiness-path=",
    "--perf-lens=cpu=report",
    "--perf-lens=p99=report",
    "--perf-time-limit=2",
)
# Both edges, ten times as far: FAIL begins at the margin.
TEN_TIMES = ("p50=51%", "p50.margin=50%", "p95=101%", "p95.margin=100%")


@dataclass(frozen=True, slots=True)
class Drilled:
    """A gate, the case that it is asked, and whether its answer should be right."""

    name: str
    case: str
    right: bool
    options: tuple[str, ...] = ()


def _by(how: str) -> tuple[str, ...]:
    return (f"--perf-head-env={VARIABLE}={how}",)


DRILLS = (
    Drilled("healthy: unchanged", "unchanged", right=True),
    Drilled("healthy: 5 % by the proxy", "all-5", right=True),
    Drilled("healthy: 5 % in the code", "all-5", right=True, options=_by("in-code")),
    Drilled("both arms the same tree", "all-5", right=False, options=_by("same-tree")),
    Drilled("stale compile cache", "all-5", right=False, options=_by("stale-cache")),
    Drilled("noise in one arm", "unchanged", right=False, options=_by("noise")),
    Drilled(
        "tolerance ten times too large",
        "all-5",
        right=False,
        options=tuple(f"--perf-lens={one}" for one in TEN_TIMES),
    ),
)


@dataclass(frozen=True, slots=True)
class Came:
    """What a drill came to; ``right`` is None where the gate was INVALID, and the drill says nothing."""

    name: str
    case: str
    verdict: Verdict
    reason: str
    failing: tuple[str, ...]
    exercised: tuple[str, ...]
    minutes: float
    right: bool | None
    as_expected: bool


def drill(asked: Drilled, folder: Path) -> Came:
    """Run a drill with a ledger of its own; raise RuntimeError where it enters nothing."""
    book = folder / f"{asked.case}-{asked.right}-{len(list(folder.iterdir()))}.jsonl"
    command = [sys.executable, "-P", "-m", "tailgate.harness.cli", "drill"]
    command += [f"--case={asked.case}", f"--ledger={book}", f"--perf-output={folder / 'runs'}"]
    done = subprocess.run(
        [*command, *GATE, *asked.options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    drills = ledger.read(book)
    if not drills:
        raise RuntimeError(f"{asked.name}: the drill ended with status {done.returncode}:\n{done.stdout}")
    (one,) = drills
    right = one.right
    return Came(
        asked.name,
        one.case,
        one.verdict,
        one.reason,
        one.failing,
        one.exercised,
        one.minutes,
        right,
        right is asked.right,
    )


def main(
    only: Annotated[list[str] | None, typer.Option(help="drills whose name has this; all by default")] = None,
    json: Json = RESULTS / "gate-sabotage.json",
) -> None:
    """Drill healthy and sabotaged gates; status 1 where one did not come to what it should."""
    record = Record("gate-sabotage", {"options": GATE}, json)
    found: list[Came] = []
    with tempfile.TemporaryDirectory() as folder:
        for asked in DRILLS:
            if only and not any(part in asked.name for part in only):
                continue
            came = drill(asked, Path(folder))
            found.append(came)
            told = {True: "right", False: "contradicted", None: "says nothing"}[came.right]
            print(
                f"{came.name}: {came.verdict.value}, {told}; {came.minutes:.1f} minutes; {came.reason}",
                flush=True,
            )
            record.write({"drills": found})
    if not all(one.as_expected for one in found):
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
