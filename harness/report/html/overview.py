"""The first screen: the verdict, why, what now, what was measured; and each criterion as a bar."""

import math
import re
from collections.abc import Iterator, Sequence

from tailgate.harness.report import summary
from tailgate.harness.report.advice import advice, was_interrupted
from tailgate.harness.report.criteria import nearness, share_of_limit
from tailgate.harness.report.drawing.markup import Child, Element, facts, tag
from tailgate.harness.report.why import why, without_keyword
from tailgate.harness.results.criterion import CriterionResult
from tailgate.harness.results.run import RunResult, ScenarioResult
from tailgate.harness.results.verdict import Better, Verdict
from tailgate.harness.units import interval, quantity, significant
from tailgate.harness.verdict.waivers import accepted, is_waived, verdict_word

# A shape beside each verdict, for those who do not tell colours apart.
_MARKS = {Verdict.PASS: "✓", Verdict.FAIL: "✕", Verdict.INCONCLUSIVE: "?", Verdict.INVALID: "!"}
_MEANINGS = {
    Verdict.PASS: "Every check holds, with its whole confidence interval.",
    Verdict.FAIL: "At least one check fails, with its whole confidence interval.",
    Verdict.INCONCLUSIVE: "At least one check is undecided: this run does not decide.",
    Verdict.INVALID: "The measurement itself went wrong. It says nothing about the service.",
}
# What was accepted is neither green nor red; it passes all the same.
_ACCEPTED = (
    Verdict.INCONCLUSIVE,
    _MARKS[Verdict.PASS],
    "A reviewed waiver accepts what does not hold, so the test passes.",
)
_CUT_SHORT = "The run ended before it had measured all. What it had is below."
# The bars of criteria end here; what lies further is drawn at the end.
_MOST = 1.6
_REASONS_SHOWN, _AGAIN_SHOWN = 4, 2
# How a command line names a program that was started by its path.
_STARTED = re.compile(r"^\S*/(?:pytest/__main__\.py|bin/(?P<name>\S+))")


def badge(verdict: Verdict) -> Element:
    """Return a verdict as its word, with its mark and colour."""
    mark = tag("i", _MARKS[verdict], aria_hidden="true")
    return tag("span", mark, verdict.value, class_=f"badge {verdict.value.lower()}")


def first_screen(result: RunResult) -> Element:
    """Return the verdict, why, what to do now, and what was measured."""
    # Of other verdicts the criteria tell the reasons, and so does each scenario.
    invalid = [one.name for one in result.scenarios if one.verdict is Verdict.INVALID]
    reasons = [
        tag("li", one.partition("\n")[0]) for one in result.reasons if one.partition(": ")[0] in invalid
    ][:_REASONS_SHOWN]
    again = [one for one in result.scenarios if one.verdict is not Verdict.PASS][:_AGAIN_SHOWN]
    now: list[Child] = [tag("li", one) for one in advice(result)]
    now += [
        tag("li", f"Run {one.name} again, with the same arrivals: ", tag("code", one.reproduce))
        for one in again
    ]
    colour, sign, meaning = _looks(result)
    told = [
        tag("h1", verdict_word(result)),
        tag("p", why(result), class_="why"),
        *(tag("p", f"Waived: {told}.", class_="how") for told in accepted(result)),
        tag("p", meaning, class_="how"),
    ]
    mark = tag("span", sign, class_="mark", aria_hidden="true")
    return tag(
        "header",
        tag("p", tag("b", "tailgate"), " performance gate", class_="brand"),
        tag("div", mark, tag("div", told), class_=f"verdict {colour.value.lower()}"),
        tag("ul", reasons, class_="reasons") if len(invalid) > 1 else None,
        tag("section", tag("h2", "What now"), tag("ul", now), class_="now") if now else None,
        facts(_facts(result)),
    )


def _looks(result: RunResult) -> tuple[Verdict, str, str]:
    """Return the verdict whose colour a run has, its mark, and what it means."""
    if is_waived(result):
        return _ACCEPTED
    meaning = _CUT_SHORT if was_interrupted(result) else _MEANINGS[result.verdict]
    return result.verdict, _MARKS[result.verdict], meaning


