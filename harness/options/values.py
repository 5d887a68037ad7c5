"""Readers of option values: from the text of a command line or ini file to a value, within stated bounds.

Each raises :class:`ValueError` with what it expects; :mod:`tailgate.harness.options.table` adds the option's name and the text.
"""

import math
import re
from collections.abc import Callable
from pathlib import Path

# ASCII digits only: int() and float() take "1_000", "٣" and "infinity" as well.
_WHOLE = re.compile(r"-?[0-9]+")
_NUMBER = re.compile(r"-?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_SPACE_OR_CONTROL = re.compile(r"[\x00-\x20\x7f]")
# Results are JSON, whose readers hold integers of 64 bits.
LARGEST_WHOLE = 2**63 - 1


def text(value: str) -> str:
    """Read a text that says something.

    Raises:
        ValueError: it is empty, as that of an unset shell variable is.
    """
    if not value.strip():
        raise ValueError("expected a value")
    return value


def path(value: str) -> Path:
    """Read the name of a file or folder.

    Raises:
        ValueError: it is empty.
    """
    return Path(text(value))


def whole(least: int, most: int = LARGEST_WHOLE) -> Callable[[str], int]:
    """Return a reader of whole numbers within bounds."""

    def read(value: str) -> int:
        number = int(value) if _WHOLE.fullmatch(value.strip()) and len(value) < 40 else None
        if number is None or not least <= number <= most:
            bound = f"to {most}" if most < LARGEST_WHOLE else "on"
            raise ValueError(f"expected a whole number from {least} {bound}")
        return number

    return read


def number(unit: str, above: float, most: float, *, below: bool = False) -> Callable[[str], float]:
    """Return a reader of numbers.

    Args:
        unit: what they count, for the message.
        above: they are greater than this.
        most: they are at most this; or less than this, where ``below``.
        below: leave ``most`` itself out.
    """

    def read(value: str) -> float:
        parsed = float(value) if _NUMBER.fullmatch(value.strip()) else math.nan
        if not (above < parsed < most or (parsed == most and not below)):
            end = "below" if below else "to"
            raise ValueError(f"expected {unit} above {above:g} and {end} {most:,g}")
        return parsed

    return read


def assignment(value: str) -> str:
    """Read ``KEY=VALUE`` for an environment.

    Raises:
        ValueError: the key is not one, or the value holds a NUL, which no environment can.
    """
    key, equals, assigned = value.partition("=")
    if not equals or not key.strip() or _SPACE_OR_CONTROL.search(key.strip()) or "\0" in assigned:
        raise ValueError("expected KEY=VALUE")
    return value


def url_path(value: str) -> str:
    """Read the path of an address.

    Raises:
        ValueError: it does not start with a slash, or holds white space.
    """
    if not value.startswith("/") or _SPACE_OR_CONTROL.search(value):
        raise ValueError("expected a path that starts with '/', without white space")
    return value


def url_path_or_none(value: str) -> str:
    """Read the path of an address, or nothing.

    Raises:
        ValueError: it is neither.
    """
    return url_path(value) if value else ""
