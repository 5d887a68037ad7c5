"""Whose code a side runs: the order in which its modules are found, and how it is known that they were its own."""

import os
import subprocess
from pathlib import Path

import pytest

from tailgate.harness.compare.arms import ArmTarget, Side, check_own_code, with_tree
from tailgate.harness.compare.blocks.schedule import Arm
from tailgate.harness.errors import TargetError
from tailgate.harness.target.checkout import revision as git
from tailgate.harness.target.checkout.own_code import ran_own_code, runs_python
from tailgate.harness.target.checkout.revision import Revision
from tailgate.harness.target.settings import TargetSettings
from tailgate.harness.target.spec import parse_target

OLD = Revision("old", "a" * 40)
COMMAND = "command:python -m app --port {port}"


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """Return a repository whose project lies in a subfolder with a src layout, and a worktree of the same shape."""
    monkeypatch.delenv("PYTHONPATH", raising=False)
    top, worktree = tmp_path / "repository", tmp_path / "base"
    for folder in (top, worktree):
        (folder / "backend" / "src" / "app").mkdir(parents=True)
        (folder / "backend" / "plants").mkdir()
        (folder / "shared").mkdir()
    (top / ".gitignore").write_text("generated\n")
    (top / "backend" / "generated").mkdir()
    subprocess.run(["git", "-C", str(top), "init", "--quiet"], check=True)
    monkeypatch.chdir(top / "backend")
    return top, worktree


def python_path(settings, worktree, root, spec=COMMAND):
    made = with_tree(settings, Side(Arm.BASE, "old", spec, OLD), worktree, root)
    return made.environment["PYTHONPATH"].split(os.pathsep), made.directory


def test_a_project_in_a_subfolder_with_a_src_layout_finds_its_own_packages_first(repository):
    top, worktree = repository
    path, directory = python_path(TargetSettings(), worktree, top / "backend")
    assert path == [str(worktree / "backend" / "src"), str(worktree / "backend")]
    assert directory == worktree / "backend"


def test_the_working_tree_beside_a_revision_finds_its_own_packages_in_the_same_way(repository):
    top, _ = repository
    root = top / "backend"

    def made(given, spec=COMMAND, *, beside_revision=True):
        side = Side(Arm.HEAD, given, spec)
        return with_tree(TargetSettings(), side, None, root, beside_revision=beside_revision)

    beside = made(".")
    assert beside.environment["PYTHONPATH"].split(os.pathsep) == [str(root / "src"), str(root)]
    assert beside.directory == root
    # A target that was named by itself is nobody's tree, and two working trees need no telling apart.
    unchanged = (made(COMMAND), made(".", "http://h"), made(".", beside_revision=False))
    assert unchanged == (TargetSettings(),) * 3


def test_an_entry_in_the_repository_is_that_of_the_sides_own_tree(repository):
    top, worktree = repository
    entries = ["plants", str(top / "shared"), "gone", "generated", "/elsewhere"]
    settings = TargetSettings(environment={"PYTHONPATH": os.pathsep.join(entries)})
    path, _ = python_path(settings, worktree, top / "backend")
    assert path[2:] == [
        str(worktree / "backend" / "plants"),
        str(worktree / "shared"),
        # Not head's, though the revision has none.
        str(worktree / "backend" / "gone"),
        str(top / "backend" / "generated"),
        "/elsewhere",
    ]


def test_a_revision_without_the_project_is_refused(repository, tmp_path):
    top, _ = repository
    with pytest.raises(TargetError, match="has no folder backend"):
        python_path(TargetSettings(), tmp_path / "empty", top / "backend")
    assert git.place_in_repository(tmp_path) == Path()


def files(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


@pytest.mark.parametrize(
    ("names", "command", "ran"),
    [
        (["app/__init__.py", "app/__pycache__/__init__.cpython-311.pyc"], ["uvicorn", "app:app"], True),
        # A configuration beside the packages was imported, and they were not, or by their tests alone.
        (["app/__init__.py", "__pycache__/gunicorn_conf.cpython-311.pyc"], ["gunicorn", "app:app"], False),
        (
            ["app/__init__.py", "tests/__init__.py", "tests/__pycache__/__init__.cpython-311.pyc"],
            ["gunicorn", "app:app"],
            False,
        ),
        # Without packages there is nothing that it could have taken from elsewhere.
        (["app.py", "__pycache__/app.cpython-311.pyc"], ["gunicorn", "app:app"], True),
        # Nothing was imported from there, though it could have been.
        (["app/__init__.py"], ["python", "-m", "app"], False),
        (["run.py", "lib/app/__init__.py"], ["python", "run.py"], False),
        # A script leaves no bytecode, and there is nothing else that it could have taken from elsewhere.
        (["run.py", "tests/__init__.py"], ["python", "run.py"], True),
        (["src/run.py"], ["python", "-m", "run"], True),
        (["run.py"], ["python", "/elsewhere/run.py"], False),
    ],
)
def test_own_code_is_known_by_its_bytecode_or_as_the_only_script(tmp_path, names, command, ran):
    files(tmp_path, *names)
    assert ran_own_code(tmp_path, tmp_path, tuple(command), service=False) is ran


def test_a_command_that_took_its_modules_from_elsewhere_is_refused_with_what_to_do(tmp_path):
    files(tmp_path, "app/__init__.py")
    arm = ArmTarget(Side(Arm.BASE, "old", COMMAND, OLD), parse_target(COMMAND, TargetSettings()), tmp_path)
    with pytest.raises(TargetError, match=r"has not imported any module from .* --perf-env=PYTHONPATH="):
        check_own_code(arm, tmp_path, python=True)
    assert check_own_code(arm, tmp_path, python=False).startswith("base runs no Python")


def test_an_interpreter_is_told_from_another_program():
    assert runs_python((os.getpid(),))
    with subprocess.Popen(["sleep", "60"]) as other:
        assert not runs_python((other.pid,))
        other.kill()
    assert not runs_python((2**22 + 1,))
