"""The ledger of drills: one line of JSON each, appended and never rewritten. A line that is none is refused, not passed over.

What a drill came to decides whether the gate is believed, so that a ledger of which a part is missing says nothing.
"""

from dataclasses import dataclass
from pathlib import Path

import msgspec
import orjson

from tailgate.harness.drill.case import CASES
from tailgate.harness.drill.evidence import Seen
from tailgate.harness.errors import MeasurementError
from tailgate.harness.results.file import to_json
from tailgate.harness.results.ledger import append_line

DRILLS = "drills.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill(Seen):
    """One drill: one line of the ledger."""

    commit: str
    date: str  # ISO 8601, in UTC
    reason: str
    minutes: float  # from start to end, what a run of CI waits for it
    exercised: tuple[str, ...] = ()  # lenses that the planted change can move and that were looked at
    run: str = ""  # id of the run; empty where it measured nothing
    machine: str = ""  # short fingerprint
    tailgate: str = ""


def read(path: Path) -> tuple[Drill, ...]:
    """Return the drills of a file, the oldest first; none where there is no such file.

    Raises:
        MeasurementError: the file cannot be read, or a line is no drill.
    """
    try:
        lines = path.read_bytes().splitlines() if path.exists() else []
    except OSError as error:
        raise MeasurementError(f"cannot read the drills {path}: {error.strerror}") from error
    found = []
    for number, line in enumerate(lines, start=1):
        try:
            drill = msgspec.json.decode(line, type=Drill)
        except msgspec.MsgspecError as error:
            raise MeasurementError(f"{path}, line {number} is not a drill: {error}") from None
        if drill.case not in CASES:
            raise MeasurementError(
                f"{path}, line {number} is of the case {drill.case!r}, which is none: {', '.join(CASES)}"
            )
        found.append(drill)
    return tuple(found)


def append(drill: Drill, path: Path) -> None:
    """Append a drill; raise MeasurementError where the file cannot be written."""
    append_line(orjson.dumps(to_json(drill)), path)
