"""An answer taken apart: what it says at each place, so that two answers can be set beside each other. Pure.

JSON is taken apart member by member, and a list of numbers is one vector. Server-sent events and lines of JSON are lists.
Any other body is one text, or one piece of bytes. The status and the content type are places as well.
"""

import math
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from tailgate.harness import json_path
from tailgate.harness.load.records.answers import KeptAnswer
from tailgate.harness.load.wire.stream import LINES

# Steps that lead there; a value in a JSON body has "$" first, and a vector None last.
Place = tuple[str | int | None, ...]

STATUS: Place = ("status",)
CONTENT_TYPE: Place = ("content type",)
TEXT: Place = ("text",)
BODY: Place = ("bytes",)
# An answer with more of them is compared as one text.
MOST_PLACES = 20_000
_EVENTS = "text/event-stream"
_SHOWN = 60


class Number(NamedTuple):
    """A number, or the numbers of a list."""

    value: Any  # a number, or an array of them
    whole: bool  # whether all of them are written without a fraction

    @property
    def size(self) -> int | None:
        """How many there are in the list; None for a bare number."""
        return self.value.size if isinstance(self.value, np.ndarray) else None


# What stands at a place: numbers, or JSON of anything else that has nothing within it.
Leaf = Number | str


def take_apart(answer: KeptAnswer) -> Mapping[Place, Leaf]:
    """Return what an answer says, by place."""
    found: dict[Place, Leaf] = {STATUS: str(answer.status), CONTENT_TYPE: answer.content_type.lower()}
    whole = answer.length <= len(answer.body)
    try:
        if not whole or not _gather(("$",), _document(answer), found):
            raise ValueError("no JSON, or too much of it")  # noqa: TRY301 - one way to a text
    except (ValueError, RecursionError):
        found = {place: found[place] for place in (STATUS, CONTENT_TYPE)}
        place, text = _text(answer.body)
        found[place] = text if whole else f"{text} and {answer.length:,} bytes, {answer.crc:08x}"
    return found


def pattern(place: Place) -> Place:
    """Return a place without the positions in lists: what is alike there is alike by itself."""
    return tuple(None if isinstance(step, int) else step for step in place)


def written(place: Place) -> str:
    """Write a place as people do: ``$.items[0].score``, or ``status``."""
    return json_path.written(place[1:]) if place[0] == "$" else str(place[0])


def shown(leaf: Leaf | None, beside: Leaf | None = None) -> str:
    """Write what stands at a place in one line; a long text from where it differs from another."""
    if leaf is None:
        return "nothing"
    if isinstance(leaf, Number):
        if leaf.size is None:
            return f"{leaf.value:.9g}" if isinstance(leaf.value, float) else str(leaf.value)
        text = ", ".join(f"{one:.6g}" for one in leaf.value[:4])
        return f"[{text}{', …' if leaf.size > 4 else ''}]"
    text = " ".join(leaf.split())
    if len(text) <= _SHOWN:
        return text
    other = " ".join(beside.split()) if isinstance(beside, str) else ""
    same = next((at for at, (one, two) in enumerate(zip(text, other, strict=False)) if one != two), 0)
    start = max(0, same - _SHOWN // 3)
    return f"{'…' if start else ''}{text[start : start + _SHOWN]}…"


def _document(answer: KeptAnswer) -> Any:
    kind = answer.content_type.partition(";")[0].strip().lower()
    if kind == _EVENTS:
        return [_value(data) for data in _event_data(answer.body)]
    if kind.encode() in LINES:
        return [_value(line) for line in answer.body.splitlines() if line.strip()]
    return json_path.document(answer.body)


def _event_data(body: bytes) -> list[bytes]:
    """Return the data of each event that has any."""
    lines = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n\n")
    events = [
        [line[5:].removeprefix(b" ") for line in event.split(b"\n") if line.startswith(b"data:")]
        for event in lines
    ]
    return [b"\n".join(data) for data in events if data]


def _value(data: bytes) -> Any:
    try:
        return json_path.document(data)
    except ValueError:
        return data.decode("utf-8", errors="replace")


def _gather(place: Place, value: Any, found: dict[Place, Leaf]) -> bool:
    """Put all that stands within a place into ``found``; return whether it is little enough."""
    if isinstance(value, dict) and value:
        return all(_gather((*place, name), inner, found) for name, inner in value.items())
    if isinstance(value, list) and value:
        numbers = _vector(value)
        if numbers is None:
            return all(_gather((*place, index), inner, found) for index, inner in enumerate(value))
        found[*place, None] = numbers
    elif _is_number(value):
        found[place] = Number(value, isinstance(value, int))
    else:
        found[place] = _json(value)
    return len(found) <= MOST_PLACES


def _vector(values: list[Any]) -> Number | None:
    if not all(map(_is_number, values)):
        return None
    numbers: NDArray[np.float64] = np.array(values, dtype=np.float64)
    return Number(numbers, all(isinstance(value, int) for value in values))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _json(value: Any) -> str:
    return str(value) if isinstance(value, float) else orjson.dumps(value).decode()


def _text(body: bytes) -> tuple[Place, str]:
    try:
        return TEXT, body.decode()
    except UnicodeDecodeError:
        return BODY, f"{len(body):,} bytes, {zlib.crc32(body):08x}: {body[:8].hex()}"
