import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailgate.harness.units import Unit, interval, percent, quantity, significant


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (0.0123456, "0.0123"),
        (0.9996, "1.00"),
        (9.996, "10.0"),
        (12.34, "12.3"),
        (99.96, "100"),
        (123.4, "123"),
        (1234.5, "1,234"),
        (1234567.0, "1,234,567"),
        (-12.34, "-12.3"),
        (math.inf, "inf"),
    ],
)
def test_a_number_has_three_significant_digits_and_no_exponent(number, text):
    assert significant(number) == text


@given(st.floats(min_value=1e-9, max_value=1e12))
def test_a_printed_number_is_within_half_a_percent_of_itself(number):
    assert float(significant(number).replace(",", "")) == pytest.approx(number, rel=0.0051)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, Unit.SECONDS, "–"),
        (0.0000123, Unit.SECONDS, "0.0123 ms"),
        (0.0123, Unit.SECONDS, "12.3 ms"),
        (1.5, Unit.SECONDS, "1,500 ms"),
        (12.34, Unit.SECONDS, "12.3 s"),
        (98.76, Unit.PER_SECOND, "98.8/s"),
        (0.0125, Unit.SHARE, "1.25 %"),
        (3, Unit.COUNT, "3.00"),
        (0, Unit.BYTES, "0 B"),
        (3 * 2**20, Unit.BYTES, "3.00 MiB"),
        (2**33, Unit.BYTES, "8.00 GiB"),
    ],
)
def test_a_quantity_has_the_unit_that_fits(value, unit, text):
    assert quantity(value, unit) == text


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (0.0112, 0.0134, "[11.2, 13.4] ms"),
        (9.0, 11.0, "[9.00, 11.0] s"),
        (None, 0.0134, "≤ 13.4 ms"),
        (0.0112, None, "≥ 11.2 ms"),
        (None, None, "–"),
    ],
)
def test_an_interval_shares_one_unit_and_may_be_open(low, high, text):
    assert interval(low, high, Unit.SECONDS) == text


@pytest.mark.parametrize(("share", "text"), [(None, "–"), (0.123, "+12.3 %"), (-0.05, "-5.00 %"), (0, "0 %")])
def test_a_margin_shows_its_sign(share, text):
    assert percent(share, signed=True) == text
