"""A comparison of one scenario, from what the user asked for to what it came to."""

import contextlib
import dataclasses
import functools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tailgate.harness.compare import answer
from tailgate.harness.compare.answers.kept import judge_answers, terms_of
from tailgate.harness.compare.arms import ArmTarget, checked_out, set_up_elsewhere
from tailgate.harness.compare.asked import (
    chosen_design,
    chosen_lenses,
    find_sides,
    side_settings,
    source_of,
    wanted_processors,
)
from tailgate.harness.compare.blocks.bench import Bench, find_gap_s, spill_note
from tailgate.harness.compare.blocks.block import BlockRecord, measure_block
from tailgate.harness.compare.blocks.disturbance import one_arm_late
from tailgate.harness.compare.blocks.row import read_rows
from tailgate.harness.compare.blocks.run import Limits, Outcome, come_to, run_blocks
from tailgate.harness.compare.blocks.schedule import Arm, BlockPlan, plan_block
from tailgate.harness.compare.blocks.standing import Standing, begun
from tailgate.harness.compare.ground import Compared, Ground
from tailgate.harness.compare.load import CAPACITY, PAIRS, block_scenario, comparable_phase
from tailgate.harness.compare.processors import choose_sharing
from tailgate.harness.compare.rehearsal import Rehearsed, rehearse
from tailgate.harness.errors import TargetError
from tailgate.harness.load.preflight import Outcome as Asked
from tailgate.harness.load.preflight import preflight
from tailgate.harness.load.reach import generator_processor
from tailgate.harness.observe.slot_result import slot_result
from tailgate.harness.results.comparison import ComparisonResult, Design, Lens
from tailgate.harness.results.run import ArmResult, ScenarioResult
from tailgate.harness.results.verdict import Verdict
from tailgate.harness.scenario.budgets import find_quantities, settle_load
from tailgate.harness.scenario.plan import choose_payloads, draw_plan
from tailgate.harness.scenario.scenario import Scenario
from tailgate.harness.statistics import median_of_known
from tailgate.harness.target.checkout import revision as git
from tailgate.harness.target.settings import TargetSettings
from tailgate.harness.target.state import asked_lines
from tailgate.harness.target.target import RunningTarget
from tailgate.harness.verdict import judging
from tailgate.harness.verdict.waivers import of_scenario, with_waivers

ROWS = "blocks-{}.jsonl"
WORKTREES = "worktrees"


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
    asked, root = ground.settings, ground.settings.root
    sides = find_sides(asked, ground.known_target)
    lenses, notes = chosen_lenses(asked, sides)
    lenses = with_waivers(lenses, of_scenario(ground.waivers, scenario.name, compared=True))
    design = chosen_design(asked, lenses, ground.scenarios, ground.looks)
    settings = {arm: side_settings(side, scenario, asked, target) for arm, side in sides.items()}
    if any(side.revision is not None for side in sides.values()):
        for folder in git.remove_stale_worktrees(root, asked.output):
            ground.tell(f"removed the worktree of a run that was killed: {folder}")
    trees, lines = ground.directory / WORKTREES, asked_lines(asked)
    standing = Standing(scenario.name)
    with (
        contextlib.nullcontext() if ground.comparing is None else ground.comparing(standing),
        checked_out(sides, root, trees, settings, ground.make_target, lines) as made,
        set_up_elsewhere(made, ground.directory) as arms,
    ):
        standing.do("starting both sides once, to see what they are")
        ground.tell(f"{scenario.name}: {standing.doing}")
        rehearsed = rehearse(arms, ground.directory, root, functools.partial(_ask, scenario, ground))
        if refused := rehearsed[Arm.BASE].asked.refused:
            raise TargetError(f"base ({sides[Arm.BASE].given}): {refused}")
        told = tuple(answer.arm_result(arms[arm], rehearsed[arm], root) for arm in (Arm.HEAD, Arm.BASE))
        if refused := rehearsed[Arm.HEAD].asked.refused:
            why = f"base answers well, and head does not: {refused}"
            return Compared(judging.refused(scenario, ground.seed, why, again), (), told)
        standing.do("loading base once, to see how long a gap its answers need")
        ground.tell(f"{scenario.name}: {standing.doing}")
        bench, shared = _bench(scenario, ground, arms, rehearsed, lenses, yardstick_s)
        bench = dataclasses.replace(bench, now=standing.do)
        notes += tuple(note for one in rehearsed.values() for note in one.notes) + shared
        return _Run(scenario, ground, bench, told, lenses, design, notes, again, standing).measured()


def _ask(scenario: Scenario, ground: Ground, running: RunningTarget) -> Asked:
    """Send each payload once to one side."""
    ground.payloads.ask(running)
    return preflight(
        choose_payloads(scenario, ground.payloads(source_of(scenario, ground.settings))),
        ground.connect(running),
        ground.settings.request,
        tell=ground.tell,
        log_tail=running.log_tail,
    )


