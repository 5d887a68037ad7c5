"""What GitHub shows beside the summary: annotations at the lines of budgets, and a badge."""

from dataclasses import replace

import pytest
from compared_results import compared
from comparison_rows import rows

from tailgate.harness.report.github import annotations, badge, line_of
from tailgate.harness.results.criterion import Waiver
from tailgate.harness.results.fault import Cause, Fault
from tailgate.harness.results.verdict import Verdict
from tailgate.harness.testing import criterion_result, run_result

LATE = criterion_result("p95", 0.2, verdict=Verdict.FAIL, reason="beyond: p95 is 200 ms")
UNDECIDED = criterion_result("p99", 0.1, verdict=Verdict.INCONCLUSIVE, reason="undecided: p99")


@pytest.fixture
def budgets(tmp_path):
    path = tmp_path / "services" / "budgets.toml"
    path.parent.mkdir()
    path.write_text('# ours\n"*" = { error_rate = 0 }\n"steady:cpu" = { p95 = "0.1 s" }\n')
    return path


def said(result, path=None, workspace="."):
    return list(annotations(result, path, workspace))


def test_a_criterion_that_fails_is_annotated_at_the_line_of_its_budget(budgets, tmp_path):
    assert said(run_result([criterion_result(), LATE]), budgets, tmp_path) == [
        "::error file=services/budgets.toml,line=3,title=tailgate%3A FAIL::steady: p95 (client): beyond: p95 is 200 ms"
    ]


def test_what_passed_is_not_annotated_and_a_run_of_nothing_is():
    assert said(run_result()) == []
    assert said(run_result([], scenarios=())) == ["::error title=tailgate::nothing was measured"]


@pytest.mark.parametrize(
    ("settings", "level"),
    [
        ({}, "error"),
        ({"inconclusive": "fail"}, "error"),
        ({"inconclusive": "warn"}, "warning"),
        ({"inconclusive": "pass"}, "warning"),
        ({"enforce": "measurement"}, "warning"),
    ],
)
def test_what_fails_no_test_is_a_warning(settings, level):
    (line,) = said(run_result([UNDECIDED], settings=settings))
    assert line.startswith(f"::{level} title=tailgate%3A INCONCLUSIVE::steady: p99 (client)")


def test_what_waivers_accept_is_a_notice():
    waiver = Waiver(
        scenario="steady",
        criterion="p95 (client)",
        limit="1 s",
        value=1.0,
        reason="signed",
        who="Ada",
        expires="2027-01-31",
    )
    result = run_result([LATE])
    waived = replace(result, scenarios=(replace(result.scenarios[0], waivers=(waiver,)),))
    (line,) = said(waived)
    assert line.startswith("::notice title=tailgate::steady: p95 (client) is FAIL, accepted up to 1 s")
    assert badge(waived)["message"] == "PASS with waiver"
    assert badge(waived)["color"] == "yellowgreen"


def test_a_run_that_could_not_be_measured_is_one_annotation(budgets):
    (line,) = said(run_result([LATE], faults=[Fault(Cause.NOISE, "busy\n::warning::forged")]), budgets)
    assert line == "::error title=tailgate::steady: INVALID: busy"


def test_a_comparison_says_its_reason():
    (line,) = said(compared(rows(12, worse=1.3)))
    assert line.startswith("::error title=tailgate::compare: FAIL: ")


def test_no_text_leaves_its_place_in_a_command():
    evil = criterion_result("p95", 0.2, verdict=Verdict.FAIL, reason="a\n::error::b\r100 %, c: d")
    (line,) = said(run_result([evil]))
    assert "\n" not in line
    assert "\r" not in line
    assert line.endswith("100 %25, c: d")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('"steady" = { p95 = "1 s" }', 1),
        ("'steady:cpu:bf16' = { p95 = '1 s' }", 1),
        ("steady = { rate = 1,\n p95 = 2 }", 1),
        ('"*" = { p95 = "1 s" }\n"steady" = { p99 = "1 s" }', 1),
        ('"*" = { p95 = "1 s" }\n"steady" = { p95 = "2 s" }', 2),
        ('"burst" = { p95 = "1 s" }', None),
        ('[steady]\nrate = "1 /s"\np95 = "1 s"\n[burst]\np95 = "1 s"', 3),
        ('[burst]\np95 = "1 s"\n["steady:cpu"]\nttfb_p95 = "1 s"\np95 = "1 s"', 5),
        ('[project]\nname = "steady"\n[tool.tailgate.budgets]\n"steady" = { p95 = "1 s" }', 4),
        ('[tool.tailgate.budgets.steady]\np95 = "1 s"', 2),
        ("", None),
    ],
)
def test_the_line_of_a_budget_is_found_however_toml_writes_it(text, line):
    assert line_of(text, "steady", LATE) == line


@pytest.mark.parametrize(
    ("criteria", "colour"), [([criterion_result()], "brightgreen"), ([LATE], "red"), ([UNDECIDED], "yellow")]
)
def test_a_badge_is_what_a_badge_service_draws(criteria, colour):
    made = badge(run_result(criteria))
    assert made == {
        "schemaVersion": 1,
        "label": "tailgate",
        "message": run_result(criteria).verdict.value,
        "color": colour,
    }
