"""The rehearsal: both sides are started once before anything is measured, and stopped again.

It tells what each side is, that each runs its own code, and which settings one of them does not know. It also lets the
interpreter write the bytecode of a fresh checkout, so that no measured start pays for that.
"""

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from harness.comparison.arms import ArmTarget, ignored_settings, require_own_code
from harness.comparison.schedule import Arm
from harness.errors import MeasurementError, TargetError
from harness.scrape import MetricNames

NO_METRICS = "none: the server's own record is left out"


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """What a side was seen to be.

    Attributes:
        facts: how it describes itself.
        names: what it calls its metrics.
        notes: what a reader must know of it.
    """

    facts: Mapping[str, str]
    names: MetricNames
    notes: tuple[str, ...] = ()


def rehearse(arms: Mapping[Arm, ArmTarget], directory: Path) -> Mapping[Arm, Rehearsed]:
    """Start both sides at once, ask them, and stop them.

    Raises:
        TargetError: a side did not become ready, or runs another code than its revision's.
        MeasurementError: its metrics cannot be read.
    """
    with ThreadPoolExecutor(len(arms)) as pool:
        futures: dict[Arm, Future[Rehearsed]] = {
            arm: pool.submit(_rehearse, one, directory / f"rehearsal-{arm.value}")
            for arm, one in arms.items()
        }
        wait(futures.values())
    return {arm: future.result() for arm, future in futures.items()}


def _rehearse(arm: ArmTarget, directory: Path) -> Rehearsed:
    name = arm.side.arm.value
    try:
        with arm.target.start(directory) as running:
            facts = running.facts() if running.metrics_url is not None else {"metrics": NO_METRICS}
            ignored = ignored_settings(running)
            elsewhere = running.pids is None
            names = running.settings.metric_names
    except TargetError as error:
        raise TargetError(f"{name} ({arm.side.given}): {error}") from error
    except MeasurementError as error:
        raise MeasurementError(
            f"{name}: {error}; a target without metrics is measured with --perf-metrics-path= (empty)"
        ) from error
    require_own_code(arm)
    notes = [f"{name} does not know the setting {variable}, and ignored it" for variable in ignored]
    if elsewhere:
        notes.append(
            f"{name} runs elsewhere and is never restarted: how its one start settled cannot be told from its code"
        )
    return Rehearsed(facts, names, tuple(notes))
