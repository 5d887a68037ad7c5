"""Every option of the gate, declared once: pytest's command line, its ini keys and the documentation come from here.

Every pytest session on the machine loads this module, so it imports nothing heavy.
"""

import enum
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tailgate.harness.options import values
from tailgate.harness.profiles import PROFILES


class OnInconclusive(enum.Enum):
    """What an INCONCLUSIVE scenario does to its test."""

    FAIL = "fail"
    WARN = "warn"
    PASS = "pass"  # noqa: S105 - a verdict, not a password


class Enforce(enum.Enum):
    """What fails a test: a budget that does not hold, or only a measurement that is broken."""

    BUDGETS = "budgets"
    MEASUREMENT = "measurement"


class Pin(enum.Enum):
    """Whether the generator gets a processor of its own."""

    AUTO = "auto"
    OFF = "off"


# Far beyond any run, and far below what timers refuse.
LONGEST_S = 1_000_000.0
LONGEST_MINUTES = 10_080.0


def in_folder(folder: Path, text: str) -> str:
    """Return the name of a file that an ini file in ``folder`` holds, as seen from anywhere."""
    return str(folder / Path(text).expanduser()) if text.strip() else text


def source_in_folder(folder: Path, text: str) -> str:
    """Return a source of payloads likewise: ``file:`` and ``dir:`` name files, the others do not."""
    kind, colon, name = text.partition(":")
    return f"{kind}:{in_folder(folder, name)}" if colon and kind in {"file", "dir"} else text


def as_written(_: Path, text: str) -> str:
    """Return a text that names no file."""
    return text


@dataclass(frozen=True, slots=True)
class Option:
    """One option: ``--perf-NAME`` and the ini key ``perf_NAME``.

    Attributes:
        name: with dashes.
        default: what it is when neither command line nor ini say.
        help: one line.
        choices: what it may be, empty for anything.
        repeated: it may be given more than once, and is a tuple.
        parse: from text to its type; a :class:`ValueError` says what is expected.
        flag: it takes no value.
        anchor: from the folder of an ini file and a text in it to a text that means the same from any folder.
    """

    name: str
    default: Any
    help: str
    choices: tuple[str, ...] = ()
    repeated: bool = False
    parse: Callable[[str], Any] = values.text
    flag: bool = False
    anchor: Callable[[Path, str], str] = as_written

    @property
    def field(self) -> str:
        """Name of the setting."""
        return self.name.replace("-", "_")

    def text(self, value: Any) -> str:
        """Write a parsed value as a user would."""
        return str(value.value if isinstance(value, enum.Enum) else value)

    def words(self, value: Any) -> list[str]:
        """Return the words of a command line that give this option this value."""
        if self.flag:
            return [f"--perf-{self.name}"] if value else []
        return [f"--perf-{self.name}={self.text(item)}" for item in (value if self.repeated else [value])]


