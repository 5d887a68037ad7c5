"""Budgets, checked on one target: it starts with the first scenario, and serves all of them."""

import contextlib
import dataclasses
from collections.abc import Callable, Mapping, Sequence

from tailgate.harness.compare.ground import Ground
from tailgate.harness.errors import HarnessError, TargetError
from tailgate.harness.load import LoadSettings
from tailgate.harness.load.preflight import preflight
from tailgate.harness.measures import Measure
from tailgate.harness.measures.measure import asked_by_budgets
from tailgate.harness.observe import slot_file
from tailgate.harness.observe.beside.probes import Asked
from tailgate.harness.observe.slot import measure_slot
from tailgate.harness.observe.slot_record import Slot, SlotRecord
from tailgate.harness.observe.slot_result import slot_result
from tailgate.harness.options.secret import secrets_of
from tailgate.harness.options.sent import payload_source
from tailgate.harness.results.criterion import Witness
from tailgate.harness.results.preflight import Preflight
from tailgate.harness.results.run import ScenarioResult
from tailgate.harness.results.slot import SlotResult
from tailgate.harness.results.yardstick import Yardstick
from tailgate.harness.scenario.budgets import Resolved, find_quantities, place_of, settle_load, with_budgeted
from tailgate.harness.scenario.payloads.payload import Payload
from tailgate.harness.scenario.plan import choose_payloads, draw_plan
from tailgate.harness.scenario.right_answers import expects, with_right_answers
from tailgate.harness.scenario.scenario import Criterion, Scenario
from tailgate.harness.session import first_run
from tailgate.harness.target.state import Around, StateCommands
from tailgate.harness.target.target import RunningTarget, Target
from tailgate.harness.units import Unit
from tailgate.harness.verdict import judge, judging

HEAD = "head"


