"""The rehearsal: both sides are started and stopped once before anything is measured.

It tells what each side is, that it runs its own code, and which settings it does not know. The interpreter
writes the bytecode of a fresh checkout, so that no measured start pays for that.
"""

import itertools
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tailgate.harness.compare.arms import ArmTarget, check_own_code, ignored_settings
from tailgate.harness.compare.blocks.schedule import Arm
from tailgate.harness.errors import MeasurementError, TargetError
from tailgate.harness.load.preflight import Outcome
from tailgate.harness.target.own_code import runs_python
from tailgate.harness.target.settings import MetricNames
from tailgate.harness.target.target import RunningTarget

NO_METRICS = "none: the server's own record is left out"


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """How a side describes itself, what it calls its metrics, its first answers, and notes for the reader."""

    facts: Mapping[str, str]
    names: MetricNames
    asked: Outcome
    notes: tuple[str, ...] = ()


def rehearse(
    arms: Mapping[Arm, ArmTarget],
    directory: Path,
    root: Path,
    ask: Callable[[RunningTarget], Outcome],
) -> Mapping[Arm, Rehearsed]:
    """Start both sides at once, send each the requests once with ``ask``, and stop them.

    Raises:
        TargetError: a side did not become ready, or runs another code than its revision's.
        MeasurementError: its metrics cannot be read.
    """
    folders = [directory / f"rehearsal-{arm.value}" for arm in arms]
    with ThreadPoolExecutor(len(arms)) as pool:
        told = pool.map(_rehearse, arms.values(), folders, itertools.repeat(root), itertools.repeat(ask))
        return dict(zip(arms, told, strict=True))


def _rehearse(
    arm: ArmTarget, directory: Path, root: Path, ask: Callable[[RunningTarget], Outcome]
) -> Rehearsed:
    name = arm.side.arm.value
    try:
        with arm.target.start(directory) as running:
            facts = running.facts() if running.metrics_url is not None else {"metrics": NO_METRICS}
            ignored = ignored_settings(running)
            pids = running.pids
            python = pids is not None and runs_python(pids)
            names = running.settings.metric_names
            asked = ask(running)
    except TargetError as error:
        raise TargetError(f"{name} ({arm.side.given}): {error}") from error
    except MeasurementError as error:
        raise MeasurementError(f"{name}: {error}") from error
    doubt = check_own_code(arm, root, python=python)
    notes = [doubt] if doubt else []
    notes += [f"{name} does not know the setting {variable}, and ignored it" for variable in ignored]
    if pids is None:
        notes.append(
            f"{name} runs elsewhere and is never restarted: how its one start settled cannot be told from its code"
        )
    if asked.note:
        notes.append(f"{name}: {asked.note}")
    return Rehearsed(facts, names, asked, tuple(notes))
