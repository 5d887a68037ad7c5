"""The rehearsal: both sides are started and stopped once before anything is measured.

It tells what each side is, that it runs its own code, which settings it does not know, and what both sides seem to share. The interpreter
writes the bytecode of a fresh checkout, so that no measured start pays for that.
"""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tailgate.harness.compare.arms import ArmTarget, check_own_code, ignored_settings
from tailgate.harness.compare.blocks.schedule import Arm
from tailgate.harness.compare.blocks.together import at_once, started_at_once
from tailgate.harness.compare.sharing import held_by, refuse_one_port, shared
from tailgate.harness.errors import MeasurementError, TargetError
from tailgate.harness.load.preflight import Outcome
from tailgate.harness.target.checkout.own_code import runs_python
from tailgate.harness.target.target import RunningTarget

NO_METRICS = "none: the server's own record is left out"


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """How a side describes itself, its first answers, and notes for the reader.

    ``python`` is whether it was seen to run Python.
    """

    facts: Mapping[str, str]
    asked: Outcome
    python: bool
    notes: tuple[str, ...] = ()


def rehearse(
    arms: Mapping[Arm, ArmTarget],
    directory: Path,
    root: Path,
    ask: Callable[[RunningTarget], Outcome],
) -> Mapping[Arm, Rehearsed]:
    """Start both sides at once, send each the requests once with ``ask``, and stop them.

    Raises:
        TargetError: a side did not become ready, runs another code than its revision's, or listens where the other does.
        MeasurementError: its metrics cannot be read.
    """

    def start(arm: Arm, stack: contextlib.ExitStack) -> RunningTarget:
        one, folder = arms[arm], directory / f"rehearsal-{arm.value}"
        try:
            around = stack.enter_context(one.state.around(folder))
            running = stack.enter_context(one.target.start(folder))
        except TargetError as error:
            raise TargetError(f"{arm.value} ({one.side.given}): {error}") from error
        around.started(running)
        return running

    with started_at_once(start, arms) as running:
        told = at_once(lambda arm: _asked(arm.value, running[arm], ask), arms)
        base, head = (held_by(running[arm].pids or (), running[arm].port) for arm in (Arm.BASE, Arm.HEAD))
        refuse_one_port(base, head)
    # Their processes have ended, and left all their bytecode.
    doubts = {arm: check_own_code(arms[arm], root, python=one.python) for arm, one in told.items()}
    of_both: Mapping[Arm, tuple[str, ...]] = {Arm.BASE: (), Arm.HEAD: shared(base, head)}
    return {
        arm: replace(one, notes=(*filter(None, (doubts[arm],)), *one.notes, *of_both[arm]))
        for arm, one in told.items()
    }


def _asked(name: str, running: RunningTarget, ask: Callable[[RunningTarget], Outcome]) -> Rehearsed:
    try:
        facts = running.facts() if running.metrics_url is not None else {"metrics": NO_METRICS}
    except TargetError as error:
        raise TargetError(f"{name}: {error}") from error
    except MeasurementError as error:
        raise MeasurementError(f"{name}: {error}") from error
    pids, ignored = running.pids, ignored_settings(running)
    notes = [f"{name} does not know the setting {variable}, and ignored it" for variable in ignored]
    if pids is None:
        notes.append(
            f"{name} runs elsewhere and is never restarted: how its one start settled cannot be told from its code"
        )
    python = pids is not None and runs_python(pids)
    asked = ask(running)
    if asked.note:
        notes.append(f"{name}: {asked.note}")
    return Rehearsed(facts, asked, python, tuple(notes))
