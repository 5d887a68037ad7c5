"""One chart: SVG that stretches with the page, and texts in HTML around it, which keep their size.

The picture has its own units, :data:`WIDTH` by :data:`HEIGHT`; strokes are not stretched with it. A style is a list of classes
of the style sheet: ``s0`` to ``s5`` are colours, ``dot`` and ``area`` say what is drawn.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tailgate.harness.observe.trace import Span
from tailgate.harness.report.drawing.markup import Child, Element, tag
from tailgate.harness.report.drawing.scale import Scale
from tailgate.harness.units import Unit, quantity

WIDTH, HEIGHT = 1000, 250
# Of the height: the least distance of two texts at the left edge.
_TEXT_SHARE = 0.075
# A phase that is narrower, in per cent, has no room for its name; it has it as its title.
_NAMED_PERCENT = 7.0
# Dots that share a cell of the picture become one, so that a million requests are some thousand dots.
_FINE, _COARSE, _MOST_FINE = 2, 4, 4000


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """What is drawn in one style; of an area, ``y`` has two rows: its lower and its upper edge."""

    name: str  # for the legend; empty for none
    style: str
    x: ArrayLike
    y: ArrayLike


@dataclass(frozen=True, slots=True)
class Level:
    """A horizontal line with a text: a limit."""

    value: float
    text: str
    style: str = "limit"


@dataclass(frozen=True, slots=True)
class Axes:
    """Two axes, and what is drawn between them."""

    x: Scale
    y: Scale
    x_title: str = ""
    y_title: str = ""

    def chart(
        self,
        series: Sequence[Series],
        levels: Sequence[Level] = (),
        spans: Sequence[Span] = (),
        size: str = "",
    ) -> list[Element]:
        """Return the chart and its legend."""
        grid = "".join(f"M0 {_down(place)}H{WIDTH}" for place, _ in _ticks(self.y))
        grid += "".join(f"M{round(place * WIDTH)} 0V{HEIGHT}" for place, _ in _ticks(self.x))
        lines = [
            tag("path", d=f"M0 {_down(float(self.y.at(one.value)))}H{WIDTH}", class_=f"line {one.style}")
            for one in levels
        ]
        picture = tag(
            "svg",
            tag("path", d=grid, class_="grid"),
            [self._drawn(one) for one in series],
            lines,
            viewBox=f"0 0 {WIDTH} {HEIGHT}",
            preserveAspectRatio="none",
            aria_hidden="true",
        )
        names = ", ".join(filter(None, (one.name for one in series)))
        drawn = tag(
            "div",
            tag("div", self.y_title, class_="ytitle"),
            tag("div", _texts(self.y, "bottom"), class_="y"),
            tag("div", self._phases(spans), picture, self._levels(levels), class_="plot"),
            tag("div", _texts(self.x, "left"), class_="x"),
            tag("div", self.x_title, class_="xtitle"),
            class_=f"chart {size}".rstrip(),
            role="img",
            aria_label=f"{self.y_title} by {self.x_title}: {names}",
        )
        return [drawn, *legend((one.style, one.name) for one in series if one.name)]

    def _drawn(self, one: Series) -> Element:
        kinds = one.style.split()
        if "dot" in kinds:
            return self._dots(one)
        if "area" in kinds:
            low, high = (self._points(one.x, edge) for edge in np.asarray(one.y, dtype=float))
            return tag("path", d=f"M{_joined(np.concatenate([high, low[::-1]]))}Z", class_=one.style)
        # Broken where a value is missing.
        points, known = self._points(one.x, one.y), np.isfinite(np.asarray(one.y, dtype=float))
        runs = np.split(np.arange(len(known)), np.flatnonzero(np.diff(known)) + 1)
        drawn = "".join(f"M{_joined(points[run])}h0" for run in runs if len(run) and known[run[0]])
        return tag("path", d=drawn, class_=f"line {one.style}")

    def _dots(self, one: Series) -> Element:
        """Draw a dot per place, which is darker the more points share it; of very many places, a map of cells."""
        points, size = self._points(one.x, one.y), _FINE
        cells, counts = _cells(points, size)
        if coarse := len(cells) > _MOST_FINE:
            size = _COARSE
            cells, counts = _cells(points, size)
        levels = (3.999 * np.log(counts) / np.log(max(1000, counts.max(initial=1)))).astype(int)
        draw = _map if coarse else _spots
        paths = [
            tag("path", d=draw(cells[levels == level] * size, size), class_=f"n{level}")
            for level in np.unique(levels).tolist()
        ]
        return tag("g", paths, class_=f"{one.style}{' coarse' if coarse else ''}")

    def _points(self, xs: ArrayLike, ys: ArrayLike) -> NDArray[np.int64]:
        """Return places in the picture's units, shape (n, 2); what is no number lies at the axis."""
        places = np.broadcast_arrays(np.atleast_1d(self.x.at(xs)) * WIDTH, (1.0 - self.y.at(ys)) * HEIGHT)
        rounded: NDArray[np.int64] = np.rint(np.nan_to_num(np.stack(places, axis=1))).astype(np.int64)
        return rounded

    def _phases(self, spans: Sequence[Span]) -> Iterable[Element]:
        for span in spans:
            left, right = (float(self.x.at(end)) * 100 for end in (span.start, span.end))
            name = tag("span", span.name) if right - left >= _NAMED_PERCENT else None
            kind = "phase" if span.measured else "phase warm"
            yield tag(
                "div", name, class_=kind, style=f"left:{left:.2f}%;width:{right - left:.2f}%", title=span.name
            )

    def _levels(self, levels: Sequence[Level]) -> Iterable[Element]:
        ordered = sorted(levels, key=lambda level: -level.value)
        places = spread([float(self.y.at(one.value)) for one in ordered], _TEXT_SHARE)
        for one, place in zip(ordered, places, strict=True):
            yield tag("span", one.text, class_=f"level {one.style}", style=f"bottom:{place * 100:.2f}%")


