import math

import pytest

from tailgate.harness.measures.measure import Estimate
from tailgate.harness.results.criterion import margin
from tailgate.harness.results.verdict import Better, Verdict
from tailgate.harness.scenario.ref import Ref
from tailgate.harness.scenario.scenario import Criterion
from tailgate.harness.units import Unit
from tailgate.harness.verdict.rule import Judgement, criterion_result


def judgement(estimate, limit=0.1):
    criterion = Criterion("p95", limit, ("steady",))
    return Judgement(criterion, Unit.SECONDS, Better.LOWER, estimate, Verdict.PASS, "because", 0.2, 0.999)


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
    result = criterion_result(judgement(Estimate(0.08, 0.07, 0.09, 500, 0.99, "few")))
    assert (result.name, result.limit, result.value, result.low, result.high) == (
        "p95 (client)",
        0.1,
        0.08,
        0.07,
        0.09,
    )
    assert result.margin == pytest.approx(0.2)
    assert (result.n, result.confidence, result.note, result.reason) == (500, 0.99, "few", "because")
    assert (result.fail_limit, result.fail_confidence, result.worth) == (0.2, 0.999, None)


def test_without_an_estimate_every_number_is_missing():
    result = criterion_result(judgement(None))
    assert (result.value, result.low, result.high, result.n, result.confidence, result.margin) == (None,) * 6


@pytest.mark.parametrize(("note", "kept"), [("", "the value is infinite"), ("as noted", "as noted")])
def test_an_infinite_value_is_missing_and_a_note_says_why(note, kept):
    result = criterion_result(judgement(Estimate(math.inf, 0.5, math.inf, 500, 0.99, note)))
    assert (result.value, result.low, result.high, result.margin) == (None, 0.5, None, None)
    assert result.note == kept


def test_a_limit_that_is_still_open_is_a_mistake_of_the_caller():
    with pytest.raises(TypeError, match="unresolved limit"):
        criterion_result(judgement(None, Ref("p95")))
