"""Revisions: found, checked out beside the working tree, removed."""

import subprocess

import pytest

from tailgate.harness.compare.arms import read_side
from tailgate.harness.compare.blocks.schedule import Arm
from tailgate.harness.errors import TargetError, UsageError
from tailgate.harness.target.checkout import revision as git
from tailgate.harness.target.checkout.revision import Revision


def run(folder, *arguments):
    """Run git in a folder, as somebody; return what it says."""
    command = ["git", "-c", "user.name=A", "-c", "user.email=a@b.c", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path):
    """Return a repository with a tag ``old`` and one commit after it."""
    root = tmp_path / "project"
    root.mkdir()
    run(root, "init", "--quiet", "--initial-branch=main")
    for text, tag in (("one", "old"), ("two", "new")):
        (root / "file.txt").write_text(text)
        run(root, "add", ".")
        run(root, "commit", "--quiet", "--message", text)
        run(root, "tag", tag)
    return root


@pytest.mark.parametrize("name", ["old", "new~1", "main~"])
def test_a_revision_is_found_by_any_name_that_git_knows(repository, name):
    assert git.find_revision(repository, name) == Revision(name, run(repository, "rev-parse", "old"))


@pytest.mark.parametrize("name", ["gone", "", "--all", "new:file.txt", "-h"])
def test_what_names_no_commit_is_none(repository, name):
    assert git.find_revision(repository, name) is None


def test_a_folder_outside_of_any_repository_has_no_revision(tmp_path):
    assert git.find_revision(tmp_path, "main") is None
    assert git.state_of(tmp_path) == {}


def test_a_revision_says_its_name_and_its_commit_once():
    assert str(Revision("main", "0123456789abcdef")) == "main (0123456789)"
    assert str(Revision("0123", "0123456789abcdef")) == "0123456789"
    assert str(Revision("0123456789abcdef", "0123456789abcdef")) == "0123456789"


def test_a_worktree_holds_the_revision_and_leaves_no_trace(repository, tmp_path):
    folder = tmp_path / "out" / "base"
    git.add_worktree(repository, git.find_revision(repository, "old"), folder)
    assert (folder / "file.txt").read_text() == "one"
    assert (repository / "file.txt").read_text() == "two"
    assert run(repository, "branch", "--list").split() == ["*", "main"]
    git.remove_worktree(repository, folder)
    assert not folder.exists()
    assert len(run(repository, "worktree", "list").splitlines()) == 1
    git.remove_worktree(repository, folder)


def test_a_worktree_holds_no_bytecode_though_some_was_committed(repository, tmp_path):
    (repository / "app" / "__pycache__").mkdir(parents=True)
    (repository / "app" / "__pycache__" / "app.cpython-311.pyc").write_text("x")
    run(repository, "add", "--force", ".")
    run(repository, "commit", "--quiet", "--message", "bytecode")
    git.add_worktree(repository, git.find_revision(repository, "main"), tmp_path / "base")
    assert list((tmp_path / "base").rglob("*.pyc")) == []
    assert (tmp_path / "base" / "file.txt").exists()


def test_what_git_tracks_is_seen_from_a_folder(repository, tmp_path):
    (repository / "part").mkdir()
    for name in ("part/a.txt", "part/ä b.txt", "part/c.lock"):
        (repository / name).write_text("x")
    run(repository, "add", ".")
    (repository / "part" / "untracked.txt").write_text("x")
    assert git.tracked(repository / "part", ["*.txt"]) == {"a.txt", "ä b.txt"}
    assert git.tracked(tmp_path, ["*.txt"]) is None


def test_a_worktree_with_files_of_its_own_is_removed_all_the_same(repository, tmp_path):
    git.add_worktree(repository, git.find_revision(repository, "old"), tmp_path / "base")
    (tmp_path / "base" / "bytecode.pyc").write_text("x")
    git.remove_worktree(repository, tmp_path / "base")
    assert not (tmp_path / "base").exists()


def test_what_a_killed_run_left_is_removed_and_others_stay(repository, tmp_path):
    old = git.find_revision(repository, "old")
    git.add_worktree(repository, old, tmp_path / "out" / "run-1" / "base")
    git.add_worktree(repository, old, tmp_path / "somebody-elses")
    removed = git.remove_stale_worktrees(repository, tmp_path / "out")
    assert removed == (tmp_path / "out" / "run-1" / "base",)
    assert not removed[0].exists()
    assert (tmp_path / "somebody-elses" / "file.txt").exists()


def test_what_git_refuses_is_said_in_its_words(repository, tmp_path):
    with pytest.raises(TargetError, match=r"cannot check out nowhere \(0000000000\) into .*: fatal: "):
        git.add_worktree(repository, Revision("nowhere", "0" * 40), tmp_path / "base")


def test_the_working_tree_says_its_commit_and_whether_it_has_changes(repository):
    commit = run(repository, "rev-parse", "HEAD")[:10]
    (repository / "untracked.txt").write_text("no change")
    assert git.state_of(repository) == {"revision": commit}
    (repository / "file.txt").write_text("three")
    assert git.state_of(repository) == {"revision": f"{commit} with changes"}


def test_a_revision_may_lack_the_folder_of_the_project(repository):
    inner = repository / "services" / "api"
    inner.mkdir(parents=True)
    (inner / "app.py").write_text("")
    run(repository, "add", ".")
    run(repository, "commit", "--quiet", "--message", "a service")
    found = {name: git.find_revision(repository, name) for name in ("old", "main")}
    assert [git.has_project(inner, revision) for revision in found.values()] == [False, True]
    assert git.has_project(repository, found["old"])
    with pytest.raises(
        UsageError, match=r"base: old \(.*\) has no folder services/api, and so no such project"
    ):
        read_side(Arm.BASE, "old", "service", inner, lambda _: False)
