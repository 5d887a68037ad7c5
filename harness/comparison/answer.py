"""The answer of a comparison, as the results keep it. Pure, from what the run of its blocks came to.

Last step of :mod:`tailgate.harness.comparison.compare`.
"""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from tailgate.harness.comparison import revision as git
from tailgate.harness.comparison.arms import WORKING_TREE, ArmTarget
from tailgate.harness.comparison.design import Design
from tailgate.harness.comparison.rehearsal import Rehearsed
from tailgate.harness.comparison.run import Outcome
from tailgate.harness.failures import Failure
from tailgate.harness.faults import Fault
from tailgate.harness.results import ArmResult, ComparisonResult, ScenarioResult
from tailgate.harness.scenario import Scenario
from tailgate.harness.verdict import Verdict


def comparison_result(
    outcome: Outcome, design: Design, rows: str, notes: tuple[str, ...]
) -> ComparisonResult:
    """Return how the answer came about, as the results keep it."""
    return ComparisonResult(
        decision=outcome.decision,
        design=design,
        attributions=outcome.attributions,
        rows=rows,
        order=tuple(row.order for row in outcome.rows),
        voids=tuple(f"block {row.index + 1}: {row.void}" for row in outcome.rows if row.void),
        steal_share=_median([row.steal_share for row in outcome.rows]),
        cpu_pressure_share=_median([row.cpu_pressure_share for row in outcome.rows]),
        stopped=outcome.stopped,
        notes=notes,
    )


def scenario_result(
    scenario: Scenario,
    seed: int,
    outcome: Outcome,
    faults: tuple[Fault, ...],
    comparison: ComparisonResult,
    again: str,
    failures: Mapping[str, tuple[Failure, ...]],
) -> ScenarioResult:
    """Return the scenario's answer: the decision's, or INVALID where the record cannot carry one."""
    return ScenarioResult(
        name=scenario.name,
        description=scenario.description,
        seed=seed,
        verdict=Verdict.INVALID if faults else outcome.decision.verdict,
        criteria=(),
        faults=faults,
        reproduce=again,
        comparison=comparison,
        failures=failures,
    )


def arm_result(arm: ArmTarget, rehearsed: Rehearsed, root: Path) -> ArmResult:
    """Return what a side was: its target, its revision, and how it describes itself."""
    facts = dict(rehearsed.facts)
    if arm.side.revision is not None:
        facts = {"revision": str(arm.side.revision), **facts}
    elif arm.side.given == WORKING_TREE or arm.side.is_service:
        facts = {**git.state_of(root), **facts}
    return ArmResult(arm.side.arm.value, arm.side.spec, facts)


def _median(values: Sequence[float | None]) -> float | None:
    seen = [value for value in values if value is not None]
    return statistics.median(seen) if seen else None
