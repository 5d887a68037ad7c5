"""What one option is: pytest's command line, its ini keys and the documentation come from its declaration.

Every pytest session on the machine loads this module, so it imports nothing heavy.
"""

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tailgate.harness.options import values


class OnInconclusive(enum.Enum):
    """What an INCONCLUSIVE scenario does to its test."""

    FAIL = "fail"
    WARN = "warn"
    PASS = "pass"  # noqa: S105 - a verdict, not a password


class Enforce(enum.Enum):
    """What fails a test: a budget that does not hold, or only a measurement that is broken."""

    BUDGETS = "budgets"
    MEASUREMENT = "measurement"


class Answers(enum.Enum):
    """What a comparison does with answers of head that differ from those of base."""

    GATE = "gate"
    REPORT = "report"
    OFF = "off"


class Pin(enum.Enum):
    """Whether the generator gets a processor of its own."""

    AUTO = "auto"
    OFF = "off"


def as_written(_: Path, text: str) -> str:
    """Return a text that names no file."""
    return text


def in_folder(folder: Path, text: str) -> str:
    """Return the name of a file that an ini file in ``folder`` holds, as seen from anywhere."""
    return str(folder / Path(text).expanduser()) if text.strip() else text


def source_in_folder(folder: Path, text: str) -> str:
    """Return a source of payloads likewise: ``file:``, ``dir:`` and ``lines:`` name files, the others do not."""
    kind, colon, name = text.partition(":")
    return f"{kind}:{in_folder(folder, name)}" if colon and kind in {"file", "dir", "lines"} else text


@dataclass(frozen=True, slots=True)
class Option:
    """One option: ``--perf-NAME`` and the ini key ``perf_NAME``."""

    name: str  # with dashes
    default: Any  # what it is when neither command line nor ini say; a tuple may be given more than once
    help: str  # one line
    choices: tuple[str, ...] = ()  # what it may be, empty for anything
    bare: str | None = None  # the value that it means without one; None where it needs one
    # From text to its type; a :class:`ValueError` says what is expected.
    parse: Callable[[str], Any] = values.text
    # From the folder of an ini file and a text in it to a text that means the same from any folder.
    anchor: Callable[[Path, str], str] = as_written

    @property
    def field(self) -> str:
        """Name of the setting."""
        return self.name.replace("-", "_")

    @property
    def repeated(self) -> bool:
        """Whether it may be given more than once."""
        return isinstance(self.default, tuple)

    @property
    def flag(self) -> bool:
        """Whether it takes no value."""
        return self.default is False

    def text(self, value: Any) -> str:
        """Write a parsed value as a user would."""
        return str(value.value if isinstance(value, enum.Enum) else value)

    def words(self, value: Any) -> list[str]:
        """Return the words of a command line that give this option this value."""
        if self.flag:
            return [f"--perf-{self.name}"] if value else []
        return [f"--perf-{self.name}={self.text(item)}" for item in (value if self.repeated else [value])]


def declared(default: Any, help: str, **more: Any) -> Any:  # noqa: A002 - as argparse calls it
    """Declare an option as a field of the settings; a default of an enum says its choices as well."""
    if isinstance(default, enum.Enum):
        kind = type(default)
        more |= {"choices": tuple(item.value for item in kind), "parse": kind}
    return field(default=default, metadata={"help": help, **more})