def _bench(
    scenario: Scenario,
    ground: Ground,
    arms: Mapping[Arm, ArmTarget],
    rehearsed: Mapping[Arm, Rehearsed],
    lenses: Sequence[Lens],
    yardstick_s: float,
) -> tuple[Bench, tuple[str, ...]]:
    """Return what all blocks have in common, with notes on the processors; base is loaded once for it."""
    settings = ground.settings
    # A comparison has no absolute limits: without criteria, no budget of theirs is asked for.
    bare = dataclasses.replace(scenario, criteria=())
    facts = rehearsed[Arm.BASE].facts
    found = find_quantities(bare, ground.budgets, facts, ground.units, settings.root)
    resolved = settle_load(bare, found, yardstick_s)
    slots = block_scenario(resolved.scenario, PAIRS, capacity=any(lens.name == CAPACITY for lens in lenses))
    payloads = ground.payloads(source_of(scenario, settings))
    sharing, shared = choose_sharing(
        wanted_processors(scenario, settings, {arm: one.side for arm, one in arms.items()}),
        [one.facts for one in rehearsed.values()],
        generator_processor(settings),
        asked=settings.processors is not None,
    )
    bench = Bench(
        arms=arms,
        scenario=slots,
        draw=functools.partial(draw_plan, slots, payloads),
        connect=ground.connect,
        directory=ground.directory,
        run=ground.run_id,
        sharing=sharing,
        generate=ground.generate,
    )
    return dataclasses.replace(bench, gap_s=find_gap_s(bench, ground.seed)), (shared,) if shared else ()


@dataclass(frozen=True, slots=True)
class _Run:
    """One comparison, ready to be measured."""

    scenario: Scenario
    ground: Ground
    bench: Bench
    arms: tuple[ArmResult, ...]
    lenses: tuple[Lens, ...]
    design: Design
    notes: tuple[str, ...]
    again: str
    standing: Standing
    kept: list[BlockRecord] = field(default_factory=list)

    def measured(self) -> Compared:
        """Measure block after block; what an exception left of them is kept before it is raised."""
        settings, rows, began_s = self.ground.settings, self._rows, time.monotonic()
        limits = Limits(settings.time_limit * 60, settings.blocks)

        def measure(plan: BlockPlan) -> BlockRecord:
            known = [record.block for record in self.kept]
            self.standing.block = begun(known, self.design, self.lenses, limits, began_s, time.monotonic())
            self.kept.append(measure_block(plan, self.bench))
            return self.kept[-1]

        try:
            outcome = run_blocks(
                measure,
                lambda index: plan_block(self.ground.seed, index, PAIRS),
                self.design,
                self.lenses,
                limits,
                kept=rows,
                tell=lambda line: self.ground.tell(f"{self.scenario.name}: {line}"),
            )
            return self._compared(outcome)
        except BaseException:
            # Whatever ended it: a key must not lose an hour of blocks.
            if rows.is_file():
                self.ground.keep(self._compared(come_to(read_rows(rows), self.design, self.lenses)))
            raise

    @property
    def _rows(self) -> Path:
        return self.ground.directory / ROWS.format(self.scenario.name)

    def _compared(self, outcome: Outcome) -> Compared:
        kept, bench = self.kept, self.bench
        windows = answer.windows_of(kept)
        faults = (*outcome.faults, *answer.unanswered(windows), *answer.contradictions(windows))
        spoken = (one_arm_late(record.late for record in kept), spill_note(outcome.rows, bench.gap_s))
        notes = (
            *self.notes,
            *answer.findings(answer.choices_of(kept)),
            *filter(None, spoken),
            *answer.notes_of(windows, kept),
        )
        slots = [
            slot_result(slot, record.faults if faults else (), bench.directory)
            for record in kept
            for slot in record.slots.values()
        ]
        settings = self.ground.settings
        terms = terms_of(settings.answer_tolerance, settings.answer_ignore)
        comparison = ComparisonResult(
            decision=outcome.decision,
            design=self.design,
            attributions=outcome.attributions,
            rows=self._rows.name,
            order=tuple(row.order for row in outcome.rows),
            voids=tuple(f"block {row.index + 1}: {row.void}" for row in outcome.rows if row.void),
            steal_share=median_of_known(row.steal_share for row in outcome.rows),
            cpu_pressure_share=median_of_known(row.cpu_pressure_share for row in outcome.rows),
            stopped=outcome.stopped,
            notes=notes,
            answers=judge_answers(slots, bench.directory, terms, settings.answers),
        )
        scenario = ScenarioResult(
            name=self.scenario.name,
            description=self.scenario.description,
            seed=self.ground.seed,
            verdict=Verdict.INVALID if faults else comparison.verdict,
            criteria=(),
            faults=faults,
            reproduce=self.again,
            comparison=comparison,
            failures={
                arm.value: judging.failures_of(record.slots[arm] for record in kept)
                for arm in (Arm.HEAD, Arm.BASE)
            },
        )
        return Compared(scenario, tuple(slots), self.arms)
