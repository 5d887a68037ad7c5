"""The options of one run: declared, read from the command line and the ini file, and refused where they have no meaning.

Every pytest session on the machine loads this module, so it imports nothing heavy.
"""

import difflib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from tailgate.harness.errors import UsageError
from tailgate.harness.options import values
from tailgate.harness.options.table import (
    Enforce,
    OnInconclusive,
    Option,
    Pin,
    declared,
    in_folder,
    source_in_folder,
)
from tailgate.harness.profiles import PROFILES, Profile
from tailgate.harness.secrecy import Secrets

# What a launched service reads.
SERVICE_PREFIX = "TAILGATE_"
# Far beyond any run, and far below what timers refuse.
LONGEST_S = 1_000_000.0
LONGEST_MINUTES = 10_080.0


@dataclass(frozen=True, slots=True)
class GateSettings:
    """The options of one run, parsed: ``--perf-NAME``, or the ini key ``perf_NAME``, for each but the first four."""

    root: Path  # folder of the project, where budgets are looked for
    # Names of the options that the command line says; the ini file says the others, or nobody.
    given: frozenset[str]
    ini_folder: Path | None  # where the ini file lies that says something; None without one
    said_in_ini: frozenset[str]  # names of the options that it says, and the command line does not
    target: str = declared(
        "service", "what is measured: service, service:KEY=VALUE,…, command:LINE, or http://host:port"
    )
    env: tuple[str, ...] = declared(
        (),
        "KEY=VALUE for the environment of a target that is launched; may be repeated",
        parse=values.assignment,
    )
    scenario: tuple[str, ...] = declared((), "run only this scenario; may be repeated")
    profile: str = declared("default", "how much evidence is gathered", choices=tuple(PROFILES))
    budgets: Path | None = declared(
        None,
        "budgets file; default: budgets.toml in the project's top folder, or [tool.tailgate.budgets] in pyproject.toml",
        parse=values.path,
        anchor=in_folder,
    )
    payloads: str = declared(
        "photos", "what is sent: photos, pixels:SIDE, file:PATH, dir:PATH", anchor=source_in_folder
    )
    plugin: tuple[Path, ...] = declared(
        (), "Python file with hooks of tailgate; may be repeated", parse=values.path, anchor=in_folder
    )
    seed: int | None = declared(
        None, "seed of the arrivals; default: a new one for each run, which is printed", parse=values.whole(0)
    )
    output: Path = declared(
        Path(".perf"), "folder for results and raw samples", parse=values.path, anchor=in_folder
    )
    against: str | None = declared(
        None,
        "compare with this instead of checking budgets: a git revision, . for the working tree, or a target as "
        "--perf-target takes it",
    )
    head: str = declared(
        ".", "what is compared with --perf-against, in the same forms; default: the working tree"
    )
    against_python: Path | None = declared(
        None,
        "interpreter that runs the revision compared with, where its dependencies differ; default: this one",
        parse=values.path,
        anchor=in_folder,
    )
    time_limit: float = declared(
        18.0,
        "minutes that the blocks of one comparison may take",
        parse=values.number("minutes", 0, LONGEST_MINUTES),
    )
    blocks: int | None = declared(
        None,
        "blocks that one comparison may take, from its first look on; default: as many as its design has",
        parse=values.whole(1),
    )
    lens: tuple[str, ...] = declared(
        (),
        "what a comparison looks at: p95=8% sets what it tolerates, p95.margin=1% from where it fails, memory=gate "
        "or p99=report whether it counts; may be repeated",
    )
    inconclusive: OnInconclusive = declared(
        OnInconclusive.FAIL, "what an INCONCLUSIVE scenario does to its test"
    )
    enforce: Enforce = declared(
        Enforce.BUDGETS,
        "budgets: a budget that does not hold fails the test; measurement: only a broken measurement does, for machines "
        "whose speed is not known",
    )
    confidence: float = declared(
        0.99,
        "one minus the share of runs that may pass falsely, and of those that may fail falsely",
        parse=values.number("a share", 0.5, 1, below=True),
    )
    pin: Pin = declared(
        Pin.AUTO, "auto: the generator gets a processor of its own where there are four or more"
    )
    processors: int | None = declared(
        None,
        "processors that both servers of a comparison share, 0 for all; default: what the load says, which is one for compare",
        parse=values.whole(0),
    )
    require_device: bool = declared(
        False, "fail, instead of skipping, where TAILGATE_DEVICE=cuda and there is no CUDA"
    )
    readiness_path: str = declared(
        "/health/ready", "path that answers 2xx once the target takes load", parse=values.url_path
    )
    metrics_path: str = declared(
        "/metrics",
        "path of the target's Prometheus metrics; empty: it has none",
        parse=values.url_path_or_none,
    )
    metric: tuple[str, ...] = declared(
        (),
        "NAME=THEIRS: what the target calls a metric, such as request_seconds=http_seconds; nothing after the equals "
        "sign: it has none; may be repeated",
        parse=values.assignment,
    )
    ready_timeout: float = declared(
        180.0, "seconds that a target may take to become ready", parse=values.number("seconds", 0, LONGEST_S)
    )
    request_timeout: float = declared(
        30.0,
        "seconds after which a request without an answer has failed",
        parse=values.number("seconds", 0, LONGEST_S),
    )

    def __post_init__(self) -> None:
        """Refuse options that have no meaning together."""
        if self.against is None and "head" in self.given:
            raise UsageError(f"--perf-head={self.head} is compared with nothing; give --perf-against as well")

    @property
    def gathered(self) -> Profile:
        """The profile itself."""
        return PROFILES[self.profile]

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables for a launched target."""
        return pairs(self.env)

    def launch_folder(self, name: str) -> Path | None:
        """Return where the target runs that an option names: beside the ini file that says it, else None for here."""
        return self.ini_folder if name in self.said_in_ini else None

    @property
    def secrets(self) -> Secrets:
        """What must not be told of these options and of the service's environment."""
        words = (
            self.target,
            self.against or "",
            self.head,
            self.payloads,
            self.readiness_path,
            self.metrics_path,
        )
        service = [(name, value) for name, value in os.environ.items() if name.startswith(SERVICE_PREFIX)]
        return Secrets.of((*words, *self.environment.values()), (*self.environment.items(), *service))

    def variable(self, name: str) -> str | None:
        """Return a variable as the launched target will see it."""
        return self.environment.get(name, os.environ.get(name))