def levels_at(value: float | None, name: str, unit: Unit, style: str = "limit") -> list[Level]:
    """Return a line at a value, named with it; none for None."""
    return [] if value is None else [Level(value, f"{name} {quantity(value, unit)}", style)]


def legend(entries: Iterable[tuple[str, str]]) -> list[Element]:
    """Return what the styles mean, by pairs of a style and its meaning; nothing for none."""
    items = [tag("li", tag("i", class_=f"key {style}"), meaning) for style, meaning in entries]
    return [tag("ul", items, class_="legend")] if items else []


def spread(places: Sequence[float], least: float) -> list[float]:
    """Return descending places between 0 and 1 moved apart, so that texts beside them do not cover each other."""
    moved: list[float] = []
    for place in places:
        moved.append(min([place, 1.0 - least, *(above - least for above in moved[-1:])]))
    # Where they have run out at the bottom, they move up together.
    short = max(0.0, -min(moved, default=0.0))
    return [place + short for place in moved]


def _cells(points: NDArray[np.int64], size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the cells that hold points, shape (cells, 2), and how many points each holds."""
    across, down = (points // size).T
    codes, counts = np.unique(across * (HEIGHT + 1) + down, return_counts=True)
    return np.stack([codes // (HEIGHT + 1), codes % (HEIGHT + 1)], axis=1), counts


def _spots(places: NDArray[np.int64], _: int) -> str:
    return "".join(f"M{x} {y}h0" for x, y in places.tolist())


def _map(places: NDArray[np.int64], size: int) -> str:
    """Return a path that fills cells; neighbours in a row are one rectangle."""
    ordered = places[np.lexsort((places[:, 0], places[:, 1]))]
    new = np.r_[True, (np.diff(ordered[:, 1]) != 0) | (np.diff(ordered[:, 0]) != size)]
    lengths = np.diff(np.r_[np.flatnonzero(new), len(ordered)]) * size
    runs = zip(ordered[new].tolist(), lengths.tolist(), strict=True)
    return "".join(f"M{x} {y}h{length}v{size}h-{length}Z" for (x, y), length in runs)


def _ticks(scale: Scale) -> list[tuple[float, str]]:
    return [(float(scale.at(value)), text) for value, text in scale.ticks]


def _texts(scale: Scale, side: str) -> list[Child]:
    return [tag("span", text, style=f"{side}:{place * 100:.2f}%") for place, text in _ticks(scale)]


def _down(place: float) -> int:
    return round((1.0 - place) * HEIGHT)


def _joined(points: NDArray[np.int64]) -> str:
    """Return a path through points, without those that repeat the one before."""
    new = np.r_[True, np.any(np.diff(points, axis=0) != 0, axis=1)]
    return " ".join(f"{x} {y}" for x, y in points[new].tolist())
