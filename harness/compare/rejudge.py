"""A comparison judged again, from its kept rows: the same verdict for the same lenses, on any machine.

Other tolerances may be asked for; the looks stay, and the error that each may spend, too, unless more lenses
gate now. An interrupted run is judged by the blocks that it has; one that a server ended stays INVALID.
"""

import dataclasses
import shlex
from collections.abc import Sequence
from pathlib import Path

from tailgate.harness.compare.blocks.row import read_rows
from tailgate.harness.compare.blocks.run import attributions_of
from tailgate.harness.compare.decision.decision import judge
from tailgate.harness.compare.decision.design import plan_design
from tailgate.harness.compare.lens import override
from tailgate.harness.results.comparison import CUT_SHORT, Design, Lens
from tailgate.harness.results.run import ScenarioResult
from tailgate.harness.results.verdict import Verdict


def again(scenario: ScenarioResult, directory: Path, settings: tuple[str, ...] = ()) -> ScenarioResult:
    """Return a comparison judged again from the run's directory, with settings as ``--perf-lens`` takes them.

    Raises:
        MeasurementError: its rows are not there.
        UsageError: a setting cannot be read.
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
    if settings:
        said = ", ".join(settings)
        notes += (f"judged again with {said}, chosen after the fact, which proves nothing about this run",)
    options = [shlex.quote(f"--perf-lens={setting}") for setting in settings]
    judged = dataclasses.replace(
        kept,
        decision=decision,
        design=design,
        attributions=attributions_of(decision, rows),
        notes=notes,
    )
    return dataclasses.replace(
        scenario,
        verdict=Verdict.INVALID if faults else judged.verdict,
        comparison=judged,
        faults=faults,
        reproduce=" ".join([scenario.reproduce, *options]),
    )


def _design(kept: Design, before: Sequence[Lens], lenses: Sequence[Lens]) -> Design:
    """Return the kept design, unless more lenses gate than its error was split over."""
    scenarios = max(1, kept.gates // max(1, sum(lens.gates for lens in before)))
    if 0 < sum(lens.gates for lens in lenses) * scenarios <= kept.gates:
        return kept
    blocks = [look.blocks for look in kept.looks]
    return plan_design(lenses, scenarios=scenarios, blocks=blocks, alpha=kept.alpha, beta=kept.beta)
