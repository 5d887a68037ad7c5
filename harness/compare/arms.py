"""Both sides of a comparison: what a user called them, the code that each runs, and its target.

Checks revisions out and removes them. Measures nothing.
"""

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from tailgate.harness.compare.blocks.schedule import Arm
from tailgate.harness.errors import TargetError, UsageError
from tailgate.harness.target.checkout import revision as git
from tailgate.harness.target.checkout.dependencies import dependency_changes
from tailgate.harness.target.checkout.own_code import (
    is_own,
    project_in,
    python_path,
    ran_own_code,
    service_module,
)
from tailgate.harness.target.checkout.revision import Revision
from tailgate.harness.target.settings import TargetSettings
from tailgate.harness.target.spec import CommandTarget
from tailgate.harness.target.state import StateCommands, Step, commands_of
from tailgate.harness.target.target import RunningTarget, Target

WORKING_TREE = "."
_IGNORED = re.compile(r"\b(TAILGATE_\w+) is not a setting and is ignored")


@dataclass(frozen=True, slots=True)
class Side:
    """One side: what the user wrote, the target that it means, and the commit that it runs, if any."""

    arm: Arm
    given: str
    spec: str
    revision: Revision | None = None

    @property
    def is_service(self) -> bool:
        """Whether the target is this project's own service."""
        return self.spec.partition(":")[0] == "service"

    @property
    def is_address(self) -> bool:
        """Whether the server runs elsewhere."""
        return self.spec.startswith(("http://", "https://", "unix:"))


def read_side(arm: Arm, given: str, default: str, root: Path, known: Callable[[str], bool]) -> Side:
    """Return what the user means: the working tree (``.``), a target, or a git revision, tried in this order.

    Args:
        arm: which side.
        given: by the user.
        default: specification of the target that ``.`` and a revision run.
        root: folder of the project.
        known: tells whether some plugin knows a target of this specification.

    Raises:
        UsageError: it is none of these, or a revision of a server that runs elsewhere.
    """
    if given == WORKING_TREE:
        return Side(arm, given, default)
    if known(given):
        return Side(arm, given, given)
    revision = git.find_revision(root, given)
    if revision is None:
        raise UsageError(
            f"{arm.value}: {given!r} is not a revision of the repository at {root} nor a target; expected a branch, tag "
            "or commit, . for the working tree, service:KEY=VALUE,…, command:LINE, http://host:port, or unix:/PATH"
        )
    if not git.has_project(root, revision):
        raise UsageError(
            f"{arm.value}: {revision} has no folder {git.place_in_repository(root)}, and so no such project"
        )
    side = Side(arm, given, default, revision)
    if side.is_address:
        raise UsageError(
            f"{arm.value}: the revision {given!r} cannot run in {default}, a server that runs elsewhere; give a target "
            "that is started here, or compare two addresses"
        )
    return side


@dataclass(frozen=True, slots=True)
class ArmTarget:
    """One side, ready to be started. ``worktree`` is the repository's top where its revision is checked out."""

    side: Side
    target: Target
    worktree: Path | None = None
    state: StateCommands = field(default_factory=StateCommands)


@contextlib.contextmanager
def checked_out(
    sides: Mapping[Arm, Side],
    root: Path,
    folder: Path,
    settings: Mapping[Arm, TargetSettings],
    make_target: Callable[[str, TargetSettings], Target],
    lines: Mapping[Step, str] | None = None,
) -> Iterator[Mapping[Arm, ArmTarget]]:
    """Check revisions out into the folder, give each side's target, and remove the worktrees at the end.

    ``lines`` are the user's commands around a target, which run in the project's folder of a side's own tree.

    Raises:
        UsageError: the sides declare other dependencies, and the base has no interpreter of its own.
        TargetError: git refuses.
    """
    with contextlib.ExitStack() as stack:
        trees: dict[Arm, Path] = {}
        stack.callback(_remove_empty, folder)
        for arm, side in sides.items():
            if side.revision is not None:
                trees[arm] = (folder / arm.value).resolve()
                stack.callback(git.remove_worktree, root, trees[arm])
                git.add_worktree(root, side.revision, trees[arm])
        if trees and settings[Arm.BASE].python == settings[Arm.HEAD].python:
            _refuse_other_dependencies(trees, root, sides)
        made = {}
        for arm, side in sides.items():
            tree = trees.get(arm)
            own = with_tree(settings[arm], side, tree, root, beside_revision=bool(trees))
            target = make_target(side.spec, own)
            directory = own.directory if tree is None else project_in(tree, root)
            state = commands_of(lines or {}, arm.value, target, own, directory)
            made[arm] = ArmTarget(side, target, tree, state)
        yield made


@contextlib.contextmanager
def set_up_elsewhere(arms: Mapping[Arm, ArmTarget], folder: Path) -> Iterator[Mapping[Arm, ArmTarget]]:
    """Set up the servers that run elsewhere, and tear them down at the end: what is never started has one set-up.

    Raises:
        TargetError: a command failed.
    """
    with contextlib.ExitStack() as stack:
        made = dict(arms)
        for arm, one in arms.items():
            if one.side.is_address:
                stack.enter_context(one.state.only(Step.SET_UP, Step.TEAR_DOWN).around(folder))
                made[arm] = replace(one, state=one.state.only(Step.RESET))
        yield made


