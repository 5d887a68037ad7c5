"""One block, measured: both arms freshly started at once, warmed up, loaded by turns, stopped.

The turns are windows of a common phase, or whole slots where the load must not be cut. Raw records lie on
disk as those of any slot: an arm's course through a block is a slot whose phases are its pairs.
"""

import contextlib
import functools
import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tailgate.harness.compare.blocks.bench import Bench, Running, on_their_processors, start_arm
from tailgate.harness.compare.blocks.disturbance import disturbance_of
from tailgate.harness.compare.blocks.interleave import can_interleave, plan_of_arm, room_ns, windows_in
from tailgate.harness.compare.blocks.observation import observe_arm
from tailgate.harness.compare.blocks.row import BlockRow
from tailgate.harness.compare.blocks.schedule import Arm, BlockPlan
from tailgate.harness.compare.blocks.together import Meeting, run_together, started_at_once
from tailgate.harness.errors import LoadError, MeasurementError, TargetError
from tailgate.harness.observe.slot import SETTLE_S, died
from tailgate.harness.observe.slot_record import Slot, SlotRecord
from tailgate.harness.results.fault import Cause, Fault
from tailgate.harness.scenario.plan import Plan
from tailgate.harness.scenario.scenario import Scenario
from tailgate.harness.target.launching.last_words import its_log
from tailgate.harness.target.target import RunningTarget
from tailgate.harness.verdict import faults as checks
from tailgate.harness.verdict import generators

# By index of a phase, the arm that goes first in each pair of its windows.
Turns = Mapping[int, tuple[Arm, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class BlockRecord:
    """What a block measured."""

    block: BlockRow  # as numbers
    slots: Mapping[Arm, SlotRecord]  # what each arm went through
    # What makes the whole comparison INVALID: a server that died, a record that is not whole.
    faults: tuple[Fault, ...]
    late: Mapping[str, bool]  # whether the generator was late, by name of the arm


def measure_block(plan: BlockPlan, bench: Bench) -> BlockRecord:
    """Measure a block. A failure in the middle ends it, keeps what there is, and is its fault.

    Raises:
        TargetError: an arm did not become ready, or cannot be kept to its processors.
        LoadError: the generator did not start, or cannot reach an arm.
        UsageError: a payload cannot be sent as an HTTP request.
    """
    began_s = time.monotonic()
    requests = bench.draw(plan.seed)
    turns = _turns(plan, bench.scenario, requests)
    windowed = {index: turn for index, turn in turns.items() if can_interleave(bench.scenario.phases[index])}
    trouble: list[Fault] = []
    bench.now("starting both")
    with (
        _started(plan, requests, windowed, bench) as running,
        on_their_processors(bench, plan.index, running.values()),
    ):
        try:
            _run_phases(plan, bench, turns, running)
        except (LoadError, MeasurementError, TargetError) as error:
            trouble.append(Fault(Cause.INTEGRITY, f"block {plan.index + 1}: {error}"))
        settle_s = SETTLE_S if trouble else 0.0
        bench.now("stopping both")
        deaths = [_death(arm, one.target) for arm, one in running.items() if died(one.target, settle_s)]
        slots = {arm: one.course.record() for arm, one in running.items()}
    broken = [fault for arm, record in slots.items() for fault in _broken(arm, record)]

    def rooms_ns(arm: Arm) -> Mapping[int, NDArray[np.int64]]:
        phases = requests.phases
        return {index: room_ns(phases[index], turn, arm, bench.gap_s) for index, turn in windowed.items()}

    arms = {arm: observe_arm(record, running[arm].start_up_s, rooms_ns(arm)) for arm, record in slots.items()}
    disturbance = disturbance_of(slots.values())
    block = BlockRow(
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
    late = {arm.value: late for arm, late in zip(slots, disturbance.late, strict=True)}
    return BlockRecord(block, slots, (*deaths, *trouble, *broken), late)


def _turns(plan: BlockPlan, scenario: Scenario, requests: Plan) -> Turns:
    """Return the turns of each measured phase; a whole slot is one window."""
    measured = [index for index, phase in enumerate(scenario.phases) if phase.measured]
    return {
        index: plan.first(
            pair, windows_in(requests.phases[index]) if can_interleave(scenario.phases[index]) else 1
        )
        for pair, index in enumerate(measured)
    }


def _run_phases(plan: BlockPlan, bench: Bench, turns: Turns, running: Mapping[Arm, Running]) -> None:
    """Warm both arms up, load them by turns, and probe their capacity last, where that is asked for."""
    for index, phase in enumerate(bench.scenario.phases):
        if index in turns and can_interleave(phase):
            bench.now(f"{phase.name}: both by turns")
            _run_windows(index, running)
            continue
        first = turns[index][0] if index in turns else plan.launched_first
        for arm in (first, first.other):
            bench.now(f"{phase.name}: {arm.value}")
            running[arm].course.run_phase(index, running[arm].generator, 1.0)


def _run_windows(index: int, running: Mapping[Arm, Running]) -> None:
    """Run a phase of both arms from a common start; their plans say whose turn it is."""

    def run(one: Running, meeting: Meeting) -> None:
        one.course.run_phase(index, one.generator, 1.0, meeting)

    def stop() -> None:
        for one in running.values():
            one.generator.stop()

    run_together([functools.partial(run, one) for one in running.values()], stop)


def _started(
    plan: BlockPlan, requests: Plan, windowed: Turns, bench: Bench
) -> contextlib.AbstractContextManager[Mapping[Arm, Running]]:
    """Start both arms at once, each with its generator; stop both at once."""

    def start(arm: Arm, stack: contextlib.ExitStack) -> Running:
        slot = Slot(bench.scenario, arm.value, plan.index, plan.index + 1, plan.seed)
        own = plan_of_arm(requests, windowed, arm, bench.gap_s)
        try:
            return start_arm(bench, slot, own, f"{arm.value}-{plan.index}", stack)
        except TargetError as error:
            raise TargetError(f"{arm.value}: {error}") from error

    return started_at_once(start, (plan.launched_first, plan.launched_first.other))


def _death(arm: Arm, target: RunningTarget) -> Fault:
    return Fault(Cause.INTEGRITY, f"{arm.value}'s server died under load{its_log(target.log_tail())}")


def _broken(arm: Arm, record: SlotRecord) -> list[Fault]:
    """Return what is not whole in an arm's records, warm-up included."""
    found = checks.check_whole(record)
    for phase, report in zip(record.phases, record.reports, strict=False):
        if phase.phase.measured:
            found += generators.check_agreement(phase, report)
    return [Fault(fault.cause, f"{arm.value}, {fault.text}") for fault in found]
