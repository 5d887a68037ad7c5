"""The bench of a comparison: what all blocks have in common, starting an arm, and the gap of windows.

An answer computed beside the other arm's first requests makes the arms more alike, so that a change looks
smaller. The gap lets nearly all answers end. Base's latency sets it for both arms: head has no say.
"""

import contextlib
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tailgate.harness import statistics
from tailgate.harness.compare.arms import ArmTarget
from tailgate.harness.compare.blocks.interleave import GAP_S, MAX_GAP_SHARE, can_interleave, window_s
from tailgate.harness.compare.blocks.row import BlockRow, spilled_share
from tailgate.harness.compare.blocks.schedule import Arm
from tailgate.harness.compare.processors import Sharing, kept_to
from tailgate.harness.errors import LoadError, MeasurementError
from tailgate.harness.load import Generate, Generator, LoadGenerator, LoadSettings
from tailgate.harness.observe.slot import Course
from tailgate.harness.observe.slot_record import Slot
from tailgate.harness.observe.window import latencies_s
from tailgate.harness.scenario.plan import Plan
from tailgate.harness.scenario.scenario import Scenario
from tailgate.harness.target.target import RunningTarget
from tailgate.harness.units import Unit, percent, quantity

QUANTILE = 0.99


@dataclass(frozen=True, slots=True)
class Running:
    """One arm of a block, ready for load. ``start_up_s`` is from launch to ready."""

    target: RunningTarget
    generator: LoadGenerator
    course: Course
    start_up_s: float


@dataclass(frozen=True, slots=True)
class Bench:
    """What all blocks of a comparison have in common."""

    arms: Mapping[Arm, ArmTarget]
    scenario: Scenario  # as one arm gets it in one block: the warm-up, then a phase per pair
    draw: Callable[[int], Plan]  # from a seed to the requests of a block
    connect: Callable[[RunningTarget], LoadSettings]  # how the generator reaches a server
    directory: Path  # of the comparison's raw records
    run: str
    gap_s: float = GAP_S  # between two windows
    sharing: Sharing | None = None  # of the processors; None if everybody runs anywhere
    now: Callable[[str], None] = lambda _: None  # takes what is being done, for those who watch
    generate: Generate = Generator  # makes who sends the requests of an arm


def start_arm(bench: Bench, slot: Slot, requests: Plan, folder: str, stack: contextlib.ExitStack) -> Running:
    """Start the arm of a slot and its generator; the stack ends both.

    Raises:
        TargetError: it did not become ready, or a command of its state failed.
        LoadError: the generator did not start.
    """
    directory = bench.directory / f"{bench.scenario.name}-{folder}"
    arm = bench.arms[Arm(slot.arm)]
    around = stack.enter_context(arm.state.around(directory))
    began_s = time.monotonic()
    target = stack.enter_context(arm.target.start(directory))
    start_up_s = time.monotonic() - began_s
    around.started(target)
    around.reset()
    generator = stack.enter_context(bench.generate(requests, bench.connect(target), directory))
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
    alone = bench.sharing.generator is not None
    generators = [] if alone else [pid for one in running for pid in one.generator.pids]
    return kept_to(bench.sharing.split(index), servers, generators)


def find_gap_s(bench: Bench, seed: int) -> float:
    """Load base alone by a warm-up and a pair's requests; return p99 of their latencies, bounded.

    If base breaks under that load, return the least gap: the first block will say what broke.

    Raises:
        TargetError: base did not become ready, or cannot be kept to its processors.
    """
    measured = next(index for index, phase in enumerate(bench.scenario.phases) if phase.measured)
    if not can_interleave(bench.scenario.phases[measured]):
        return GAP_S
    requests = bench.draw(seed)
    longest_s = MAX_GAP_SHARE * window_s(requests.phases[measured])
    try:
        seen_s = _latency_s(bench, requests, measured, seed)
    except (LoadError, MeasurementError):
        return GAP_S
    return max(GAP_S, min(seen_s, longest_s))


def _latency_s(bench: Bench, requests: Plan, measured: int, seed: int) -> float:
    slot = Slot(bench.scenario, Arm.BASE.value, 0, 0, seed)
    with contextlib.ExitStack() as stack:
        running = start_arm(bench, slot, requests, "trial", stack)
        stack.enter_context(on_their_processors(bench, 0, [running]))
        for index in range(measured + 1):
            running.course.run_phase(index, running.generator, 1.0)
        record = running.course.record()
    return statistics.quantile(latencies_s(record.phases[measured].samples), QUANTILE)


def spill_note(rows: Sequence[BlockRow], gap_s: float) -> str:
    """Return the note how many answers ended in the other arm's window; empty without windows."""
    share = spilled_share([row for row in rows if row.void is None])
    if share is None:
        return ""
    return f"{percent(share)} of the answers ended in the other arm's window, after a gap of {quantity(gap_s, Unit.SECONDS)}"
