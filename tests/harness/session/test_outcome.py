"""What a verdict does to a test, for every option."""

from dataclasses import replace
from pathlib import Path

import pytest
from compared_results import compared
from comparison_rows import rows

from tailgate.harness.options.reading import parse_options
from tailgate.harness.results.answers import AnswersResult
from tailgate.harness.results.criterion import Waiver
from tailgate.harness.results.fault import VOID, Cause, Fault
from tailgate.harness.results.verdict import Verdict
from tailgate.harness.session.outcome import explain, outcome_of
from tailgate.harness.testing import criterion_result, run_result

PASS, FAIL, INCONCLUSIVE, INVALID = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.INVALID
BROKEN = Fault(Cause.INTEGRITY, "3 records of 5 were saved")
NOISY = Fault(Cause.NOISE, "the machine changed")


def settings(**raw):
    return parse_options(lambda option: raw.get(option.field), Path("a-project"))


def scenario(verdict, *faults, **criterion):
    criteria = [criterion_result("p95"), criterion_result("p99", verdict=verdict, **criterion)]
    return replace(run_result(criteria, faults=faults).scenarios[0], verdict=verdict)


@pytest.mark.parametrize(
    ("verdict", "faults", "inconclusive", "enforce", "fails"),
    [
        (PASS, [], "fail", "budgets", False),
        (FAIL, [], "fail", "budgets", True),
        (FAIL, [], "pass", "budgets", True),
        (FAIL, [], "fail", "measurement", False),
        (INCONCLUSIVE, [], "fail", "budgets", True),
        (INCONCLUSIVE, [], "warn", "budgets", False),
        (INCONCLUSIVE, [], "pass", "budgets", False),
        (INCONCLUSIVE, [], "fail", "measurement", False),
        (INVALID, [NOISY], "fail", "budgets", True),
        (INVALID, [NOISY], "pass", "budgets", True),
        (INVALID, [NOISY], "fail", "measurement", False),
        (INVALID, [BROKEN], "fail", "measurement", True),
        (INVALID, [NOISY, BROKEN], "pass", "measurement", True),
    ],
)
def test_a_verdict_fails_its_test(verdict, faults, inconclusive, enforce, fails):
    outcome = outcome_of(scenario(verdict, *faults), settings(inconclusive=inconclusive, enforce=enforce))
    assert outcome.fails == fails
    assert (outcome.text == "") == (verdict is PASS)


def test_a_criterion_that_could_not_be_judged_is_broken_without_a_fault_of_its_scenario():
    broken = scenario(INVALID, reason="integrity: nothing was measured")
    assert outcome_of(broken, settings(enforce="measurement")).fails


def test_a_scenario_in_which_nothing_was_judged_fails_however_little_is_enforced():
    nothing = replace(scenario(INVALID), criteria=())
    assert outcome_of(nothing, settings(enforce="measurement", inconclusive="pass")).fails


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"inconclusive": "warn"}, "WARNING: steady: INCONCLUSIVE fails no test (--perf-inconclusive=warn)"),
        ({"inconclusive": "pass"}, "steady: INCONCLUSIVE fails no test (--perf-inconclusive=pass)"),
        ({"enforce": "measurement"}, "steady: INCONCLUSIVE fails no test (--perf-enforce=measurement)"),
    ],
)
def test_what_is_let_pass_says_by_which_option(raw, said):
    assert outcome_of(scenario(INCONCLUSIVE), settings(**raw)).text == said


def test_the_explanation_begins_with_the_verdict_and_why_and_ends_with_the_command():
    assert explain(scenario(FAIL, reason="beyond: p99 is 3 s", value=3.0)).splitlines() == [
        "FAIL: steady: p99 (client) is 3,000 ms, and the limit is 100 ms.",
        "  p99 (client): beyond: p99 is 3 s",
        "  reproduce: pytest -m perf --perf-scenario=steady --perf-seed=7",
    ]


def test_what_voids_a_scenario_is_told_in_place_of_its_criteria():
    assert explain(scenario(INVALID, NOISY, BROKEN, reason=f"noise: {VOID}")).splitlines()[:3] == [
        "INVALID: steady: The machine changed.",
        "  noise: the machine changed",
        "  integrity: 3 records of 5 were saved",
    ]


def test_answers_that_differ_are_told_first_whatever_the_lenses_say():
    answers = AnswersResult(
        verdict=Verdict.FAIL, gates=True, reason="head answers differently: 1 of 9", compared=9, differing=1
    )
    for made in (rows(3), rows(12, worse=1.25, sigma=0.2)):
        headline, first, *_ = explain(compared(made, answers=answers).scenarios[0]).splitlines()
        assert headline.startswith("FAIL: compare: Head answers differently: 1 of 9; speed: ")
        assert first == "  answers: FAIL: head answers differently: 1 of 9"


def test_what_waivers_accept_does_not_fail_its_test_and_says_so():
    one = Waiver(
        scenario="steady",
        criterion="p99 (client)",
        limit="1 s",
        value=1.0,
        reason="signed now",
        who="Ada",
        expires="2027-01-31",
    )
    outcome = outcome_of(replace(scenario(FAIL), waivers=(one,)), settings())
    assert not outcome.fails
    said = "steady: FAIL fails no test (waivers.toml): p99 (client) is FAIL, accepted up to 1 s until 2027-01-31 by Ada"
    assert outcome.text.startswith(said)
