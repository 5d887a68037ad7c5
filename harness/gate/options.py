"""The gate's options as pytest's: added to its parser, beside those of other plugins, and read back as settings."""

import os
import shlex
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from tailgate.harness.options.settings import OPTIONS
from tailgate.harness.options.table import Option

if TYPE_CHECKING:
    from tailgate.harness.options.settings import GateSettings

ALL = [f"--perf-{option.name}" for option in OPTIONS]
# What a word means that may stand without a value.
BARE = {f"--perf-{option.name}": option.bare for option in OPTIONS if option.bare is not None}
# Each word that may have its value behind a space.
VALUED = {f"--perf-{option.name}" for option in OPTIONS if not option.flag} - set(BARE)


def join_values(config: pytest.Config, parser: pytest.Parser, args: list[str]) -> None:
    """Write ``--perf-seed 5`` as ``--perf-seed=5``, since pytest would look for conftest files at the path "5".

    An option that may stand without a value gets the value that it then means.
    """
    taken = _taken(parser)
    joinable = {word for word in VALUED if word not in taken}
    bare = {word: value for word, value in BARE.items() if word not in taken}
    joined: list[str] = []
    for word in args:
        if joined and joined[-1] in joinable and not word.startswith("-"):
            joined[-1] += f"={word}"
        else:
            joined.append(f"{word}={bare[word]}" if word in bare else word)
    if joined != args:
        args[:] = joined
        config.known_args_namespace.file_or_dir = parser.parse_known_args(args).file_or_dir


def add(config: pytest.Config, parser: pytest.Parser) -> dict[str, str]:
    """Add every option, with an ini key behind it; return those that others have, and who.

    Called when all other options are known: two plugins with an option of one name would keep pytest from starting.
    """
    taken = _taken(parser)
    group = parser.getgroup("tailgate", "performance gate (tailgate)")
    for option in OPTIONS:
        word, dest = f"--perf-{option.name}", f"perf_{option.field}"
        choices = f" ({', '.join(option.choices)})" if option.choices else ""
        # argparse formats help with %.
        text = f"{option.help}{choices}".replace("%", "%%")
        action = "store_true" if option.flag else "append" if option.repeated else "store"
        if word not in taken:
            group.addoption(word, dest=dest, action=action, default=None, help=text)
        if _is_ini_key(config, dest):
            taken.add(dest)
        else:
            # One that the project has set is known here, whoever has the option.
            kind: Literal["bool", "linelist", "string"]
            kind = "bool" if option.flag else "linelist" if option.repeated else "string"
            parser.addini(dest, text, type=kind, default=None)
    return {name: _owner(config, name) for name in sorted(taken)}


def read(config: pytest.Config, clashes: Mapping[str, str] | None) -> "GateSettings":
    """Return the settings of this run.

    ``clashes`` are options that are not the gate's here, and whose they are; None where none could be added.
    """
    from tailgate.harness.errors import UsageError  # noqa: PLC0415 - only where the gate runs
    from tailgate.harness.options.reading import parse_options  # noqa: PLC0415 - heavy

    if clashes is None:
        raise UsageError(
            "pytest loaded the gate too late for its options, from a conftest file; give -p tailgate"
        )
    for name, owner in clashes.items():
        raise UsageError(f"the gate's {name} is an option of {owner}")
    _refuse_misleading(config)
    ini = config.inipath
    return parse_options(
        lambda option: config.getoption(f"perf_{option.field}", None),
        config.rootpath,
        lambda option: _said_in_ini(config, option),
        ini.parent if ini is not None else config.invocation_params.dir,
    )


def _said_in_ini(config: pytest.Config, option: Option) -> Any:
    try:
        return config.getini(f"perf_{option.field}")
    except TypeError as error:  # a TOML value of another type, in pytest 9.0 and 9.1
        raise pytest.UsageError(str(error)) from None


def _refuse_misleading(config: pytest.Config) -> None:
    from tailgate.harness.errors import UsageError  # noqa: PLC0415 - only where the gate runs
    from tailgate.harness.gate.invocation import misleading_value  # noqa: PLC0415 - as above

    if config.getoption("inifilename", None):
        return
    words = [*shlex.split(os.environ.get("PYTEST_ADDOPTS", "")), *map(str, config.invocation_params.args)]
    tests = config.getoption("file_or_dir", [])
    found = config.inipath, None if config.getoption("rootdir", None) else config.rootpath
    misled = misleading_value(words, tests, config.invocation_params.dir, found, VALUED.__contains__)
    if misled is not None:
        took = f"the settings of {config.inipath}" if config.inipath else "no settings at all"
        raise UsageError(
            f"pytest took {misled[1]!r} for a path with tests, and so {took} and the root folder {config.rootpath}; "
            f"write {misled[0]}={misled[1]}"
        )


def _taken(parser: pytest.Parser, words: Collection[str] = ALL) -> set[str]:
    """Return the words that the parser knows already."""
    try:
        _, unknown = parser.parse_known_and_unknown_args([f"{word}=" for word in words])
    except pytest.UsageError:
        # One of them is known, and refuses an empty value.
        if len(words) == 1:
            return set(words)
        return {word for word in words if _taken(parser, [word])}
    return {word for word in words if f"{word}=" not in unknown}


def _is_ini_key(config: pytest.Config, name: str) -> bool:
    try:
        config.getini(name)
    except ValueError:
        return False
    return True


def _owner(config: pytest.Config, word: str) -> str:
    """Return who has added an option or an ini key, by the function that holds its name, and what to do."""
    manager = config.pluginmanager
    for plugin in manager.get_plugins():
        code = getattr(getattr(plugin, "pytest_addoption", None), "__code__", None)
        if code is not None and word in code.co_consts:
            name = manager.get_name(plugin) or ""
            # A conftest file goes by its path.
            if Path(name).is_file():
                return f"{name}, too: rename that"
            return f"the pytest plugin {name!r}, too: run the gate with -p no:{name}"
    return "another pytest plugin, too: run the gate without that, by -p no:NAME"
