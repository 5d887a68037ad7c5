"""Every option of the gate, declared once: pytest's command line, its ini keys and the documentation come from here."""

import enum
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.scenario import PROFILES, Profile


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


@dataclass(frozen=True, slots=True)
class Option:
    """One option: ``--perf-NAME`` and the ini key ``perf_NAME``.

    Attributes:
        name: with dashes.
        default: what it is when neither command line nor ini say.
        help: one line.
        choices: what it may be, empty for anything.
        repeated: it may be given more than once, and is a tuple.
        parse: from text to its type.
        flag: it takes no value.
    """

    name: str
    default: Any
    help: str
    choices: tuple[str, ...] = ()
    repeated: bool = False
    parse: Callable[[str], Any] = str
    flag: bool = False

    @property
    def field(self) -> str:
        """Name of the setting."""
        return self.name.replace("-", "_")


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
    ),
    Option("scenario", (), "run only this scenario; may be repeated", repeated=True),
    Option("profile", "default", "how much evidence is gathered", choices=tuple(PROFILES)),
    Option(
        "budgets",
        None,
        "budgets file; default: perf-budgets.toml beside pyproject.toml, else [tool.tailgate.budgets]",
        parse=Path,
    ),
    Option("payloads", "photos", "what is sent: photos, pixels:SIDE, file:PATH, dir:PATH"),
    Option("plugin", (), "Python file with hooks of tailgate; may be repeated", repeated=True, parse=Path),
    Option(
        "seed", None, "seed of the arrivals; default: a new one for each run, which is printed", parse=int
    ),
    Option("output", Path(".perf"), "folder for results and raw samples", parse=Path),
    Option(
        "inconclusive",
        "fail",
        "what an INCONCLUSIVE scenario does",
        choices=tuple(item.value for item in OnInconclusive),
    ),
    Option(
        "enforce",
        "budgets",
        "budgets: a budget that does not hold fails the test; measurement: only a broken measurement does, for machines "
        "whose speed is not known",
        choices=tuple(item.value for item in Enforce),
    ),
    Option("confidence", 0.99, "one-sided confidence of each end of an interval", parse=float),
    Option(
        "pin",
        "auto",
        "auto: the generator gets a processor of its own where there are four or more",
        choices=tuple(item.value for item in Pin),
    ),
    Option(
        "require-device",
        False,
        "fail, instead of skipping, where TAILGATE_DEVICE=cuda and there is no CUDA",
        flag=True,
    ),
    Option("readiness-path", "/health/ready", "path that answers 200 once the target takes load"),
    Option("metrics-path", "/metrics", "path of the target's Prometheus metrics; empty: it has none"),
    Option(
        "metric",
        (),
        "NAME=THEIRS: what the target calls a metric, such as request_seconds=http_seconds; may be repeated",
        repeated=True,
    ),
    Option("ready-timeout", 180.0, "seconds that a target may take to become ready", parse=float),
    Option(
        "request-timeout", 30.0, "seconds after which a request without an answer has failed", parse=float
    ),
)


@dataclass(frozen=True, slots=True)
class GateSettings:
    """The options of one run, parsed. The attributes are those of :data:`OPTIONS`, and ``root``.

    Attributes:
        root: folder of the project, where budgets are looked for.
    """

    root: Path
    target: str
    env: tuple[str, ...]
    scenario: tuple[str, ...]
    profile: str
    budgets: Path | None
    payloads: str
    plugin: tuple[Path, ...]
    seed: int | None
    output: Path
    inconclusive: str
    enforce: str
    confidence: float
    pin: str
    require_device: bool
    readiness_path: str
    metrics_path: str
    metric: tuple[str, ...]
    ready_timeout: float
    request_timeout: float

    def __post_init__(self) -> None:
        """Refuse what cannot mean anything, before anything runs."""
        if not 0.5 < self.confidence < 1:
            raise UsageError(f"--perf-confidence: expected a share between 0.5 and 1, got {self.confidence}")
        for name in ("ready_timeout", "request_timeout"):
            if not 0 < getattr(self, name) < float("inf"):
                raise UsageError(
                    f"--perf-{name.replace('_', '-')}: expected seconds above 0, got {getattr(self, name)}"
                )
        if self.seed is not None and self.seed < 0:
            raise UsageError(f"--perf-seed: expected a whole number from 0 on, got {self.seed}")

    @property
    def gathered(self) -> Profile:
        """The profile itself."""
        return PROFILES[self.profile]

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables for a launched target."""
        return pairs("env", self.env)

    def variable(self, name: str) -> str | None:
        """Return a variable as the launched target will see it."""
        return self.environment.get(name, os.environ.get(name))


def pairs(option: str, items: tuple[str, ...]) -> dict[str, str]:
    """Split each ``KEY=VALUE``.

    Raises:
        UsageError: an item has no equals sign.
    """
    found = {}
    for item in items:
        key, equals, value = item.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"--perf-{option}: expected KEY=VALUE, got {item!r}")
        found[key.strip()] = value
    return found


def parse_options(read: Callable[[Option], Any], root: Path) -> GateSettings:
    """Return the settings.

    Args:
        read: gives an option's raw value: text, a list of texts, a bool, or None where nothing was said.
        root: folder of the project.

    Raises:
        UsageError: a value does not parse, or is none of the choices.
    """
    values: dict[str, Any] = {"root": root}
    for option in OPTIONS:
        raw = read(option)
        if raw is None or raw == []:
            values[option.field] = option.default
        elif option.flag:
            values[option.field] = bool(raw)
        elif option.repeated:
            values[option.field] = tuple(_parse(option, item) for item in raw)
        else:
            values[option.field] = _parse(option, raw)
    assert set(values) == {field.name for field in fields(GateSettings)}
    return GateSettings(**values)


def _parse(option: Option, text: Any) -> Any:
    try:
        value = option.parse(text)
    except ValueError:
        raise UsageError(f"--perf-{option.name}: cannot read {text!r}; {option.help}") from None
    if option.choices and value not in option.choices:
        raise UsageError(f"--perf-{option.name}: expected one of {', '.join(option.choices)}, got {text!r}")
    return value


def options_table() -> str:
    """Return all options as a Markdown table: the one in the documentation."""
    rows = ["| option | ini key | default | meaning |", "| --- | --- | --- | --- |"]
    for option in OPTIONS:
        default = "" if option.default in (None, (), False) else f"`{option.default}`"
        choices = f" ({', '.join(option.choices)})" if option.choices else ""
        rows.append(
            f"| `--perf-{option.name}` | `perf_{option.field}` | {default} | {option.help}{choices} |"
        )
    return "\n".join(rows) + "\n"