def with_tree(
    settings: TargetSettings, side: Side, worktree: Path | None, root: Path, *, beside_revision: bool = False
) -> TargetSettings:
    """Return the settings with which a side runs the code of its own tree; a service is ended at once.

    ``PYTHONPATH`` puts packages of the tree first. For the working tree it does so beside a revision, so that
    both sides find their modules in the same way, and for this project's own service. A command runs in the
    project's folder of its tree.

    Raises:
        TargetError: the revision has no such project.
    """
    project = None if worktree is None else project_in(worktree, root)
    of_working_tree = beside_revision and side.given == WORKING_TREE and not side.is_address
    if project is None and (of_working_tree or (side.is_service and is_own(root))):
        project = root
    if side.is_service:
        # It leaves nothing behind; an orderly end costs PyTorch more than a second of processor time.
        settings = replace(settings, stop_timeout_s=0.0)
    if project is None:
        return settings
    environment = {
        **settings.environment,
        "PYTHONPATH": python_path(settings, project, worktree, root),
        # check_own_code looks for bytecode beside its source.
        "PYTHONPYCACHEPREFIX": "",
        "PYTHONDONTWRITEBYTECODE": "",
    }
    if not side.is_service:
        return replace(settings, environment=environment, directory=project)
    service = service_module(project) if is_own(project) else settings.service
    return replace(settings, environment=environment, service=service)


def check_own_code(arm: ArmTarget, root: Path, *, python: bool) -> str:
    """Check that a started side ran its revision's code; return a note where that cannot be told.

    ``python`` is whether it was seen to run Python.

    Raises:
        TargetError: it did not.
    """
    name, worktree = arm.side.arm.value, arm.worktree
    if worktree is None:
        return ""
    if not python and not arm.side.is_service:
        return (
            f"{name} runs no Python, so only its command line and its folder tell that it is {arm.side.revision}: a program "
            "that is installed elsewhere would be head under that name"
        )
    command = arm.target.launch.command if isinstance(arm.target, CommandTarget) else ()
    project = project_in(worktree, root)
    if ran_own_code(worktree, project, command, service=arm.side.is_service):
        return ""
    package = "the package service" if arm.side.is_service and is_own(project) else "any module"
    raise TargetError(
        f"{name} was started for {arm.side.revision}, and its interpreter has not imported {package} from "
        f"{project}: other code would be compared under that name. Name the folders of the project that hold its packages, "
        "such as --perf-env=PYTHONPATH=lib (the base gets its own), or give the base an environment without an installed "
        "copy, by --perf-against-python or in the command; does the command run Python with -I or -E?"
    )


def ignored_settings(running: RunningTarget) -> tuple[str, ...]:
    """Return the variables that a service did not know, from the end of its log."""
    return tuple(sorted(set(_IGNORED.findall(running.log_tail()))))


def with_defaults(settings: TargetSettings, side: Side, defaults: Mapping[str, str]) -> TargetSettings:
    """Return a service's settings with the defaults that no environment sets; its specification has the last word."""
    if not side.is_service:
        return settings
    added = {name: value for name, value in defaults.items() if name not in os.environ}
    return replace(settings, environment={**added, **settings.environment})


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


def _refuse_other_dependencies(trees: Mapping[Arm, Path], root: Path, sides: Mapping[Arm, Side]) -> None:
    place, top = git.place_in_repository(root), git.top_of(root)
    changes: list[str] = []
    # A lock file of several projects lies at the top.
    for folder in dict.fromkeys((Path(), place)):
        base, head = (trees.get(arm, top) / folder for arm in (Arm.BASE, Arm.HEAD))
        where = f"in {folder}, " if folder.parts else ""
        changes += [where + change for change in dependency_changes(base, head)]
    if changes:
        raise UsageError(
            "the declared dependencies differ, so one environment may not fit both sides: "
            f"{'; '.join(changes)}. {_other_environment(trees, sides)}"
        )


def _other_environment(trees: Mapping[Arm, Path], sides: Mapping[Arm, Side]) -> str:
    """Say how the side that is a revision gets an environment of its own."""
    arm = Arm.BASE if Arm.BASE in trees else Arm.HEAD
    if not sides[arm].is_service:
        return (
            f"Check {arm.value} out beside this project, make an environment for it there, and give its command line as "
            f"{arm.value}: command:LINE"
        )
    if arm is Arm.BASE:
        return "Make an environment for the base, and give its interpreter: --perf-against-python=PATH"
    # Only a base that is a revision can be given an interpreter.
    return (
        "Swap the sides, so that the revision is the base, and give it an interpreter with --perf-against-python=PATH; or "
        "check head out, make an environment for it, and run the comparison there"
    )
