"""A comparison judged again, from its kept rows: the same verdict for the same lenses, on any machine.

Other tolerances may be asked for; the looks stay, and the error that each may spend, too, unless more lenses
gate now. An interrupted run is judged by the blocks that it has; one that a server ended stays INVALID.
"""

import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path

from tailgate.harness.compare.answers.kept import judge_answers
from tailgate.harness.compare.answers.usual import Terms
from tailgate.harness.compare.blocks.row import read_rows
from tailgate.harness.compare.blocks.run import attributions_of
from tailgate.harness.compare.decision.decision import judge
from tailgate.harness.compare.decision.design import plan_design
from tailgate.harness.compare.lens import override
from tailgate.harness.errors import UsageError
from tailgate.harness.json_path import parse_path
from tailgate.harness.options.table import Answers
from tailgate.harness.results.answers import AnswersResult
from tailgate.harness.results.comparison import CUT_SHORT, Design, Lens
from tailgate.harness.results.run import ScenarioResult
from tailgate.harness.results.slot import SlotResult
from tailgate.harness.results.verdict import Verdict


def again(
    scenario: ScenarioResult,
    directory: Path,
    settings: tuple[str, ...] = (),
    slots: Sequence[SlotResult] = (),
    answers: Terms | None = None,
) -> ScenarioResult:
    """Return a comparison judged again from the run's directory, with settings as ``--perf-lens`` takes them.

    ``answers`` are other terms for the answers of its slots, on top of those of the run; None: what they came to stays.

    Raises:
        MeasurementError: its rows, or what other terms need, are not there.
        UsageError: a setting cannot be read, or the run compared no answers.
    """
    kept = scenario.comparison
    assert kept is not None
    rows = read_rows(directory / kept.rows)
    before = [result.lens for result in kept.decision.results]
    lenses = override(before, settings)
    design = _design(kept.design, before, lenses)
    decision = judge(rows, design, lenses)
    # An interruption says nothing against the blocks before it.
    faults = tuple(fault for fault in scenario.faults if CUT_SHORT + fault.text != kept.stopped)
    notes = kept.notes
    options = [f"--perf-lens={setting}" for setting in settings]
    if answers is not None:
        options += answers.options
    if options:
        said = ", ".join([*settings, *options[len(settings) :]])
        notes += (f"judged again with {said}, chosen after the fact, which proves nothing about this run",)
    judged = dataclasses.replace(
        kept,
        decision=decision,
        design=design,
        attributions=attributions_of(decision, rows),
        notes=notes,
        answers=kept.answers if answers is None else _answers(kept.answers, slots, directory, answers),
    )
    return dataclasses.replace(
        scenario,
        verdict=Verdict.INVALID if faults else judged.verdict,
        comparison=judged,
        faults=faults,
        reproduce=" ".join([scenario.reproduce, *map(shlex.quote, options)]),
    )


def _answers(
    kept: AnswersResult | None, slots: Sequence[SlotResult], directory: Path, terms: Terms
) -> AnswersResult | None:
    if kept is None:
        raise UsageError(f"the run compared no answers, so that {terms.options[0]} has no meaning for it")
    merged = Terms(
        kept.tolerance if terms.tolerance is None else terms.tolerance,
        (*map(parse_path, kept.ignored), *terms.ignore),
    )
    return judge_answers(slots, directory, merged, Answers.GATE if kept.gates else Answers.REPORT)


def _design(kept: Design, before: Sequence[Lens], lenses: Sequence[Lens]) -> Design:
    """Return the kept design, unless more lenses gate than its error was split over."""
    scenarios = max(1, kept.gates // max(1, sum(lens.gates for lens in before)))
    if 0 < sum(lens.gates for lens in lenses) * scenarios <= kept.gates:
        return kept
    blocks = [look.blocks for look in kept.looks]
    return plan_design(lenses, scenarios=scenarios, blocks=blocks, alpha=kept.alpha, beta=kept.beta)
