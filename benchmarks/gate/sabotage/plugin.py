"""A plugin of the gate that sabotages it: what a drill plants into head does not reach head, or more than that does.

The variable of head's environment says how. It is loaded with ``--perf-plugin``, so that the command is the user's own.
"""

import dataclasses
import py_compile
import random
import shutil
import tempfile
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from tailgate import ComparisonLoad, Phase, Poisson, Profile, RunningTarget, When, hookimpl
from tailgate.harness.drill.case import CASES
from tailgate.harness.drill.target import PlantedTarget
from tailgate.harness.target.settings import TargetSettings
from tailgate.harness.target.spec import CommandTarget
from tailgate.harness.target.target import Target

VARIABLE = "DRILL_SABOTAGE"
SCENARIO = "drilled"
RATE, WARM_UP, REQUESTS = 200.0, 20, 100
# As in the replay: of a start, always slower.
NOISE = 0.10
SOURCE, PROGRAM = "work.py", "served.py"


@dataclass(frozen=True, slots=True)
class Coded:
    """The served program with a source of its own at each start, which makes it so much slower.

    ``stale``: the folder has base's bytecode, which Python takes without a look at the source, as where a cache is restored
    by a key that does not hold the source (unchecked hash-based pycs, PEP 552).
    """

    target: CommandTarget
    share: Callable[[], float]
    stale: bool = False

    @property
    def spec(self) -> str:
        """That of the program."""
        return self.target.spec

    def start(self, directory: Path) -> RunningTarget:
        """Write the program anew, and start it."""
        directory.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="code-", dir=directory))
        python, program, *rest = self.target.launch.command
        written = write_program(Path(program).parent, folder, self.share(), stale=self.stale)
        launch = dataclasses.replace(self.target.launch, command=(python, str(written), *rest))
        return dataclasses.replace(self.target, launch=launch).start(directory)


def write_program(source: Path, folder: Path, share: float, *, stale: bool) -> Path:
    """Write a copy of the program with this share into a folder; return its file."""
    for name in (SOURCE, PROGRAM):
        shutil.copy(source / name, folder)
    if stale:
        py_compile.compile(
            str(folder / SOURCE), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
        )
    (folder / SOURCE).write_text(f"SHARE = {share!r}\n", encoding="utf-8")
    return folder / PROGRAM


def _in_code(planted: Target, *, stale: bool) -> Target:
    """Return a drill's target with the case in its code in place of its proxy."""
    assert isinstance(planted, PlantedTarget)
    assert isinstance(planted.target, CommandTarget)
    share = CASES[planted.case].share
    return PlantedTarget(Coded(planted.target, lambda: share, stale=stale), "unchanged")


def _same_tree(planted: Target) -> Target:
    assert isinstance(planted, PlantedTarget)
    return dataclasses.replace(planted, case="unchanged")


def _noise(target: Target) -> Target:
    assert isinstance(target, CommandTarget)
    return Coded(target, lambda: abs(random.gauss(0, NOISE)))


SABOTAGES: Mapping[str, Callable[[Target], Target]] = MappingProxyType(
    {
        "same-tree": _same_tree,
        "in-code": lambda planted: _in_code(planted, stale=False),  # none: what a stale cache is held against
        "stale-cache": lambda planted: _in_code(planted, stale=True),
        "noise": _noise,
    }
)


# Outermost: a drill's own wrapper has planted its case by then.
@hookimpl(wrapper=True, tryfirst=True)
def tailgate_target(settings: TargetSettings) -> Generator[None, Target | None, Target | None]:
    """Sabotage the side whose environment says how."""
    target = yield
    how = settings.environment.get(VARIABLE)
    return target if target is None or how is None else SABOTAGES[how](target)


@hookimpl
def tailgate_scenarios(profile: Profile) -> Sequence[ComparisonLoad]:
    """Add the load: few requests of a quick service, so that a comparison takes less than a minute."""
    del profile
    phases = (
        Phase("warm-up", Poisson(RATE), requests=WARM_UP, measured=False),
        Phase(SCENARIO, Poisson(RATE), requests=REQUESTS),
    )
    return [ComparisonLoad(SCENARIO, "small requests for a drill", phases, (), when=When.NAMED)]