def _facts(result: RunResult) -> Iterator[tuple[str, Child]]:
    yield (
        "Command",
        tag("code", _STARTED.sub(lambda found: found["name"] or "python -m pytest", result.command)),
    )
    if (code := result.code) is not None:
        branch = f" on {code.branch}" if code.branch else ""
        changed = "with uncommitted changes" if code.dirty else "no uncommitted changes"
        yield "Code", tag("span", tag("code", code.commit[:10]), f"{branch}, {changed}")
    for arm in result.arms:
        name = arm.name.capitalize() if len(result.arms) > 1 else "Target"
        yield name, tag("span", tag("code", arm.target), f" {summary.facts_line(arm.facts)}")
    known, memory = result.machine, result.machine.get("memory_bytes")
    size = f"{memory / 2**30:.0f} GiB" if isinstance(memory, int | float) else None
    processors = f"{known.get('processors') or '?'} processors"
    parts = (known.get("processor") or "unknown processor", processors, size, known.get("gpu"))
    yield "Machine", ", ".join(str(part) for part in parts if part)
    if during := summary.machine_parts(result):
        yield "Meanwhile", ", ".join(during)
    wall = "" if result.duration_s is None else f", took {significant(result.duration_s)} s"
    yield "Run", f"{result.run_id}, started {result.started_at.replace('T', ' ').removesuffix('Z')} UTC{wall}"
    yield "Evidence", ", ".join(filter(None, (f"profile {result.profile.name}", summary.confidence(result))))


def criteria(result: RunResult) -> Element | None:
    """Return each criterion as a bar up to its limit, the nearest first."""
    every = [(scenario, one) for scenario in result.scenarios for one in scenario.criteria]
    if not every:
        return None
    every.sort(key=lambda pair: (pair[1].limit is None, -nearness(pair[1])))
    header = ("criterion", "100 %", "measured", "interval", "limit", "verdict")
    heads = [
        tag("th", tag("span", name), scope="col", class_="bar" if "%" in name else None) for name in header
    ]
    rows = [_criterion(scenario, one) for scenario, one in every]
    return tag(
        "section",
        tag("h2", "Criteria"),
        tag(
            "p",
            "The mark is what was measured, the thick bar its confidence interval. 100 % is the limit: a bar that ends left "
            "of it passes, one that begins right of it fails, one across it decides nothing. The nearest comes first.",
            class_="how",
        ),
        tag("table", tag("thead", tag("tr", heads)), tag("tbody", rows), class_="criteria"),
    )


def _criterion(scenario: ScenarioResult, one: CriterionResult) -> Element:
    name = [tag("a", scenario.name, href=f"#{anchor(scenario)}"), tag("b", one.name)]
    sign = "≤" if one.better is Better.LOWER else "≥"
    limit = "no limit" if one.limit is None else f"{sign} {quantity(one.limit, one.unit)}"
    return tag(
        "tr",
        tag("th", name, scope="row", title=", ".join(one.phases)),
        tag("td", _bar(one), class_="bar"),
        tag("td", quantity(one.value, one.unit), class_="value"),
        tag("td", interval(one.low, one.high, one.unit), class_="interval"),
        tag("td", limit, class_="limits"),
        tag("td", badge(one.verdict), class_="end"),
        class_=one.verdict.value.lower(),
    )


def _bar(one: CriterionResult) -> Child:
    if not one.limit:
        if one.limit is None or one.value is None:
            return ""
        return "none, and none is allowed" if one.value == 0 else "none is allowed"
    ends = (one.low, one.high) if one.better is Better.LOWER else (one.high, one.low)
    near, far = (None if end is None else share_of_limit(end, one.limit, one.better) for end in ends)
    marks = [tag("i", class_="limit", style=f"left:{_place(1.0):.2f}%")]
    if near is not None or far is not None:
        left, right = _place(near or 0.0), 100.0 if far is None else _place(far)
        kind = "range open" if far is None else "range"
        marks.append(tag("i", class_=kind, style=f"left:{left:.2f}%;width:{max(right - left, 0.4):.2f}%"))
    share = nearness(one)
    known = math.isfinite(share)
    if known:
        marks.append(tag("i", class_="point", style=f"left:{_place(share):.2f}%"))
    least = share if known else near or 0.0
    if _MOST < least < math.inf:
        marks.append(tag("em", f"{'' if known else 'at least '}{significant(least)} times"))
    text = f"{share * 100:,.0f} % of the limit" if known else "unknown"
    return tag("span", marks, class_="track", role="img", aria_label=text, title=text)


def _place(share: float) -> float:
    return min(max(share, 0.0), _MOST) / _MOST * 100


def remarks(scenario: ScenarioResult) -> list[str]:
    """Return what a scenario's criteria do not say: faults, reasons, notes; what failed has a panel of its own."""
    shown = summary.failures(scenario)
    return [without_keyword(one) for one in summary.remarks(scenario) if one not in shown]


def anchor(scenario: ScenarioResult) -> str:
    """Return the id of a scenario's part of the page."""
    return "scenario-" + re.sub(r"\W", "-", scenario.name)


def contents(scenarios: Sequence[ScenarioResult]) -> Element:
    """Return links to the scenarios, with their verdicts."""
    links = []
    for one in scenarios:
        mark = tag("i", _MARKS[one.verdict], class_=one.verdict.value.lower())
        links.append(tag("a", mark, one.name, href=f"#{anchor(one)}", title=one.verdict.value))
    return tag("nav", links, aria_label="scenarios")