OPTIONS: tuple[Option, ...] = (
    Option(
        "target",
        "service",
        "what is measured: service, service:KEY=VALUE,…, command:LINE, or http://host:port",
    ),
    Option(
        "env",
        (),
        "KEY=VALUE for the environment of a target that is launched; may be repeated",
        repeated=True,
        parse=values.assignment,
    ),
    Option("scenario", (), "run only this scenario; may be repeated", repeated=True),
    Option("profile", "default", "how much evidence is gathered", choices=tuple(PROFILES)),
    Option(
        "budgets",
        None,
        "budgets file; default: budgets.toml in the project's top folder, or [tool.tailgate.budgets] in pyproject.toml",
        parse=values.path,
        anchor=in_folder,
    ),
    Option(
        "payloads",
        "photos",
        "what is sent: photos, pixels:SIDE, file:PATH, dir:PATH",
        anchor=source_in_folder,
    ),
    Option(
        "plugin",
        (),
        "Python file with hooks of tailgate; may be repeated",
        repeated=True,
        parse=values.path,
        anchor=in_folder,
    ),
    Option(
        "seed",
        None,
        "seed of the arrivals; default: a new one for each run, which is printed",
        parse=values.whole(0),
    ),
    Option(
        "output",
        Path(".perf"),
        "folder for results and raw samples",
        parse=values.path,
        anchor=in_folder,
    ),
    Option(
        "against",
        None,
        "compare with this instead of checking budgets: a git revision, . for the working tree, or a target as "
        "--perf-target takes it",
    ),
    Option("head", ".", "what is compared with --perf-against, in the same forms; default: the working tree"),
    Option(
        "against-python",
        None,
        "interpreter that runs the revision compared with, where its dependencies differ; default: this one",
        parse=values.path,
        anchor=in_folder,
    ),
    Option(
        "time-limit",
        18.0,
        "minutes that the blocks of one comparison may take",
        parse=values.number("minutes", 0, LONGEST_MINUTES),
    ),
    Option(
        "blocks",
        None,
        "blocks that one comparison may take, from its first look on; default: as many as its design has",
        parse=values.whole(1),
    ),
    Option(
        "lens",
        (),
        "what a comparison looks at: p95=8% sets what it tolerates, p95.margin=1% from where it fails, memory=gate "
        "or p99=report whether it counts; may be repeated",
        repeated=True,
    ),
    Option(
        "inconclusive",
        OnInconclusive.FAIL,
        "what an INCONCLUSIVE scenario does to its test",
        choices=tuple(item.value for item in OnInconclusive),
        parse=OnInconclusive,
    ),
    Option(
        "enforce",
        Enforce.BUDGETS,
        "budgets: a budget that does not hold fails the test; measurement: only a broken measurement does, for machines "
        "whose speed is not known",
        choices=tuple(item.value for item in Enforce),
        parse=Enforce,
    ),
    Option(
        "confidence",
        0.99,
        "one minus the share of runs that may pass falsely, and of those that may fail falsely",
        parse=values.number("a share", 0.5, 1, below=True),
    ),
    Option(
        "pin",
        Pin.AUTO,
        "auto: the generator gets a processor of its own where there are four or more",
        choices=tuple(item.value for item in Pin),
        parse=Pin,
    ),
    Option(
        "processors",
        None,
        "processors that both servers of a comparison share, 0 for all; default: what the load says, which is one for compare",
        parse=values.whole(0),
    ),
    Option(
        "require-device",
        False,
        "fail, instead of skipping, where TAILGATE_DEVICE=cuda and there is no CUDA",
        flag=True,
    ),
    Option(
        "readiness-path",
        "/health/ready",
        "path that answers 2xx once the target takes load",
        parse=values.url_path,
    ),
    Option(
        "metrics-path",
        "/metrics",
        "path of the target's Prometheus metrics; empty: it has none",
        parse=values.url_path_or_none,
    ),
    Option(
        "metric",
        (),
        "NAME=THEIRS: what the target calls a metric, such as request_seconds=http_seconds; nothing after the equals "
        "sign: it has none; may be repeated",
        repeated=True,
        parse=values.assignment,
    ),
    Option(
        "ready-timeout",
        180.0,
        "seconds that a target may take to become ready",
        parse=values.number("seconds", 0, LONGEST_S),
    ),
    Option(
        "request-timeout",
        30.0,
        "seconds after which a request without an answer has failed",
        parse=values.number("seconds", 0, LONGEST_S),
    ),
)


def options_table() -> str:
    """Return all options as a Markdown table: the one in the documentation."""
    rows = ["| option | ini key | default | meaning |", "| --- | --- | --- | --- |"]
    for option in OPTIONS:
        default = "" if option.default in (None, (), False) else f"`{option.text(option.default)}`"
        choices = f" ({', '.join(option.choices)})" if option.choices else ""
        rows.append(
            f"| `--perf-{option.name}` | `perf_{option.field}` | {default} | {option.help}{choices} |"
        )
    return "\n".join(rows) + "\n"
