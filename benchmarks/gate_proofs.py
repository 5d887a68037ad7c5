"""The gate proves itself: against unchanged code and each planted regression, again and again, into a ledger that grows.

    python -m benchmarks.gate_proofs --minutes 480     leave it running; or in pieces, of 20 minutes or more
    python -m benchmarks.gate_proofs --runs 11
    python -m benchmarks.gate_proofs --table           what the ledger says so far, as Markdown

Each run is ``tailgate compare`` as a program, as anybody runs it; nothing is repeated because of what it came to. The next
case is that with the fewest lines so far for its weight, whatever they say, so that a stopped script goes on where the ledger
ends. No run begins that is not likely to end in time, by a guess: all blocks of the design on a slow machine, or the longest run so far.
None is cut off: the longest would be, which are no random ones. A run is one line of
``results/gate-ledger.jsonl``; its blocks, without their stages, are lines of ``results/gate-blocks.jsonl`` for unchanged code and
of ``gate-blocks-planted.jsonl``. Such a run ends at its own verdict: the replay wants ``gate_recording.py`` instead.
"""

import dataclasses
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
import orjson
import typer

from benchmarks.environments import ROOT
from benchmarks.gate_cases import CASES, COMMITTED, Case
from benchmarks.gate_effects import GATES
from benchmarks.gate_rows import refusing, small
from benchmarks.gate_tables import tables
from benchmarks.record import RESULTS
from tailgate.harness.compare.blocks.row import read_rows, to_json
from tailgate.harness.compare.decision.design import plan_design
from tailgate.harness.errors import HarnessError
from tailgate.harness.results import file as results_file
from tailgate.harness.results import ledger

LEDGER = "gate-ledger.jsonl"
BLOCKS, PLANTED = "gate-blocks.jsonl", "gate-blocks-planted.jsonl"
PLANTS = ROOT / "tests" / "plants"
SAID = "results: "
# A machine that cannot run a comparison three times in a row will not the fourth time.
MOST_FAILURES = 3
# A block on a slow machine (docs/comparison.md), and what comes before and after the blocks.
BLOCK_S, AROUND_S = 20.0, 60.0

Runner = Callable[[Case, Sequence[str]], Path]


def next_case(done: Mapping[str, int], cases: Sequence[Case], seed: int) -> Case:
    """Return whose turn it is: the case with the fewest runs for its weight; among equals by a draw.

    Args:
        done: runs by case.
        cases: that take part.
        seed: of the draws; each depends on how many runs there are, and not on when the script was started.
    """
    shares = {case.name: done.get(case.name, 0) / case.weight for case in cases}
    least = [case for case in cases if shares[case.name] == min(shares.values())]
    return least[np.random.default_rng([seed, sum(done.values())]).integers(len(least))]


def longest_s(entries: Sequence[ledger.Entry], case: Case) -> float:
    """Return how long a run of this case may take: all blocks of the design, or as long as any did if that is more.

    The runs so far say nothing of how long one can become: most end at an early look. One that measured no block says nothing.
    """
    own = [entry.wall_s for entry in entries if entry.case == case.name and entry.wall_s > 0]
    seen = own or [entry.wall_s for entry in entries]
    return max([plan_design(GATES).blocks * BLOCK_S, *seen]) + AROUND_S


def unfit(case: Case) -> str | None:
    """Return why a case cannot be run now; None where it can.

    HEAD is the working tree only where nothing but results differs from what is committed.
    """
    if COMMITTED not in {case.base, case.head}:
        return None
    command = [
        "git",
        "status",
        "--porcelain",
        "--untracked-files=no",
        "--",
        ".",
        f":!{RESULTS.relative_to(ROOT)}",
    ]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        return "this is no git repository"
    return "the working tree differs from HEAD: " + done.stdout.split()[1] if done.stdout else None


def run_compare(case: Case, options: Sequence[str]) -> Path:
    """Run one comparison as a program; return the folder of its results.

    Raises:
        HarnessError: it came to no results; with the end of what it said.
    """
    command = [
        sys.executable,
        "-P",
        "-m",
        "tailgate.harness.cli",
        "compare",
        case.base,
        case.head,
        *case.options,
        *options,
    ]
    paths = [str(PLANTS), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=False)
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
        path = into / (BLOCKS if case.unchanged else PLANTED)
        for row in read_rows(folder / comparison.rows):
            kept = dataclasses.replace(small(row), run=f"{case.name} {row.run}")
            ledger.append_line(orjson.dumps(to_json(kept)), path)
    # Last: a run whose line is there has all its blocks.
    ledger.append(entry, into / LEDGER)
    return entry


def grow(
    cases: Callable[[], Sequence[Case]],
    into: Path,
    more: Callable[[int, float], bool],
    options: Sequence[str] = (),
    *,
    seed: int = 0,
    runner: Runner = run_compare,
    say: Callable[[str], None] = print,
) -> int:
    """Run cases in turn and append what they come to.

    Args:
        cases: returns those that can be run now.
        into: folder of the ledger.
        more: from the number of runs so far, and the seconds that another may take, to whether it may begin.
        options: of each comparison.
        seed: of the order.
        runner: runs one comparison.
        say: takes a line after each run.

    Returns:
        How many runs were kept.

    Raises:
        HarnessError: comparisons came to nothing several times in a row.
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


def able(
    cases: Sequence[Case], why_not: Callable[[Case], str | None], say: Callable[[str], None] = print
) -> Sequence[Case]:
    """Return the cases that can be run now, and say of the others why not.

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


def _read(into: Path, say: Callable[[str], None]) -> ledger.Ledger:
    found = ledger.read(into / LEDGER)
    for broken in found.broken:
        say(f"{into / LEDGER}, line {broken.number} is no entry and is left out: {broken.reason}")
    return found


def main(
    options: Annotated[list[str] | None, typer.Argument(help="options of tailgate compare, after --")] = None,
    minutes: Annotated[
        float | None, typer.Option(help="begin no run that may not end within so many")
    ] = None,
    runs: Annotated[int | None, typer.Option(help="end after so many runs")] = None,
    case: Annotated[list[str] | None, typer.Option(help="only this case; may be repeated")] = None,
    into: Annotated[Path, typer.Option(help="folder of the ledger")] = RESULTS,
    seed: Annotated[int, typer.Option(help="of the order of the cases")] = 0,
    *,
    table: Annotated[bool, typer.Option("--table", help="print the tables, and run nothing")] = False,
) -> None:
    """Grow the ledger, or show it."""
    names = [one.name for one in CASES]
    if unknown := [name for name in case or () if name not in names]:
        raise typer.BadParameter(f"there is no case {unknown[0]!r}; there are {', '.join(names)}")
    if options and into == RESULTS:
        raise typer.BadParameter(
            "a ledger holds runs of one kind: with other options of compare, give --into"
        )
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
            typer.echo(
                f"ends here: the next run may take {longest_s / 60:.0f} min, {left_s / 60:.0f} are left"
            )
        return longest_s <= left_s

    return more


if __name__ == "__main__":
    typer.run(main)
