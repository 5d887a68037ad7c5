"""The ledger of the gate: ``tailgate compare`` on unchanged code and on each planted regression, again and again.

    python -m benchmarks.gate.proofs --minutes 480     in one piece, or in several of 20 minutes or more
    python -m benchmarks.gate.proofs --runs 11
    python -m benchmarks.gate.proofs --table           the ledger so far, as Markdown

Each run is ``tailgate compare`` as a program, as anybody runs it. No run is repeated because of its verdict. The next
case is the one with the fewest lines for its weight, whatever they say, so a stopped script goes on where the ledger
ends. No run begins that is not likely to end in time, since the runs that are cut off would be the longest ones. A run
is one line of ``results/gate-ledger.jsonl``. Its blocks, without their stages, are lines of ``results/gate-blocks.jsonl``
for unchanged code and of ``gate-blocks-planted.jsonl``. A run ends at its own verdict, so the replay does not use these
blocks: see :mod:`benchmarks.gate.recording`.
"""

import math
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks.environments import ROOT
from benchmarks.gate.cases import CASES, COMMITTED, Case
from benchmarks.gate.rows import append, refusing
from benchmarks.gate.simulation.effects import GATES
from benchmarks.gate.tables import tables
from benchmarks.record import RESULTS
from tailgate import HarnessError
from tailgate.harness.compare.blocks.row import read_rows
from tailgate.harness.compare.decision.design import plan_design
from tailgate.harness.results import file as results_file
from tailgate.harness.results import ledger

LEDGER = "gate-ledger.jsonl"
BLOCKS, PLANTED = "gate-blocks.jsonl", "gate-blocks-planted.jsonl"
PLANTS = ROOT / "tests" / "plants"
SAID = "results: "
# A machine that cannot run a comparison three times in a row will not the fourth time.
MOST_FAILURES = 3
# A block on a slow machine (docs/explanation/comparison.md), and the time before and after the blocks.
BLOCK_S, AROUND_S = 20.0, 60.0

Runner = Callable[[Case, Sequence[str]], Path]
Say = Callable[[str], None]


def next_case(done: Mapping[str, int], cases: Sequence[Case], seed: int) -> Case:
    """Return the case with the fewest runs for its weight; among equals by a draw.

    The draw depends on the number of runs so far, and not on when the script was started.
    """
    shares = {case.name: done.get(case.name, 0) / case.weight for case in cases}
    least = [case for case in cases if shares[case.name] == min(shares.values())]
    return least[np.random.default_rng([seed, sum(done.values())]).integers(len(least))]


def longest_s(entries: Sequence[ledger.Entry], case: Case) -> float:
    """Return how long a run of this case may take: all blocks of the design, or the longest run so far.

    The runs so far do not bound it: most end at an early look. A run without a block says nothing.
    """
    own = [entry.wall_s for entry in entries if entry.case == case.name and entry.wall_s > 0]
    seen = own or [entry.wall_s for entry in entries]
    return max([plan_design(GATES).blocks * BLOCK_S, *seen]) + AROUND_S


