"""Every option of the gate, declared once: pytest's command line, its ini keys and the documentation come from here.

Every pytest session on the machine loads this module, so it imports nothing heavy.
"""

import enum
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError

if TYPE_CHECKING:
    from harness.scenario import Profile

# Those of harness.scenario.PROFILES, whose module needs numpy; a test holds the two together.
PROFILE_NAMES = ("smoke", "default", "thorough")


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
    ),
    Option("scenario", (), "run only this scenario; may be repeated", repeated=True),
    Option("profile", "default", "how much evidence is gathered", choices=PROFILE_NAMES),
    Option(
        "budgets",
        None,
        "budgets file; default: budgets.toml in the project's top folder, or [tool.tailgate.budgets] in pyproject.toml",
        parse=Path,
    ),
    Option("payloads", "photos", "what is sent: photos, pixels:SIDE, file:PATH, dir:PATH"),
    Option("plugin", (), "Python file with hooks of tailgate; may be repeated", repeated=True, parse=Path),
    Option(
        "seed", None, "seed of the arrivals; default: a new one for each run, which is printed", parse=int
    ),
    Option("output", Path(".perf"), "folder for results and raw samples", parse=Path),
    Option(
        "against",
        None,
        "compare with this instead of checking budgets: a git revision, . for the working tree, or a target as "
        "--perf-target takes it",
    ),
    Option(
        "against-python",
        None,
        "interpreter that runs the revision compared with, where its dependencies differ; default: this one",
        parse=Path,
    ),
    Option("time-limit", 18.0, "minutes that the blocks of one comparison may take", parse=float),
    Option(
        "blocks",
        None,
        "blocks that one comparison may take, from its first look on; default: as many as its design has",
        parse=int,
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
    Option("confidence", 0.99, "one-sided confidence of each end of an interval", parse=float),
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
        parse=int,
    ),
    Option(
        "require-device",
        False,
        "fail, instead of skipping, where TAILGATE_DEVICE=cuda and there is no CUDA",
        flag=True,
    ),
    Option("readiness-path", "/health/ready", "path that answers 2xx once the target takes load"),
    Option("metrics-path", "/metrics", "path of the target's Prometheus metrics; empty: it has none"),
    Option(
        "metric",
        (),
        "NAME=THEIRS: what the target calls a metric, such as request_seconds=http_seconds; nothing after the equals "
        "sign: it has none; may be repeated",
        repeated=True,
    ),
    Option("ready-timeout", 180.0, "seconds that a target may take to become ready", parse=float),
    Option(
        "request-timeout", 30.0, "seconds after which a request without an answer has failed", parse=float
    ),
)


@dataclass(frozen=True, slots=True)
class GateSettings:
    """The options of one run, parsed. The attributes are those of :data:`OPTIONS`, and two more.

    Attributes:
        root: folder of the project, where budgets are looked for.
        given: names of the options that the command line says; the ini file says the others, or nobody.
    """

    root: Path
    given: frozenset[str]
    target: str
    env: tuple[str, ...]
    scenario: tuple[str, ...]
    profile: str
    budgets: Path | None
    payloads: str
    plugin: tuple[Path, ...]
    seed: int | None
    output: Path
    against: str | None
    against_python: Path | None
    time_limit: float
    blocks: int | None
    lens: tuple[str, ...]
    inconclusive: OnInconclusive
    enforce: Enforce
    confidence: float
    pin: Pin
    processors: int | None
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
        for name, unit in (
            ("ready_timeout", "seconds"),
            ("request_timeout", "seconds"),
            ("time_limit", "minutes"),
        ):
            if not 0 < getattr(self, name) < float("inf"):
                raise UsageError(
                    f"--perf-{name.replace('_', '-')}: expected {unit} above 0, got {getattr(self, name)}"
                )
        if self.blocks is not None and self.blocks < 1:
            raise UsageError(f"--perf-blocks: expected a whole number from 1 on, got {self.blocks}")
        if self.processors is not None and self.processors < 0:
            raise UsageError(f"--perf-processors: expected a whole number from 0 on, got {self.processors}")
        if self.seed is not None and self.seed < 0:
            raise UsageError(f"--perf-seed: expected a whole number from 0 on, got {self.seed}")
        for name in ("env", "metric"):
            pairs(name, getattr(self, name))

    @property
    def gathered(self) -> "Profile":
        """The profile itself."""
        from harness.scenario import PROFILES  # noqa: PLC0415 - heavy

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


def parse_options(
    read: Callable[[Option], Any], root: Path, given: frozenset[str] = frozenset()
) -> GateSettings:
    """Return the settings.

    Args:
        read: gives an option's raw value: text, a list of texts, a bool, or None where nothing was said.
        root: folder of the project; a path that is a default lies in it.
        given: names of the options that the command line says.

    Raises:
        UsageError: a value does not parse, or is none of the choices.
    """
    values: dict[str, Any] = {"root": root, "given": given}
    for option in OPTIONS:
        raw = read(option)
        if raw is None or raw == []:
            default = option.default
            values[option.field] = root / default if isinstance(default, Path) else default
        elif option.flag:
            values[option.field] = bool(raw)
        elif option.repeated:
            values[option.field] = tuple(_parse(option, item) for item in raw)
        else:
            values[option.field] = _parse(option, raw)
    assert set(values) == {field.name for field in fields(GateSettings)}
    return GateSettings(**values)


def _parse(option: Option, text: Any) -> Any:
    if option.choices and text not in option.choices:
        raise UsageError(f"--perf-{option.name}: expected one of {', '.join(option.choices)}, got {text!r}")
    try:
        return option.parse(text)
    except ValueError:
        raise UsageError(f"--perf-{option.name}: cannot read {text!r}; {option.help}") from None


def stated(settings: GateSettings) -> dict[str, str | int | float | None]:
    """Return every option as results keep it: plain values, and a list as one text."""
    values: dict[str, str | int | float | None] = {}
    for option in OPTIONS:
        value = getattr(settings, option.field)
        if option.repeated:
            value = ", ".join(map(option.text, value))
        plain = value is None or isinstance(value, (str, int, float))
        values[option.field] = value if plain else option.text(value)
    return values


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
