"""Record blocks of unchanged code for the replay: as many as fit into so many minutes, whatever they show.

    python -m benchmarks.gate_recording --minutes 60 --session evening-1
    python -m benchmarks.gate_recording --from .perf/RUN --session evening-1      one that was calibrated already

Each session is one ``tailgate calibrate``, which nothing that is seen ends early, and is appended to
``results/gate-recording.jsonl`` under its label: ``run`` of its rows, which no window of the replay goes across. A session
has to be as long as the longest run of the gate: give it 15 minutes or more; several of an hour, at different times of
the day, say more than one long one.
"""

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import orjson
import typer

from benchmarks.environments import ROOT
from benchmarks.gate_effects import GATES
from benchmarks.gate_replay import complete
from benchmarks.gate_rows import refusing, small
from benchmarks.gate_simulation import RECORDING
from tailgate.harness.compare.blocks.row import read_rows, to_json
from tailgate.harness.compare.decision.design import plan_design
from tailgate.harness.errors import HarnessError, UsageError
from tailgate.harness.results.ledger import append_line

ROWS = "calibration-blocks.jsonl"
KEPT = ROOT / ".perf" / "gate-recording"
# No machine takes less for a block, which holds about that much load; nearly every one takes less than the second.
LEAST_BLOCK_S, MOST_BLOCK_S = 10.0, 20.0


def append(rows: Path, session: str, into: Path) -> int:
    """Append a calibration's blocks under a label; return how many.

    Raises:
        UsageError: the label is taken, or the blocks are fewer than one run of the gate may take.
        MeasurementError: the blocks cannot be read, or not be appended.
    """
    refuse_taken(session, into)
    found = read_rows(rows)
    design = plan_design(GATES)
    if not complete(design)(found):
        raise UsageError(
            f"{rows} has {len(found)} blocks, and the replay needs {design.blocks} good ones in a row: record a session that "
            "is longer, since two are not joined (where nothing that was seen ended them, and no pause lies between, the "
            "replay takes a file of both with --join)"
        )
    if len({row.run for row in found}) > 1:
        raise UsageError(f"{rows} is of several runs; append each as a session of its own")
    for row in found:
        kept = dataclasses.replace(small(row), run=session)
        append_line(orjson.dumps(to_json(kept)), into)
    return len(found)


def refuse_taken(session: str, into: Path) -> None:
    """Refuse a label under which blocks were recorded already.

    Raises:
        UsageError: there are some.
    """
    if into.exists() and session in {row.run for row in read_rows(into)}:
        raise UsageError(f"session {session!r} is in {into} already; give this one another label")


def refuse_too_short(minutes: float) -> str:
    """Refuse a session that cannot become as long as a run of the gate; return a warning where it may not.

    Raises:
        UsageError: no machine would measure enough blocks in that time.
    """
    needed = plan_design(GATES).blocks
    least, safe = (needed * block_s / 60 for block_s in (LEAST_BLOCK_S, MOST_BLOCK_S))
    if minutes < least:
        raise UsageError(
            f"--minutes {minutes:g}: the replay needs {needed} good blocks in a row, which take {least:g} minutes at the least; "
            f"{safe:g} are safe"
        )
    if minutes >= safe:
        return ""
    return f"the replay needs {needed} good blocks in a row: on a slow machine {minutes:g} minutes hold fewer; {safe:g} are safe"


def record(minutes: float, session: str, options: list[str]) -> Path:
    """Run ``tailgate calibrate`` for so long; return the folder of its answer.

    Raises:
        HarnessError: it came to none.
    """
    folder = KEPT / session
    command = [sys.executable, "-P", "-m", "tailgate.harness.cli", "calibrate"]
    command += [f"--minutes={minutes:g}", f"--into={folder}", *options]
    status = subprocess.run(command, cwd=ROOT, check=False).returncode
    if status or not (folder / ROWS).is_file():
        raise HarnessError(f"tailgate calibrate ended with status {status} and left no {ROWS}")
    return folder


def main(
    session: Annotated[str, typer.Option(help="label of this session: letters, digits, - and _")],
    options: Annotated[
        list[str] | None, typer.Argument(help="options of tailgate calibrate, after --")
    ] = None,
    minutes: Annotated[float, typer.Option(help="of blocks")] = 60.0,
    from_: Annotated[
        Path | None, typer.Option("--from", help="folder of a calibration that was made; measure nothing")
    ] = None,
    into: Annotated[Path, typer.Option(help="file of all sessions")] = RECORDING,
) -> None:
    """Record a session, or append one that was recorded."""
    if not session.replace("-", "").replace("_", "").isalnum():
        raise typer.BadParameter(f"a label has letters, digits, - and _; got {session!r}")
    with refusing():
        # An hour later would be too late.
        refuse_taken(session, into)
        if from_ is None and (warning := refuse_too_short(minutes)):
            typer.echo(warning, err=True)
        folder = from_ or record(minutes, session, options or [])
        typer.echo(f"{append(folder / ROWS, session, into)} blocks of {session} appended to {into}")


if __name__ == "__main__":
    typer.run(main)
