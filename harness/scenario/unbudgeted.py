"""A first run, before any budgets are written: which load it can have, and budgets to start from.

The rate comes from a short probe: one connection in a closed loop. Half of what it reaches is a load that any server can
bear, and 200/s is enough. No limit is judged then; what was measured is reported, and proposed as budgets with a margin.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping

from tailgate.harness.results.criterion import CriterionResult
from tailgate.harness.results.verdict import Better
from tailgate.harness.scenario.arrivals import ClosedLoop
from tailgate.harness.scenario.budgets import Budgets, uses
from tailgate.harness.scenario.ref import Ref, refs
from tailgate.harness.scenario.scenario import Criterion, Phase, Scenario
from tailgate.harness.units import Quantity, Unit, parse_quantity

PROBE_S = 2.0
PROBE_REQUESTS = 10_000
OF_LONE_RATE = 0.5
# A quick service is asked for no more: 2,000 requests take ten seconds, and the generator's share of the machine is small.
HIGHEST_PER_S = 200.0
# Above the upper end of what was measured; the seconds are for services so quick that the machine's own noise is more.
MARGIN = 1.5
LEAST_MARGIN_S = 0.005
DIGITS = 2


def runs_without(scenario: Scenario, budgets: Budgets) -> bool:
    """Tell whether a scenario can be run though no budgets are written: its load is open in rates alone."""
    rates = {ref.key for ref, unit in uses(scenario.phases, {}) if unit is Unit.PER_SECOND}
    return not budgets.lines and refs(scenario.phases) <= rates


def probe_scenario(lone_s: float) -> Scenario:
    """Return the load that finds the rate, where a first answer took so long."""
    law = ClosedLoop(1, limit_s=max(PROBE_S, 3 * lone_s))
    phase = Phase("one connection", law, requests=PROBE_REQUESTS, measured=False)
    return Scenario("first-rate", "one connection, to find a rate", (phase,), ())


def found_load(scenario: Scenario, lone_per_s: float) -> Mapping[str, Quantity]:
    """Return the rates of a scenario's load, by what one connection reached."""
    rate = rounded(min(lone_per_s * OF_LONE_RATE, HIGHEST_PER_S), up=False)
    return {key: parse_quantity(f"{rate} /s") for key in sorted(refs(scenario.phases))}


def open_keys(criterion: Criterion, quantities: Mapping[str, Quantity]) -> tuple[str, ...]:
    """Return the budgets that a criterion asks for and nobody has written."""
    return tuple(sorted(refs(criterion) - quantities.keys()))


def unlimited(criterion: Criterion) -> Criterion | None:
    """Return a criterion that is measured and not judged; None where it cannot even be measured without its budget."""
    if isinstance(criterion.objective_s, Ref):
        return None
    return dataclasses.replace(criterion, limit=math.inf)


def proposed_line(
    scenario: Scenario, judged: Iterable[CriterionResult], quantities: Mapping[str, Quantity]
) -> str:
    """Return a line of budgets for a scenario: its load, and limits a margin beyond what was measured; empty for none."""
    found: dict[str, tuple[float, Unit]] = {}
    for asked, result in zip(scenario.criteria, judged, strict=True):
        limit = _limit(result)
        if limit is None or not isinstance(asked.limit, Ref) or asked.limit.key in quantities:
            continue
        value, key = limit / asked.limit.factor, asked.limit.key
        laxer = max if result.better is Better.LOWER else min
        found[key] = (laxer(value, found[key][0]) if key in found else value), result.unit
    limits = {key: _written(*one) for key, one in found.items()}
    if not limits:
        return ""
    parts = [f'{key} = "{quantity.text}"' for key, quantity in quantities.items()]
    parts += [f"{key} = {text}" for key, text in limits.items()]
    return f'"{scenario.name}" = {{ {", ".join(parts)} }}'


def _limit(result: CriterionResult) -> float | None:
    """Return a limit that what was measured keeps with a margin; None where it tells none."""
    end = result.low if result.better is Better.HIGHER else result.high
    seen = result.value if end is None else end
    if seen is None:
        return None
    if result.better is Better.HIGHER:
        return seen / MARGIN
    if result.unit is Unit.SHARE and result.value == 0:
        return 0.0
    least = LEAST_MARGIN_S if result.unit is Unit.SECONDS else 0.0
    return max(seen * MARGIN, seen + least)


def _written(value: float, unit: Unit) -> str:
    """Write a limit as a budget does, in two digits."""
    if unit is Unit.SECONDS:
        return f'"{rounded(value * 1e3)} ms"'
    if unit is Unit.PER_SECOND:
        return f'"{rounded(value, up=False)} /s"'
    if unit is Unit.SHARE and value:
        return f'"{rounded(value * 100)} %"'
    return rounded(value) if value else "0.0"


def rounded(value: float, *, up: bool = True) -> str:
    """Write a number above 0 in two digits, rounded up or down, without an exponent."""
    digits = DIGITS - 1 - math.floor(math.log10(value))
    scaled = (math.ceil if up else math.floor)(round(value * 10**digits, 6))
    return f"{scaled / 10**digits:.{max(0, digits)}f}"
