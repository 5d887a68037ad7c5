"""The trend: what each criterion came to in the runs before, of the same load on the same machine."""

from collections.abc import Sequence

import numpy as np

from tailgate.harness.report import history
from tailgate.harness.report.drawing import scale
from tailgate.harness.report.drawing.chart import Axes, Series, levels_at
from tailgate.harness.report.drawing.markup import Child, Element, tag
from tailgate.harness.report.html.latency import finite
from tailgate.harness.report.html.overview import badge
from tailgate.harness.report.html.panel import panel
from tailgate.harness.results.history import Entry
from tailgate.harness.results.verdict import Verdict
from tailgate.harness.units import quantity

_MOST_RUNS = 40
# By these a reader knows a scenario; of one that has none of them, the first two criteria are shown.
_TELLING = (
    "p95 (client)",
    "p99 (client)",
    "knee (client)",
    "goodput_share (client)",
    "throughput (client)",
    "cpu",
    "p95",
)


def over_runs(entries: Sequence[Entry]) -> Element | None:
    """Draw the last of these runs, the newest last; None where there is but one."""
    entries = entries[-_MOST_RUNS:]
    if len(entries) < 2:
        return None
    panels = []
    for scenario, points in entries[-1].points.items():
        names = [name for name in _TELLING if name in points] or list(points)
        panels += [_trend(entries, scenario, name) for name in names[:2]]
    how = f"{len(entries)} runs of the same load on this machine, the newest at the right."
    drawn = tag("div", panels, class_="panels")
    return tag("section", tag("h2", "Over the last runs"), tag("p", how, class_="how"), drawn, id="runs")


def _trend(entries: Sequence[Entry], scenario: str, name: str) -> Element | None:
    told = [
        (place, entry, point)
        for place, entry in enumerate(entries, start=1)
        if (point := entry.points.get(scenario, {}).get(name)) is not None and point.value is not None
    ]
    if not told:
        return None
    newest, last = told[-1][2], len(entries)
    levels = levels_at(newest.limit, "limit", newest.unit)
    known = [finite(one) for *_, point in told for one in (point.value, point.low, point.high)]
    ends = [0.0, *(one for one in known if np.isfinite(one)), *(1.1 * level.value for level in levels)]
    x = scale.Scale(0.5, last + 0.5, ((1.0, entries[0].date[:10]), (float(last), "this run")))
    axes = Axes(x, scale.linear(min(ends), max(ends), newest.unit), "runs", name)
    series = [Series("", "s0", [place for place, *_ in told], [finite(point.value) for *_, point in told])]
    series += [
        Series("", "s1 thick", [place, place], [point.low, point.high])
        for place, _, point in told
        if point.low is not None and point.high is not None
    ]
    for meaning, style, failed in (("run", "s1 big dot", False), ("FAIL", "s3 square big dot", True)):
        dots = [
            (place, finite(point.value))
            for place, _, point in told
            if (point.verdict is Verdict.FAIL) is failed
        ]
        series += [Series(meaning, style, *np.array(dots).T)] if dots else []
    changes = _changes(entries, scenario, name)
    height = [axes.y.low, axes.y.high]
    series += [
        Series("" if number else "level changed", "s2 dashed", [place - 0.5] * 2, height)
        for number, (place, _) in enumerate(changes)
    ]
    rows: list[list[Child]] = []
    for _, entry, point in reversed(told):
        code = "–" if entry.code is None else entry.code.commit[:10] + " with changes" * entry.code.dirty
        rows.append([entry.run, code, quantity(point.value, point.unit), badge(point.verdict)])
    return panel(
        f"{scenario}: {name}",
        "A dot is a run, the bar behind it the confidence interval. A level that changes at one run and stays there points "
        "at the commit of that run.",
        axes.chart(series, levels),
        finding="; ".join(text for _, text in changes),
        numbers=(("run", "code", "value", "verdict"), rows),
    )


def _changes(entries: Sequence[Entry], scenario: str, name: str) -> list[tuple[int, str]]:
    """Return from which places on a level changed, among the runs of the newest one's branch, and how."""
    branch = history.branch_of(entries[-1])
    found = history.trend([one for one in entries if history.branch_of(one) == branch], scenario, name)
    places = {entry.run: place for place, entry in enumerate(entries, start=1)}
    changes = () if found is None else found.changes or ()
    return [(places[one.run], history.told(one, found.unit)) for one in changes if found is not None]
