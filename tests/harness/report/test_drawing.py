"""Charts: axes, dots, lines, and texts that do not cover each other."""

import itertools
import math
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailgate.harness.observe.trace import Span
from tailgate.harness.report.drawing import scale
from tailgate.harness.report.drawing.chart import HEIGHT, WIDTH, Axes, Level, Series, spread
from tailgate.harness.report.drawing.markup import document, tag
from tailgate.harness.units import Unit

POSITIVE = st.floats(1e-6, 1e5)
SCALES = {
    "linear": lambda low, high: scale.linear(-low, high, Unit.COUNT),
    "bytes": lambda low, high: scale.linear(0.0, high, Unit.BYTES),
    "log": lambda low, high: scale.log([low, high], Unit.SECONDS),
    "time": lambda low, high: scale.time(high),
    "tail": lambda low, high: scale.tail(int(high)),
}


@pytest.mark.parametrize("kind", SCALES)
@given(low=POSITIVE, more=POSITIVE)
def test_every_axis_has_its_ends_at_0_and_1_and_its_texts_between_them_in_order(kind, low, more):
    made = SCALES[kind](low, low + more)
    assert made.at([made.low, made.high]).tolist() == [0.0, 1.0]
    places = [float(made.at(value)) for value, _ in made.ticks]
    assert places == sorted(places)
    assert all(0 <= place <= 1 for place in places)
    assert len(places) <= 12
    texts = [text for _, text in made.ticks]
    assert len(set(texts)) == len(texts)
    assert not any(re.search(r"\.\d*0(?!\d)", text) for text in texts)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), max_size=20))
def test_what_lies_beyond_an_end_is_drawn_at_that_end(values):
    for made in (scale.linear(0, 10, Unit.COUNT), scale.log([0.001, 1.0], Unit.SECONDS), scale.tail(1000)):
        places = made.at(values)
        assert ((places >= 0) & (places <= 1)).all()


