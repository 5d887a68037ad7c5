"""What a right answer is, as ``--perf-expect`` and a payload's ``expect`` say it; whether an answer is one.

A regular expression is Python's, and searches the text of the whole body. One that backtracks without end does so here as
well: it is the user's own. An answer is looked at as far as it is kept.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from tailgate.harness import json_path
from tailgate.harness.errors import UsageError
from tailgate.harness.json_path import JsonPath

FORMS = (
    "expected status=200 (or 2xx, or 200,204), json:$.label=cat, json:$.score=0.9~0.01 (or ~1%), json:$.label, "
    "contains:TEXT, matches:REGEX, or same"
)
_STATUS = re.compile(r"[1-5][0-9]{2}|[1-5]xx")
_NUMBER = r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
_NEAR = re.compile(rf"({_NUMBER})~(.*)", re.DOTALL)
_TOLERANCE = re.compile(r"([0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)(%?)")
_SHOWN = 60


class Answer(Protocol):
    """A whole answer, as far as it is kept."""

    @property
    def status(self) -> int:
        """HTTP status."""

    @property
    def body(self) -> bytes:
        """Its first part."""

    @property
    def length(self) -> int:
        """Bytes of the whole body."""

    @property
    def crc(self) -> int:
        """Checksum of what is beyond the first part."""


@dataclass(frozen=True, slots=True)
class Status:
    """The status is one of some, such as 204 or 2xx."""

    wanted: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class AtPath:
    """Every value at a path is the wanted one, or within a tolerance of it; there is one at the least."""

    path: JsonPath
    wanted: Any
    tolerance: float = 0.0
    relative: bool = False


@dataclass(frozen=True, slots=True)
class Present:
    """There is a value at a path; null is one."""

    path: JsonPath


@dataclass(frozen=True, slots=True)
class Contains:
    """The body has a text in it."""

    text: str


@dataclass(frozen=True, slots=True)
class Matches:
    """A regular expression is found in the body."""

    pattern: re.Pattern[str]


@dataclass(frozen=True, slots=True)
class Same:
    """The answer is the first one to the same payload: the same bytes, or equal JSON."""


Expectation = Status | AtPath | Present | Contains | Matches | Same


def parse(text: str) -> Expectation:
    """Read one expectation; raise ValueError with what is expected."""
    kind, separator, said = text.partition(":")
    if text == "same":
        return Same()
    if text.startswith("status="):
        wanted = tuple(part.strip().lower() for part in text.removeprefix("status=").split(","))
        if not all(map(_STATUS.fullmatch, wanted)):
            raise ValueError("expected a status such as 200, 2xx, or 200,204")
        return Status(wanted)
    if kind == "json":
        return _at_path(said)
    if kind in {"contains", "matches"} and separator:
        if not said:
            raise ValueError(f"expected a text after {kind}:")
        return Contains(said) if kind == "contains" else _pattern(said)
    raise ValueError(FORMS)


def _at_path(said: str) -> Expectation:
    path, rest = json_path.split_path(said)
    if not rest:
        return Present(path)
    if not rest.startswith("="):
        raise ValueError(f"expected = and a value after the path {path}, and cannot read {rest!r}")
    value = rest[1:]
    if near := _NEAR.fullmatch(value):
        tolerance = _TOLERANCE.fullmatch(near[2])
        if tolerance is None or not float(tolerance[1]) > 0 or not math.isfinite(float(tolerance[1])):
            raise ValueError(f"expected a tolerance above 0 after ~, such as 0.01 or 1%, got {near[2]!r}")
        relative = tolerance[2] == "%"
        return AtPath(path, float(near[1]), float(tolerance[1]) / (100 if relative else 1), relative)
    try:
        return AtPath(path, orjson.loads(value))
    except orjson.JSONDecodeError:
        if not value:
            raise ValueError('expected a value after the equals sign, "" for an empty text') from None
        return AtPath(path, value)


def _pattern(said: str) -> Expectation:
    try:
        return Matches(re.compile(said))
    except (re.error, OverflowError) as error:
        raise ValueError(f"expected a regular expression ({error})") from None


def expectations(texts: Sequence[str], whose: str) -> tuple[Expectation, ...]:
    """Read all expectations of a payload or an option; the UsageError for one that cannot be read names ``whose``.

    Where none says which status is right, 2xx is.
    """
    found = []
    for text in texts:
        try:
            found.append(parse(text))
        except ValueError as error:
            raise UsageError(f"{whose}: {error}, got {text!r}") from None
    if found and not any(isinstance(one, Status) for one in found):
        found.insert(0, Status(("2xx",)))
    return tuple(found)


def misses(expectation: Expectation, answer: Answer, first: Answer | None) -> str | None:
    """Return what is wrong with an answer, as a sentence; None where it is as expected.

    ``first`` is the first answer to the same payload, which ``same`` asks for; None where this is the first.
    """
    match expectation:
        case Status(wanted):
            status = str(answer.status)
            right = status in wanted or f"{status[0]}xx" in wanted
            wrong = f"status is {status}, expected {' or '.join(wanted)}; it says {_shown(_text(answer))}"
        case AtPath() | Present():
            return _misses_at(expectation, answer)
        case Contains(text):
            right = text.encode() in answer.body
            wrong = f"the answer is {_shown(_text(answer))}, expected one that contains {_shown(text)}"
        case Matches(pattern):
            right = pattern.search(_text(answer)) is not None
            wrong = (
                f"the answer is {_shown(_text(answer))}, expected one that matches {_shown(pattern.pattern)}"
            )
        case Same():
            right = first is None or _alike(answer, first)
            again = "" if first is None else f"{first.status} {_shown(_text(first))}"
            wrong = f"the answer is {answer.status} {_shown(_text(answer))}, expected the first one again: {again}"
    return None if right else wrong


def first_miss(expected: Sequence[Expectation], answer: Answer, first: Answer | None) -> str | None:
    """Return the first thing that is wrong with an answer; None where it is right."""
    return next((miss for one in expected if (miss := misses(one, answer, first))), None)


def _misses_at(expectation: AtPath | Present, answer: Answer) -> str | None:
    path = expectation.path
    wanted = "a value" if isinstance(expectation, Present) else _wanted(expectation)
    if answer.length > len(answer.body):
        there = f"the answer has {answer.length:,} bytes, of which only {len(answer.body):,} are looked at"
        return f"{there}, expected {wanted} at {path}"
    try:
        found = list(json_path.values_at(path, json_path.document(answer.body)))
    except ValueError:
        return f"the answer is not JSON but {_shown(_text(answer))}, expected {wanted} at {path}"
    if not found:
        return f"{path} is missing, expected {wanted}"
    if isinstance(expectation, Present):
        return None
    wrong = [value for value in found if not _holds(expectation, value)]
    return f"{path} is {_shown(wrong[0])}, expected {wanted}" if wrong else None


def _wanted(expectation: AtPath) -> str:
    within = f"{expectation.tolerance * (100 if expectation.relative else 1):g}{'%' * expectation.relative}"
    return _shown(expectation.wanted) + (f" within {within}" if expectation.tolerance else "")


def _holds(expectation: AtPath, value: Any) -> bool:
    wanted, tolerance = expectation.wanted, expectation.tolerance
    if not tolerance:
        return json_path.equal(value, wanted)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    # 0.91 is within 0.01 of 0.9, whatever their binary forms say.
    allowed = tolerance * (abs(wanted) if expectation.relative else 1) * (1 + 1e-9)
    return bool(-allowed <= value - wanted <= allowed)


def _alike(answer: Answer, first: Answer) -> bool:
    if answer.status != first.status:
        return False
    whole = (answer.length, answer.crc, answer.body)
    if whole == (first.length, first.crc, first.body):
        return True
    try:
        return json_path.equal(*(json_path.document(one.body) for one in (answer, first)))
    except (ValueError, RecursionError):
        return False


def _text(answer: Answer) -> str:
    return answer.body.decode("utf-8", errors="replace")


def _shown(value: Any) -> str:
    """Write a value in one line, as people read it."""
    if isinstance(value, str):
        text = repr(" ".join(value.split()) if len(value) > _SHOWN else value)
    else:
        try:
            text = orjson.dumps(value).decode()
        except TypeError:  # an integer beyond 64 bits
            text = str(value)
        if isinstance(value, float) and not math.isfinite(value):
            text = str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
