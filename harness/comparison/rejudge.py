"""A comparison judged again, from the rows that it kept: the same verdict for the same lenses, on any machine.

Other tolerances may be asked for; the looks stay where they were, and the error that each may spend follows from how many
lenses gate now. Choosing tolerances after having seen the result proves nothing: the next run is what they are for.
"""

import dataclasses
from pathlib import Path

from harness import judging
from harness.comparison.decision import judge
from harness.comparison.design import plan_design
from harness.comparison.lens import override
from harness.comparison.observation import read_rows
from harness.comparison.run import attributions_of
from harness.errors import MeasurementError
from harness.results import RunResult, ScenarioResult
from harness.verdict import Verdict, worst


def rejudged(result: RunResult, directory: Path, settings: tuple[str, ...] = ()) -> RunResult:
    """Return the run with its comparisons judged again.

    Args:
        result: of a run that compared.
        directory: where its files lie.
        settings: of lenses, as ``--perf-lens`` takes them.

    Raises:
        MeasurementError: the run compared nothing, or its rows are not there.
        UsageError: a setting cannot be read.
    """
    compared = [scenario for scenario in result.scenarios if scenario.comparison is not None]
    if not compared:
        raise MeasurementError(
            f"run {result.run_id} compared nothing: a run that checks budgets is reported again by tailgate report"
        )
    again = {one.name: _again(one, directory, settings, len(compared)) for one in compared}
    scenarios = tuple(again.get(one.name, one) for one in result.scenarios)
    return dataclasses.replace(
        result,
        scenarios=scenarios,
        verdict=worst([one.verdict for one in scenarios]),
        reasons=judging.reasons(scenarios),
    )


def _again(
    scenario: ScenarioResult, directory: Path, settings: tuple[str, ...], scenarios: int
) -> ScenarioResult:
    kept = scenario.comparison
    assert kept is not None
    rows = read_rows(directory / kept.rows)
    lenses = override([result.lens for result in kept.decision.results], settings)
    design = kept.design
    if settings:
        design = plan_design(lenses, scenarios=scenarios, blocks=[look.blocks for look in design.looks])
    decision = judge(rows, design, lenses)
    comparison = dataclasses.replace(
        kept, decision=decision, design=design, attributions=attributions_of(decision, rows)
    )
    verdict = Verdict.INVALID if scenario.faults else decision.verdict
    return dataclasses.replace(scenario, verdict=verdict, comparison=comparison)
