"""Which series of a metric are meant: its name, and conditions on its labels, written as in PromQL.

``http_request_duration_seconds{handler="/score",method!="GET"}``. The operators are ``=``, ``!=``, ``=~`` and ``!~``; a
regular expression must match the whole value, and a label that a series lacks is the empty text.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from tailgate.harness.errors import UsageError
from tailgate.harness.named import listed

# Wider than the names of PromQL: an exposition may quote names of any characters.
_NAME = re.compile(r"\s*([^\s{}\"'`,=]+)\s*")
_CONDITION = re.compile(
    r"""\s*([a-zA-Z_]\w*)\s*(=~|!~|!=|=)\s*("(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`[^`]*`)\s*""",
    re.ASCII,
)
_ESCAPE = re.compile(
    r"""\\(?:([abfnrtv\\"'])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|.?)"""
)
_LETTERS = dict(zip("abfnrtv", "\a\b\f\n\r\t\v", strict=True))
# As many values of a label as a message lists.
_LISTED = 10


class Series(NamedTuple):
    """A metric's name with its labels, in the labels' order of name."""

    name: str
    labels: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        """Write it as an exposition does."""
        inside = ",".join(f'{name}="{value}"' for name, value in self.labels)
        return f"{self.name}{{{inside}}}" if inside else self.name


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition on one label; ``written`` is its value as the user quoted it."""

    label: str
    operator: str
    value: str
    written: str = field(compare=False)

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Tell whether a series with these labels meets it."""
        value = labels.get(self.label, "")
        same = (
            re.fullmatch(self.value, value, re.DOTALL) is not None
            if "~" in self.operator
            else value == self.value
        )
        return same is not self.operator.startswith("!")

    def __str__(self) -> str:
        """Write it as the user did."""
        return f"{self.label}{self.operator}{self.written}"


@dataclass(frozen=True, slots=True)
class Selector:
    """A metric's name and the conditions on its labels."""

    name: str
    conditions: tuple[Condition, ...] = ()

    def matches(self, series: Series) -> bool:
        """Tell whether a series is meant."""
        if series.name != self.name:
            return False
        labels = dict(series.labels)
        return all(condition.holds(labels) for condition in self.conditions)

    def suffixed(self, suffix: str) -> "Selector":
        """Return the selector of another metric of the same family, such as its ``_count``."""
        return replace(self, name=self.name + suffix)

    def unmatched(self, known: Iterable[Series]) -> str:
        """Say what the labels are of series that have the name and are not meant; empty where there are none."""
        family = {f"{self.name}{suffix}" for suffix in ("", "_total", "_bucket")}
        labels = [dict(series.labels) for series in known if series.name in family]
        there = sorted({name for one in labels for name in one} - {"le", "quantile"})
        told = []
        for label in dict.fromkeys(condition.label for condition in self.conditions):
            values = sorted({one[label] for one in labels if label in one})
            if values:
                told.append(f"its {label} is {listed([*map(quoted, values)], _LISTED)}")
            elif labels:
                told.append(f"it has no label {label}; it has {', '.join(there) or 'none'}")
        return "; ".join(told)

    def __str__(self) -> str:
        """Write it as PromQL does."""
        inside = ",".join(map(str, self.conditions))
        return f"{self.name}{{{inside}}}" if inside else self.name


def quoted(value: str) -> str:
    """Return a label's value as PromQL takes it."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def equal(label: str, value: str) -> Condition:
    """Return the condition that a label has a value."""
    return Condition(label, "=", value, quoted(value))


def read_selector(text: str) -> Selector:
    """Read ``NAME`` or ``NAME{LABEL="VALUE",…}``; raise UsageError, which says what is wrong, for anything else."""
    name = _NAME.match(text)
    if name is None:
        raise _refused(text, "it begins with no name")
    rest = text[name.end() :].rstrip()
    if not rest:
        return Selector(name[1])
    if not (rest.startswith("{") and rest.endswith("}")):
        raise _refused(text, f"behind the name stands {rest!r}")
    conditions, place, inside = [], 0, rest[1:-1]
    while inside[place:].strip():
        found = _CONDITION.match(inside, place)
        if found is None:
            raise _refused(text, f"{inside[place:].strip()!r} is no condition")
        conditions.append(_condition(text, *found.groups()))
        place = found.end()
        if inside[place : place + 1] not in {"", ","}:
            raise _refused(text, f"{inside[place:]!r} follows a condition")
        place += 1
    return Selector(name[1], tuple(conditions))


def _condition(text: str, label: str, operator: str, written: str) -> Condition:
    value = (
        written[1:-1]
        if written.startswith("`")
        else _ESCAPE.sub(lambda one: _unescaped(text, one), written[1:-1])
    )
    if "~" in operator:
        try:
            re.compile(value)
        except re.error as error:
            raise _refused(text, f"{written} is not a regular expression ({error})") from None
    return Condition(label, operator, value, written)


def _unescaped(text: str, escape: re.Match[str]) -> str:
    letter, *codes, octal = escape.groups()
    if letter is not None:
        return _LETTERS.get(letter, letter)
    code = next((int(one, 16) for one in codes if one is not None), None)
    code = int(octal, 8) if octal is not None else code
    if code is None or code > 0x10FFFF:
        raise _refused(
            text,
            f"{escape[0]} is not an escape; a backslash is written \\\\, or the value stands in `backticks`",
        )
    return chr(code)


def _refused(text: str, why: str) -> UsageError:
    return UsageError(
        f'{text!r} names no series: {why}; expected NAME or NAME{{LABEL="VALUE",…}}, with =, !=, =~ or !~'
    )