@pytest.mark.parametrize(
    ("made", "texts"),
    [
        (scale.linear(0, 47, Unit.PER_SECOND), ["0/s", "10/s", "20/s", "30/s", "40/s", "50/s"]),
        (scale.linear(-0.2, 0.2, Unit.SHARE, 4), ["-20 %", "-10 %", "0 %", "10 %", "20 %"]),
        (scale.linear(0, 3 * 2**30, Unit.BYTES), ["0 B", "1 GiB", "2 GiB", "3 GiB"]),
        (scale.linear(0, 0.9, Unit.COUNT), ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        (scale.linear(0, 0, Unit.COUNT), ["0", "0.2"]),
        (scale.log([0.012, 0.18], Unit.SECONDS), ["10 ms", "20 ms", "50 ms", "100 ms", "200 ms"]),
        (scale.log([0.0002, 31], Unit.SECONDS), ["1 ms", "10 ms", "100 ms", "1,000 ms", "10 s"]),
        (scale.log([], Unit.SECONDS), ["1 ms", "10 ms", "100 ms", "1,000 ms"]),
        (scale.time(61.0), ["0 s", "10 s", "20 s", "30 s", "40 s", "50 s", "60 s"]),
        (scale.time(200.0), ["0 min", "0.5 min", "1 min", "1.5 min", "2 min", "2.5 min", "3 min"]),
        (scale.time(86_400.0), ["0 h", "4 h", "8 h", "12 h", "16 h", "20 h", "24 h"]),
        (scale.tail(1000), ["p0", "p50", "p90", "p95", "p99", "p99.9"]),
        (scale.tail(1_000_000), ["p0", "p90", "p99", "p99.9", "p99.99", "p99.999"]),
    ],
)
def test_an_axis_shows_round_numbers_with_their_unit(made, texts):
    assert [text for _, text in made.ticks][: len(texts)] == texts


AXES = Axes(scale.linear(0, 100, Unit.COUNT), scale.linear(0, 100, Unit.COUNT), "x", "y")


def drawn(*series, **changes):
    chart, *_ = AXES.chart(series, **changes)
    return chart


def dots_of(chart):
    found = set()
    for group in chart.iter("g"):
        for path in group.iter("path"):
            found |= {(int(x), int(y)) for x, y in re.findall(r"M(\d+) (\d+)h0", path.get("d"))}
    return found


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), min_size=1, max_size=200))
def test_every_point_lies_in_a_dot_and_no_dot_lies_where_there_is_no_point(points):
    x, y = np.array(points).T
    cells = {(round(a * WIDTH / 100) // 2 * 2, round((1 - b / 100) * HEIGHT) // 2 * 2) for a, b in points}
    found = dots_of(drawn(Series("", "s1 dot", x, y)))
    assert len(found) <= len(cells)
    assert all(min(abs(a - c) + abs(b - d) for c, d in found) <= 4 for a, b in cells)


def cells_of(chart):
    """Return the cells of a map, by its levels."""
    found = {}
    for path in chart.find(".//g").iter("path"):
        for x, y, length, size in re.findall(r"M(\d+) (\d+)h(\d+)v(\d+)h-\3Z", path.get("d")):
            cells = [(int(x) + step, int(y)) for step in range(0, int(length), int(size))]
            found.setdefault(path.get("class"), []).extend(cells)
    return found


def test_a_million_points_are_a_map_that_is_darker_where_there_are_more_and_the_outermost_stays():
    rng = np.random.default_rng(1)
    x, y = rng.uniform(0, 100, 1_000_000), rng.normal(50, 5, 1_000_000).clip(0, 90)
    y[777_777] = 99.0
    chart = drawn(Series("", "s1 dot", x, y))
    levels = cells_of(chart)
    every = [cell for cells in levels.values() for cell in cells]
    assert len(every) == len(set(every))
    assert min(down for _, down in every) <= HEIGHT * 0.02
    middle = [np.mean([abs(down - HEIGHT / 2) for _, down in levels[level]]) for level in sorted(levels)]
    assert middle == sorted(middle, reverse=True)
    assert len(ET.tostring(chart)) <= 150_000


def test_a_line_is_broken_where_a_value_is_missing():
    line = drawn(Series("", "s1", [0, 10, 20, 30, 40], [1.0, 2.0, math.nan, 3.0, 4.0])).findall(
        ".//svg/path"
    )[1]
    assert line.get("d").count("M") == 2
    assert "nan" not in line.get("d")


def test_a_chart_says_what_it_shows_to_those_who_do_not_see_it():
    chart, legend = AXES.chart([Series("client", "s1", [0, 1], [0, 1]), Series("", "s2", [0], [0])])
    assert chart.get("aria-label") == "y by x: client"
    assert [one.text or one[0].tail for one in legend] == ["client"]
    assert AXES.chart([Series("", "s1", [0, 1], [0, 1])])[1:] == []


def test_a_phase_without_room_for_its_name_has_it_as_its_title():
    chart = drawn(spans=[Span("warm-up", 0, 2, measured=False), Span("steady", 2, 100)])
    phases = [one for one in chart.iter("div") if "phase" in one.get("class").split()]
    assert [(one.get("title"), len(one)) for one in phases] == [("warm-up", 0), ("steady", 1)]
    assert phases[0].get("class") == "phase warm"


@given(st.lists(st.floats(0, 1), max_size=8))
def test_texts_beside_lines_do_not_cover_each_other(places):
    ordered = sorted(places, reverse=True)
    moved = spread(ordered, 0.1)
    gaps = [above - below for above, below in itertools.pairwise(moved)]
    assert all(gap >= 0.1 - 1e-9 for gap in gaps)
    assert all(place >= -1e-9 for place in moved)


def test_limits_are_drawn_at_their_values_with_their_names():
    chart = drawn(levels=[Level(50.0, "limit 50"), Level(20.0, "capacity", "aside")])
    assert {one.get("d") for one in chart.iter("path") if "line" in one.get("class")} == {
        "M0 125H1000",
        "M0 200H1000",
    }
    assert [one.text for one in chart.iter("span") if "level" in (one.get("class") or "")] == [
        "limit 50",
        "capacity",
    ]


@given(st.text(), st.text())
def test_any_text_comes_back_as_text(text, attribute):
    element = tag("p", text, title=attribute)
    again = ET.fromstring(ET.tostring(element, encoding="unicode"))
    assert "<" not in (element.text or "") or "&lt;" in ET.tostring(
        element, encoding="unicode", method="html"
    )
    assert len(again) == 0


def test_children_may_be_texts_elements_lists_and_nothing():
    made = tag(
        "p", "a", tag("b", "c"), "d", None, ["e", None, tag("i")], class_="x", aria_label="y", title=None
    )
    assert ET.tostring(made, encoding="unicode") == '<p class="x" aria-label="y">a<b>c</b>de<i /></p>'


def test_a_document_forbids_itself_to_load_or_run_anything():
    text = document("title", tag("body"))
    assert text.startswith('<!doctype html>\n<html lang="en">')
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in text
    assert "<style>:root {" in text
