"""A comparison of one scenario, from what the user asked for to what it came to.

The table of contents of the folder, called by :mod:`tailgate.harness.session.session`: sides, arms, a rehearsal of both, the numbers of
this machine, then block after block, and the result. Each step stands in a module of its own.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tailgate.harness.compare import answer
from tailgate.harness.compare.arms import ArmTarget, Side, checked_out
from tailgate.harness.compare.asked import (
    chosen_design,
    chosen_lenses,
    find_sides,
    payload_source,
    side_settings,
    wanted_processors,
)
from tailgate.harness.compare.blocks.bench import Bench
from tailgate.harness.compare.blocks.block import BlockRecord, measure_block
from tailgate.harness.compare.blocks.disturbance import one_arm_late
from tailgate.harness.compare.blocks.gap import find_gap_s, spill_note
from tailgate.harness.compare.blocks.row import read_rows
from tailgate.harness.compare.blocks.run import Limits, Outcome, come_to, plan_blocks, run_blocks
from tailgate.harness.compare.blocks.schedule import Arm, BlockPlan
from tailgate.harness.compare.load import CAPACITY, PAIRS, block_scenario, comparable_phase
from tailgate.harness.compare.processors import choose_sharing
from tailgate.harness.compare.rehearsal import Rehearsed, rehearse
from tailgate.harness.errors import LoadError, MeasurementError, TargetError
from tailgate.harness.load import LoadSettings
from tailgate.harness.load.reach import generator_processor
from tailgate.harness.observe.slot_result import slot_result
from tailgate.harness.options.settings import GateSettings
from tailgate.harness.results.comparison import CUT_SHORT, Design, Lens
from tailgate.harness.results.fault import Fault
from tailgate.harness.results.run import ArmResult, ScenarioResult
from tailgate.harness.results.slot import SlotResult
from tailgate.harness.scenario.budgets import Budgets
from tailgate.harness.scenario.payload import Payload
from tailgate.harness.scenario.plan import draw_plan
from tailgate.harness.scenario.resolving import resolve_scenario
from tailgate.harness.scenario.scenario import Scenario
from tailgate.harness.target import revision as git
from tailgate.harness.target.settings import TargetSettings
from tailgate.harness.target.target import RunningTarget, Target
from tailgate.harness.units import Unit
from tailgate.harness.verdict import judging

ROWS = "blocks-{}.jsonl"
WORKTREES = "worktrees"
# What these say may be of the service itself, and stands against it whatever the blocks show.
OF_THE_SERVICE = (TargetError, LoadError, MeasurementError)


@dataclass(frozen=True, slots=True)
class Ground:
    """What every scenario of a session stands on.

    Attributes:
        settings: the options.
        known_target: tells whether some plugin knows a target of this specification.
        make_target: from a specification and settings to a target.
        units: of all measures, by name.
        budgets: of this project.
        directory: of the run.
        run_id: its name.
        seed: of the run.
        scenarios: over how many the error that is allowed is split.
        payloads: gives those of a source.
        connect: how the generator reaches a server.
        tell: takes a line about what is being done now.
        looks: good blocks at each look, where that is not the design's usual; a calibration never looks.
        keep: takes what a comparison came to that an exception ends after some blocks, before it is raised.
    """

    settings: GateSettings
    known_target: Callable[[str], bool]
    make_target: Callable[[str, TargetSettings], Target]
    units: Mapping[str, Unit]
    budgets: Budgets
    directory: Path
    run_id: str
    seed: int
    scenarios: int
    payloads: Callable[[str], Sequence[Payload]]
    connect: Callable[[RunningTarget], LoadSettings]
    tell: Callable[[str], None]
    looks: tuple[int, ...] | None = None
    keep: Callable[["Compared"], None] = lambda _: None


@dataclass(frozen=True, slots=True)
class Looked:
    """How the blocks are looked at: lenses, when, and what is to be said of them."""

    lenses: tuple[Lens, ...]
    design: Design
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Compared:
    """What a comparison gives to the results.

    Attributes:
        scenario: with its comparison.
        slots: what each arm went through in each block.
        arms: what was compared, head first.
    """

    scenario: ScenarioResult
    slots: tuple[SlotResult, ...]
    arms: tuple[ArmResult, ...]

    def cut_short(self, unmeasured: ScenarioResult, error: BaseException) -> ScenarioResult:
        """Return the answer of a comparison that an exception ended: INVALID, with the blocks that there are.

        Args:
            unmeasured: what the exception alone came to; its fault says which it was.
            error: the exception. Blocks before an interruption or an error of the harness are sound, and can be judged.
        """
        assert self.scenario.comparison is not None
        text = unmeasured.faults[0].text
        stopped = text if isinstance(error, OF_THE_SERVICE) else CUT_SHORT + text
        return dataclasses.replace(
            unmeasured,
            faults=(*unmeasured.faults, *self.scenario.faults),
            comparison=dataclasses.replace(self.scenario.comparison, stopped=stopped),
            failures=self.scenario.failures,
        )


def compare(
    scenario: Scenario, ground: Ground, target: TargetSettings, yardstick_s: float, again: str
) -> Compared:
    """Compare head with base under one scenario.

    Args:
        scenario: not resolved yet.
        ground: of the session.
        target: settings of the target, before either side's own.
        yardstick_s: what 1 yd is here.
        again: command line that runs it again.

    Raises:
        UsageError: a side is nothing that can be started, or the scenario cannot be compared.
        TargetError: a side did not become ready, or runs another code than its revision's.
    """
    comparable_phase(scenario)
    sides = find_sides(ground.settings, ground.known_target)
    lenses, notes = chosen_lenses(ground.settings, sides)
    design = chosen_design(ground.settings, lenses, ground.scenarios, ground.looks)
    settings = {arm: side_settings(side, scenario, ground.settings, target) for arm, side in sides.items()}
    root, folder = ground.settings.root, ground.directory / WORKTREES
    _remove_stale_worktrees(sides, ground)
    with checked_out(sides, root, folder, settings, ground.make_target) as arms:
        ground.tell(f"{scenario.name}: starting both sides once, to see what they are")
        rehearsed = rehearse(arms, ground.directory, root)
        looked = Looked(lenses, design, notes)
        return _measured(scenario, ground, arms, rehearsed, looked, yardstick_s, again)


def _remove_stale_worktrees(sides: Mapping[Arm, Side], ground: Ground) -> None:
    if any(side.revision is not None for side in sides.values()):
        for folder in git.remove_stale_worktrees(ground.settings.root, ground.settings.output):
            ground.tell(f"removed the worktree of a run that was killed: {folder}")


def _measured(
    scenario: Scenario,
    ground: Ground,
    arms: Mapping[Arm, ArmTarget],
    rehearsed: Mapping[Arm, Rehearsed],
    looked: Looked,
    yardstick_s: float,
    again: str,
) -> Compared:
    settings, lenses, design = ground.settings, looked.lenses, looked.design
    bench, shared = _bench(scenario, ground, arms, rehearsed, lenses, yardstick_s)
    kept: list[BlockRecord] = []

    def measure(plan: BlockPlan) -> BlockRecord:
        kept.append(measure_block(plan, bench))
        return kept[-1]

    rows_file = ground.directory / ROWS.format(scenario.name)
    of_sides = (note for one in rehearsed.values() for note in one.notes)
    notes = (*looked.notes, *of_sides, *([shared] if shared else []))

    def compared(outcome: Outcome) -> Compared:
        windows = answer.windows_of(kept, bench.names)
        faults = (
            *outcome.faults,
            *answer.unanswered(windows),
            *answer.contradictions(windows),
        )
        told = [one_arm_late(record.late for record in kept), spill_note(outcome.rows, bench.gap_s)]
        seen = (
            *answer.findings(answer.choices_of(kept)),
            *filter(None, told),
            *answer.notes_of(windows, kept),
        )
        comparison = answer.comparison_result(outcome, design, rows_file.name, notes + seen)
        failures = {
            arm.value: judging.failures_of(record.slots[arm] for record in kept)
            for arm in (Arm.HEAD, Arm.BASE)
        }
        return Compared(
            answer.scenario_result(scenario, ground.seed, outcome, faults, comparison, again, failures),
            tuple(slot for record in kept for slot in _slot_results(record, faults, bench)),
            tuple(
                answer.arm_result(arms[arm], rehearsed[arm], settings.root) for arm in (Arm.HEAD, Arm.BASE)
            ),
        )

    limits = Limits(settings.time_limit * 60, settings.blocks)
    plan = plan_blocks(ground.seed, PAIRS)

    def tell(line: str) -> None:
        ground.tell(f"{scenario.name}: {line}")

    try:
        return compared(run_blocks(measure, plan, design, lenses, limits, kept=rows_file, tell=tell))
    except BaseException:
        # What was measured can be judged, whatever ended it: an hour of blocks is not to be lost by a key.
        if rows_file.is_file():
            ground.keep(compared(come_to(read_rows(rows_file), design, lenses)))
        raise


def _bench(
    scenario: Scenario,
    ground: Ground,
    arms: Mapping[Arm, ArmTarget],
    rehearsed: Mapping[Arm, Rehearsed],
    lenses: Sequence[Lens],
    yardstick_s: float,
) -> tuple[Bench, str]:
    """Return what all blocks have in common, and what is to be said of the processors; base is loaded once for it."""
    settings = ground.settings
    # Without criteria: a comparison has no absolute limits, so no budget of theirs is asked for.
    bare = dataclasses.replace(scenario, criteria=())
    resolved = resolve_scenario(
        bare, ground.budgets, rehearsed[Arm.BASE].facts, yardstick_s, ground.units, settings.root
    )
    slots = block_scenario(resolved.scenario, PAIRS, capacity=any(lens.name == CAPACITY for lens in lenses))
    payloads = ground.payloads(payload_source(scenario, settings))
    sharing, shared = choose_sharing(
        wanted_processors(scenario, settings, {arm: one.side for arm, one in arms.items()}),
        [one.facts for one in rehearsed.values()],
        generator_processor(settings.pin),
        asked=settings.processors is not None,
    )
    bench = Bench(
        arms=arms,
        scenario=slots,
        draw=functools.partial(draw_plan, slots, payloads),
        connect=ground.connect,
        names=rehearsed[Arm.BASE].names,
        directory=ground.directory,
        run=ground.run_id,
        sharing=sharing,
    )
    ground.tell(f"{scenario.name}: loading base once, to see how long a gap its answers need")
    return dataclasses.replace(bench, gap_s=find_gap_s(bench, ground.seed)), shared


def _slot_results(record: BlockRecord, faults: tuple[Fault, ...], bench: Bench) -> list[SlotResult]:
    own = record.faults if faults else ()
    return [slot_result(slot, own, bench.directory) for slot in record.slots.values()]
