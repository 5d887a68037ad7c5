"""Pages that take text from elsewhere: from what is declared in code, and from the results of benchmarks.

A page names the source in a comment, and has the text behind it, so that it can be read as it is:

    <!-- {serving[cells][noop 64 mosec][tailgate_over_it]} -->1.25<!-- end -->

The comment is a format string of Python. Its first name is a file of ``benchmarks/results`` without its suffix, or
``tables`` for a table. Brackets hold a key of a JSON object, or words that choose the one object of a list. Behind a
colon stands how it is written: a scale (``ms``, ``µs``, ``min``, ``%``, ``MB``), ``range`` for both ends, and a number
format such as ``.1f``, all of which may be missing. ``date``, ``machine`` and ``source`` write these of a whole file.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from benchmarks.record import RESULTS
from benchmarks.spread import figure

ROOT = Path(__file__).parents[1]
FIELD = re.compile(r"<!-- ([^>]*\{[^>]*\}[^>]*) -->(.*?)<!-- end -->", re.DOTALL)
OPENING = re.compile(r"<!-- [^>]*\{[^>]*\}[^>]* -->")

# What a number is multiplied by. Results are in seconds, shares and bytes.
SCALES = {"ms": 1e3, "µs": 1e6, "min": 1 / 60, "%": 1e2, "MB": 1e-6}


class FillError(Exception):
    """A field of a page cannot be filled in."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a results file, which a format string walks through and writes."""

    value: Any
    place: str  # where it stands, for messages

    def __getitem__(self, key: str | int) -> "Part":
        """Return what stands under a key, or the one object of a list that these words choose."""
        place = f"{self.place}[{key}]"
        if isinstance(self.value, dict) and str(key) in self.value:
            return Part(self.value[str(key)], place)
        if isinstance(self.value, list):
            found = self.value[key : key + 1] if isinstance(key, int) else chosen(self.value, key)
            if len(found) == 1:
                return Part(found[0], place)
            raise FillError(f"{place}: expected words that choose one of {len(self.value)}, got {len(found)}")
        keys = ", ".join(self.value) if isinstance(self.value, dict) else "none"
        raise FillError(f"{place}: there is no such key; there are: {keys}")

    def __format__(self, spec: str) -> str:
        """Write it as the module's text says."""
        if spec in HEADS:
            return HEADS[spec](self.value)
        scale, spread, number = 1.0, False, ""
        for word in spec.split():
            if word in SCALES:
                scale = SCALES[word]
            elif word == "range":
                spread = True
            else:
                number = word
        if spread:
            return " to ".join(self[end].written(scale, number) for end in ("low", "high"))
        return self.written(scale, number)

    def written(self, scale: float, number: str) -> str:
        """Write a number, or the middle one of a spread or an estimate; a text as it is."""
        value = self.value
        if isinstance(value, dict):
            value = value.get("median", value.get("value"))
        if isinstance(value, str):
            return value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise FillError(f"{self.place}: expected a number or a text, got {type(self.value).__name__}")
        return format(value * scale, number) if number else figure(value * scale)


def chosen(items: Sequence[Any], words: str) -> list[Any]:
    """Return the objects that have these words as a value, or each of them, or of those between commas, as one of their values."""
    values = [
        {str(value) for value in item.values()} if isinstance(item, dict) else {str(item)} for item in items
    ]
    whole = [item for item, mine in zip(items, values, strict=True) if words in mine]
    each = set(words.split(", ") if ", " in words else words.split())
    return whole or [item for item, mine in zip(items, values, strict=True) if mine >= each]


def date(head: Mapping[str, Any]) -> str:
    """Return the day on which a result was measured: 25 November 2026."""
    day = datetime.fromisoformat(head["started"])
    return f"{day.day} {day:%B %Y}"


def machine(head: Mapping[str, Any]) -> str:
    """Return what a result was measured on: two processors of an AMD EPYC."""
    facts = head["machine"]
    return facts["gpu"] or f"{facts['processors']} processors of an {facts['processor'].replace('(R)', '')}"


def source(head: Mapping[str, Any]) -> str:
    """Return where a result comes from: its command, machine, day and commit."""
    command = head.get("command", head["benchmark"])
    return f"`{command}`, {machine(head)}, {date(head)}, commit {head['revision']}"


HEADS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {"date": date, "machine": machine, "source": source}


class Sources(dict[str, Any]):
    """What fields may name: ``tables``, and each file of a folder of results, which is read when it is asked for."""

    def __init__(self, tables: "Tables", folder: Path = RESULTS) -> None:
        super().__init__(tables=tables)
        self.folder = folder

    def __missing__(self, name: str) -> Part:
        """Read a file of results."""
        path = self.folder / f"{name}.json"
        if not path.is_file():
            raise FillError(f"{name}: there is no {path.name} in {self.folder}")
        found = self[name] = Part(orjson.loads(path.read_bytes()), name)
        return found


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables by name."""

    made: Mapping[str, Callable[[], str]]

    def __getitem__(self, name: str) -> str:
        """Make a table."""
        if name not in self.made:
            raise FillError(f"tables[{name}]: there is no such table; there are: {', '.join(self.made)}")
        return self.made[name]()


def filled(text: str, sources: Mapping[str, Any]) -> str:
    """Return a page with all its fields filled in.

    Raises:
        FillError: a field names what there is not, or has no end.
    """

    def of(field: re.Match[str]) -> str:
        if opened := OPENING.search(field[2]):
            raise FillError(f"<!-- {field[1]} --> has no <!-- end --> before {opened[0]}")
        try:
            new = field[1].format_map(sources)
        except (FillError, KeyError, ValueError, TypeError, AttributeError) as error:
            raise FillError(f"<!-- {field[1]} -->: {error}") from error
        between = "\n\n" if "\n" in new else ""
        return f"<!-- {field[1]} -->{between}{new.strip()}{between}<!-- end -->"

    if len(OPENING.findall(text)) > len(FIELD.findall(text)):
        raise FillError(f"{OPENING.findall(text)[-1]} has no <!-- end -->")
    return FIELD.sub(of, text)


def pages() -> Iterator[Path]:
    """Yield every page that may have fields."""
    yield ROOT / "README.md"
    yield from sorted((ROOT / "docs").rglob("*.md"))
    yield from sorted((ROOT / "benchmarks").glob("*.md"))
