"""The options read: from the command line and the ini file to settings, and from settings to text.

Every pytest session on the machine loads this module, so it imports nothing heavy.
"""

import difflib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tailgate.harness.errors import UsageError
from tailgate.harness.options.settings import OPTIONS, GateSettings
from tailgate.harness.options.table import Option
from tailgate.harness.secrecy import Secrets


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
        got = Secrets.of([text]).hide(text)
        raise UsageError(f"--perf-{option.name}: {error}, got {got!r}; it is: {option.help}") from None


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
