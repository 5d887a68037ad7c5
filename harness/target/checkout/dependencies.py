"""What two trees declare and pin differently, so that one environment may not run both.

Only files that git tracks count: no revision has the others. Comments, order and spacing have no say. What cannot be
understood is compared as text, or by its bytes: a needless question costs less than a base that ran on head's packages.
"""

import hashlib
import json
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tailgate.harness.target.checkout.revision import PYPROJECT, read_pyproject, tracked

# Beside pyproject.toml: what pip is told, and what uv, poetry and pdm have resolved.
PINS = ("requirements*.txt", "requirements/*.txt", "constraints*.txt")
LOCKS = ("uv.lock", "poetry.lock", "pdm.lock")
# Where a lock file takes the repository's own projects from: what these are is compared itself.
OWN_SOURCES = frozenset({"editable", "virtual", "directory"})
# A lock file that was made anew differs in a hundred places.
MOST_PHRASES = 8


def dependency_changes(base: Path, head: Path) -> tuple[str, ...]:
    """Return what two folders declare or pin differently, a phrase each; raise UsageError for no TOML."""
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
    document = read_pyproject(folder, whose)
    said = {f"{PYPROJECT}, {table}": set(map(_line, lines)) for table, lines in _declared(document).items()}
    own = _project_name(document)
    for path in _files(folder):
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
            lines = {f"content that is not UTF-8, with the digest {digest}"}
        else:
            lines = set(_locked(text, own) if path.name in LOCKS else _pins(text))
        said[str(path.relative_to(folder))] = lines
    return said


def _files(folder: Path) -> Iterator[Path]:
    known = tracked(folder, (*PINS, *LOCKS))
    for pattern in (*PINS, *LOCKS):
        for path in folder.glob(pattern):
            if path.is_file() and (known is None or path.relative_to(folder).as_posix() in known):
                yield path


def _declared(document: Mapping[str, Any]) -> Mapping[str, Iterable[Any]]:
    project = document.get("project", {})
    return {
        "dependencies": project.get("dependencies", ()),
        **{f"extra {name}": lines for name, lines in project.get("optional-dependencies", {}).items()},
        **{f"group {name}": lines for name, lines in document.get("dependency-groups", {}).items()},
        **_poetry(document.get("tool", {}).get("poetry", {})),
    }


def _poetry(said: Mapping[str, Any]) -> Mapping[str, Iterable[Any]]:
    """Return what Poetry's own tables declare, each package as a table of one."""
    tables = {
        "poetry dependencies": said.get("dependencies", {}),
        "poetry dev-dependencies": said.get("dev-dependencies", {}),
        **{
            f"poetry group {name}": group.get("dependencies", {})
            for name, group in said.get("group", {}).items()
        },
    }
    return {
        name: [{package: wanted} for package, wanted in table.items()]
        for name, table in tables.items()
        if table
    }


def _project_name(document: Mapping[str, Any]) -> str:
    poetry = document.get("tool", {}).get("poetry", {})
    return _normal(str(document.get("project", {}).get("name") or poetry.get("name", "")))


def _normal(name: str) -> str:
    """Return a project's name as indexes and lock files compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _line(declared: Any) -> str:
    """Return a requirement with single spaces; a group may also include another, which is a table."""
    return " ".join(declared.split()) if isinstance(declared, str) else json.dumps(declared, sort_keys=True)


def _pins(text: str) -> Iterator[str]:
    """Yield the lines of a requirements file, comments left out and continued lines joined."""
    for line in re.sub(r"\\\r?\n", " ", text).splitlines():
        if said := " ".join(re.sub(r"(^|\s)#.*", "", line).split()):
            yield said


def _locked(text: str, own: str) -> Iterator[str]:
    """Yield name, version and source of each package but the repository's own, whose version changes by itself."""
    try:
        packages = tomllib.loads(text)["package"]
        for package in packages:
            source = package.get("source", {})
            if _normal(package["name"]) == own or OWN_SOURCES & {*source, source.get("type")}:
                continue
            where = f" from {json.dumps(source, sort_keys=True)}" if source else ""
            yield f"{package['name']} {package.get('version', '')}{where}"
    except (tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError):
        yield from text.splitlines()
