"""One body per line: JSON lines, rows of a CSV file, or any text."""

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import orjson

from tailgate.harness.errors import UsageError
from tailgate.harness.scenario.payloads.bodies import JSON, TEXT, read_text
from tailgate.harness.scenario.payloads.payload import Payload

JSON_LINES = frozenset({".jsonl", ".ndjson"})
ROWS = JSON_LINES | {".csv"}
# RFC 8259, section 6: what JSON writes as a number; 007 and a telephone number are texts.
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_BY = "payloads lines:PATH"


def line_payloads(path: Path) -> Sequence[Payload]:
    """Return a payload for each line that is not empty, called by the file's name and its number.

    Raise UsageError, with the line's number, for one that is not of the kind that the file's name says.
    """
    text, kind = read_text(path, _BY), path.suffix.lower()
    if kind == ".csv":
        bodies, content_type = _rows(path, text), JSON
    elif kind in JSON_LINES:
        bodies, content_type = _json_lines(path, text), JSON
    else:
        bodies, content_type = ((number, line) for number, line in numbered(text) if line), TEXT
    made = [Payload(f"{path.name}:{number}", body.encode(), content_type) for number, body in bodies]
    if not made:
        raise UsageError(f"{_BY}: {path} holds no line")
    return made


def numbered(text: str) -> Iterator[tuple[int, str]]:
    """Give each line with its number; only a line feed ends one, since JSON may hold other ends of lines."""
    return enumerate((line.removesuffix("\r") for line in text.split("\n")), 1)


def _json_lines(path: Path, text: str) -> Iterator[tuple[int, str]]:
    for number, line in numbered(text):
        if body := line.strip(" \t"):
            try:
                orjson.loads(body)
            except orjson.JSONDecodeError as error:
                raise UsageError(f"{_BY}: {path}, line {number}: expected JSON ({error})") from None
            yield number, body


def _rows(path: Path, text: str) -> Iterator[tuple[int, str]]:
    """Give a JSON object for each row; the first row names its members."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    names: list[str] | None = None
    begins = 1
    try:
        for row in reader:
            number, begins = begins, reader.line_num + 1
            if not row:
                continue
            if names is None:
                names = _columns(path, number, row)
            elif len(row) != len(names):
                raise UsageError(
                    f"{_BY}: {path}, line {number}: expected {len(names)} cells, as the first row has, got {len(row)}"
                )
            else:
                pairs = zip(names, row, strict=True)
                yield (
                    number,
                    "{" + ", ".join(f"{json.dumps(name)}: {_cell(cell)}" for name, cell in pairs) + "}",
                )
    except csv.Error as error:
        raise UsageError(f"{_BY}: {path}, line {begins}: expected CSV ({error})") from None


def _columns(path: Path, number: int, row: list[str]) -> list[str]:
    if "" in row or len(set(row)) < len(row):
        raise UsageError(
            f"{_BY}: {path}, line {number}: expected the names of the columns, each once, got {row}"
        )
    return row


def _cell(cell: str) -> str:
    # A number keeps its digits: no float is between.
    return cell if _NUMBER.fullmatch(cell) else json.dumps(cell, ensure_ascii=False)
