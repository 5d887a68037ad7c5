"""What is known of a fleet in one phase: by the gateway's log, line by line, and by each replica's own counts.

Both lie in the slot's folder as they came, so that a run can be judged again.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import orjson

from tailgate.harness.errors import MeasurementError
from tailgate.harness.target.fleet.gateways import GATEWAYS, Passed

BOOKS = "fleet.jsonl"
LOG = "gateway.log"


@dataclass(frozen=True, slots=True)
class ReplicaBook:
    """One process. Times are nanoseconds of CLOCK_MONOTONIC; None for what lies outside the phase."""

    place: int
    since_ns: int | None  # when it was started
    told_ns: int | None  # when it was told to end, or killed
    until_ns: int | None  # when it was gone
    killed: bool
    counted: float | None  # requests of this phase, by its last reading; None where it does not tell
    read_ns: tuple[int, int] | None  # the beginning and the end of that reading


@dataclass(frozen=True, slots=True)
class FleetBook:
    """A fleet in one phase."""

    phase: str
    act: str
    gateway: str
    ports: tuple[int, ...]  # of its places
    began_ns: int  # the act
    ended_ns: int
    replicas: tuple[ReplicaBook, ...]


def keep(book: FleetBook, lines: bytes, folder: Path) -> None:
    """Append a phase to the books in a folder; ``lines`` are those of the gateway's log."""
    try:
        with (folder / LOG).open("ab") as log, (folder / BOOKS).open("ab") as file:
            log.write(lines)
            file.write(orjson.dumps(book) + b"\n")
    except OSError as error:
        raise MeasurementError(f"cannot write the fleet's books into {folder}: {error.strerror}") from error


def read(folder: Path, phase: str) -> FleetBook | None:
    """Return the book of a phase; None where there is none."""
    path = folder / BOOKS
    if not path.is_file():
        return None
    books = [msgspec.json.decode(line, type=FleetBook) for line in path.read_bytes().splitlines()]
    return next((book for book in books if book.phase == phase), None)


def passed(folder: Path, book: FleetBook) -> Iterator[Passed]:
    """Yield what the gateway's log says of each request, in its order; requests of other phases are among them."""
    reading = GATEWAYS[book.gateway].read
    with (folder / LOG).open(errors="replace") as log:
        for line in log:
            one = reading(line.rstrip("\n"), book.ports)
            if one is not None:
                yield one
