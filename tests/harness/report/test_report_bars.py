"""Charts in plain characters: what is drawn, where it ends, and that all lines are as wide."""

from dataclasses import replace

from compared_results import compared
from comparison_rows import rows
from hypothesis import given
from hypothesis import strategies as st

from tailgate.harness.report import markdown
from tailgate.harness.report.drawing import bars
from tailgate.harness.results.verdict import Better
from tailgate.harness.testing import criterion_result, run_result
from tailgate.harness.units import Unit


def drawn(*criteria):
    return list(bars.limits(criteria))


def test_a_bar_ends_left_of_its_limit_or_right_of_it():
    within, beyond = drawn(criterion_result("p95", 0.05), criterion_result("p99", 0.11))
    assert within == "p95 (client)  ██████████··········│        50.0 ms of 100 ms"
    assert beyond == "p99 (client)  ████████████████████│██      110 ms of 100 ms"


def test_a_throughput_uses_up_more_of_its_limit_the_smaller_it_is():
    (line,) = drawn(criterion_result("rate", 200.0, limit=100.0, unit=Unit.PER_SECOND, better=Better.HIGHER))
    assert line.split("  ")[1].startswith("██████████··········│")


def test_what_was_not_measured_or_has_no_limit_is_not_drawn():
    none = [
        criterion_result(value=None),
        criterion_result(value=float("inf")),
        criterion_result(limit=0.0, margin=None),
        replace(criterion_result(), limit=None),
    ]
    assert drawn(*none) == []
    assert list(bars.changes(compared(rows(0)).scenarios[0].comparison)) == []


@given(st.lists(st.floats(1e-6, 1e6), min_size=2, max_size=5))
def test_every_bar_is_as_wide(values):
    lines = drawn(*(criterion_result("p95", value) for value in values))
    assert len({line.index("│") for line in lines}) == 1
    assert {len(line.split("  ", 1)[1].partition("│")[2]) >= 6 for line in lines} == {True}


def test_a_change_stands_beside_no_change_and_what_is_tolerated_all_on_one_scale():
    slower = list(bars.changes(compared(rows(12, worse=1.3)).scenarios[0].comparison))
    names = [line.split()[0] for line in slower]
    assert names == ["cpu", "p50", "p95", "p99"]
    charts = [line[5:].lstrip()[: 2 * bars._SIDE + 1] for line in slower]
    assert {chart.index("│") for chart in charts} == {bars._SIDE}
    assert all(chart.index("●") > bars._SIDE for chart in charts)
    tolerated = [chart.index("┊") for chart in charts if "┊" in chart]
    assert tolerated == sorted(tolerated)


def test_the_summary_holds_the_charts_as_text():
    assert "```text\np95 (client)  ████████████████····│" in markdown.render(run_result())
    assert "```text\ncpu  " in markdown.render(compared(rows(12, worse=1.3)))
