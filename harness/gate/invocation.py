"""Which project pytest was called for, and whether the value of an option has led it to another.

pytest looks for its ini file and root folder before it knows the options of plugins: it takes the value in
``--perf-output /tmp`` for a path with tests, and looks for the project from there (pytest-dev/pytest#8846). The settings
and budgets of another project would count, without a word.
"""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

# pytest's ini files, each with what makes it one; any file of the first four names is.
INI_FILES = {
    "pytest.toml": "",
    ".pytest.toml": "",
    "pytest.ini": "",
    ".pytest.ini": "",
    "pyproject.toml": "[tool.pytest",
    "tox.ini": "[pytest]",
    "setup.cfg": "[tool:pytest]",
}


def misleading_value(
    words: Sequence[str],
    tests: Collection[str],
    here: Path,
    found: tuple[Path | None, Path | None],
    takes_value: Callable[[str], bool],
) -> tuple[str, str] | None:
    """Return the option and its value that led pytest away from the project of its tests; None where none did.

    Args:
        words: of the command line.
        tests: those among the words that name tests.
        here: the folder that pytest was called in.
        found: the ini file that pytest took, None for none, and its root folder, None for one that was asked for.
        takes_value: tells whether a word is an option whose value may be the next word.
    """
    every = list(_expanded(words, here))
    values = [(name, value) for name, value in pairwise(every) if takes_value(name) and _folder(here, value)]
    if not values:
        return None
    named = [word for before, word in pairwise(["", *every]) if word in tests and not takes_value(before)]
    folders = [folder for word in named if (folder := _folder(here, word)) is not None]
    start = Path(os.path.commonpath(folders)) if folders else here
    ini, root = found
    project = _project_of(start, folders)
    if ini is not None:
        return None if project == ini.parent else values[0]
    return None if project is None and root in {None, _bare_root(start, here)} else values[0]


def _project_of(start: Path, folders: Sequence[Path]) -> Path | None:
    """Return the folder of the ini file that pytest takes for tests in these folders, which ``start`` is above of."""
    if (project := project_folder(start)) is not None or _setup_folder(start) is not None:
        return project
    # Tests of several projects: the first counts.
    return next(filter(None, map(project_folder, folders)), None)


def project_folder(start: Path) -> Path | None:
    """Return the nearest folder at or above ``start`` whose ini file pytest takes; None without one."""
    above = (start, *start.parents)
    named = (folder for folder in above if any(_is_ini(folder / name) for name in INI_FILES))
    # Where nobody says anything to pytest, it takes a pyproject.toml for the project's top.
    bare = (folder for folder in above if (folder / "pyproject.toml").is_file())
    return next(named, None) or next(bare, None)


def _bare_root(start: Path, here: Path) -> Path:
    """Return the root folder that pytest takes without an ini file."""
    common = Path(os.path.commonpath([start, here]))
    return _setup_folder(start) or (start if common == Path(common.anchor) else common)


def _setup_folder(start: Path) -> Path | None:
    return next((folder for folder in (start, *start.parents) if (folder / "setup.py").is_file()), None)


def _is_ini(file: Path) -> bool:
    try:
        return file.is_file() and INI_FILES[file.name] in file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def _folder(here: Path, word: str) -> Path | None:
    """Return the folder of a file or test that a word names; None where it names none."""
    try:
        # As pytest does it: links are not followed.
        named = Path(os.path.abspath(here / word.partition("::")[0]))  # noqa: PTH100
        if word.startswith("-") or not named.exists():
            return None
        return named if named.is_dir() else named.parent
    except (OSError, ValueError):  # a text that can be no name
        return None


def _expanded(words: Iterable[str], here: Path) -> Iterator[str]:
    for word in words:
        file = here / word.removeprefix("@")
        if word.startswith("@") and file.is_file():
            yield from _expanded(file.read_text(encoding="utf-8").splitlines(), here)
        else:
            yield word
