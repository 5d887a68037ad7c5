"""The criterion that a scenario has on its answers, where something is expected of them; no budget needs to name it."""

import dataclasses
from collections.abc import Collection, Sequence

from tailgate.harness.scenario.payload import Payload
from tailgate.harness.scenario.plan import choose_payloads
from tailgate.harness.scenario.ref import Ref
from tailgate.harness.scenario.scenario import Criterion, Scenario

WRONG_ANSWERS = "wrong_answers"


def with_right_answers(scenario: Scenario, payloads: Sequence[Payload], budgets: Collection[str]) -> Scenario:
    """Return the scenario with a limit of 0 on wrong answers, or that of the budget, where its payloads expect something."""
    asked = {criterion.measure for criterion in scenario.criteria}
    measured = tuple(phase.name for phase in scenario.phases if phase.measured)
    expecting = any(payload.expect for payload in choose_payloads(scenario, payloads))
    if not expecting or not measured or WRONG_ANSWERS in asked:
        return scenario
    limit = Ref(WRONG_ANSWERS) if WRONG_ANSWERS in budgets else 0.0
    criterion = Criterion(WRONG_ANSWERS, limit, measured)
    return dataclasses.replace(scenario, criteria=(*scenario.criteria, criterion))
