"""Which files of the cache are loaded, and which never: those that somebody else can have written."""

import hashlib
import os
import stat

import pytest

from tailgate.service.errors import CompileError
from tailgate.service.execution import libraries

ELSE = 65534
WHOLE = b"a library"


@pytest.fixture
def folder(tmp_path):
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o755)
    return cache


@pytest.fixture
def library(folder, tmp_path):
    (tmp_path / "built").write_bytes(WHOLE)
    return libraries.keep(tmp_path / "built", folder, "0123")


def reason(path):
    with pytest.raises(CompileError) as refused:
        libraries.verified(path)
    return str(refused.value)


def test_a_library_is_found_by_its_key_and_opened_with_the_bytes_that_were_kept(folder, library):
    assert list(libraries.found(folder, "0123")) == [library]
    assert list(libraries.found(folder, "012")) == []
    assert library.name == f"0123-{hashlib.sha256(WHOLE).hexdigest()}.so"
    descriptor = libraries.verified(library)
    try:
        assert os.pread(descriptor, 100, 0) == WHOLE
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("umask", [0o000, 0o002, 0o022, 0o077])
def test_a_library_can_be_written_by_its_owner_alone_whatever_the_umask(folder, tmp_path, umask):
    (tmp_path / "built").write_bytes(WHOLE)
    before = os.umask(umask)
    try:
        path = libraries.keep(tmp_path / "built", folder, "0123")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644 & ~umask
    os.close(libraries.verified(path))


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666, 0o777, 0o620])
def test_a_file_that_others_can_write_is_not_used(library, mode):
    library.chmod(mode)
    assert f"others can write it (mode {mode:o})" in reason(library)


@pytest.mark.parametrize("mode", [0o775, 0o757, 0o777, 0o1777, 0o2775])
def test_a_folder_that_others_can_write_is_not_used(folder, library, mode):
    folder.chmod(mode)
    assert f"others can write it (mode {mode:o})" in reason(library)
    with pytest.raises(
        CompileError, match=r"TAILGATE_CACHE_DIR: .* is not used: .*; chmod go-w, or name a folder"
    ):
        libraries.require_own(folder)


@pytest.mark.parametrize("mode", [0o400, 0o444, 0o600, 0o644, 0o755])
def test_what_others_can_only_read_is_used(folder, library, mode):
    library.chmod(mode)
    folder.chmod(0o700)
    os.close(libraries.verified(library))


class Owned:
    """Says of files what the system would, had they another owner."""

    def __init__(self, monkeypatch):
        self.owners, self.user = {}, os.geteuid()
        real = os.stat_result
        fstat, path_stat = os.fstat, libraries.Path.stat

        def changed(status):
            owner = self.owners.get((status.st_dev, status.st_ino), status.st_uid)
            return real([*status[:4], owner, *status[5:]])

        monkeypatch.setattr(libraries.os, "fstat", lambda descriptor: changed(fstat(descriptor)))
        monkeypatch.setattr(
            libraries.Path, "stat", lambda path, **options: changed(path_stat(path, **options))
        )
        monkeypatch.setattr(libraries.os, "geteuid", lambda: self.user)

    def give(self, path, owner):
        status = os.lstat(path)
        self.owners[status.st_dev, status.st_ino] = owner


@pytest.mark.parametrize(
    ("user", "folder_owner", "file_owner", "taken"),
    [
        (1000, 1000, 1000, True),
        (1000, 0, 0, True),
        (1000, 0, 1000, True),
        (1000, 1000, 0, True),
        (1000, 1000, ELSE, False),
        (1000, ELSE, 1000, False),
        (0, 0, 0, True),
        (0, 0, 1000, False),
        (0, 1000, 0, False),
    ],
)
def test_file_and_folder_belong_to_the_service_or_to_root(
    monkeypatch, folder, library, user, folder_owner, file_owner, taken
):
    owned = Owned(monkeypatch)
    owned.user = user
    owned.give(folder, folder_owner)
    owned.give(library, file_owner)
    if taken:
        os.close(libraries.verified(library))
    else:
        stranger = folder_owner if folder_owner not in (0, user) else file_owner
        assert f"it belongs to user {stranger}, and the service runs as user {user}" in reason(library)


@pytest.mark.parametrize("length", [0, 1, len(WHOLE) - 1])
def test_a_library_that_was_cut_off_is_not_used(library, length):
    os.truncate(library, length)
    assert f"it is damaged, its SHA-256 is {hashlib.sha256(WHOLE[:length]).hexdigest()}" in reason(library)


@pytest.mark.parametrize("other", [b"another one", WHOLE + b" and more"])
def test_a_library_that_was_changed_is_not_used(library, other):
    library.write_bytes(other)
    assert "it is damaged" in reason(library)


def test_a_link_a_folder_and_a_pipe_are_not_used(folder, library):
    real = folder.parent / "elsewhere.so"
    library.rename(real)
    library.symlink_to(real)
    assert "it is a link" in reason(library)
    library.unlink()
    library.symlink_to(folder / "nowhere")
    assert "it is a link" in reason(library)
    library.unlink()
    library.mkdir()
    assert "it is not a regular file" in reason(library)
    library.rmdir()
    os.mkfifo(library)
    assert "it is not a regular file" in reason(library)


def test_what_is_gone_or_cannot_be_read_is_told(folder, library, monkeypatch):
    library.unlink()
    assert "No such file" in reason(library)
    folder.rmdir()
    assert "cannot be read" in reason(library)


def test_what_was_checked_is_what_is_open_whatever_takes_its_place_afterwards(folder, library):
    descriptor = libraries.verified(library)
    try:
        library.unlink()
        library.write_bytes(b"evil")
        assert os.pread(descriptor, 100, 0) == WHOLE
    finally:
        os.close(descriptor)


def test_a_folder_without_libraries_is_told_from_one_with_some(folder, tmp_path):
    assert libraries.is_empty(folder)
    assert libraries.is_empty(tmp_path / "none")
    (folder / "any.so").touch()
    assert not libraries.is_empty(folder)
