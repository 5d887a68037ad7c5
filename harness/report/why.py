"""Why a verdict is what it is, in one sentence for people."""

import math
import re
from collections.abc import Mapping, Sequence

from tailgate.harness.report.criteria import nearness, of_limit
from tailgate.harness.results.criterion import CriterionResult
from tailgate.harness.results.run import RunResult, ScenarioResult
from tailgate.harness.results.verdict import Better, Verdict
from tailgate.harness.units import MISSING, interval, quantity
from tailgate.harness.verdict.waivers import accepted, is_waived, verdict_word

NOTHING = "Nothing was judged."
# A reason begins with a word for programs; before it may stand what it is of.
_WORDS = "beyond|undecided|coarse|unbudgeted|spilled|within|noise|integrity"
_KEYWORD = re.compile(rf"^(?:(?P<of>[^:]+): )?(?:{_WORDS}): (?P<said>.*)$", re.DOTALL)
# Of a comparison whose answers differ, the second reason, which is that of its speed.
_OF_SPEED = re.compile(rf"(?<=; speed: )(?:{_WORDS}): ")
# What a sentence may begin with in a capital letter: a plain word, and not the name of a criterion or scenario.
_PLAIN_WORD = re.compile(r"[a-z]+ ")
# What further criteria, or further scenarios, came to, by their verdict: of one, and of several.
_CRITERIA: Mapping[Verdict, tuple[str, str]] = {
    Verdict.FAIL: ("criterion does not hold", "criteria do not hold"),
    Verdict.INCONCLUSIVE: ("criterion is undecided", "criteria are undecided"),
}
_SCENARIOS: Mapping[Verdict, tuple[str, str]] = {
    Verdict.PASS: ("scenario passes", "scenarios pass"),
    Verdict.FAIL: ("scenario fails", "scenarios fail"),
    Verdict.INCONCLUSIVE: ("scenario is undecided", "scenarios are undecided"),
    Verdict.INVALID: ("scenario could not be judged", "scenarios could not be judged"),
}


def headline(result: RunResult) -> str:
    """Return the first line of a report: the verdict, and why."""
    return f"{verdict_word(result)}: {'; '.join(accepted(result)) if is_waived(result) else why(result)}"


def why(result: RunResult) -> str:
    """Return the reason of a run's verdict; where criteria decide, it names the one that tells most."""
    if len(result.scenarios) == 1:
        return why_of_scenario(result.scenarios[0])
    of_them = [one for one in result.scenarios if one.verdict is result.verdict]
    if not of_them:
        return NOTHING
    judged = [(scenario, one) for scenario in of_them for one in deciding(scenario)]
    if judged:
        # What was measured says more than that nothing could be.
        scenario, one = max(judged, key=lambda pair: _tells(pair[1]))
        return _of_criteria(one, f"{one.name} of {scenario.name}", len(judged), result.verdict)
    first, *others = of_them
    return _sentence(f"{first.name}: {told(first)}") + _further(len(others), _SCENARIOS[result.verdict])


def why_of_scenario(scenario: ScenarioResult) -> str:
    """Return the reason of one scenario's verdict."""
    judged = deciding(scenario)
    if not judged:
        return _sentence(told(scenario))
    one = max(judged, key=_tells)
    return _of_criteria(one, one.name, len(judged), scenario.verdict)


def deciding(scenario: ScenarioResult) -> Sequence[CriterionResult]:
    """Return the criteria that the verdict comes from; none of a comparison, and none where a fault decides."""
    if scenario.verdict is Verdict.INVALID:
        return ()
    return [one for one in scenario.criteria if one.limit is not None and one.verdict is scenario.verdict]


def measured(one: CriterionResult) -> bool:
    """Tell whether there is a value: none where too many requests failed, which count as infinitely late."""
    return one.value is not None and math.isfinite(one.value)


def bounded(one: CriterionResult) -> bool:
    """Tell whether anything bounds what was measured."""
    return one.low is not None or one.high is not None


def _tells(one: CriterionResult) -> tuple[bool, float]:
    return measured(one), nearness(one)


def _of_criteria(one: CriterionResult, place: str, count: int, verdict: Verdict) -> str:
    """Return what ``count`` criteria came to, by the one that tells most, which is called ``place``."""
    if verdict is Verdict.PASS:
        share = of_limit(one)
        at = "" if share == MISSING else f"at {share} of its limit"
        if count == 1:
            return f"{place} holds{at and f', {at}'}."
        return f"All {count} criteria hold{at and f'; the nearest is {place}, {at}'}."
    return _not_passed(one, place) + _further(count - 1, _CRITERIA[verdict])


def _not_passed(one: CriterionResult, place: str) -> str:
    value, limit = quantity(one.value, one.unit), quantity(one.limit, one.unit)
    between = interval(one.low, one.high, one.unit)
    if measured(one) and one.verdict is Verdict.FAIL:
        return f"{place} is {value}, and the limit is {limit}."
    if measured(one):
        return f"{place} is {value}, and its interval {between} reaches across the limit of {limit}."
    # Of few requests there may be an interval, and no value.
    most, end = ("at least", one.low) if one.better is Better.LOWER else ("at most", one.high)
    if one.verdict is Verdict.FAIL and end is not None:
        return f"{place} is {most} {quantity(end, one.unit)}, and the limit is {limit}."
    if one.verdict is Verdict.INCONCLUSIVE and one.low is not None and one.high is None:
        return f"{place} is at least {quantity(one.low, one.unit)}, nothing bounds it from above, and the limit is {limit}."
    if one.verdict is Verdict.INCONCLUSIVE and bounded(one):
        return f"The interval of {place}, {between}, reaches across the limit of {limit}."
    return _sentence(without_keyword(f"{place}: {one.reason}"))


def told(scenario: ScenarioResult) -> str:
    """Return what a scenario says itself, in one line."""
    if scenario.reason:
        return without_keyword(_OF_SPEED.sub("", scenario.reason))
    telling = [one for one in scenario.criteria if one.verdict is scenario.verdict]
    if not telling:
        return NOTHING
    return f"{', '.join(one.name for one in telling)}: {without_keyword(telling[0].reason)}"


def _further(count: int, words: tuple[str, str]) -> str:
    return f" {count} further {words[count > 1]}." if count else ""


def without_keyword(reason: str) -> str:
    """Return a reason without its word for programs, and without what it is of where it says that itself."""
    found = _KEYWORD.match(reason)
    if found is None:
        return reason
    name, said = found["of"], found["said"]
    return said if name is None or said.startswith(name.partition(", ")[0]) else f"{name}: {said}"


def _sentence(text: str) -> str:
    begun = f"{text[:1].upper()}{text[1:]}" if _PLAIN_WORD.match(text) else text
    return begun + "." * (text[-1:] not in {".", "!", "?"})
