"""Why a verdict is what it is, in one sentence for people."""

import dataclasses
import math
import re

from tailgate.harness.report import summary
from tailgate.harness.results.criterion import CriterionResult
from tailgate.harness.results.run import RunResult, ScenarioResult
from tailgate.harness.results.verdict import Better, Verdict
from tailgate.harness.units import interval, quantity

# A reason begins with a word for programs; before it may stand what it is of.
_KEYWORD = re.compile(
    r"^(?:(?P<of>[^:]+): )?(?:beyond|undecided|within|noise|integrity): (?P<said>.*)$", re.DOTALL
)


def why(result: RunResult) -> str:
    """Return the reason of a run's verdict; where criteria decide, it names the one that tells most."""
    told = summary.headline(result).partition(": ")[2]
    of_them = [one for one in result.scenarios if one.verdict is result.verdict]
    judged = [
        (scenario, one) for scenario in result.scenarios for one in scenario.criteria if one.limit is not None
    ]
    deciding = [pair for pair in judged if pair[1].verdict is result.verdict]
    if result.verdict is Verdict.INVALID and len(of_them) > 1:
        names = ", ".join(one.name for one in of_them)
        return f"{len(of_them)} of {len(result.scenarios)} scenarios could not be judged: {names}."
    if result.verdict is Verdict.INVALID or not deciding or any(one.comparison for one in result.scenarios):
        own = told.removeprefix(f"{of_them[0].name}: ") if len(of_them) == 1 else told
        return _sentence(without_keyword(own))
    # What was measured says more than that nothing could be.
    scenario, one = max(deciding, key=lambda pair: (_measured(pair[1]), nearness(pair[1])))
    place = one.name if len(result.scenarios) == 1 else f"{one.name} of {scenario.name}"
    if result.verdict is Verdict.PASS:
        share = nearness(one)
        near = f"; the nearest to its limit is {place}, at {share * 100:.0f} % of it" if share else ""
        return f"{f'All {len(judged)} criteria hold' if len(judged) > 1 else 'The criterion holds'}{near}."
    return _not_passed(one, place) + _further(len(deciding) - 1, result.verdict)


def _not_passed(one: CriterionResult, place: str) -> str:
    measured, limit = quantity(one.value, one.unit), quantity(one.limit, one.unit)
    if not _measured(one):
        return _sentence(without_keyword(f"{place}: {one.reason}"))
    if one.verdict is Verdict.FAIL:
        return f"{place} is {measured}, and the limit is {limit}."
    between = interval(one.low, one.high, one.unit)
    return f"{place} is {measured}, and its interval {between} reaches across the limit of {limit}."


def _further(count: int, verdict: Verdict) -> str:
    """Return how many other criteria came to the same."""
    if not count:
        return ""
    one, several = (
        ("does not hold", "do not hold") if verdict is Verdict.FAIL else ("is undecided", "are undecided")
    )
    return f" {count} further {f'criterion {one}' if count == 1 else f'criteria {several}'}."


def _measured(one: CriterionResult) -> bool:
    """Tell whether there is a value: none where too many requests failed, which count as infinitely late."""
    return one.value is not None and math.isfinite(one.value)


def why_of_scenario(result: RunResult, scenario: ScenarioResult) -> str:
    """Return the reason of one scenario's verdict, as if it were the whole run."""
    return why(dataclasses.replace(result, scenarios=(scenario,), verdict=scenario.verdict, reasons=()))


def nearness(one: CriterionResult) -> float:
    """Return the value as a share of the limit, 1 at the limit and beyond it worse; infinite where nothing was measured."""
    if one.value is None or not math.isfinite(one.value):
        return math.inf if one.verdict is not Verdict.PASS else 0.0
    if not one.limit:
        return 0.0 if not one.value else math.inf
    return share_of_limit(one.value, one.limit, one.better)


def share_of_limit(value: float, limit: float, better: Better) -> float:
    """Return how much of the limit a value uses up: of a throughput, the more the smaller it is."""
    if better is Better.LOWER:
        return value / limit
    return limit / value if value > 0 else math.inf


def without_keyword(reason: str) -> str:
    """Return a reason without its word for programs, and without what it is of where it says that itself."""
    found = _KEYWORD.match(reason)
    if found is None:
        return reason
    name, said = found["of"], found["said"]
    return said if name is None or said.startswith(name.partition(", ")[0]) else f"{name}: {said}"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}" + "." * (text[-1:] not in {".", "!", "?"})
