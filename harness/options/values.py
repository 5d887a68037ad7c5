"""Readers of option values, from text to a value within bounds.

Each raises :class:`ValueError` with what it expects; the caller adds the option's name and the text.
"""

import math
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from tailgate.harness.errors import BudgetError
from tailgate.harness.json_path import parse_path
from tailgate.harness.options import headers
from tailgate.harness.units import parse_quantity

# ASCII digits only: int() and float() take "1_000", "٣" and "infinity" as well.
_WHOLE = re.compile(r"-?[0-9]+")
_NUMBER = re.compile(r"-?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_SPACE_OR_CONTROL = re.compile(r"[\x00-\x20\x7f]")
_METHOD = re.compile(r"[A-Z]+")
_TARGET = re.compile(r"/[\x21\x22\x24-\x7e]*")
_OTHER_PORT = re.compile(r":([0-9]+)/\S*")
# Results are JSON, whose readers hold integers of 64 bits.
LARGEST_WHOLE = 2**63 - 1


def text(value: str) -> str:
    """Read a text that is not empty, as that of an unset shell variable is."""
    if not value.strip():
        raise ValueError("expected a value")
    return value


def path(value: str) -> Path:
    """Read the name of a file or folder."""
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
    """Return a reader of numbers greater than ``above`` and at most ``most``, or less than it where ``below``."""

    def read(value: str) -> float:
        parsed = float(value) if _NUMBER.fullmatch(value.strip()) else math.nan
        if not (above < parsed < most or (parsed == most and not below)):
            end = "below" if below else "to"
            raise ValueError(f"expected {unit} above {above:g} and {end} {most:,g}")
        return parsed

    return read


def assignment(value: str) -> str:
    """Read ``KEY=VALUE`` for an environment."""
    key, equals, assigned = value.partition("=")
    if not equals or not key.strip() or _SPACE_OR_CONTROL.search(key.strip()) or "\0" in assigned:
        raise ValueError("expected KEY=VALUE")
    return value


def pairs(items: tuple[str, ...]) -> dict[str, str]:
    """Split each ``KEY=VALUE``; a later one wins."""
    split = [item.partition("=") for item in items]
    return {key.strip(): value for key, _, value in split}


def budget(value: str) -> str:
    """Read ``KEY=QUANTITY``, or the same behind ``SCENARIO:``, which may name device and precision as a budgets file does."""
    name, equals, quantity = value.partition("=")
    if not equals or not all(part.strip() for part in name.split(":")) or name.count(":") > 3:
        raise ValueError("expected KEY=QUANTITY or SCENARIO:KEY=QUANTITY, such as steady:p95=80 ms")
    try:
        parse_quantity(quantity)
    except BudgetError as error:
        raise ValueError(f"expected KEY=QUANTITY ({error})") from None
    return value


def command_line(value: str) -> str:
    """Read a command line, which is split as a POSIX shell does and given to no shell."""
    try:
        words = shlex.split(value)
    except ValueError as error:
        raise ValueError(f"expected a command line ({error})") from None
    if not words or not words[0] or "\0" in value:
        raise ValueError("expected a program and its arguments")
    return value


def url_path_or_none(value: str) -> str:
    """Read the path of an address, or nothing."""
    if value and (not value.startswith("/") or _SPACE_OR_CONTROL.search(value)):
        raise ValueError("expected a path that starts with '/', without white space")
    return value


def request_line(value: str) -> str:
    """Read ``METHOD PATH`` of a request."""
    words = value.split(" ")
    if len(words) != 2:
        raise ValueError("expected METHOD and PATH, such as POST /score?x=1")
    return f"{method(words[0])} {request_target(words[1])}"


def method(value: str) -> str:
    """Read the method of a request."""
    # The answer to HEAD or CONNECT is framed as no other is.
    if not _METHOD.fullmatch(value) or value in {"HEAD", "CONNECT"}:
        raise ValueError("expected a method in capitals, such as POST, and neither HEAD nor CONNECT")
    return value


def request_target(value: str) -> str:
    """Read the path of a request, and its query."""
    if not _TARGET.fullmatch(value):
        raise ValueError(
            "expected a path that starts with '/', without a fragment, percent-encoded but for ASCII"
        )
    return value


def header(value: str) -> str:
    """Read ``NAME: VALUE`` of a request."""
    name, said = headers.split(value)
    if not name or not said:
        raise ValueError("expected NAME: VALUE")
    if why := headers.fault(name, said):
        raise ValueError(f"expected NAME: VALUE; {why}")
    return value


def metrics_place(value: str) -> str:
    """Read a path, ``:PORT/PATH``, an address, or nothing."""
    if value.startswith(("http://", "https://")):
        if _SPACE_OR_CONTROL.search(value):
            raise ValueError("expected an address without white space")
        if not _has_host(value):
            raise ValueError("expected an address such as http://HOST:PORT/PATH")
        return value
    if match := _OTHER_PORT.fullmatch(value):
        whole(1, 65_535)(match[1])
        return value
    return url_path_or_none(value)


def _has_host(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, a bracket that does not close
        return False


def regex(value: str) -> str:
    """Read a regular expression of Python."""
    try:
        re.compile(text(value))
    except re.error as error:
        raise ValueError(f"expected a regular expression ({error})") from None
    return value


def json_place(value: str) -> str:
    """Read a place in a JSON document."""
    parse_path(value)
    return value
