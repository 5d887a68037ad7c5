"""What servers answered: each distinct answer once, in a file beside the samples, which say who got which.

The generator only looks an answer up among those that it knows. What answers mean is for others, after the load.
"""

from pathlib import Path

import msgspec

from tailgate.harness.errors import LoadError, MeasurementError
from tailgate.harness.load.wire.answer import WholeAnswer

ANSWERS = "answers.jsonl"
# Of bodies, with what a dictionary needs for each.
ROOM_BYTES = 16 * 2**20
_EACH_BYTES = 400


class KeptAnswer(msgspec.Struct, frozen=True, rename={"number": "answer", "content_type": "type"}):
    """One answer, as one or many requests got it: a line of the file, its body in base64."""

    number: int  # as samples have it in ``answer``
    payload: int  # index into the plan's payloads
    status: int  # of HTTP
    content_type: str  # as the server wrote it; empty without one
    length: int  # of the whole body, in bytes
    crc: int  # CRC-32 of what is beyond :attr:`body`; 0 for nothing
    body: bytes  # its first MiB


class Answers:
    """The distinct answers so far, each with its number from 1 on; the file is written when :meth:`flush` is called."""

    def __init__(self, path: Path) -> None:
        self.unkept = 0  # answers that found no more room
        self._path = path
        self._numbers: dict[tuple[int, int, WholeAnswer], int] = {}
        self._unwritten: list[tuple[int, int, WholeAnswer]] = []
        self._bytes = 0
        path.unlink(missing_ok=True)

    def number(self, payload: int, status: int, answer: WholeAnswer) -> int:
        """Return the number of an answer; 0 for a new one that has no room."""
        key = (payload, status, answer)
        number = self._numbers.get(key)
        return self._keep(key) if number is None else number

    def _keep(self, key: tuple[int, int, WholeAnswer]) -> int:
        size = len(key[2].body) + _EACH_BYTES
        if self._bytes + size > ROOM_BYTES:
            self.unkept += 1
            return 0
        self._bytes += size
        self._unwritten.append(key)
        self._numbers[key] = len(self._numbers) + 1
        return len(self._numbers)

    def flush(self) -> None:
        """Append what is new to the file; raise LoadError where the disk takes no more."""
        lines = [
            msgspec.json.encode(
                KeptAnswer(
                    self._numbers[key],
                    payload,
                    status,
                    answer.content_type.decode("latin-1"),
                    answer.length,
                    answer.crc,
                    answer.body,
                )
            )
            + b"\n"
            for key in self._unwritten
            for payload, status, answer in [key]
        ]
        self._unwritten.clear()
        if not lines:
            return
        try:
            with self._path.open("ab") as file:
                file.writelines(lines)
        except OSError as error:
            raise LoadError(f"cannot write answers to {self._path}: {error.strerror}") from error


def read_answers(path: Path) -> tuple[KeptAnswer, ...]:
    """Return the answers of a file; raise MeasurementError where it is none. A last line that was cut short is left out."""
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise MeasurementError(f"no answers to read at {path}: {error.strerror}") from error
    kept = []
    for number, line in enumerate(lines[:-1], start=1):
        try:
            kept.append(msgspec.json.decode(line, type=KeptAnswer))
        except msgspec.MsgspecError as error:
            raise MeasurementError(f"{path}, line {number}: no answer: {error}") from error
    return tuple(kept)
