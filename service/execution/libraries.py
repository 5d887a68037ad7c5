"""The folder of compiled models: a library is code, so only one that nobody else can have written is loaded.

Anybody can compute a library's key. So it and its folder must belong to this user or to root, writable by nobody else; it must
be a regular file; and its bytes must have the SHA-256 in its name, or a copy that was cut off would end the process. The open
file that is checked is the one that is loaded.
"""

import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path

from tailgate.service.errors import CompileError

SUFFIX = ".so"
WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH


def found(directory: Path, key: str) -> Sequence[Path]:
    """Return everything that has the name of a library of this key."""
    return sorted(directory.glob(f"{key}-*{SUFFIX}"))


def is_empty(directory: Path) -> bool:
    """Tell whether there is no library of any key."""
    return not any(directory.glob(f"*{SUFFIX}"))


def verified(path: Path) -> int:
    """Return the open descriptor of a library.

    Raises:
        CompileError: it cannot be read, somebody else can have written it, or its bytes are not those that were written.
    """
    require_own(path.parent)
    try:
        # Not blocking: a pipe would wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        link = "it is a link" if path.is_symlink() else str(error)
        raise CompileError(f"{path.name} is not used: {link}") from None
    reason = _why_not(descriptor, path.stem.rpartition("-")[2])
    if reason is not None:
        os.close(descriptor)
        raise CompileError(f"{path.name} is not used: {reason}")
    return descriptor


def _why_not(descriptor: int, digest: str) -> str | None:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        return "it is not a regular file"
    if somebody := _somebody_else(status):
        return somebody
    with open(descriptor, "rb", closefd=False) as file:
        got = hashlib.file_digest(file, "sha256").hexdigest()
    return None if got == digest else f"it is damaged, its SHA-256 is {got}"


def require_own(directory: Path) -> None:
    """Raise CompileError for a folder in which somebody else could put a library."""
    try:
        status = directory.stat()
    except OSError as error:
        raise CompileError(f"TAILGATE_CACHE_DIR: {directory} cannot be read: {error}") from None
    if somebody := _somebody_else(status):
        raise CompileError(
            f"TAILGATE_CACHE_DIR: {directory} is not used: {somebody}, and a library in it is code; chmod go-w, or name a "
            "folder of your own"
        )


def _somebody_else(status: os.stat_result) -> str | None:
    """Tell who besides root and this user can write; None where nobody can."""
    if status.st_uid not in (0, os.geteuid()):
        return f"it belongs to user {status.st_uid}, and the service runs as user {os.geteuid()}"
    if status.st_mode & WRITABLE_BY_OTHERS:
        return f"others can write it (mode {stat.S_IMODE(status.st_mode):o})"
    return None


def keep(library: Path, directory: Path, key: str) -> Path:
    """Copy a new library to its place, whole or not at all: its bytes reach the disk before its name does."""
    with library.open("rb") as source:
        digest = hashlib.file_digest(source, "sha256").hexdigest()
        source.seek(0)
        target = directory / f"{key}-{digest}{SUFFIX}"
        # Containers that share the folder have the same process numbers, and tempfile's files nobody else may read.
        draft = directory / f"{key}.{secrets.token_hex(8)}.draft"
        try:
            with open(draft, "xb", opener=_readable_by_all) as file:
                shutil.copyfileobj(source, file)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(target)
        finally:
            draft.unlink(missing_ok=True)
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return target


def _readable_by_all(path: str, flags: int) -> int:
    return os.open(path, flags, mode=0o644)
