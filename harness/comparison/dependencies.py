"""What two trees declare and pin differently, so that one environment may not run both.

Used by :mod:`harness.comparison.arms`, which knows whether the base has an interpreter of its own. Pure but for reading files.
Compared is what is said and not how: comments, order and spacing have no say. Whatever of a file cannot be understood is
compared as text, since a needless question costs less than a base that ran on head's packages.
"""

import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.comparison.revision import PYPROJECT
from harness.errors import UsageError

# Beside pyproject.toml: what pip is told, and what uv, poetry and pdm have resolved.
PINS = ("requirements*.txt", "requirements/*.txt", "constraints*.txt")
LOCKS = ("uv.lock", "poetry.lock", "pdm.lock")
# A lock file that was made anew differs in a hundred places.
MOST_PHRASES = 8


def dependency_changes(base: Path, head: Path) -> tuple[str, ...]:
    """Return what two folders declare or pin differently, a phrase each; empty where they agree.

    Args:
        base: with the base's ``pyproject.toml``, requirements, constraints and lock files, as far as it has them.
        head: likewise.

    Raises:
        UsageError: a ``pyproject.toml`` is not TOML.
    """
    before, after = _said(base, "base"), _said(head, "head")
    found = [
        f"{place}: {phrase}"
        for place in sorted(before.keys() | after.keys())
        for phrase in _phrases(before.get(place), after.get(place))
    ]
    if len(found) > MOST_PHRASES:
        found[MOST_PHRASES:] = [f"and {len(found) - MOST_PHRASES} more"]
    return tuple(found)


def _phrases(before: set[str] | None, after: set[str] | None) -> Iterator[str]:
    if before is None or after is None:
        # An empty list says as much as none.
        if before or after:
            yield "head alone has it" if before is None else "base alone has it"
        return
    yield from (f"base has {line!r}, head has not" for line in sorted(before - after))
    yield from (f"head has {line!r}, base has not" for line in sorted(after - before))


def _said(folder: Path, whose: str) -> dict[str, set[str]]:
    """Return by place what is said there."""
    document = _pyproject(folder, whose)
    said = {f"{PYPROJECT}, {table}": set(map(_line, lines)) for table, lines in _declared(document).items()}
    for pattern in PINS:
        for path in folder.glob(pattern):
            said[str(path.relative_to(folder))] = set(_pins(path.read_text(encoding="utf-8")))
    for name in LOCKS:
        if (folder / name).is_file():
            own = document.get("project", {}).get("name", "")
            said[name] = set(_locked((folder / name).read_text(encoding="utf-8"), str(own)))
    return said


def _pyproject(folder: Path, whose: str) -> Mapping[str, Any]:
    path = folder / PYPROJECT
    if not path.is_file():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{whose}'s {PYPROJECT} is not TOML: {error}") from error


def _declared(document: Mapping[str, Any]) -> Mapping[str, Iterable[Any]]:
    project = document.get("project", {})
    return {
        "dependencies": project.get("dependencies", ()),
        **{f"extra {name}": lines for name, lines in project.get("optional-dependencies", {}).items()},
        **{f"group {name}": lines for name, lines in document.get("dependency-groups", {}).items()},
    }


def _line(declared: Any) -> str:
    """Return a requirement with single spaces; a group may also include another, which is a table."""
    return " ".join(declared.split()) if isinstance(declared, str) else json.dumps(declared, sort_keys=True)


def _pins(text: str) -> Iterator[str]:
    """Yield the lines of a requirements file, comments left out and continued lines joined."""
    for line in re.sub(r"\\\r?\n", " ", text).splitlines():
        if said := " ".join(re.sub(r"(^|\s)#.*", "", line).split()):
            yield said


def _locked(text: str, own: str) -> Iterator[str]:
    """Yield name, version and source of each package; the project itself is none, whose version changes by itself."""
    try:
        packages = tomllib.loads(text)["package"]
        for package in packages:
            if package["name"] == own:
                continue
            source = package.get("source", {})
            where = f" from {json.dumps(source, sort_keys=True)}" if source else ""
            yield f"{package['name']} {package.get('version', '')}{where}"
    except (tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError):
        yield from text.splitlines()
