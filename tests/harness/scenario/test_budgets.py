"""Budgets: where they are found, which line counts, and how a mistake is told."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailgate.harness.errors import BudgetError
from tailgate.harness.measures import built_in_measures
from tailgate.harness.scenario.arrivals import ClosedLoop, Poisson
from tailgate.harness.scenario.budgets import (
    Budgets,
    check_units,
    find_budgets,
    numbers,
    parse_budgets,
    with_budgeted,
)
from tailgate.harness.scenario.changing_rates import Steps
from tailgate.harness.scenario.ref import Ref
from tailgate.harness.scenario.scenario import Criterion, Phase, Scenario

UNITS = {measure.name: measure.unit for measure in built_in_measures()}
STEADY = ("steady", "cpu", "fp32")
TABLE = {
    "*": {"error_rate": 0.0, "p95": "1 s"},
    "*:gpu": {"p95": "100 ms"},
    "steady": {"rate": "0.3 /yd", "p95": "6 yd"},
    "steady:cpu:fp32": {"p95": "250 ms"},
    "steady:*:bf16": {"p95": "200 ms"},
    "steady:cpu": {"p95": "300 ms", "p99": "400 ms"},
}


@pytest.mark.parametrize(
    ("scenario", "device", "precision", "p95"),
    [
        ("ramp", "cpu", "fp32", 1.0),
        ("ramp", "gpu", "fp16", 0.1),
        ("steady", "gpu", "fp16", 0.06),  # the scenario beats the device
        ("steady", "gpu", "bf16", 0.2),
        ("steady", "cpu", "bf16", 0.3),  # the device beats the precision
        ("steady", "cpu", "fp32", 0.25),
    ],
)
def test_the_most_specific_line_wins_key_by_key(scenario, device, precision, p95):
    merged = numbers(parse_budgets(TABLE).quantities(scenario, device, precision), 0.01)
    assert merged["p95"] == pytest.approx(p95)
    assert merged["error_rate"] == 0.0


def test_keys_that_a_line_leaves_out_come_from_the_lines_behind_it():
    merged = numbers(parse_budgets(TABLE).quantities(*STEADY), 0.01)
    assert merged == pytest.approx({"error_rate": 0.0, "rate": 30.0, "p95": 0.25, "p99": 0.4})


@given(st.permutations(list(TABLE)))
def test_the_order_of_lines_does_not_matter(order):
    budgets = parse_budgets({key: TABLE[key] for key in order})
    assert budgets.quantities(*STEADY) == parse_budgets(TABLE).quantities(*STEADY)


def test_a_yardstick_is_needed_where_one_is_written():
    with pytest.raises(BudgetError, match=r"'0\.3 /yd' is in yardsticks"):
        numbers(parse_budgets(TABLE).quantities(*STEADY), None)


def test_what_no_scenario_asks_for_is_listed():
    budgets = parse_budgets({**TABLE, "stedy:cpu": {"p95": "1 s"}, "*:tpu": {"p95": "1 s", "p59": "1 s"}})
    used = {"steady": {"rate", "p95"}, "ramp": {"p95", "error_rate"}}
    assert budgets.unused(used) == ["*:tpu.p59", "steady:cpu.p99", "stedy:cpu.p95"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (
            {"steady": {"p95": "fast"}},
            "b.toml: budget 'steady', p95: got 'fast', expected a quantity such as",
        ),
        ({"steady": {"p95": -1}}, "budget 'steady', p95: got -1, expected a finite number"),
        ({"steady": "250 ms"}, "budget 'steady': got '250 ms', expected a table"),
        ({"a:b:c:d": {}}, "budget 'a:b:c:d': expected a key scenario"),
        ({"steady::fp16": {}}, "budget 'steady::fp16': expected a key scenario"),
        ({"": {}}, "budget '': expected a key scenario"),
        ({"a": {}, "a:*": {}}, "budget 'a:\\*' is there twice, as 'a'"),
    ],
)
def test_a_wrong_line_is_named_with_file_and_key(tmp_path, table, message):
    with pytest.raises(BudgetError, match=message):
        parse_budgets(table, tmp_path / "b.toml")


FILE = '"steady:cpu" = { p95 = "250 ms" }\n'
PYPROJECT = '[tool.tailgate.budgets]\n"steady:cpu" = { p95 = "250 ms" }\n'


@pytest.mark.parametrize(("name", "text"), [("budgets.toml", FILE), ("pyproject.toml", PYPROJECT)])
def test_a_projects_budgets_are_found_in_either_place(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    for path in (None, tmp_path / name):
        budgets = find_budgets(path, tmp_path)
        assert budgets.source == tmp_path / name
        assert numbers(budgets.quantities(*STEADY), None) == {"p95": 0.25}


def test_a_file_that_is_named_is_read_whatever_else_is_there(tmp_path):
    (tmp_path / "budgets.toml").write_text(FILE)
    other = tmp_path / "runner.toml"
    other.write_text(FILE.replace("250", "900"))
    assert numbers(find_budgets(other, tmp_path).quantities(*STEADY), None) == {"p95": 0.9}


def test_a_pyproject_without_budgets_is_none_and_budgets_elsewhere_count(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\n')
    assert find_budgets(None, tmp_path) == Budgets({})
    (tmp_path / "budgets.toml").write_text(FILE)
    assert find_budgets(None, tmp_path).source == tmp_path / "budgets.toml"


@pytest.mark.parametrize(
    ("files", "asked", "message"),
    [
        ({}, "budgets.toml", "no budgets to read at .*budgets.toml: No such file"),
        (
            {"budgets.toml": FILE, "pyproject.toml": PYPROJECT},
            None,
            "budgets are in .* and in .*pyproject.toml",
        ),
        ({"budgets.toml": "p95 = "}, None, "budgets.toml is not TOML"),
        ({"pyproject.toml": "[tool.tailgate]\nbudgets = 3\n"}, None, "is not a table, got 3"),
        (
            {"pyproject.toml": "[tool]\ntailgate = 3\n"},
            "pyproject.toml",
            r"no table \[tool.tailgate.budgets\]",
        ),
    ],
)
def test_budgets_that_cannot_be_read_are_refused(tmp_path, files, asked, message):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(BudgetError, match=message):
        find_budgets(None if asked is None else tmp_path / asked, tmp_path)


SCENARIO = Scenario(
    "steady",
    "Even load.",
    (
        Phase("load", Poisson(Ref("rate") * 0.5), requests=10),
        Phase("steps", Steps((Ref("rate"), Ref("peak")), Ref("length")), requests=10),
    ),
    (
        Criterion("p95", Ref("p95"), ("load",)),
        Criterion("knee", Ref("knee"), ("load",), objective_s=Ref("late")),
        Criterion("error_rate", Ref("error_rate"), ("load",)),
        Criterion("their_own", Ref("their_own"), ("load",)),
    ),
)
GOOD = {
    "rate": "1 /yd",
    "peak": "9 /s",
    "length": "2 s",
    "p95": "6 yd",
    "knee": "3 /s",
    "late": "50 ms",
    "error_rate": 0.0,
    "their_own": "7 %",
}


def quantities(**changes):
    return parse_budgets({"steady": {**GOOD, **changes}}).quantities(*STEADY)


def test_budgets_of_the_right_units_pass():
    check_units(SCENARIO, quantities(), UNITS)


@pytest.mark.parametrize(
    ("key", "written", "unit"),
    [
        ("rate", "1 yd", "/s"),
        ("peak", 40, "/s"),
        ("length", "1 /s", "s"),
        ("p95", "40 /s", "s"),
        ("p95", 0.25, "s"),  # a bare 0.25 is no latency: seconds or yardsticks?
        ("knee", "1 s", "/s"),
        ("late", "5 %", "s"),
        ("error_rate", "1 s", "share"),
    ],
)
def test_a_budget_of_another_unit_is_refused_by_name(key, written, unit):
    with pytest.raises(BudgetError, match=f"scenario 'steady', budget '{key}': got '{written}', .*'{unit}'"):
        check_units(SCENARIO, quantities(**{key: written}), UNITS)


def test_a_missing_budget_and_an_unknown_measure_are_left_to_others():
    check_units(dataclasses.replace(SCENARIO, name="other"), {}, UNITS)


def phases_of(*phases):
    return Scenario("mine", "for tests", phases, (Criterion("ttfb_p50", 0.1, (phases[-1].name,)),))


def test_a_budget_of_a_measures_name_asks_for_it_over_all_measured_phases_in_open_loop():
    asked = phases_of(
        Phase("warm-up", Poisson(1.0), requests=1, measured=False),
        Phase("capacity", ClosedLoop(2), requests=1),
        Phase("low", Poisson(1.0), requests=1),
        Phase("high", Poisson(2.0), requests=1),
    )
    found = with_budgeted(
        asked, ["rate", "ttft_p95", "ttfb_p50", "goodput"], ["ttfb_p50", "ttft_p95", "gap_p99"]
    )
    # What the scenario asks for itself is asked once, and a measure without a budget is not asked for.
    assert found.criteria == (*asked.criteria, Criterion("ttft_p95", Ref("ttft_p95"), ("low", "high")))


def test_a_scenario_that_uses_a_budget_of_that_name_otherwise_stays_as_it_is():
    asked = phases_of(Phase("load", Poisson(Ref("ttft_p95")), requests=1))
    assert with_budgeted(asked, ["ttft_p95"], ["ttft_p95"]) == asked


def test_a_scenario_in_closed_loop_alone_is_asked_for_no_time():
    asked = phases_of(Phase("capacity", ClosedLoop(2), requests=1))
    assert with_budgeted(asked, ["ttft_p95"], ["ttft_p95"]) == asked


def test_a_budget_that_asks_for_a_measure_has_its_unit():
    budgets = parse_budgets({"mine": {"gap_p99": "5 /s"}})
    line = budgets.quantities("mine", "cpu", "fp32")
    asked = with_budgeted(phases_of(Phase("load", Poisson(1.0), requests=1)), line, ["gap_p99"])
    with pytest.raises(BudgetError, match="budget 'gap_p99': got '5 /s', expected a number of unit 's'"):
        check_units(asked, line, {measure.name: measure.unit for measure in built_in_measures()})


SAID = [
    (["p95=80 ms"], {"steady": 0.08, "ramp": 0.08}),
    (["steady:p95=80 ms"], {"steady": 0.08, "ramp": 1.0}),
    (["steady:cpu:fp32:p95=80 ms"], {"steady": 0.08, "ramp": 1.0}),
    (["p95=80 ms", "steady:p95=90 ms"], {"steady": 0.09, "ramp": 0.08}),
    (["ramp:p95 = 80 ms"], {"steady": 0.25, "ramp": 0.08}),
]


@pytest.mark.parametrize(("said", "p95"), SAID)
def test_what_an_option_says_stands_in_the_place_of_what_is_written(tmp_path, said, p95):
    lines = (
        f'"{name}" = {{ {", ".join(f"{key} = {value!r}" for key, value in line.items())} }}'
        for name, line in TABLE.items()
    )
    (tmp_path / "budgets.toml").write_text("\n".join(lines))
    budgets = find_budgets(None, tmp_path, said)
    found = {name: numbers(budgets.quantities(name, "cpu", "fp32"), 0.01)["p95"] for name in p95}
    assert found == pytest.approx(p95)
    assert numbers(budgets.quantities(*STEADY), 0.01)["p99"] == 0.4


def test_options_alone_are_budgets(tmp_path):
    budgets = find_budgets(None, tmp_path, ["rate=20 /s", "steady:error_rate=0"])
    assert numbers(budgets.quantities(*STEADY), None) == {"rate": 20.0, "error_rate": 0.0}
    assert numbers(budgets.quantities("ramp", "cpu", "fp32"), None) == {"rate": 20.0}
    assert budgets.source is None
