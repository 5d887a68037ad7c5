"""A first run: which scenarios it can have, its load, and budgets that a second run keeps."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailgate.harness.plugins.manager import create_plugin_manager
from tailgate.harness.profiles import PROFILES
from tailgate.harness.results.verdict import Better
from tailgate.harness.scenario.budgets import Budgets, parse_budgets
from tailgate.harness.scenario.ref import refs
from tailgate.harness.scenario.unbudgeted import (
    HIGHEST_PER_S,
    found_load,
    proposed_line,
    rounded,
    runs_without,
)
from tailgate.harness.testing import criterion_result
from tailgate.harness.units import Unit, parse_quantity

SCENARIOS = create_plugin_manager((), {}).scenarios(PROFILES["default"])
STEADY = SCENARIOS["steady"]
NONE = Budgets({})


def test_a_first_run_has_the_scenarios_whose_load_is_open_in_rates_alone():
    able = {name for name, one in SCENARIOS.items() if runs_without(one, NONE)}
    assert {"steady", "ramp"} <= able
    assert not able & {"burst", "overload", "soak"}


@pytest.mark.parametrize(
    "line", ['"steady" = { rate = "5 /s" }', '"stedy" = { p95 = "1 s" }', '"*" = { error_rate = 0 }']
)
def test_budgets_that_are_written_in_part_are_no_first_run(line):
    assert not runs_without(STEADY, parse_budgets(tomllib.loads(line)))


@pytest.mark.parametrize(
    ("lone", "rate"), [(10.0, "5.0 /s"), (0.31, "0.15 /s"), (4_320.0, "200 /s"), (57.0, "28 /s")]
)
def test_the_rate_is_half_of_what_one_connection_reached(lone, rate):
    assert {key: one.text for key, one in found_load(STEADY, lone).items()} == {"rate": rate}


@given(st.floats(min_value=1e-9, max_value=1e9), st.booleans())
def test_a_number_is_rounded_to_two_digits_and_to_the_side_that_is_asked_for(value, up):
    text = rounded(value, up=up)
    assert "e" not in text
    assert abs(float(text) / value - 1) <= 0.1 + 1e-6
    assert (float(text) >= value * (1 - 1e-6)) if up else (float(text) <= value * (1 + 1e-6))


def measured(*changes):
    """Return a result of each criterion of steady, with what these say of it."""
    return [
        criterion_result(one.measure, limit=None, verdict=None, margin=None, **change)
        for one, change in zip(STEADY.criteria, changes, strict=True)
    ]


def test_the_proposal_holds_all_that_the_scenario_asks_for_and_a_margin():
    share = {"unit": Unit.SHARE, "value": 0.0, "low": 0.0, "high": 0.002}
    results = measured(
        {"value": 0.08, "high": 0.09},
        {"value": 0.08, "high": 0.1},
        {"value": 0.1, "high": None},
        {"value": None},
        share,
    )
    line = proposed_line(STEADY, results, {"rate": parse_quantity("50 /s")})
    assert line == '"steady" = { rate = "50 /s", p95 = "150 ms", p99 = "150 ms", error_rate = 0.0 }'
    written = parse_budgets(tomllib.loads(line)).quantities("steady", "cpu", "fp32")
    assert refs(STEADY) == set(written)


@given(
    high=st.floats(min_value=1e-5, max_value=1e3),
    failed=st.sampled_from([(0.0, 0.01), (0.02, 0.05)]),
    rate=st.floats(min_value=0.1, max_value=1e6),
)
def test_what_was_measured_keeps_the_budgets_that_are_proposed(high, failed, rate):
    value, upper = failed
    share = {"unit": Unit.SHARE, "value": value, "low": 0.0, "high": upper}
    seen = {"value": high / 2, "low": high / 3, "high": high}
    load = found_load(STEADY, rate)
    line = proposed_line(STEADY, measured(seen, seen, seen, seen, share), load)
    written = parse_budgets(tomllib.loads(line)).quantities("steady", "cpu", "fp32")
    assert written["p99"].resolve(None) >= high * 1.4999
    assert written["error_rate"].resolve(None) >= (upper if value else 0.0)
    assert 0 < written["rate"].resolve(None) <= min(rate / 2, HIGHEST_PER_S) * 1.0001


def test_of_what_should_be_high_the_limit_lies_below_what_was_measured():
    ramp = SCENARIOS["ramp"]
    results = [
        criterion_result(
            one.measure,
            limit=None,
            verdict=None,
            margin=None,
            better=Better.HIGHER,
            unit=Unit.PER_SECOND,
            value=30.0,
            low=27.0,
        )
        for one in ramp.criteria
    ]
    line = proposed_line(ramp, results, {})
    assert 'rate = "18 /s"' in line


def test_nothing_is_proposed_where_nothing_was_measured():
    assert proposed_line(STEADY, measured(*[{"value": None}] * 5), {}) == ""
