"""Whose code a side of a comparison runs: where Python is told to look for it, and how one knows that it was found there.

An environment in which the project is installed for development leads to the working tree, so that a base which does
not find its own modules first is head under another name, and passes.
"""

import itertools
import os
import re
from collections.abc import Mapping
from pathlib import Path

import psutil

from tailgate.harness.errors import TargetError
from tailgate.harness.target.checkout import revision as git
from tailgate.harness.target.settings import TargetSettings

# The project whose package ``service`` is the one that the target ``service`` runs.
OWN_PROJECT = "tailgate"
# In the projects that have it, packages lie there and not beside it.
SOURCE = "src"
_PYTHON = re.compile(r"(python|pypy)[\d.]*(-?\w+)?")
_NO_SERVER = {"test", "tests"}


def is_own(folder: Path) -> bool:
    """Tell whether a folder's project is the one whose package the target ``service`` runs."""
    project = git.read_pyproject(folder, str(folder)).get("project")
    return isinstance(project, Mapping) and project.get("name") == OWN_PROJECT


def service_module(project: Path) -> str:
    """Return the module that is the service in a project's folder; old revisions have no package ``tailgate``."""
    return "tailgate.service" if (project / "tailgate").is_dir() else "service"


def project_in(worktree: Path, root: Path) -> Path:
    """Return the folder of the project ``root`` in a worktree; raise TargetError where the revision has none."""
    place = git.place_in_repository(root)
    project = worktree / place
    if not project.is_dir():
        raise TargetError(
            f"the revision checked out at {worktree} has no folder {place}, and so no such project"
        )
    return project


def python_path(settings: TargetSettings, project: Path, worktree: Path | None, root: Path) -> str:
    """Return the ``PYTHONPATH`` with which a side finds its own modules before any other's.

    The project's packages come first, then what the user set: an entry in the repository becomes that of the side's own
    tree, unless git ignores it, as it does an environment or what was generated, which no revision has.

    Args:
        settings: of the target; a relative entry is seen from where head's process would run.
        project: folder of the project in the side's own tree.
        worktree: top of that tree; None for the working tree.
        root: folder of the project in the working tree.
    """
    given = settings.environment.get("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    start = Path.cwd() if settings.directory is None else settings.directory
    entries = [
        _own_entry((start / entry).resolve(), worktree, root) for entry in given.split(os.pathsep) if entry
    ]
    first = [folder for folder in (project / SOURCE, project) if folder == project or folder.is_dir()]
    return os.pathsep.join(dict.fromkeys(map(str, (*first, *entries))))


def _own_entry(entry: Path, worktree: Path | None, root: Path) -> Path:
    top = git.top_of(root)
    if worktree is None or not entry.is_relative_to(top):
        return entry
    own = worktree / entry.relative_to(top)
    return entry if not own.exists() and git.is_ignored(root, entry) else own


def runs_python(pids: tuple[int, ...]) -> bool:
    """Tell whether any of these processes is a Python interpreter."""
    return any(_PYTHON.fullmatch(name) for pid in pids for name in _names(pid))


def _names(pid: int) -> tuple[str, ...]:
    try:
        process = psutil.Process(pid)
        return (Path(process.exe()).name, process.name())
    except psutil.Error:
        return ()


def ran_own_code(worktree: Path, project: Path, command: tuple[str, ...], *, service: bool) -> bool:
    """Tell whether an interpreter that ran ``command`` has run code of a worktree, by the bytecode that it left behind.

    A fresh worktree holds none, and importing a module writes some beside its source. An environment may have another copy
    of a package, so where there are packages, bytecode of one of theirs is asked for: a script or a configuration beside
    them is found in the folder that it is started in and says nothing of them. A script leaves no bytecode of its own; that
    it lies in the project is enough where there is no package. ``service`` says that it was the target ``service``, whose
    package must be this project's where this project has it.
    """
    if service and is_own(project):
        return any((project / "service").glob("__pycache__/*.pyc"))
    if packages := _packages(worktree):
        return any(any(package.glob("__pycache__/*.pyc")) for package in packages)
    return any(worktree.rglob("__pycache__/*.pyc")) or _script_in(project, command)


def _script_in(project: Path, command: tuple[str, ...]) -> bool:
    modules = [f"{word}.py" for before, word in itertools.pairwise(command) if before == "-m"]
    files = [word for word in command[1:] if word.endswith(".py")]
    found = [folder / name for name in (*modules, *files) for folder in (project, project / SOURCE)]
    return any(path.is_file() and path.resolve().is_relative_to(project.resolve()) for path in found)


def _packages(worktree: Path) -> list[Path]:
    folders = (path.parent for path in worktree.rglob("__init__.py"))
    return [folder for folder in folders if not _NO_SERVER & set(folder.relative_to(worktree).parts)]
