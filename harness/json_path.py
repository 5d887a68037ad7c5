"""A place in a JSON document, as people write it: ``$.items[0].score``, ``$['a name']``, ``$.items[*].id``.

The part of JSONPath (RFC 9535) that names places: members, indices, and ``[*]`` for each item of a list or member of an
object. Values are those of :func:`document`.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

# A member's name, an index, or None for each of them.
Step = str | int | None

_STEP = re.compile(
    r"""\.(?P<name>[^\s.\[\]=~'"*]+)
      | \[(?P<index>-?[0-9]{1,9})\]
      | \['(?P<single>(?:[^'\\]|\\.)*)'\]
      | \["(?P<double>(?:[^"\\]|\\.)*)"\]
      | (?P<each>\[\*\]|\.\*)""",
    re.VERBOSE,
)
_ESCAPED = re.compile(r"\\(.)")
_PLAIN = re.compile(r"[^\s.\[\]=~'\"*]+")


@dataclass(frozen=True, slots=True)
class JsonPath:
    """The steps from a document to some of its values."""

    steps: tuple[Step, ...]

    def __str__(self) -> str:
        """Write it so that it reads back."""
        return written(self.steps)

    def covers(self, place: tuple[str | int, ...]) -> bool:
        """Tell whether a place is one that this path leads to, or lies within one."""
        return len(self.steps) <= len(place) and all(
            step is None or step == there for step, there in zip(self.steps, place, strict=False)
        )


def written(steps: tuple[Step, ...]) -> str:
    """Write steps as a path; a name that needs quotes has them."""
    return "$" + "".join(map(_step, steps))


def _step(step: Step) -> str:
    if step is None:
        return "[*]"
    if isinstance(step, int):
        return f"[{step}]"
    if _PLAIN.fullmatch(step):
        return f".{step}"
    quoted = step.replace("\\", "\\\\").replace("'", "\\'")
    return f"['{quoted}']"


def parse_path(text: str) -> JsonPath:
    """Read a whole text as a path; raise ValueError where it is none."""
    path, rest = split_path(text)
    if rest:
        raise ValueError(f"expected a path such as $.items[0].score, and cannot read {rest!r}")
    return path


def split_path(text: str) -> tuple[JsonPath, str]:
    """Read the path that a text begins with; return it and the rest. Raise ValueError where it begins with none."""
    if not text.startswith("$"):
        raise ValueError("expected a path that begins with $, such as $.items[0].score")
    steps: list[Step] = []
    end = 1
    while match := _STEP.match(text, end):
        end = match.end()
        quoted = match["single"] if match["single"] is not None else match["double"]
        if match["each"]:
            steps.append(None)
        elif match["index"]:
            steps.append(int(match["index"]))
        else:
            steps.append(match["name"] or _ESCAPED.sub(r"\1", quoted))
    return JsonPath(tuple(steps)), text[end:]


def values_at(path: JsonPath, value: Any) -> Iterator[Any]:
    """Yield the values that a path leads to; none where the document has no such place."""
    found = [value]
    for step in path.steps:
        found = [inner for outer in found for inner in _within(outer, step)]
    yield from found


def _within(value: Any, step: Step) -> list[Any]:
    match value, step:
        case dict(), None:
            return list(value.values())
        case list(), None:
            return value
        case dict(), str() if step in value:
            return [value[step]]
        case list(), int() if -len(value) <= step < len(value):
            return [value[step]]
    return []


def document(body: bytes) -> Any:
    """Return the value of a JSON text, with NaN and infinities as Python writes them; raise ValueError for another text."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        try:
            # Only this one takes NaN, which a model that went wrong answers.
            return json.loads(body, parse_int=_whole)
        except RecursionError:
            raise ValueError("JSON that is nested too deep") from None


def _whole(digits: str) -> int | float:
    # As orjson reads what has no room in 64 bits.
    return int(digits) if len(digits) < 20 else float(digits)


def equal(one: Any, other: Any) -> bool:
    """Tell whether two JSON values are equal: 1 is 1.0, and true is no number."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(one[name], other[name]) for name in one)
    return bool(one == other) or (one != one and other != other)  # noqa: PLR0124 - NaN is NaN here
