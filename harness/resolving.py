"""From a scenario with open numbers to one for this machine, device and precision.

Between the budget file and the plan; :mod:`harness.scenario` fills numbers in, and this module says which, and refuses
what is missing while it can still be mended.
"""

from collections.abc import Mapping
from pathlib import Path

from harness.budgets import FILE_NAME, Budgets, check_units
from harness.errors import BudgetError
from harness.measures import Measure
from harness.scenario import Scenario, refs, resolve


def resolve_scenario(
    scenario: Scenario,
    budgets: Budgets,
    facts: Mapping[str, str],
    yardstick_s: float,
    measures: tuple[Measure, ...],
    root: Path,
) -> Scenario:
    """Fill in the budgets of the target's device and precision.

    Args:
        scenario: not resolved yet.
        budgets: of the project.
        facts: how the target describes itself.
        yardstick_s: what 1 yd is here, now.
        measures: all that the plugins bring.
        root: folder of the project, named where it lacks budgets.

    Raises:
        BudgetError: one is missing, or of another unit than it is used as.
    """
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
    check_units(scenario, quantities, {measure.name: measure.unit for measure in measures})
    return resolve(scenario, {key: quantity.resolve(yardstick_s) for key, quantity in quantities.items()})
