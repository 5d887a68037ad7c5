"""The criterion on right answers: where something is expected, and nowhere else."""

from dataclasses import replace

import pytest

from tailgate.harness.scenario.arrivals import Poisson
from tailgate.harness.scenario.payloads.payload import Payload
from tailgate.harness.scenario.ref import Ref
from tailgate.harness.scenario.right_answers import expects, holds_right_answers, with_right_answers
from tailgate.harness.scenario.scenario import Criterion, Phase, Scenario

PLAIN = Payload("plain", b"", "text/plain")
EXPECTING = Payload("expecting", b"", "text/plain", expect=("status=200",))
PHASES = tuple(
    Phase(name, Poisson(10.0), requests=10, measured=name != "warm-up") for name in ("warm-up", "a", "b")
)


def scenario(*criteria, payloads=None):
    return Scenario("x", "", PHASES, (Criterion("p95", 0.1, ("a",)), *criteria), payloads)


STRICT = Criterion("wrong_answers", 0.0, ("a", "b"))
BUDGETED = Criterion("wrong_answers", Ref("wrong_answers"), ("a", "b"))


@pytest.mark.parametrize(
    ("asked", "payloads", "expected"),
    [
        (scenario(), [PLAIN], False),
        (scenario(), [PLAIN, EXPECTING], True),
        (scenario(payloads=("plain",)), [PLAIN, EXPECTING], False),
        (scenario(payloads=("expecting",)), [PLAIN, EXPECTING], True),
    ],
)
def test_a_scenario_expects_something_where_one_of_its_payloads_does(asked, payloads, expected):
    assert expects(asked, payloads) is expected


@pytest.mark.parametrize(
    ("before", "budgets", "after"),
    [
        ((), (), (STRICT,)),
        ((), {"wrong_answers"}, (BUDGETED,)),
        # As a run that is judged again by other budgets has it.
        ((STRICT,), {"wrong_answers"}, (BUDGETED,)),
        ((BUDGETED,), (), (STRICT,)),
        ((replace(STRICT, phases=("b",)),), {"wrong_answers"}, (replace(STRICT, phases=("b",)),)),
    ],
)
def test_no_wrong_answer_is_allowed_unless_a_budget_or_the_scenario_itself_says_so(before, budgets, after):
    asked = scenario(*before)
    made = with_right_answers(asked, budgets)
    assert made.criteria == (asked.criteria[0], *after)
    assert holds_right_answers(made)
    assert not holds_right_answers(scenario())
