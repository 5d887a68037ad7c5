"""What a project gets: budgets, pytest's settings, a test, a line for git, and a workflow. Pure but for reading what is there."""

import configparser
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError
from tomlkit.items import Table

from tailgate.harness.first.workflow import WORKFLOW, workflow

BUDGETS = Path("budgets.toml")
BODY = Path("perf") / "body.json"
IGNORED = ".perf/"

TEST = '''\
"""The performance gate: pytest -m perf starts the service, loads it, and holds it to budgets.toml."""


def test_performance(perf_gate, perf_scenario):
    perf_gate.check(perf_scenario)
'''
Value = str | list[str]


@dataclass(frozen=True, slots=True)
class Plan:
    """Files to write, by path from the project's folder; ``advice`` is what the user must add by hand."""

    texts: Mapping[Path, str] = field(default_factory=dict)
    kept: tuple[Path, ...] = ()  # files that are there, and are not replaced
    advice: str = ""


def plan_files(
    root: Path, settings: Mapping[str, Value], budgets: str, body: str | None, tailgate: str, *, force: bool
) -> Plan:
    """Return what to write: nothing that is there is replaced unless ``force``; ini keys and a line for git are added.

    Args:
        root: the project's folder.
        settings: ini keys of pytest.
        budgets: text of the budget file; empty where the project has budgets.
        body: text of the request's body, None where there is none to write.
        tailgate: what pip installs tailgate by.
        force: replace what is there.
    """
    wanted = {test_file(root): TEST, WORKFLOW: workflow(tailgate, _requirements(root))}
    if budgets:
        wanted[BUDGETS] = budgets
    if body is not None:
        wanted[BODY] = f"{body}\n"
    kept = tuple(path for path in wanted if (root / path).exists() and not force)
    texts = {path: text for path, text in wanted.items() if path not in kept}
    ignored = with_ignored(_text(root / ".gitignore"))
    if ignored is not None:
        texts[Path(".gitignore")] = ignored
    path, text, advice = pytest_settings(root, settings)
    if text is not None:
        texts[path] = text
    return Plan(texts, kept, advice)


def write(root: Path, plan: Plan) -> None:
    """Write the files of a plan, and the folders that they need."""
    for path, text in plan.texts.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")


def test_file(root: Path) -> Path:
    """Return where the test goes: among the project's tests, if it has a folder of them."""
    return Path("tests" if (root / "tests").is_dir() else "perf") / "test_perf.py"


def with_ignored(text: str) -> str | None:
    """Return a .gitignore with the folder of results in it; None where it is in it already."""
    if IGNORED.rstrip("/") in {line.strip().strip("/") for line in text.splitlines()}:
        return None
    return f"{text}{'' if not text or text.endswith(chr(10)) else chr(10)}{IGNORED}\n"


def pytest_settings(root: Path, settings: Mapping[str, Value]) -> tuple[Path, str | None, str]:
    """Return pytest's settings file, its new text, and what the user must add; None and "" where nothing is to do.

    A TOML file keeps its form and comments. In an ini file that is there, no other tool could do that: its lines are told.
    """
    ini = next((path for path in map(Path, ("pytest.ini", ".pytest.ini")) if (root / path).is_file()), None)
    if ini is None and (in_toml := _in_toml(root, settings)) is not None:
        return in_toml
    if ini is None:
        sections = {Path("tox.ini"): "pytest", Path("setup.cfg"): "tool:pytest"}
        ini = next((path for path, section in sections.items() if _has_section(root / path, section)), None)
    if ini is None:
        return Path("pytest.ini"), "[pytest]\n" + _ini_lines(settings), ""
    there = {line.partition("=")[0].strip() for line in _text(root / ini).splitlines()}
    missing = {key: value for key, value in settings.items() if key not in there}
    return ini, None, f"add to pytest's section in {ini}:\n{_ini_lines(missing)}" if missing else ""


def _in_toml(root: Path, settings: Mapping[str, Value]) -> tuple[Path, str | None, str] | None:
    """Return likewise what is to do in ``pyproject.toml``; None where pytest has no table in it."""
    path = Path("pyproject.toml")
    try:
        document = tomlkit.parse(_text(root / path))
        table: Any = document["tool"]["pytest"]["ini_options"]
    except (TOMLKitError, TypeError):
        return None
    missing = {key: value for key, value in settings.items() if key not in table}
    if not isinstance(table, Table):
        return (
            path,
            None,
            f"add to [tool.pytest.ini_options] in {path}:\n{tomlkit.dumps(missing)}" if missing else "",
        )
    for key, value in missing.items():
        table[key] = value
    return path, tomlkit.dumps(document) if missing else None, ""


def _has_section(path: Path, section: str) -> bool:
    parser = configparser.RawConfigParser(strict=False, allow_no_value=True)
    try:
        parser.read_string(_text(path))
    except configparser.Error:
        return False
    return parser.has_section(section)


def _ini_lines(settings: Mapping[str, Value]) -> str:
    lines = []
    for key, value in settings.items():
        if isinstance(value, str):
            lines.append(f"{key} = {value}".rstrip())
        else:
            lines += [f"{key} =", *(f"    {one}" for one in value)]
    return "\n".join([*lines, ""])


def _requirements(root: Path) -> str:
    """Return what pip installs of the project."""
    found: Sequence[str] = [
        f"-r {name}" for name in ("requirements.txt", "requirements-dev.txt") if (root / name).is_file()
    ]
    if not found and any((root / name).is_file() for name in ("pyproject.toml", "setup.py")):
        found = ["."]
    return " ".join(found)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