OPTIONS: tuple[Option, ...] = tuple(
    Option(one.name.replace("_", "-"), one.default, **one.metadata)
    for one in fields(GateSettings)
    if one.metadata
)


def pairs(items: tuple[str, ...]) -> dict[str, str]:
    """Split each ``KEY=VALUE``; a later one wins."""
    split = [item.partition("=") for item in items]
    return {key.strip(): value for key, _, value in split}


def parse_options(
    command_line: Callable[[Option], Any],
    root: Path,
    ini_file: Callable[[Option], Any] = lambda _: None,
    ini_folder: Path | None = None,
) -> GateSettings:
    """Return the settings; what the command line says beats the ini file. Raise UsageError for a value that does not parse.

    Args:
        command_line: gives an option's raw value: text, a list of texts, a bool, or None where nothing was said.
        root: folder of the project; a path that is a default lies in it.
        ini_file: likewise.
        ini_folder: where paths in the ini file start; None without a file.
    """
    parsed: dict[str, Any] = {}
    given, said_in_ini = set(), set()
    for option in OPTIONS:
        raw, default = command_line(option), option.default
        if raw is not None:
            given.add(option.name)
        else:
            raw = ini_file(option)
            if raw not in (None, []):
                said_in_ini.add(option.name)
                raw = _anchored(option, raw, ini_folder)
        if raw in (None, []):
            parsed[option.field] = root / default if isinstance(default, Path) else default
        elif option.flag:
            parsed[option.field] = bool(raw)
        elif option.repeated:
            parsed[option.field] = tuple(_parse(option, item) for item in raw)
        else:
            parsed[option.field] = _parse(option, raw)
    return GateSettings(root, frozenset(given), ini_folder, frozenset(said_in_ini), **parsed)


def _anchored(option: Option, raw: Any, folder: Path | None) -> Any:
    if option.flag or folder is None:
        return raw
    return [option.anchor(folder, item) for item in raw] if option.repeated else option.anchor(folder, raw)


def _parse(option: Option, text: str) -> Any:
    if option.choices and text not in option.choices:
        near = difflib.get_close_matches(text, option.choices, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise UsageError(
            f"--perf-{option.name}: expected one of {', '.join(option.choices)}, got {text!r}{hint}"
        )
    try:
        return option.parse(text)
    except ValueError as error:
        raise UsageError(f"--perf-{option.name}: {error}, got {text!r}; it is: {option.help}") from None


def stated(settings: GateSettings) -> dict[str, str | int | float | None]:
    """Return every option as results keep it: plain values, and a list as one text."""
    kept: dict[str, str | int | float | None] = {}
    for option in OPTIONS:
        value = getattr(settings, option.field)
        if option.repeated:
            value = ", ".join(map(option.text, value))
        plain = value is None or isinstance(value, (str, int, float))
        kept[option.field] = value if plain else option.text(value)
    return kept


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
