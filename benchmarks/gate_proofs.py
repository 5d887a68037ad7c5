"""The gate proves itself: against unchanged code and each planted regression, again and again, into a ledger that grows.

    python -m benchmarks.gate_proofs --minutes 480     leave it running
    python -m benchmarks.gate_proofs --runs 11         about one round
    python -m benchmarks.gate_proofs --table           what the ledger says so far, as Markdown

Each run is ``tailgate compare`` as a program, as anybody runs it; nothing is repeated because of what it came to. Cases come
in rounds, each in an order of its own, and a stopped script goes on where the ledger ends. A run is one line of
``results/gate-ledger.jsonl``; its blocks, without their stages, are lines of ``results/gate-blocks.jsonl`` for unchanged code and
of ``gate-blocks-planted.jsonl``. Such a run ends at its own verdict: the replay wants ``gate_recording.py`` instead.
"""

import dataclasses
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
from benchmarks.gate_cases import CASES, SERVICE, Case
from benchmarks.gate_rows import small
from benchmarks.gate_tables import tables
from benchmarks.record import RESULTS
from harness import results_file
from harness.comparison import ledger
from harness.comparison.observation import read_rows, to_json
from harness.errors import HarnessError

LEDGER = "gate-ledger.jsonl"
BLOCKS, PLANTED = "gate-blocks.jsonl", "gate-blocks-planted.jsonl"
PLANTS = ROOT / "tests" / "plants"
SAID = "results: "
# A machine that cannot run a comparison three times in a row will not the fourth time.
MOST_FAILURES = 3

Runner = Callable[[Case, Sequence[str]], Path]


def next_case(done: Mapping[str, int], cases: Sequence[Case], seed: int) -> Case:
    """Return whose turn it is.

    A round has each case as often as it asks for, in an order drawn from the seed and the round's number.

    Args:
        done: runs by case.
        cases: that take part.
        seed: of all orders.
    """
    number = min(done.get(case.name, 0) // case.each_round for case in cases)
    course = [case for case in cases for _ in range(case.each_round)]
    course = [course[index] for index in np.random.default_rng([seed, number]).permutation(len(course))]
    over = {case.name: done.get(case.name, 0) - number * case.each_round for case in cases}
    for case in course:
        if over[case.name] <= 0:
            return case
        over[case.name] -= 1
    raise AssertionError("a round of which nothing is left")


def run_compare(case: Case, options: Sequence[str]) -> Path:
    """Run one comparison as a program; return the folder of its results.

    Raises:
        HarnessError: it came to no results; with the end of what it said.
    """
    command = [
        sys.executable,
        "-P",
        "-m",
        "harness.cli",
        "compare",
        SERVICE,
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
        path = into / (BLOCKS if case.head == SERVICE else PLANTED)
        for row in read_rows(folder / comparison.rows):
            kept = dataclasses.replace(small(row), run=f"{case.name} {row.run}")
            ledger.append_line(orjson.dumps(to_json(kept)), path)
    # Last: a run whose line is there has all its blocks.
    ledger.append(entry, into / LEDGER)
    return entry


def grow(
    cases: Sequence[Case],
    into: Path,
    more: Callable[[int], bool],
    options: Sequence[str] = (),
    *,
    seed: int = 0,
    runner: Runner = run_compare,
    say: Callable[[str], None] = print,
) -> int:
    """Run cases in turn and append what they come to.

    Args:
        cases: that take part.
        into: folder of the ledger.
        more: from the number of runs so far to whether another may begin.
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
    while more(kept):
        done = Counter(entry.case for entry in _read(into, say).entries)
        case = next_case(done, cases, seed)
        try:
            entry = keep(case, runner(case, options), into)
        except HarnessError as error:
            failures += 1
            say(f"{case.name}: {error}")
            if failures == MOST_FAILURES:
                raise
            continue
        kept, failures = kept + 1, 0
        verdict = f"{entry.verdict.value}{'' if entry.verdict in case.right else ', NOT AS EXPECTED'}"
        say(
            f"{case.name} (run {done[case.name] + 1}): {verdict}: {entry.reason} ({entry.wall_s / 60:.1f} min)"
        )
    return kept


def _read(into: Path, say: Callable[[str], None]) -> ledger.Ledger:
    found = ledger.read(into / LEDGER)
    for broken in found.broken:
        say(f"{into / LEDGER}, line {broken.number} is no entry and is left out: {broken.reason}")
    return found


def main(
    options: Annotated[list[str] | None, typer.Argument(help="options of tailgate compare, after --")] = None,
    minutes: Annotated[float | None, typer.Option(help="begin no run after so many minutes")] = None,
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
        ends_s = time.monotonic() + (minutes or float("inf")) * 60
        grow(
            [one for one in CASES if not case or one.name in case],
            into,
            lambda kept: (runs is None or kept < runs) and time.monotonic() < ends_s,
            options or (),
            seed=seed,
        )
    typer.echo(tables(_read(into, typer.echo).entries))


if __name__ == "__main__":
    typer.run(main)
