"""A run judged again from its folder: the same verdict by the same budgets, on any machine. Nothing is measured.

Other budgets, another confidence or other tolerances may be asked for. Choosing them after having seen the result proves
nothing about this run, and the report says so. The load stays what it was, and with it every number that set it. A
scenario that ended in an error before all was measured stays as it was.
"""

import dataclasses
import shlex
from dataclasses import dataclass
from pathlib import Path, PurePath

from tailgate.harness.compare import rejudge as comparison
from tailgate.harness.compare.answers.usual import Terms as AnswerTerms
from tailgate.harness.errors import UsageError
from tailgate.harness.measures import Measure
from tailgate.harness.measures.measure import asked_by_budgets, units_of
from tailgate.harness.observe import slot_file
from tailgate.harness.observe.slot_record import SlotRecord
from tailgate.harness.results.run import RunResult, ScenarioResult
from tailgate.harness.results.verdict import worst
from tailgate.harness.scenario.budgets import Budgets, find_quantities, place_of, with_budgeted
from tailgate.harness.scenario.ref import refs
from tailgate.harness.scenario.right_answers import holds_right_answers, with_right_answers
from tailgate.harness.verdict import judging


@dataclass(frozen=True, slots=True)
class Terms:
    """What is to be judged by; None and nothing for what the run was judged by."""

    budgets: Budgets | None = None
    confidence: float | None = None
    lenses: tuple[str, ...] = ()
    answers: AnswerTerms | None = None

    @property
    def options(self) -> tuple[str, ...]:
        """The options of a new run by these terms."""
        source = None if self.budgets is None else self.budgets.source
        return (
            *([] if source is None else [f"--perf-budgets={source}"]),
            *([] if self.confidence is None else [f"--perf-confidence={self.confidence:g}"]),
        )


def judge_again(
    result: RunResult, directory: Path, measures: tuple[Measure, ...], terms: Terms | None = None
) -> RunResult:
    """Return the run with its scenarios judged again."""
    terms = terms or Terms()
    folders = {
        slot.scenario: directory / PurePath(slot.samples).parent
        for slot in result.slots
        if slot.samples is not None
    }
    _refuse_terms_without_use(result, terms)
    judged = {}
    for scenario in result.scenarios:
        if scenario.comparison is not None:
            judged[scenario.name] = comparison.again(
                scenario,
                directory,
                terms.lenses,
                [slot for slot in result.slots if slot.scenario == scenario.name],
                terms.answers,
            )
        elif scenario.name in folders:
            record = slot_file.read(folders[scenario.name])
            again = _by(terms, record, result, measures, scenario.reproduce)
            judged[scenario.name] = dataclasses.replace(again, waivers=scenario.waivers)
    scenarios = tuple(judged.get(one.name, one) for one in result.scenarios)
    return dataclasses.replace(
        result,
        scenarios=scenarios,
        slots=tuple(
            slot
            if slot.scenario not in folders or judged[slot.scenario].comparison is not None
            else dataclasses.replace(slot, faults=judged[slot.scenario].faults)
            for slot in result.slots
        ),
        verdict=worst([one.verdict for one in scenarios]),
        reasons=judging.reasons(scenarios),
    )


def _refuse_terms_without_use(result: RunResult, terms: Terms) -> None:
    compared = any(one.comparison is not None for one in result.scenarios)
    checked = any(one.comparison is None for one in result.scenarios)
    if terms.lenses and not compared:
        raise UsageError(f"run {result.run_id} compared nothing, so that --lens has no meaning for it")
    if terms.answers is not None and not compared:
        raise UsageError(
            f"run {result.run_id} compared nothing, so that {terms.answers.options[0]} has no meaning for it"
        )
    if terms.options and not checked:
        raise UsageError(
            f"run {result.run_id} checked no budgets, so that {terms.options[0]} has no meaning for it"
        )


def _by(
    terms: Terms, record: SlotRecord, result: RunResult, measures: tuple[Measure, ...], reproduce: str
) -> ScenarioResult:
    kept, notes = record.slot, []
    if terms.options:
        said = ", ".join(terms.options)
        notes.append(f"judged again with {said}, chosen after the fact, which proves nothing about this run")
        reproduce = " ".join([reproduce, *map(shlex.quote, terms.options)])
    if terms.budgets is not None:
        facts = {name: str(fact) for name, fact in result.arms[0].facts.items()}
        line = terms.budgets.quantities(kept.scenario.name, *place_of(facts))
        scenario = with_budgeted(kept.scenario, line, asked_by_budgets(measures))
        if holds_right_answers(scenario):
            scenario = with_right_answers(scenario, line)
        quantities = find_quantities(scenario, terms.budgets, facts, units_of(measures), Path.cwd())
        record = dataclasses.replace(
            record, slot=dataclasses.replace(kept, scenario=scenario, quantities=quantities)
        )
        open_limits = refs(kept.scenario.criteria)
        notes += [
            f"its load stays what it was, {key} = {quantity.text}"
            for key, quantity in kept.quantities.items()
            if key not in open_limits and quantities.get(key, quantity) != quantity
        ]
    stated = float(result.settings["confidence"] or 0)
    confidence = stated if terms.confidence is None else terms.confidence
    judged = judging.judge_slot(record, measures, confidence, reproduce)
    return dataclasses.replace(judged, notes=(*judged.notes, *notes))
