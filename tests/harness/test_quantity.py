"""Numbers with units: read exactly, refused clearly, written shortly."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailgate.harness.errors import BudgetError
from tailgate.harness.units import Unit, Yards, parse_quantity, show


@pytest.mark.parametrize(
    ("written", "number", "unit", "yards"),
    [
        ("250 ms", 0.25, Unit.SECONDS, Yards.NONE),
        ("35ms", 0.035, Unit.SECONDS, Yards.NONE),
        (" 1.5  s ", 1.5, Unit.SECONDS, Yards.NONE),
        ("120 us", 0.00012, Unit.SECONDS, Yards.NONE),
        ("120 µs", 0.00012, Unit.SECONDS, Yards.NONE),
        ("40 /s", 40.0, Unit.PER_SECOND, Yards.NONE),
        ("0.30 /yd", 0.3, Unit.PER_SECOND, Yards.RATE),
        (".5 yd", 0.5, Unit.SECONDS, Yards.MULTIPLE),
        ("1e3 ms", 1.0, Unit.SECONDS, Yards.NONE),
        ("0.5 %", 0.005, Unit.SHARE, Yards.NONE),
        ("0.5", 0.5, None, Yards.NONE),
        (0.0, 0.0, None, Yards.NONE),
        (3, 3.0, None, Yards.NONE),
    ],
)
def test_a_quantity_is_read_exactly(written, number, unit, yards):
    got = parse_quantity(written)
    assert (got.number, got.unit, got.yards) == (number, unit, yards)


@given(st.integers(0, 10**7))
def test_milliseconds_are_the_float_that_a_histograms_edge_of_that_name_is(milliseconds):
    """Or an edge that stands on the limit would miss it by a bit, and the share would not be exact."""
    seconds = f"{milliseconds // 1000}.{milliseconds % 1000:03d}"
    assert parse_quantity(f"{milliseconds} ms").number == float(seconds)


@pytest.mark.parametrize(
    "written",
    [
        *(
            "",
            "fast",
            "250 ms extra",
            "-1 ms",
            "+1 ms",
            "1 h",
            "nan s",
            "inf s",
            "1,5 s",
            "1.5 MS",
            "0x10 s",
            "1e999 s",
        ),
        *(True, None, [1], -0.5, math.nan, math.inf),
    ],
)
def test_what_is_no_quantity_is_refused_with_what_was_got(written):
    with pytest.raises(BudgetError, match=r"got .*(expected|too large)"):
        parse_quantity(written)


@given(st.text(max_size=20) | st.floats() | st.integers() | st.none() | st.booleans())
def test_anything_is_read_as_a_finite_number_or_refused(written):
    try:
        got = parse_quantity(written)
    except BudgetError:
        return
    assert math.isfinite(got.number)
    assert got.number >= 0


@pytest.mark.parametrize(("written", "expected"), [("6 yd", 0.072), ("0.3 /yd", 25.0), ("250 ms", 0.25)])
def test_yardsticks_become_seconds_and_rates(written, expected):
    assert parse_quantity(written).resolve(0.012) == pytest.approx(expected)


@given(st.floats(0.1, 100), st.floats(1e-4, 1.0))
def test_load_in_yardsticks_is_the_same_on_every_machine(number, yardstick_s):
    """A rate times a latency, both in yardsticks, has no unit: a machine twice as slow gets half the rate."""
    rate = parse_quantity(f"{number} /yd").resolve(yardstick_s)
    latency_s = parse_quantity(f"{number} yd").resolve(yardstick_s)
    assert rate * latency_s == pytest.approx(number**2)


@pytest.mark.parametrize("yardstick_s", [None, 0.0, -1.0, math.nan, math.inf])
def test_yardsticks_without_a_yardstick_are_refused(yardstick_s):
    with pytest.raises(BudgetError, match="'6 yd' is in yardsticks"):
        parse_quantity("6 yd").resolve(yardstick_s)


@pytest.mark.parametrize(
    ("written", "fitting"),
    [
        ("250 ms", {Unit.SECONDS}),
        ("6 yd", {Unit.SECONDS}),
        ("1 /s", {Unit.PER_SECOND}),
        ("1 %", {Unit.SHARE}),
        (0.5, {Unit.SHARE, Unit.COUNT, Unit.BYTES}),
    ],
)
def test_a_quantity_fits_the_units_that_it_can_be_of(written, fitting):
    assert {unit for unit in Unit if parse_quantity(written).fits(unit)} == fitting


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, Unit.SECONDS, "?"),
        (0.0123456, Unit.SECONDS, "12.35 ms"),
        (12.5, Unit.SECONDS, "12.5 s"),
        (math.inf, Unit.SECONDS, "inf s"),
        (20.04, Unit.PER_SECOND, "20.04/s"),
        (0.005, Unit.SHARE, "0.5 %"),
        (3 * 2**20, Unit.BYTES, "3 MiB"),
        (7, Unit.COUNT, "7"),
    ],
)
def test_a_quantity_is_written_with_its_unit(value, unit, text):
    assert show(value, unit) == text
