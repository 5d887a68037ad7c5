"""A revision of a git repository: which commit, and a worktree of it. Runs the program ``git``."""

import os
import shutil
import subprocess
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tailgate.harness.errors import TargetError, UsageError
from tailgate.harness.results.run import Code

PYPROJECT = "pyproject.toml"
GIT_TIMEOUT_S = 120.0
GIT_PLACES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX")


@dataclass(frozen=True, slots=True)
class Revision:
    """A commit, by the name that the user gave and by its full hash."""

    name: str
    commit: str

    def __str__(self) -> str:
        """Return it as reports show it."""
        # Always as many digits: with fewer one could not tell later that two were the same commit.
        short = self.commit[:10]
        return short if self.commit.startswith(self.name) else f"{self.name} ({short})"


def find_revision(root: Path, name: str) -> Revision | None:
    """Return the commit of this name, None where there is none; raise UsageError without git."""
    if shutil.which("git") is None:
        raise UsageError(f"{name!r} may be a git revision, and the program git is not installed")
    if name.startswith("-"):
        return None
    found = _told(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    return None if found is None else Revision(name, found.strip())


def has_project(root: Path, revision: Revision) -> bool:
    """Tell whether a revision has the folder that ``root`` is in the repository."""
    place = place_in_repository(root)
    return not place.parts or _told(root, "cat-file", "-e", f"{revision.commit}:{place}") is not None


def state_of(root: Path) -> Mapping[str, str]:
    """Return the working tree's commit, and whether files differ from it; empty outside of a repository."""
    code = code_of(root)
    return {} if code is None else {"revision": code.commit[:10] + (" with changes" if code.dirty else "")}


def code_of(root: Path) -> Code | None:
    """Return the working tree's commit and branch, and whether tracked files differ from it; None outside of a repository."""
    commit = _told(root, "rev-parse", "--verify", "--quiet", "HEAD")
    if commit is None:
        return None
    branch = _told(root, "symbolic-ref", "--quiet", "--short", "HEAD")
    changed = _told(root, "status", "--porcelain", "--untracked-files=no")
    return Code(commit.strip(), branch.strip() if branch else None, bool(changed))


def place_in_repository(folder: Path) -> Path:
    """Return where a folder lies in its repository, as seen from the repository's top; ``.`` outside of any."""
    return Path((_told(folder, "rev-parse", "--show-prefix") or "").removesuffix("\n"))


def top_of(folder: Path) -> Path:
    """Return the top of the repository that a folder lies in; itself outside of any."""
    folder, place = folder.resolve(), place_in_repository(folder)
    return folder.parents[len(place.parts) - 1] if place.parts else folder


def is_ignored(root: Path, path: Path) -> bool:
    """Tell whether the repository's ignore rules leave a path out of every revision."""
    return _told(root, "check-ignore", "--quiet", str(path)) is not None


def tracked(folder: Path, patterns: Iterable[str]) -> frozenset[str] | None:
    """Return what git tracks in a folder of files like these, as seen from there; None outside of any repository."""
    listed = _told(folder, "ls-files", "-z", "--", *patterns)
    return None if listed is None else frozenset(filter(None, listed.split("\0")))


def add_worktree(root: Path, revision: Revision, folder: Path) -> None:
    """Check a revision out into a new folder; index, branches and working tree stay as they are. TargetError where git refuses.

    The folder holds no bytecode, committed or made by a hook: what is found there later was imported from there.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = _git(root, "worktree", "add", "--detach", "--force", str(folder), revision.commit)
    if made.returncode != 0:
        raise TargetError(f"cannot check out {revision} into {folder}: {made.stderr.strip()}")
    for bytecode in list(folder.rglob("__pycache__")):
        shutil.rmtree(bytecode, ignore_errors=True)


def remove_worktree(root: Path, folder: Path) -> None:
    """Remove a worktree and what git remembers of it; one that is gone already changes nothing."""
    _git(root, "worktree", "remove", "--force", "--force", str(folder))
    if folder.exists():
        shutil.rmtree(folder, ignore_errors=True)
    _git(root, "worktree", "prune")


def remove_stale_worktrees(root: Path, beneath: Path) -> tuple[Path, ...]:
    """Remove the worktrees beneath a folder, which a run that was killed has left there; return them.

    Only for whoever holds the lock of that folder: a run that is going on would lose its worktree.
    """
    listed = _git(root, "worktree", "list", "--porcelain")
    lines = [line for line in listed.stdout.splitlines() if line.startswith("worktree ")]
    folders = [Path(line.removeprefix("worktree ")) for line in lines]
    stale = tuple(folder for folder in folders if folder.is_relative_to(beneath.resolve()))
    for folder in stale:
        remove_worktree(root, folder)
    return stale


def read_pyproject(folder: Path, whose: str) -> Mapping[str, Any]:
    """Return what a folder's ``pyproject.toml`` says, empty where there is none; raise UsageError for no TOML."""
    path = folder / PYPROJECT
    if not path.is_file():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{whose}'s {PYPROJECT} is not TOML: {error}") from error


def _told(root: Path, *arguments: str) -> str | None:
    """Return what git prints; None where it refuses, or is not installed."""
    if shutil.which("git") is None:
        return None
    ended = _git(root, *arguments)
    return ended.stdout if ended.returncode == 0 else None


def _git(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    # Inside a hook git's own variables name another repository or index than the folder's.
    environment = {name: value for name, value in os.environ.items() if name not in GIT_PLACES}
    return subprocess.run(
        ["git", "-C", str(root), *arguments],  # noqa: S607 - the user's own git, from the path
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        timeout=GIT_TIMEOUT_S,
    )