class BudgetRun:
    """One target, and the scenarios that are checked on it; ``facts`` are empty before it has started."""

    def __init__(
        self,
        target: Target,
        ground: Ground,
        measures: tuple[Measure, ...],
        read_yardstick: Callable[[], Yardstick],
        state: StateCommands,
    ) -> None:
        self.facts: Mapping[str, str] = {}
        self.preflight: tuple[Preflight, ...] = ()
        self._target = target
        self._ground = ground
        self._measures = measures
        self._read_yardstick = read_yardstick
        self._state = state
        self._tear_down = contextlib.ExitStack()
        self._around: Around | None = None
        self._running: RunningTarget | None = None
        self._unusable: str | None = None
        self._starts = 0
        self._wrong: dict[str, str] = {}  # by payload, what is wrong with its first answer
        self._lone_per_s: float | None = None  # what one connection reached; None unless it was asked

    def check(self, scenario: Scenario, again: str) -> tuple[ScenarioResult, tuple[SlotResult, ...]]:
        """Measure and judge one scenario; ``again`` is the command line that runs it again."""
        running = self._ready_target(scenario)
        drawn_by = self._read_yardstick()
        settings = self._ground.connect(running)
        self._ground.payloads.ask(running)
        payloads = choose_payloads(scenario, self._payloads())
        if wrong := self._ask(payloads, settings):
            return judging.refused(scenario, self._ground.seed, wrong, again), ()
        resolved, note = self._resolve(scenario, running, drawn_by, settings)
        self._reset()
        record = self._measure(resolved, running, drawn_by, settings)
        judged = judging.judge_slot(record, self._measures, self._ground.settings.confidence, again)
        if note:
            judged = dataclasses.replace(judged, notes=(*judged.notes, note))
        return judged, (slot_result(record, judged.faults, self._ground.directory),)

    def log_tail(self) -> str:
        """Return the last lines of the target's log, without what must not be told, or why it gives none."""
        if self._running is None:
            return ""
        try:
            return secrets_of(self._ground.settings).hide(self._running.log_tail())
        except Exception as error:  # noqa: BLE001 - of a plugin's target, which may raise anything
            return f"log_tail() of {self._running!r} raised {type(error).__name__}: {error}"

    def stop(self) -> None:
        """Stop the target, if it was started, and tear down what was set up for it."""
        with self._tear_down:
            if self._running is not None:
                self._running.stop()

    def _ready_target(self, scenario: Scenario) -> RunningTarget:
        """Return the target. One that died is started again; one that did not start is not tried twice."""
        if self._unusable is not None:
            raise TargetError(f"the target failed before and was not tried again: {self._unusable}")
        try:
            running = self._running
            if running is None or not running.alive():
                self._ground.tell(f"target {self._ground.settings.target}: waiting until it is ready")
                running = self._started(scenario)
        except HarnessError as error:
            self._unusable = str(error).partition("\n")[0]
            raise
        return running

    def _reset(self) -> None:
        """Reset what the target keeps, after the first requests, which may leave something behind."""
        assert self._around is not None
        try:
            self._around.reset()
        except HarnessError as error:
            self._unusable = str(error).partition("\n")[0]
            raise

    def _started(self, scenario: Scenario) -> RunningTarget:
        if self._running is None:
            self._set_up()
            self._running = self._target.start(self._ground.directory)
        elif self._state.url is not None:
            # It runs elsewhere, and says that it cannot be restarted.
            self._running.restart()
        else:
            self.stop()
            self._set_up()
            self._running.restart()
        assert self._around is not None
        self._around.started(self._running)
        self._starts += 1
        if first_run.needs_no_metrics(scenario, self._ground) and not first_run.has_our_metrics(
            self._running
        ):
            self._running.settings = dataclasses.replace(self._running.settings, metrics_path=None)
        self.facts = _described(self._running)
        return self._running

    def _payloads(self) -> Sequence[Payload]:
        return self._ground.payloads(payload_source(self._ground.settings))

    def _set_up(self) -> None:
        self._around = self._tear_down.enter_context(self._state.around(self._ground.directory))

    def _resolve(
        self, scenario: Scenario, running: RunningTarget, drawn_by: Yardstick, settings: LoadSettings
    ) -> tuple[Resolved, str]:
        """Settle the load by the yardstick of now, or by a probe where no budgets are written, with a note on that.

        What the target has no metrics for is left out.
        """
        ground, note = self._ground, ""
        line = ground.budgets.quantities(scenario.name, *place_of(self.facts))
        asked = with_budgeted(scenario, line, asked_by_budgets(self._measures))
        if expects(asked, self._payloads()):
            asked = with_right_answers(asked, line)
        if first_run.is_first(scenario, ground):
            if self._lone_per_s is None:
                slowest_s = max((one.seconds for one in self.preflight), default=0.0)
                self._lone_per_s = first_run.lone_rate(ground, settings, slowest_s)
            found, note = first_run.load_of(asked, self._lone_per_s)
        else:
            root = ground.settings.root
            found = find_quantities(asked, ground.budgets, self.facts, ground.units, root)
        resolved = settle_load(asked, found, drawn_by.seconds)
        # The judge asks the same once all is measured, which is late to hear of a misspelt measure.
        judge.refuse_unanswerable(resolved.scenario.criteria, resolved.scenario.phases, self._measures)
        left = tuple(item for item in resolved.scenario.criteria if self._can_judge(item, running))
        kept = dataclasses.replace(resolved.scenario, criteria=left)
        return dataclasses.replace(resolved, scenario=kept), note

    def _can_judge(self, criterion: Criterion, running: RunningTarget) -> bool:
        """Tell whether the target has what is asked: a path for probes, metrics, and for a latency the histogram of it."""
        measure = judge.find_measure(criterion.measure, self._measures)
        asked = getattr(measure, "asked", None)
        if asked is Asked.HEALTH:
            return running.settings.readiness_path is not None
        if asked is Asked.METRICS:
            return running.metrics_url is not None
        if criterion.witness is Witness.CLIENT:
            return True
        latency = measure.unit is Unit.SECONDS
        named = running.settings.metric_names.request_seconds is not None
        return running.metrics_url is not None and (named or not latency)

    def _measure(
        self, resolved: Resolved, running: RunningTarget, drawn_by: Yardstick, settings: LoadSettings
    ) -> SlotRecord:
        ground, scenario = self._ground, resolved.scenario
        slot = Slot(
            scenario,
            HEAD,
            block=0,
            start=self._starts,
            seed=ground.seed,
            quantities=resolved.quantities,
            yardstick=drawn_by,
            scenarios=ground.scenarios,
        )
        plan = draw_plan(scenario, self._payloads(), ground.seed)
        directory = ground.directory / f"{scenario.name}-{HEAD}-0"
        record = measure_slot(
            slot,
            plan,
            running,
            settings,
            directory,
            ground.tell,
            self._read_yardstick,
            watching=ground.watching,
            generate=ground.generate,
        )
        slot_file.write(record, directory)
        return record

    def _ask(self, payloads: Sequence[Payload], settings: LoadSettings) -> str:
        """Ask for each payload once in a run; return what is wrong with an answer, empty for nothing.

        Raise TargetError where the target gives no good answer.
        """
        if known := next((self._wrong[one.name] for one in payloads if one.name in self._wrong), ""):
            return known
        ground, asked = self._ground, {one.payload for one in self.preflight}
        new = [one for one in payloads if one.name not in asked]
        came_to = preflight(new, settings, ground.settings.request, tell=ground.tell, log_tail=self.log_tail)
        self.preflight += came_to.answers
        if came_to.note:
            ground.tell(came_to.note)
        if came_to.refused and not came_to.missed:
            self._unusable = came_to.refused.partition("\n")[0]
            raise TargetError(came_to.refused)
        if came_to.missed:
            self._wrong[came_to.answers[-1].payload] = came_to.refused
        return came_to.refused


def _described(running: RunningTarget) -> Mapping[str, str]:
    """Return how the target describes itself, and what is left out for want of a place to ask it."""
    told = {} if running.metrics_url is None else dict(running.facts())
    if running.metrics_url is None:
        told["metrics"] = "none: the server's criteria are left out"
    elif running.settings.metric_names.request_seconds is None:
        told["metrics"] = "no histogram of request seconds: the server's latency is not judged"
    if running.settings.readiness_path is None:
        told["readiness"] = "no path: readiness under load is not judged"
    return told
