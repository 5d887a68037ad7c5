"""Keep a calibration's blocks of unchanged code for the replay, as one session.

    tailgate calibrate --minutes=60 --into=.perf/evening-1
    python -m benchmarks.gate.recording .perf/evening-1 --session evening-1

No verdict ends a calibration early. A session is appended to ``results/gate-recording.jsonl`` under its label, and no
window of the replay crosses into another session. A session must be as long as the longest run of the gate: 15 minutes
or more. Several of an hour at different times of the day say more than one long session.
"""

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.gate import rows
from benchmarks.gate.rows import refusing
from benchmarks.gate.simulation.effects import GATES
from benchmarks.gate.simulation.replay import RECORDING, complete
from tailgate import UsageError
from tailgate.harness.compare.blocks.row import read_rows
from tailgate.harness.compare.decision.design import plan_design

ROWS = "calibration-blocks.jsonl"


def append(path: Path, session: str, into: Path) -> int:
    """Append a calibration's blocks under a label; return how many.

    Raises:
        UsageError: the label is taken, or the blocks are fewer than one run of the gate may take.
        MeasurementError: the blocks cannot be read, or not be appended.
    """
    if into.exists() and session in {row.run for row in read_rows(into)}:
        raise UsageError(f"session {session!r} is in {into} already; give this one another label")
    found = read_rows(path)
    design = plan_design(GATES)
    if not complete(design)(found):
        raise UsageError(
            f"{path} has {len(found)} blocks, and the replay needs {design.blocks} good ones in a row: "
            "calibrate for longer (on a slow machine 12 minutes may be too short)"
        )
    if len({row.run for row in found}) > 1:
        raise UsageError(f"{path} is of several runs; append each as a session of its own")
    rows.append(found, session, into)
    return len(found)


def main(
    folder: Annotated[Path, typer.Argument(help="folder of tailgate calibrate")],
    session: Annotated[str, typer.Option(help="label of this session: letters, digits, - and _")],
    into: Annotated[Path, typer.Option(help="file of all sessions")] = RECORDING,
) -> None:
    """Append a calibration to the recording."""
    if not session.replace("-", "").replace("_", "").isalnum():
        raise typer.BadParameter(f"a label has letters, digits, - and _; got {session!r}")
    with refusing():
        typer.echo(f"{append(folder / ROWS, session, into)} blocks of {session} appended to {into}")


if __name__ == "__main__":
    typer.run(main)
