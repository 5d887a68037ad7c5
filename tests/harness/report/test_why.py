"""Why a verdict is what it is, in a sentence."""

import dataclasses
import math

import pytest
from compared_results import compared
from comparison_rows import rows

from tailgate.harness.report.criteria import nearness, of_limit
from tailgate.harness.report.why import headline, why, without_keyword
from tailgate.harness.results.fault import Cause, Fault
from tailgate.harness.results.verdict import Better, Verdict
from tailgate.harness.testing import criterion_result, run_result
from tailgate.harness.units import Unit

FAIL, PASS, UNSURE = Verdict.FAIL, Verdict.PASS, Verdict.INCONCLUSIVE
THROUGHPUT = {"unit": Unit.PER_SECOND, "better": Better.HIGHER}


@pytest.mark.parametrize(
    ("criteria", "text"),
    [
        (
            [criterion_result(value=0.04), criterion_result("p99", 0.09)],
            "All 2 criteria hold; the nearest is p99 (client), at 90 % of its limit.",
        ),
        (
            [criterion_result(value=0.04), criterion_result("knee", 25.0, limit=20.0, **THROUGHPUT)],
            "All 2 criteria hold; the nearest is knee (client), at 80 % of its limit.",
        ),
        ([criterion_result()], "p95 (client) holds, at 80 % of its limit."),
        ([criterion_result(value=0.0, limit=0.0)], "p95 (client) holds."),
        (
            [
                criterion_result(value=0.3, verdict=FAIL),
                criterion_result("p99", 0.2, verdict=FAIL),
                criterion_result("p50"),
            ],
            "p95 (client) is 300 ms, and the limit is 100 ms. 1 further criterion does not hold.",
        ),
        (
            [criterion_result(value=0.11, verdict=UNSURE)],
            "p95 (client) is 110 ms, and its interval [99.0, 121] ms reaches across the limit of 100 ms.",
        ),
        (
            [
                criterion_result(limit=None, verdict=UNSURE, reason="unbudgeted: no budget says it"),
                criterion_result("p99", limit=None, verdict=UNSURE, reason="unbudgeted: no budget says it"),
            ],
            "p95 (client), p99 (client): no budget says it.",
        ),
        (
            [criterion_result(value=None, low=0.2, high=0.4, verdict=FAIL, reason="beyond: it (n = 9)")],
            "p95 (client) is at least 200 ms, and the limit is 100 ms.",
        ),
        (
            [criterion_result("knee", None, high=15.0, limit=20.0, verdict=FAIL, **THROUGHPUT)],
            "knee (client) is at most 15.0/s, and the limit is 20.0/s.",
        ),
        (
            [criterion_result(value=None, low=0.08, high=None, verdict=UNSURE, reason="undecided: it")],
            "p95 (client) is at least 80.0 ms, nothing bounds it from above, and the limit is 100 ms.",
        ),
        (
            [criterion_result(value=None, low=0.08, high=0.2, verdict=UNSURE, reason="undecided: it")],
            "The interval of p95 (client), [80.0, 200] ms, reaches across the limit of 100 ms.",
        ),
        ([], "Nothing was judged."),
        (
            [criterion_result(value=None, verdict=FAIL, reason="beyond: 7 of 9 requests failed (timeout)")],
            "p95 (client): 7 of 9 requests failed (timeout).",
        ),
        (
            [
                criterion_result(value=math.inf, low=0.4, verdict=FAIL),
                criterion_result("error_rate", 0.42, limit=0.0, unit=Unit.SHARE, verdict=FAIL),
            ],
            "error_rate (client) is 42.0 %, and the limit is 0 %. 1 further criterion does not hold.",
        ),
    ],
)
def test_where_criteria_decide_the_sentence_names_the_one_that_tells_most(criteria, text):
    assert why(run_result(criteria)) == text


def test_a_fault_is_told_in_its_own_words():
    assert why(run_result(faults=[Fault(Cause.NOISE, "the machine changed\nlog")])) == "The machine changed."


