"""The options of one run, read from the command line and the ini file, and refused where they have no meaning."""

import difflib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from tailgate.harness.errors import UsageError
from tailgate.harness.options.table import OPTIONS, Enforce, OnInconclusive, Option, Pin
from tailgate.harness.profiles import PROFILES, Profile
from tailgate.harness.secrecy import Secrets

# What a launched service reads.
SERVICE_PREFIX = "TAILGATE_"


@dataclass(frozen=True, slots=True)
class GateSettings:
    """The options of one run, parsed. The attributes are those of :data:`OPTIONS`, and four more.

    Attributes:
        root: folder of the project, where budgets are looked for.
        given: names of the options that the command line says; the ini file says the others, or nobody.
        ini_folder: where the ini file lies that says something; None without one.
        said_in_ini: names of the options that it says, and the command line does not.
    """

    root: Path
    given: frozenset[str]
    ini_folder: Path | None
    said_in_ini: frozenset[str]
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
    head: str
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


def pairs(items: tuple[str, ...]) -> dict[str, str]:
    """Split each ``KEY=VALUE``; a later one wins."""
    split = [item.partition("=") for item in items]
    return {key.strip(): value for key, _, value in split}


def _nothing(_: Option) -> None:
    return None


def parse_options(
    command_line: Callable[[Option], Any],
    root: Path,
    ini_file: Callable[[Option], Any] = _nothing,
    ini_folder: Path | None = None,
) -> GateSettings:
    """Return the settings; what the command line says beats the ini file.

    Args:
        command_line: gives an option's raw value: text, a list of texts, a bool, or None where nothing was said.
        root: folder of the project; a path that is a default lies in it.
        ini_file: likewise.
        ini_folder: where paths in the ini file start; None without a file.

    Raises:
        UsageError: a value does not parse, or is none of the choices.
    """
    parsed: dict[str, Any] = {"root": root, "ini_folder": ini_folder}
    said: dict[str, Any] = {option.name: command_line(option) for option in OPTIONS}
    in_ini: dict[str, Any] = {
        option.name: ini_file(option) for option in OPTIONS if said[option.name] is None
    }
    for option in OPTIONS:
        raw, default = said[option.name], option.default
        if raw is None:
            raw = _anchored(option, in_ini[option.name], ini_folder)
        if raw is None or raw == []:
            parsed[option.field] = root / default if isinstance(default, Path) else default
        elif option.flag:
            parsed[option.field] = bool(raw)
        elif option.repeated:
            parsed[option.field] = tuple(_parse(option, item) for item in raw)
        else:
            parsed[option.field] = _parse(option, raw)
    parsed["given"] = frozenset(name for name, raw in said.items() if raw is not None)
    parsed["said_in_ini"] = frozenset(name for name, raw in in_ini.items() if raw is not None and raw != [])
    assert set(parsed) == {field.name for field in fields(GateSettings)}
    return GateSettings(**parsed)


def _anchored(option: Option, raw: Any, folder: Path | None) -> Any:
    if raw is None or option.flag or folder is None:
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
