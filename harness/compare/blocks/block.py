"""One block, measured: both arms freshly started, warmed up, loaded in turn, stopped.

Stands between the schedule and :mod:`tailgate.harness.compare.blocks.observation`. The arms start at the same time, since starting is
most of a block's time that is no load; they are loaded by turns, never at once: in windows of a common phase, or where
the load must not be cut, in whole slots. Raw records lie on disk as those of any slot: an arm's course through a block
is a slot whose phases are its pairs. Nothing is judged here.
"""

import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from tailgate.harness.compare.blocks.arm_block import arm_block
from tailgate.harness.compare.blocks.bench import Bench, Running, on_their_processors, start_arm
from tailgate.harness.compare.blocks.disturbance import Disturbance, disturbance_of
from tailgate.harness.compare.blocks.interleave import can_interleave, plan_of_arm, room_ns, windows_in
from tailgate.harness.compare.blocks.observation import Block
from tailgate.harness.compare.blocks.schedule import Arm, BlockPlan
from tailgate.harness.compare.blocks.together import Meeting, run_together
from tailgate.harness.errors import LoadError, MeasurementError, TargetError
from tailgate.harness.observe.slot import SETTLE_S, died
from tailgate.harness.observe.slot_record import Slot, SlotRecord
from tailgate.harness.observe.window import Window
from tailgate.harness.results.fault import Cause, Fault
from tailgate.harness.scenario.plan import Plan
from tailgate.harness.scenario.scenario import Scenario
from tailgate.harness.target.settings import MetricNames
from tailgate.harness.target.target import RunningTarget
from tailgate.harness.verdict import faults as checks

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class BlockRecord:
    """What a block measured.

    Attributes:
        block: for :func:`tailgate.harness.compare.blocks.observation.observe`.
        slots: what each arm went through.
        faults: what makes the whole comparison INVALID: a server that died, a record that is not whole.
        disturbance: what the machine said of the block.
    """

    block: Block
    slots: Mapping[Arm, SlotRecord]
    faults: tuple[Fault, ...]
    disturbance: Disturbance

    @property
    def late(self) -> Mapping[str, bool]:
        """Whether the generator was late, by name of the arm."""
        return dict(zip((arm.value for arm in self.slots), self.disturbance.late, strict=True))


def measure_block(plan: BlockPlan, bench: Bench) -> BlockRecord:
    """Measure a block. A failure in the middle ends it, keeps what there is, and is its fault.

    Raises:
        TargetError: an arm did not become ready, or cannot be kept to its processors.
        LoadError: the generator did not start, or cannot reach an arm.
        UsageError: a payload cannot be sent as an HTTP request.
    """
    began_s = time.monotonic()
    requests = bench.draw(plan.seed)
    turns = turns_of(plan, bench.scenario, requests)
    trouble: list[Fault] = []
    with (
        _started(plan, requests, turns, bench) as running,
        on_their_processors(bench, plan.index, running.values()),
    ):
        try:
            _run_phases(plan, bench.scenario, turns, running)
        except (LoadError, MeasurementError, TargetError) as error:
            trouble.append(Fault(Cause.INTEGRITY, f"block {plan.index + 1}: {error}"))
        settle_s = SETTLE_S if trouble else 0.0
        deaths = [_death(arm, one.target) for arm, one in running.items() if died(one.target, settle_s)]
        slots = {arm: one.course.record() for arm, one in running.items()}
        start_up_s = {arm: one.start_up_s for arm, one in running.items()}
    trouble = deaths + trouble
    for arm, record in slots.items():
        trouble += _broken(arm, record, bench.names)
    disturbance = disturbance_of(slots.values())
    arms = {
        arm: arm_block(arm, record, start_up_s[arm], _rooms_ns(arm, turns, requests, bench))
        for arm, record in slots.items()
    }
    block = Block(
        index=plan.index,
        base=arms[Arm.BASE],
        head=arms[Arm.HEAD],
        void=disturbance.void,
        load_s=disturbance.load_s,
        wall_s=time.monotonic() - began_s,
        steal_share=disturbance.steal_share,
        cpu_pressure_share=disturbance.cpu_pressure_share,
        order=plan.order([len(first) for first in turns.values()]),
        run=bench.run,
        processors=None if bench.sharing is None else bench.sharing.servers,
    )
    return BlockRecord(block, slots, tuple(trouble), disturbance)