def unfit(case: Case) -> str | None:
    """Return why a case cannot be run now; None where it can.

    HEAD is the working tree only where nothing but results differs from the commit.
    """
    if COMMITTED not in {case.base, case.head}:
        return None
    status = ["git", "status", "--porcelain", "--untracked-files=no"]
    command = [*status, "--", ".", f":!{RESULTS.relative_to(ROOT)}"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        return "this is no git repository"
    return "the working tree differs from HEAD: " + done.stdout.split()[1] if done.stdout else None


def run_compare(case: Case, options: Sequence[str]) -> Path:
    """Run one comparison as a program; return the folder of its results.

    Raises:
        HarnessError: it left no results.
    """
    command = [sys.executable, "-P", "-m", "tailgate.harness.cli", "compare", case.base, case.head]
    paths = [str(PLANTS), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    whole = [*command, *case.options, *options]
    done = subprocess.run(whole, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    said = [line.removeprefix(SAID) for line in done.stdout.splitlines() if line.startswith(SAID)]
    if not said:
        raise HarnessError(f"tailgate compare ended with status {done.returncode} and no results")
    return ROOT / said[-1]


def keep(case: Case, folder: Path, into: Path) -> ledger.Entry:
    """Append a run and its blocks; return its line.

    Raises:
        MeasurementError: its results cannot be read, or nothing can be appended.
    """
    result = results_file.read(folder / results_file.RESULTS)
    (entry,) = ledger.entries_of(result, case.name)
    comparison = result.scenarios[0].comparison
    if comparison is not None and (folder / comparison.rows).is_file():
        rows = read_rows(folder / comparison.rows)
        append(rows, f"{case.name} {{}}", into / (BLOCKS if case.unchanged else PLANTED))
    # Last: a run whose line is there has all its blocks.
    ledger.record([entry], into / LEDGER)
    return entry


def grow(
    cases: Callable[[], Sequence[Case]],
    into: Path,
    more: Callable[[int, float], bool],
    options: Sequence[str] = (),
    *,
    seed: int = 0,
    runner: Runner = run_compare,
    say: Say = print,
) -> int:
    """Run cases in turn and append their results; return how many runs were kept.

    Args:
        cases: returns those that can be run now.
        into: folder of the ledger.
        more: takes the number of runs so far, and the seconds that another may take; returns whether it may begin.
        options: of each comparison.
        seed: of the order.
        runner: runs one comparison.
        say: takes a line after each run.

    Raises:
        HarnessError: several comparisons in a row left no results.
    """
    kept = failures = 0
    while True:
        entries = _read(into, say).entries
        done = Counter(entry.case for entry in entries)
        case = next_case(done, cases(), seed)
        if not more(kept, longest_s(entries, case)):
            return kept
        try:
            entry = keep(case, runner(case, options), into)
        except HarnessError as error:
            failures += 1
            say(f"{case.name}: {error}")
            if failures == MOST_FAILURES:
                raise
            continue
        kept, failures = kept + 1, 0
        say(_told(case, entry, done[case.name] + 1))


def able(cases: Sequence[Case], why_not: Callable[[Case], str | None], say: Say = print) -> Sequence[Case]:
    """Return the cases that can be run now, and print the reason for each other.

    Raises:
        HarnessError: there is none.
    """
    reasons = {case.name: reason for case in cases if (reason := why_not(case)) is not None}
    for name, reason in reasons.items():
        say(f"{name} is left out: {reason}")
    found = [case for case in cases if case.name not in reasons]
    if not found:
        raise HarnessError("there is no case that can be run now")
    return found


def _told(case: Case, entry: ledger.Entry, number: int) -> str:
    verdict = f"{entry.verdict.value}{'' if entry.verdict in case.right else ', NOT AS EXPECTED'}"
    minutes = f"{entry.wall_s / 60:.1f} min, {entry.load_s / 60:.1f} of them load"
    return f"{case.name} (run {number}): {verdict}: {entry.reason} ({minutes})"


def _read(into: Path, say: Say) -> ledger.Ledger:
    found = ledger.read(into / LEDGER)
    for broken in found.broken:
        say(f"{into / LEDGER}, line {broken.number} is no entry and is left out: {broken.reason}")
    return found


def main(
    options: Annotated[list[str] | None, typer.Argument(help="options of tailgate compare, after --")] = None,
    minutes: Annotated[float | None, typer.Option(help="begin no run that may end later")] = None,
    runs: Annotated[int | None, typer.Option(help="end after so many runs")] = None,
    case: Annotated[list[str] | None, typer.Option(help="only this case; may be repeated")] = None,
    into: Annotated[Path, typer.Option(help="folder of the ledger")] = RESULTS,
    seed: Annotated[int, typer.Option(help="of the order of the cases")] = 0,
    *,
    table: Annotated[bool, typer.Option("--table", help="print the tables, and run nothing")] = False,
) -> None:
    """Grow the ledger, or print it."""
    names = [one.name for one in CASES]
    if unknown := [name for name in case or () if name not in names]:
        raise typer.BadParameter(f"there is no case {unknown[0]!r}; there are {', '.join(names)}")
    if options and into == RESULTS:
        raise typer.BadParameter("a ledger holds runs of one kind: with further options, give --into")
    if not table:
        if minutes is None and runs is None:
            raise typer.BadParameter("say when to end: --minutes or --runs")
        chosen = [one for one in CASES if not case or one.name in case]
        with refusing():
            grow(lambda: able(chosen, unfit), into, _budget(minutes, runs), options or (), seed=seed)
    typer.echo(tables(_read(into, typer.echo).entries))


def _budget(minutes: float | None, runs: int | None) -> Callable[[int, float], bool]:
    """Return whether another run may begin."""
    ends_s = math.inf if minutes is None else time.monotonic() + minutes * 60

    def more(kept: int, longest_s: float) -> bool:
        if runs is not None and kept >= runs:
            return False
        left_s = ends_s - time.monotonic()
        if longest_s > left_s:
            left = f"{longest_s / 60:.0f} min, {left_s / 60:.0f} are left"
            typer.echo(f"ends here: the next run may take {left}")
        return longest_s <= left_s

    return more


if __name__ == "__main__":
    typer.run(main)
