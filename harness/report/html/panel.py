"""A panel: a title, a sentence that says how to read the picture, the picture, and its numbers as a table."""

from collections.abc import Iterable, Sequence

import numpy as np

from tailgate.harness.observe.trace import Trace
from tailgate.harness.report.drawing import scale
from tailgate.harness.report.drawing.chart import Axes, Level, Series
from tailgate.harness.report.drawing.markup import Child, Element, table, tag
from tailgate.harness.units import Unit, quantity

Numbers = tuple[Sequence[str], Sequence[Sequence[Child]]]


def panel(
    title: str,
    how: str,
    *content: Child | Iterable[Child],
    finding: str = "",
    numbers: Numbers | None = None,
    wide: bool = False,
) -> Element:
    """Return a panel; ``finding`` says in a sentence what this run shows, ``numbers`` are a header and rows."""
    told = tag("details", tag("summary", "Numbers"), table(*numbers)) if numbers else None
    found = tag("p", finding, class_="finding") if finding else None
    kind = "panel wide" if wide else "panel"
    return tag("section", tag("h4", title), found, tag("p", how, class_="how"), *content, told, class_=kind)


def timeline(trace: Trace, y: scale.Scale, title: str) -> Axes:
    """Return the axes of a chart over the time of a course."""
    return Axes(scale.time(trace.end_s), y, "since the start", title)


def over_time(
    trace: Trace,
    series: Sequence[Series],
    unit: Unit,
    title: str,
    size: str = "",
    levels: Sequence[Level] = (),
) -> list[Element]:
    """Return a chart from zero over the time of a course, with its phases, and its legend."""
    known = [np.asarray(one.y, dtype=float) for one in series]
    top = max([float(np.nanmax(one)) for one in known] + [one.value for one in levels])
    axes = timeline(trace, scale.linear(0.0, top, unit, 3 if size else 5), title)
    return axes.chart(series, levels, trace.spans, size)


def there(*series: Series) -> list[Series]:
    """Return the series that have any number but zeros."""
    return [one for one in series if np.nan_to_num(np.asarray(one.y, dtype=float)).any()]


def mean_and_most(*groups: tuple[Sequence[Series], Unit]) -> Numbers:
    """Return the numbers of series over time, in groups of one unit."""
    rows = [
        [one.name, *(quantity(float(of(np.asarray(one.y, float))), unit) for of in (np.nanmean, np.nanmax))]
        for series, unit in groups
        for one in series
    ]
    return ("what", "mean", "most"), rows


def bars(rows: Iterable[tuple[str, Sequence[tuple[str, str]], str]], kind: str) -> Element:
    """Return bars in HTML: of each row its name, its pieces as a style and a place in CSS, and its text."""
    parts: list[Child] = []
    for name, pieces, text in rows:
        drawn = [tag("i", class_=f"fill {style}", style=place) for style, place in pieces]
        parts += [tag("dt", name), tag("dd", tag("span", drawn, class_=kind), tag("b", text))]
    return tag("dl", parts, class_="bars")
