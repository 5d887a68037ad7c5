"""The criterion on right answers: where something is expected, and nowhere else."""

import pytest

from tailgate.harness.scenario.arrivals import Poisson
from tailgate.harness.scenario.payload import Payload
from tailgate.harness.scenario.ref import Ref
from tailgate.harness.scenario.right_answers import with_right_answers
from tailgate.harness.scenario.scenario import Criterion, Phase, Scenario

PLAIN = Payload("plain", b"", "text/plain")
EXPECTING = Payload("expecting", b"", "text/plain", expect=("status=200",))
PHASES = tuple(
    Phase(name, Poisson(10.0), requests=10, measured=name != "warm-up") for name in ("warm-up", "a", "b")
)


def scenario(*criteria, payloads=None):
    return Scenario("x", "", PHASES, (Criterion("p95", 0.1, ("a",)), *criteria), payloads)


def added(asked, payloads, budgets=()):
    made = with_right_answers(asked, payloads, budgets)
    return made.criteria[len(asked.criteria) :]


def test_a_scenario_whose_payloads_expect_something_allows_no_wrong_answer():
    assert added(scenario(), [PLAIN, EXPECTING]) == (Criterion("wrong_answers", 0.0, ("a", "b")),)


def test_a_budget_may_allow_more():
    (criterion,) = added(scenario(), [EXPECTING], {"wrong_answers": ...})
    assert criterion.limit == Ref("wrong_answers")


@pytest.mark.parametrize(
    ("asked", "payloads"),
    [
        (scenario(), [PLAIN]),
        (scenario(payloads=("plain",)), [PLAIN, EXPECTING]),
        (scenario(Criterion("wrong_answers", 0.1, ("b",))), [EXPECTING]),
    ],
)
def test_nothing_is_added_where_nothing_is_expected_or_the_scenario_says_it_itself(asked, payloads):
    assert added(asked, payloads, {"wrong_answers": ...}) == ()
