"""The criterion that a scenario has on its answers, where something is expected of them; no budget needs to name it."""

import dataclasses
from collections.abc import Collection, Sequence

from tailgate.harness.scenario.payloads.payload import Payload
from tailgate.harness.scenario.plan import choose_payloads
from tailgate.harness.scenario.ref import Ref
from tailgate.harness.scenario.scenario import Criterion, Scenario

WRONG_ANSWERS = "wrong_answers"


def expects(scenario: Scenario, payloads: Sequence[Payload]) -> bool:
    """Tell whether something is expected of the answers to a scenario's payloads."""
    return any(payload.expect for payload in choose_payloads(scenario, payloads))


def with_right_answers(scenario: Scenario, budgets: Collection[str]) -> Scenario:
    """Return a scenario with a limit of 0 on wrong answers, or that of the budget if there is one of this name.

    A criterion of its own on them stays.
    """
    measured = tuple(phase.name for phase in scenario.phases if phase.measured)
    strict, budgeted = (Criterion(WRONG_ANSWERS, limit, measured) for limit in (0.0, Ref(WRONG_ANSWERS)))
    others = tuple(one for one in scenario.criteria if one not in (strict, budgeted))
    if not measured or any(one.measure == WRONG_ANSWERS for one in others):
        return scenario
    added = budgeted if WRONG_ANSWERS in budgets else strict
    return dataclasses.replace(scenario, criteria=(*others, added))


def holds_right_answers(scenario: Scenario) -> bool:
    """Tell whether a scenario has a criterion on wrong answers."""
    return any(criterion.measure == WRONG_ANSWERS for criterion in scenario.criteria)
