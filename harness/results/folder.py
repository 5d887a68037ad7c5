"""The folder of results: git is told to ignore it, and it keeps the newest runs.

A run's folder is locked (flock(2)) by whoever reads it, so that no run that ends meanwhile removes it. The lock is on the
folder itself: nothing is written, and it ends with its process.
"""

import contextlib
import datetime as dt
import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import orjson

from tailgate.harness.results.file import RESULTS

IGNORE = ".gitignore"
# Held by the run that goes on, for its whole course.
LOCK = "lock"
# A run that was killed before its first scenario was over has left no results.
KILLED_AFTER = dt.timedelta(days=1)
_STARTED = "%Y%m%dT%H%M%SZ"
_RUN = re.compile(r"(?P<started>\d{8}T\d{6}Z)-[0-9a-f]{6}")


def new_run(started: dt.datetime) -> str:
    """Return the name of a run's folder, which no other run has."""
    return f"{started:{_STARTED}}-{secrets.token_hex(3)}"


def make(folder: Path) -> None:
    """Make the folder where there is none, ignored by git; one that is there is left as it is."""
    with contextlib.suppress(FileExistsError):
        folder.mkdir(parents=True)
        (folder / IGNORE).write_text("# Written by tailgate.\n*\n", encoding="utf-8")


def runs(folder: Path) -> tuple[Path, ...]:
    """Return the folders of runs, the newest last; none where there is no such folder."""
    try:
        found = [path for path in folder.iterdir() if _RUN.fullmatch(path.name) and path.is_dir()]
    except OSError:
        return ()
    # The name says the second of the start; of two in one second the later one was changed later.
    return tuple(sorted(found, key=lambda path: (path.name.partition("-")[0], path.stat().st_mtime_ns)))


def in_use(folder: Path) -> bool:
    """Tell whether a run of this folder goes on now."""
    try:
        with _locked(folder / LOCK, fcntl.LOCK_SH | fcntl.LOCK_NB):
            return False
    except BlockingIOError:
        return True
    except OSError:
        return False


def keep_newest(folder: Path, most: int, present: str, now: dt.datetime) -> None:
    """Remove the oldest runs, so that the present one and the newest others are as many as ``most``.

    Only for whoever holds the lock of the folder. Removed is what has a run's name and a result inside, or no result a day
    after its start. Whatever else lies there stays, and so does a run that somebody reads.
    """
    others = sorted(path for path in folder.iterdir() if path.name != present and _is_run(path, now))
    for path in others[: max(0, len(others) - (most - 1))]:
        with contextlib.suppress(OSError), _locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB):
            shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def reading(folder: Path) -> Iterator[None]:
    """Hold a run's folder while it is read; a folder that cannot be locked is read without."""
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            stack.enter_context(_locked(folder, fcntl.LOCK_SH))
        yield


@contextlib.contextmanager
def _locked(path: Path, how: int) -> Iterator[None]:
    number = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(number, how)
        yield
    finally:
        os.close(number)


def _is_run(path: Path, now: dt.datetime) -> bool:
    named = _RUN.fullmatch(path.name)
    if named is None or path.is_symlink() or not path.is_dir():
        return False
    if (path / RESULTS).is_file():
        return _is_result(path / RESULTS)
    try:
        started = dt.datetime.strptime(named["started"], _STARTED).replace(tzinfo=dt.UTC)
    except ValueError:  # no such day
        return False
    return now - started > KILLED_AFTER


def _is_result(path: Path) -> bool:
    """Tell whether a file is a result of tailgate, of any version."""
    try:
        document = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return False
    return isinstance(document, dict) and {"run_id", "schema_version", "tailgate_version"} <= document.keys()
