"""Which scenarios a run takes: those that are named, or those that their plugins have it take unasked."""

from collections.abc import Callable, Sequence

from tailgate.harness.compare.load import ComparisonLoad
from tailgate.harness.named import find
from tailgate.harness.options.settings import GateSettings
from tailgate.harness.plugins.manager import Plugins
from tailgate.harness.scenario.budgets import find_budgets
from tailgate.harness.scenario.ref import refs
from tailgate.harness.scenario.scenario import Scenario, When
from tailgate.harness.scenario.unbudgeted import runs_without


def chosen(settings: GateSettings, plugins: Plugins, note: Callable[[str], None]) -> dict[str, Scenario]:
    """Return the scenarios of a run by name; ``note`` takes a line about those that are left out."""
    every = plugins.scenarios(settings.gathered)
    named = [find("scenario", name, every, "--perf-scenario: ") for name in settings.scenario]
    unasked = [
        scenario
        for scenario in every.values()
        if (
            scenario.when is When.ALWAYS if settings.against is None else isinstance(scenario, ComparisonLoad)
        )
    ]
    return {scenario.name: scenario for scenario in named or _possible(unasked, settings, note)}


def _possible(
    scenarios: Sequence[Scenario], settings: GateSettings, note: Callable[[str], None]
) -> Sequence[Scenario]:
    """Return the scenarios that a run takes unasked; without any budgets, those whose load can be found."""
    budgets = find_budgets(settings.budgets, settings.root, settings.budget)
    if settings.against is not None or budgets.lines:
        return scenarios
    possible = [one for one in scenarios if not refs(one) or runs_without(one, budgets)]
    left = [one.name for one in scenarios if one not in possible]
    if possible and left:
        note(f"no budgets are written: left out {', '.join(left)}, whose load they must say")
    return possible or scenarios
