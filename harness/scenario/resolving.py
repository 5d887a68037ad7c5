"""From a scenario with open numbers to one for this machine, device and precision."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tailgate.harness.errors import BudgetError
from tailgate.harness.scenario.budgets import FILE_NAME, Budgets, check_units, numbers
from tailgate.harness.scenario.ref import T, refs, resolve
from tailgate.harness.scenario.scenario import Criterion, Scenario
from tailgate.harness.units import Quantity, Unit


@dataclass(frozen=True, slots=True)
class Resolved:
    """A scenario whose load is settled, and the budgets that its limits are still to be read from."""

    scenario: Scenario  # its phases in numbers; of its criteria those numbers that set the load, too
    # The budgets that it asks for, by key; what its line has for other profiles is left out.
    quantities: Mapping[str, Quantity]


def resolve_scenario(
    scenario: Scenario,
    budgets: Budgets,
    facts: Mapping[str, str],
    yardstick_s: float,
    units: Mapping[str, Unit],
    root: Path,
) -> Resolved:
    """Settle the load by the budgets of the target's device and precision, as the yardstick is now.

    Limits stay open until what they judge is over and the yardstick has been read again (:func:`asked_at`). A number that
    sets the load is settled now, in a criterion too: nothing else was sent.

    Args:
        scenario: not resolved yet.
        budgets: of the project.
        facts: how the target describes itself.
        yardstick_s: what 1 yd is now.
        units: of every measure, by name.
        root: folder of the project, named where it lacks budgets.

    Raises:
        BudgetError: one is missing, or of another unit than it is used as.
    """
    quantities = find_quantities(scenario, budgets, facts, units, root)
    known = numbers(quantities, yardstick_s)
    of_load = refs(tuple((phase.arrivals, phase.duration_s) for phase in scenario.phases))
    settled = {key: known[key] for key in of_load}
    resolved = dataclasses.replace(
        scenario,
        phases=resolve(scenario.phases, known),
        criteria=tuple(_settled(criterion, settled) for criterion in scenario.criteria),
    )
    return Resolved(resolved, {key: quantities[key] for key in refs(scenario)})


def find_quantities(
    scenario: Scenario,
    budgets: Budgets,
    facts: Mapping[str, str],
    units: Mapping[str, Unit],
    root: Path,
) -> Mapping[str, Quantity]:
    """Return the budgets of a scenario on the target's device in its precision; arguments and errors as above."""
    device = "cpu" if facts.get("device", "cpu") == "cpu" else "cuda"
    precision = facts.get("precision", "fp32")
    quantities = budgets.quantities(scenario.name, device, precision)
    if missing := sorted(refs(scenario) - set(quantities)):
        where = budgets.source or root / FILE_NAME
        line = ", ".join(f"{key} = …" for key in missing)
        raise BudgetError(
            f"scenario {scenario.name!r} lacks budgets on {device} in {precision}; "
            f'write into {where}: "{scenario.name}" = {{ {line} }}'
        )
    check_units(scenario, quantities, units)
    return quantities


def asked_at(
    criterion: Criterion, quantities: Mapping[str, Quantity], yardsticks_s: Sequence[float]
) -> tuple[Criterion, Criterion]:
    """Return a criterion in numbers: at the least of these readings, and at the greatest.

    Raise BudgetError where a number is in yardsticks and there is no reading.
    """
    needed = {key: quantities[key] for key in refs(criterion) if key in quantities}

    def at(yardstick_s: float | None) -> Criterion:
        return resolve(criterion, numbers(needed, yardstick_s))

    return at(min(yardsticks_s, default=None)), at(max(yardsticks_s, default=None))


def _settled(criterion: Criterion, known: Mapping[str, float]) -> Criterion:
    def number(value: T) -> T:
        return resolve(value, known) if refs(value) <= known.keys() else value

    return dataclasses.replace(
        criterion, limit=number(criterion.limit), objective_s=number(criterion.objective_s)
    )