SLOW, TIGHT = criterion_result(value=0.3, verdict=FAIL), criterion_result(value=0.11, verdict=UNSURE)
BROKEN = Fault(Cause.NOISE, "the machine changed")
SHORT = {
    PASS: "PASS: All 2 criteria hold; the nearest is p95 (client) of steady, at 80 % of its limit.",
    FAIL: "FAIL: p95 (client) of steady is 300 ms, and the limit is 100 ms.",
    UNSURE: "INCONCLUSIVE: p95 (client) of steady is 110 ms, and its interval [99.0, 121] ms reaches across "
    "the limit of 100 ms.",
    Verdict.INVALID: "INVALID: steady: the machine changed.",
}


@pytest.mark.parametrize("verdict", SHORT)
def test_of_several_scenarios_the_first_line_names_the_one_that_tells_most(verdict):
    criteria = {PASS: criterion_result(), FAIL: SLOW, UNSURE: TIGHT}.get(verdict)
    first = run_result([criteria] if criteria else [], faults=[] if criteria else [BROKEN])
    calm = run_result([criterion_result(value=0.05)], scenario="ramp").scenarios
    several = dataclasses.replace(first, scenarios=(*first.scenarios, *calm))
    assert headline(several) == SHORT[verdict]


def test_of_several_scenarios_that_could_not_be_judged_the_first_one_says_why():
    first = run_result(faults=[BROKEN])
    further = run_result(faults=[Fault(Cause.NOISE, "y")], scenario="ramp").scenarios[0]
    for count, said in ((1, "1 further scenario could"), (2, "2 further scenarios could")):
        several = dataclasses.replace(first, scenarios=(*first.scenarios, *[further] * count))
        assert why(several) == f"steady: the machine changed. {said} not be judged."


def test_a_run_that_measured_nothing_says_so():
    assert why(run_result([], scenarios=(), slots=())) == "Nothing was judged."


def test_a_comparison_says_what_became_worse_without_its_word_for_programs():
    text = why(compared(rows(60, worse=1.12)))
    assert text.startswith("CPU time per request of head is at least ")
    assert "beyond" not in text


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        ("p95 (client): beyond: p95 (client) is at least 3 s", "p95 (client) is at least 3 s"),
        ("p99 (client): beyond: 7 of 9 requests failed", "p99 (client): 7 of 9 requests failed"),
        ("noise: the machine changed", "the machine changed"),
        ("a note: with a colon", "a note: with a colon"),
        ("no colon", "no colon"),
    ],
)
def test_a_reason_is_told_without_its_word_for_programs(reason, text):
    assert without_keyword(reason) == text


@pytest.mark.parametrize(
    ("value", "limit", "better", "share"),
    [
        (0.05, 0.1, Better.LOWER, 0.5),
        (50.0, 40.0, Better.HIGHER, 0.8),
        (0.0, 40.0, Better.HIGHER, math.inf),
        (0.0, 0.0, Better.LOWER, 0.0),
        (0.1, 0.0, Better.LOWER, math.inf),
        (None, 0.1, Better.LOWER, 0.0),
    ],
)
def test_nearness_is_how_much_of_the_limit_is_used_up(value, limit, better, share):
    one = criterion_result(value=0.1, limit=limit, better=better, margin=None)
    assert nearness(dataclasses.replace(one, value=value)) == pytest.approx(share)


@pytest.mark.parametrize(
    ("value", "limit", "text"), [(0.05, 0.1, "50 %"), (0.0, 0.0, "–"), (0.1, 0.0, "–"), (None, 0.1, "–")]
)
def test_the_share_of_a_limit_is_told_where_there_is_one(value, limit, text):
    one = dataclasses.replace(criterion_result(margin=None), value=value, limit=limit)
    assert of_limit(one) == text


def test_what_was_not_measured_and_did_not_pass_is_beyond_every_limit():
    assert nearness(criterion_result(value=None, verdict=FAIL)) == math.inf
