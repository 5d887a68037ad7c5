"""The gate's options on a command line that is not pytest's: the same declarations, with the ini keys of the project.

``--perf-seed 3`` and ``--seed 3`` are the same; what the command line leaves out, ``[tool.pytest.ini_options]`` of the
project's ``pyproject.toml`` says, as under pytest.
"""

import argparse
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from harness.comparison.arms import WORKING_TREE
from harness.errors import UsageError
from harness.options import OPTIONS, GateSettings, Option, parse_options

PYPROJECT = "pyproject.toml"
AGAINST = "against"


class _Parser(argparse.ArgumentParser):
    """One that raises, and leaves the ending of the process to whoever asked."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def read_options(arguments: Sequence[str], start: Path) -> GateSettings:
    """Return the settings of a project.

    Args:
        arguments: of the command line.
        start: a folder of the project; the nearest at or above it with a ``pyproject.toml`` is its root.

    Raises:
        UsageError: an argument is no option, or a value does not parse.
    """
    return _settings(vars(_parser().parse_args(list(arguments))), start)


def read_sides(arguments: Sequence[str], start: Path) -> tuple[str, GateSettings]:
    """Return what the user calls head, ``.`` unless told, and the settings, whose base is the first side.

    Args:
        arguments: of the command line: one or two sides, with options before, between and behind them.
        start: as for :func:`read_options`.

    Raises:
        UsageError: there is no side or a third, an argument is no option, or a value does not parse.
    """
    parser = _parser(AGAINST)
    parser.add_argument("sides", nargs="*")
    given = vars(parser.parse_intermixed_args(list(arguments)))
    sides = given.pop("sides")
    if not 1 <= len(sides) <= 2:
        raise UsageError(
            f"expected tailgate compare BASE [HEAD], got {len(sides)} sides: {' '.join(sides) or 'none'}"
        )
    given[AGAINST], head = (*sides, WORKING_TREE)[:2]
    return head, _settings(given, start)


def _settings(given: Mapping[str, Any], start: Path) -> GateSettings:
    root = next((folder for folder in (start, *start.parents) if (folder / PYPROJECT).is_file()), start)
    ini = _ini(root)

    def read(option: Option) -> Any:
        said = given.get(option.field)
        return said if said is not None else _from_ini(option, ini, root)

    names = frozenset(option.name for option in OPTIONS if given.get(option.field) is not None)
    return parse_options(read, root, names)


def options_help(*without: str) -> str:
    """Return what there is, without options that the command itself gives."""
    return _parser(*without).format_help()


def _parser(*without: str) -> argparse.ArgumentParser:
    parser = _Parser(add_help=False, allow_abbrev=False, usage=argparse.SUPPRESS)
    for option in OPTIONS:
        if option.name in without:
            continue
        names = [f"--{option.name}", f"--perf-{option.name}"]
        text = option.help.replace("%", "%%")
        if option.flag:
            parser.add_argument(*names, dest=option.field, action="store_true", default=None, help=text)
        else:
            action = "append" if option.repeated else "store"
            parser.add_argument(
                *names, dest=option.field, action=action, default=None, help=text, metavar="VALUE"
            )
    return parser


def _ini(root: Path) -> Mapping[str, Any]:
    path = root / PYPROJECT
    if not path.is_file():
        return {}
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not TOML: {error}") from error
    found: Mapping[str, Any] = table.get("tool", {}).get("pytest", {}).get("ini_options", {})
    return found


def _from_ini(option: Option, ini: Mapping[str, Any], root: Path) -> Any:
    value = ini.get(f"perf_{option.field}")
    if value is None or option.flag:
        return value
    if option.repeated:
        items = value if isinstance(value, list) else str(value).splitlines()
        return [str(root / item) if option.parse is Path else str(item) for item in items if item]
    return str(root / str(value)) if option.parse is Path else str(value)
