"""The bench of a comparison: what all its blocks have in common, and how an arm is started on it."""

import contextlib
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from tailgate.harness.compare.arms import ArmTarget
from tailgate.harness.compare.blocks.interleave import GAP_S
from tailgate.harness.compare.blocks.schedule import Arm
from tailgate.harness.compare.processors import Sharing, kept_to
from tailgate.harness.load import Generator, LoadSettings
from tailgate.harness.observe.slot import Course
from tailgate.harness.observe.slot_record import Slot
from tailgate.harness.scenario.plan import Plan
from tailgate.harness.scenario.scenario import Scenario
from tailgate.harness.target.settings import MetricNames
from tailgate.harness.target.target import RunningTarget


@dataclass(frozen=True, slots=True)
class Running:
    """One arm of a block, ready for load. ``start_up_s`` is from launch to ready."""

    target: RunningTarget
    generator: Generator
    course: Course
    start_up_s: float


@dataclass(frozen=True, slots=True)
class Bench:
    """What all blocks of a comparison have in common.

    Attributes:
        scenario: as one arm gets it in one block: the warm-up, then a phase per pair.
        draw: from a seed to the requests of a block.
        connect: how the generator reaches a server.
        directory: of the comparison's raw records.
        gap_s: between two windows.
        sharing: of the processors; None if everybody runs anywhere.
    """

    arms: Mapping[Arm, ArmTarget]
    scenario: Scenario
    draw: Callable[[int], Plan]
    connect: Callable[[RunningTarget], LoadSettings]
    names: MetricNames
    directory: Path
    run: str
    gap_s: float = GAP_S
    sharing: Sharing | None = None


def start_arm(bench: Bench, slot: Slot, requests: Plan, folder: str, stack: contextlib.ExitStack) -> Running:
    """Start the arm of a slot and its generator; the stack ends both.

    Raises:
        TargetError: it did not become ready.
        LoadError: the generator did not start.
    """
    directory = bench.directory / f"{bench.scenario.name}-{folder}"
    began_s = time.monotonic()
    target = stack.enter_context(bench.arms[Arm(slot.arm)].target.start(directory))
    start_up_s = time.monotonic() - began_s
    generator = stack.enter_context(Generator(requests, bench.connect(target), directory))
    course = Course(slot, requests, target, directory)
    stack.enter_context(course.client)
    return Running(target, generator, course, start_up_s)


def on_their_processors(
    bench: Bench, index: int, running: Collection[Running]
) -> contextlib.AbstractContextManager[None]:
    """Return a context in which everybody runs on their processors of the block of this number.

    A generator that has a processor of its own stays there.

    Raises:
        TargetError: on entering: a process cannot be moved.
    """
    if bench.sharing is None:
        return contextlib.nullcontext()
    servers = [pid for one in running for pid in one.target.pids or ()]
    generators = [] if bench.sharing.generator is not None else [one.generator.pid for one in running]
    return kept_to(bench.sharing.split(index), servers, generators)