def turns_of(plan: BlockPlan, scenario: Scenario, requests: Plan) -> Mapping[int, tuple[Arm, ...]]:
    """Return by index of each measured phase, and pair of windows, the arm that goes first; one for a whole slot."""
    measured = [index for index, phase in enumerate(scenario.phases) if phase.measured]
    return {
        index: plan.first(
            pair, windows_in(requests.phases[index]) if can_interleave(scenario.phases[index]) else 1
        )
        for pair, index in enumerate(measured)
    }


def _windowed(turns: Mapping[int, tuple[Arm, ...]], bench: Bench) -> Mapping[int, tuple[Arm, ...]]:
    """Return the turns of the phases that are cut into windows."""
    return {index: first for index, first in turns.items() if can_interleave(bench.scenario.phases[index])}


def _rooms_ns(
    arm: Arm, turns: Mapping[int, tuple[Arm, ...]], requests: Plan, bench: Bench
) -> Mapping[int, NDArray[np.int64]]:
    return {
        index: room_ns(requests.phases[index], first, arm, bench.gap_s)
        for index, first in _windowed(turns, bench).items()
    }


def _run_phases(
    plan: BlockPlan, scenario: Scenario, turns: Mapping[int, tuple[Arm, ...]], running: Mapping[Arm, Running]
) -> None:
    """Warm both arms up, load them by turns, and probe their capacity last, where that is asked for."""
    for index, phase in enumerate(scenario.phases):
        if index in turns and can_interleave(phase):
            _run_windows(index, running)
            continue
        first = turns[index][0] if index in turns else plan.launched_first
        for arm in (first, first.other):
            running[arm].course.run_phase(index, running[arm].generator, 1.0)


def _run_windows(index: int, running: Mapping[Arm, Running]) -> None:
    """Run a phase of both arms from a common start; their plans say whose turn it is."""

    def run(one: Running, meeting: Meeting) -> None:
        one.course.run_phase(index, one.generator, 1.0, meeting)

    def stop() -> None:
        for one in running.values():
            one.generator.stop()

    run_together([functools.partial(run, one) for one in running.values()], stop)


@contextlib.contextmanager
def _started(
    plan: BlockPlan, requests: Plan, turns: Mapping[int, tuple[Arm, ...]], bench: Bench
) -> Iterator[Mapping[Arm, Running]]:
    """Start both arms at once, each with its generator; stop both at once."""
    windowed = _windowed(turns, bench)

    def start(arm: Arm, stack: contextlib.ExitStack) -> Running:
        slot = Slot(bench.scenario, arm.value, plan.index, plan.index + 1, plan.seed)
        directory = bench.directory / f"{bench.scenario.name}-{arm.value}-{plan.index}"
        own = plan_of_arm(requests, windowed, arm, bench.gap_s)
        return start_arm(bench.arms[arm], slot, own, bench.connect, directory, stack)

    with contextlib.ExitStack() as both:
        stacks = {arm: contextlib.ExitStack() for arm in plan.launches}
        both.callback(_at_once, {arm: stack.close for arm, stack in stacks.items()})
        yield _at_once({arm: _bound(start, arm, stacks[arm]) for arm in plan.launches})


def _bound(
    start: Callable[[Arm, contextlib.ExitStack], Running], arm: Arm, stack: contextlib.ExitStack
) -> Callable[[], Running]:
    return lambda: start(arm, stack)


def _at_once(steps: Mapping[Arm, Callable[[], T]]) -> Mapping[Arm, T]:
    """Take a step of each arm, all at the same time, and wait for all, in an interruption too."""
    with ThreadPoolExecutor(len(steps)) as pool:
        futures: dict[Arm, Future[T]] = {arm: pool.submit(step) for arm, step in steps.items()}
        wait(futures.values())
    results = {}
    for arm, future in futures.items():
        try:
            results[arm] = future.result()
        except TargetError as error:
            raise TargetError(f"{arm.value}: {error}") from error
    return results


def _death(arm: Arm, target: RunningTarget) -> Fault:
    tail = target.log_tail()
    its_log = f"\nits log ends:\n{tail}" if tail else ""
    return Fault(Cause.INTEGRITY, f"{arm.value}'s server died under load{its_log}")


def _broken(arm: Arm, record: SlotRecord, names: MetricNames) -> list[Fault]:
    """Return what is not whole in an arm's records, warm-up included."""
    everything = Window(record.phases, names=names)
    found = [
        *record.faults,
        *checks.check_records(everything, record.planned[: len(record.phases)]),
        *checks.check_counts(everything, record.processes),
    ]
    return [Fault(fault.cause, f"{arm.value}, {fault.text}") for fault in found]
