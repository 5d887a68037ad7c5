"""Sides: what a user may call them, whose code they run, and what is asked of a service."""

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from tailgate.harness.compare import arms
from tailgate.harness.compare.arms import (
    Side,
    check_own_code,
    checked_out,
    read_side,
    with_defaults,
    with_tree,
)
from tailgate.harness.compare.blocks.schedule import Arm
from tailgate.harness.errors import TargetError, UsageError
from tailgate.harness.target.checkout import revision
from tailgate.harness.target.checkout.revision import Revision
from tailgate.harness.target.settings import TargetSettings
from tailgate.harness.target.spec import parse_target

OLD = Revision("old", "a" * 40)
OWN = '[project]\nname = "tailgate"\n'
OTHER = '[project]\nname = "demo"\n'


def known(spec):
    return spec.startswith(("service", "command:", "http://"))


@pytest.fixture
def only_old(monkeypatch):
    monkeypatch.setattr(revision, "find_revision", lambda _, name: OLD if name == "old" else None)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (".", Side(Arm.BASE, ".", "service:MODEL=x")),
        ("old", Side(Arm.BASE, "old", "service:MODEL=x", OLD)),
        ("service:MODEL=y", Side(Arm.BASE, "service:MODEL=y", "service:MODEL=y")),
        ("http://host:80", Side(Arm.BASE, "http://host:80", "http://host:80")),
        # A branch of that name is reached by another of its names.
        ("service", Side(Arm.BASE, "service", "service")),
    ],
)
def test_a_side_is_the_working_tree_a_target_or_a_revision(only_old, tmp_path, given, expected):
    assert read_side(Arm.BASE, given, "service:MODEL=x", tmp_path, known) == expected


def test_a_side_that_is_nothing_is_told_what_there_could_be(only_old, tmp_path):
    with pytest.raises(
        UsageError, match=r"base: 'gone' is not a revision of the repository at .* nor a target; expected"
    ):
        read_side(Arm.BASE, "gone", "service", tmp_path, known)


def test_a_revision_cannot_run_in_a_server_that_runs_elsewhere(only_old, tmp_path):
    with pytest.raises(UsageError, match="the revision 'old' cannot run in http://host:80"):
        read_side(Arm.BASE, "old", "http://host:80", tmp_path, known)


def test_a_revision_of_the_service_finds_its_own_modules_first(tmp_path, monkeypatch):
    monkeypatch.delenv("PYTHONPATH", raising=False)
    side = Side(Arm.BASE, "old", "service", OLD)
    made = with_tree(TargetSettings(environment={"PYTHONPATH": "/plants"}), side, tmp_path, Path("root"))
    assert made.environment["PYTHONPATH"] == f"{tmp_path}{os.pathsep}/plants"
    assert (made.environment["PYTHONPYCACHEPREFIX"], made.environment["PYTHONDONTWRITEBYTECODE"]) == ("", "")
    assert made.directory is None
    assert with_tree(TargetSettings(), side, tmp_path, Path("root")).environment["PYTHONPATH"] == str(
        tmp_path
    )


def test_a_revision_of_a_command_runs_in_its_folder_and_ends_in_good_order(tmp_path):
    side = Side(Arm.BASE, "old", "command:python app.py --port {port}", OLD)
    made = with_tree(TargetSettings(), side, tmp_path, Path("root"))
    assert made.directory == tmp_path
    assert made.stop_timeout_s == TargetSettings().stop_timeout_s


@pytest.mark.parametrize(("project", "own"), [(OWN, True), (OTHER, False), (None, False)])
def test_the_working_tree_finds_its_modules_in_the_same_way_where_it_is_the_services_own(
    tmp_path, project, own
):
    if project:
        (tmp_path / "pyproject.toml").write_text(project)
    made = with_tree(TargetSettings(), Side(Arm.HEAD, ".", "service"), None, tmp_path)
    assert (str(tmp_path) in made.environment.get("PYTHONPATH", "")) is own
    elsewhere = with_tree(TargetSettings(), Side(Arm.HEAD, "http://h", "http://h"), None, tmp_path)
    assert elsewhere == TargetSettings()


def test_a_service_is_asked_to_be_what_nobody_else_has_said(monkeypatch):
    monkeypatch.setenv("TAILGATE_THREADS", "2")
    defaults = {f"TAILGATE_{name}": "default" for name in ("MODEL", "WEIGHTS", "THREADS", "INPUT_SIZE")}
    settings = TargetSettings(environment={"TAILGATE_WEIGHTS": "mine", "X": "y"})
    side = Side(Arm.BASE, ".", "service:model=z,TOP_K=1")
    made = parse_target(side.spec, with_defaults(settings, side, defaults)).settings.environment
    told = {"MODEL": "z", "TOP_K": "1", "INPUT_SIZE": "default", "WEIGHTS": "mine", "FD": "{fd}"}
    assert made == {"X": "y", **{f"TAILGATE_{name}": value for name, value in told.items()}}
    assert with_defaults(settings, Side(Arm.BASE, ".", "command:x {port}"), defaults) == settings


