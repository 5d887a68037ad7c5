import math

import pytest

from tailgate.harness.measures import built_in_measures
from tailgate.harness.measures.measure import Estimate
from tailgate.harness.results.criterion import margin
from tailgate.harness.results.verdict import Better, Verdict
from tailgate.harness.scenario.scenario import Criterion
from tailgate.harness.verdict.judge import result_of


def result(estimate):
    asked, limits = Criterion("p95", 0.1, ("steady",)), (0.1, 0.2)
    p95 = next(measure for measure in built_in_measures() if measure.name == "p95")
    return result_of(asked, p95, estimate, Verdict.PASS, "because", limits, 0.999)


@pytest.mark.parametrize(
    ("value", "limit", "better", "expected"),
    [
        (80, 100, Better.LOWER, 0.2),
        (130, 100, Better.LOWER, -0.3),
        (120, 100, Better.HIGHER, 0.2),
        (0, 0.01, Better.LOWER, 1.0),
        (-5, -10, Better.LOWER, -0.5),
        (0, 0, Better.LOWER, None),
    ],
)
def test_the_margin_is_the_share_of_the_limit_that_is_left(value, limit, better, expected):
    assert margin(value, limit, better) == (None if expected is None else pytest.approx(expected))


def test_a_judgement_becomes_a_result_with_its_margin():
    got = result(Estimate(0.08, 0.07, 0.09, 500, 0.99, "few"))
    assert (got.name, got.limit, got.value, got.low, got.high) == (
        "p95 (client)",
        0.1,
        0.08,
        0.07,
        0.09,
    )
    assert got.margin == pytest.approx(0.2)
    assert (got.n, got.confidence, got.note, got.reason) == (500, 0.99, "few", "because")
    assert (got.fail_limit, got.fail_confidence, got.worth) == (0.2, 0.999, None)


def test_without_an_estimate_every_number_is_missing():
    got = result(None)
    assert (got.value, got.low, got.high, got.n, got.confidence, got.margin) == (None,) * 6


@pytest.mark.parametrize(("note", "kept"), [("", "the value is infinite"), ("as noted", "as noted")])
def test_an_infinite_value_is_missing_and_a_note_says_why(note, kept):
    got = result(Estimate(math.inf, 0.5, math.inf, 500, 0.99, note))
    assert (got.value, got.low, got.high, got.margin) == (None, 0.5, None, None)
    assert got.note == kept
