"""The environment and the command line become settings, once, at start."""

import argparse
import contextlib
import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError
from pydantic_settings import CliSettingsSource, SettingsError

from tailgate.service.errors import ConfigurationError
from tailgate.service.settings.declared import Settings

PREFIX = "TAILGATE_"
# What Kubernetes puts into every container of a namespace that has a Service called "tailgate".
KUBERNETES_LINK = re.compile(r"^TAILGATE_(SERVICE_(HOST|PORT)(_\w+)?|PORT(_\d+_\w+)?)$")


def load_settings(
    environment: Mapping[str, str],
    arguments: Sequence[str] | None = None,
    program: str = "python -m tailgate.service",
    **overrides: Any,
) -> Settings:
    """Read settings from ``environment``, then ``arguments``, then ``overrides``; the later wins.

    An empty variable counts as unset. ``--help`` prints, calls the command ``program``, and raises SystemExit(0).

    Raises:
        ConfigurationError: a value is not what was expected; the text names each.
    """
    given = {
        name.removeprefix(PREFIX).lower(): value
        for name, value in environment.items()
        if value and name.startswith(PREFIX) and name.removeprefix(PREFIX).lower() in Settings.model_fields
    }
    try:
        if arguments is not None:
            given |= _parse(arguments, program)
        return Settings.model_validate(given | overrides)
    except ValidationError as error:
        raise ConfigurationError(_explain(error)) from None
    except SettingsError as error:
        text = str(error).removeprefix("error parsing CLI: ")
        raise ConfigurationError(f"{text}; --help lists the options") from None


def _parse(arguments: Sequence[str], program: str) -> dict[str, Any]:
    source = CliSettingsSource[Any](
        Settings,  # type: ignore[arg-type] # any model will do, as CliApp shows
        cli_prog_name=program,
        cli_parse_args=list(arguments),
        cli_hide_none_type=True,
        cli_exit_on_error=False,
        cli_kebab_case=True,
        cli_avoid_json=True,
    )
    return dict(source())


def _explain(error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        name = str(problem["loc"][0]) if problem["loc"] else "settings"
        text = problem["msg"].removeprefix("Value error, ")
        got = "" if text.startswith("got ") else f", got {problem['input']!r}"
        means = f" ({meaning(name)})" if name in Settings.model_fields else ""
        lines.append(f"{PREFIX}{name.upper()}: {text}{got}{means}")
    return "\n".join(lines)


def meaning(name: str) -> str:
    """Return what a setting is for, in one line."""
    return " ".join((Settings.model_fields[name].description or "").split())


def log_format_of(environment: Mapping[str, str], arguments: Sequence[str]) -> str:
    """Return the log format, even where other settings are wrong."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--log-format", default=environment.get(f"{PREFIX}LOG_FORMAT"))
    with contextlib.suppress(argparse.ArgumentError):
        if parser.parse_known_args(arguments)[0].log_format == "json":
            return "json"
    return "console"


def unknown_variables(names: Iterable[str]) -> list[str]:
    """Return a warning for each ``TAILGATE_*`` variable that no setting reads, with the nearest name."""
    known = [name.upper() for name in Settings.model_fields]
    warnings = []
    for name in sorted(names):
        bare = name.removeprefix(PREFIX)
        if bare == name or bare in known or KUBERNETES_LINK.match(name):
            continue
        near = difflib.get_close_matches(bare, known, n=1)
        warnings.append(
            f"{name} is not a setting and is ignored" + (f"; did you mean {PREFIX}{near[0]}?" if near else "")
        )
    return warnings