@pytest.fixture
def sides(tmp_path, monkeypatch):
    """Return what checks sides out, the base as a folder with a project file, and lists what was removed."""
    made = SimpleNamespace(base=OWN, packages=["tailgate"], removed=[])

    def add(root, _, folder):
        (folder / "service").mkdir(parents=True, exist_ok=True)
        for package in made.packages:
            (folder / package).mkdir(exist_ok=True)
        (folder / "pyproject.toml").write_text(made.base)

    monkeypatch.setattr(revision, "add_worktree", add)
    monkeypatch.setattr(revision, "remove_worktree", lambda _, folder: made.removed.append(folder.name))
    (tmp_path / "pyproject.toml").write_text(OWN)
    pair = {Arm.BASE: Side(Arm.BASE, "old", "service", OLD), Arm.HEAD: Side(Arm.HEAD, ".", "service")}

    def check_out(**base):
        settings = {Arm.BASE: replace(TargetSettings(), **base), Arm.HEAD: TargetSettings()}
        return checked_out(pair, tmp_path, tmp_path / "worktrees", settings, parse_target)

    made.check_out = check_out
    return made


@pytest.mark.parametrize(
    ("base", "packages", "module"),
    [(OWN, ["tailgate"], "tailgate.service"), (OWN, [], "service"), (OTHER, [], "tailgate.service")],
    ids=["now", "before there was the package tailgate", "another project"],
)
def test_a_service_is_run_by_the_name_that_it_has_in_its_own_tree(sides, base, packages, module):
    sides.base, sides.packages = base, packages
    with sides.check_out() as arms:
        assert arms[Arm.BASE].target.launch.command[-1] == module


def test_a_checked_out_side_is_removed_at_the_end_and_after_an_interruption(sides):
    with sides.check_out() as made:
        assert made[Arm.BASE].worktree.name == "base"
        assert made[Arm.HEAD].worktree is None
        assert sides.removed == []
    assert sides.removed == ["base"]
    with pytest.raises(KeyboardInterrupt), sides.check_out():
        raise KeyboardInterrupt
    assert sides.removed == ["base", "base"]


def test_other_dependencies_are_refused_unless_the_base_has_an_interpreter(sides):
    sides.base = OWN + 'dependencies = ["numpy<2"]\n'
    with pytest.raises(
        UsageError,
        match=r"pyproject.toml, dependencies: base has 'numpy<2', head has not. .*--perf-against-python=PATH",
    ):
        sides.check_out().__enter__()
    assert sides.removed == ["base"]
    with sides.check_out(python="another/python") as made:
        assert made[Arm.BASE].target.launch.command[0] == "another/python"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("service", r"Swap the sides, .*; or check head out"),
        ("command:x {port}", "Check head out .* give its command line as head"),
    ],
)
def test_advice_on_dependencies_of_a_head_that_alone_is_a_revision_can_be_followed(
    sides, tmp_path, spec, words
):
    sides.base = OWN + 'dependencies = ["numpy<2"]\n'
    pair = {Arm.BASE: Side(Arm.BASE, ".", spec), Arm.HEAD: Side(Arm.HEAD, "old", spec, OLD)}
    settings = dict.fromkeys(Arm, TargetSettings())
    with pytest.raises(UsageError, match=rf"head has 'numpy<2', base has not. {words}"):
        checked_out(pair, tmp_path, tmp_path / "worktrees", settings, parse_target).__enter__()


def test_a_working_tree_beside_a_revision_runs_in_the_projects_folder(sides, tmp_path):
    spec = "command:python app.py --port {port}"
    pair = {Arm.BASE: Side(Arm.BASE, "old", spec, OLD), Arm.HEAD: Side(Arm.HEAD, ".", spec)}
    settings = dict.fromkeys(Arm, TargetSettings())
    with checked_out(pair, tmp_path, tmp_path / "worktrees", settings, parse_target) as made:
        base, head = (made[arm].target.launch for arm in (Arm.BASE, Arm.HEAD))
        assert (base.directory, head.directory) == (made[Arm.BASE].worktree, tmp_path)


def test_a_side_that_ran_another_code_is_refused(sides, tmp_path):
    with sides.check_out() as made:
        base = made[Arm.BASE]
        with pytest.raises(
            TargetError, match=r"base was started for old .* has not imported the package service"
        ):
            check_own_code(base, tmp_path, python=True)
        (base.worktree / "service" / "__pycache__").mkdir()
        (base.worktree / "service" / "__pycache__" / "server.cpython-311.pyc").touch()
        assert check_own_code(base, tmp_path, python=True) == ""
        assert check_own_code(made[Arm.HEAD], tmp_path, python=True) == ""


def test_a_setting_that_a_side_does_not_know_is_read_from_its_log():
    class Running:
        def log_tail(self):
            return "… TAILGATE_B is not a setting and is ignored\nTAILGATE_A is not a setting and is ignored; did you"

    assert arms.ignored_settings(Running()) == ("TAILGATE_A", "TAILGATE_B")
