"""A plugin's own test, with tailgate's test kit: no server, and nothing waits."""

import pytest
from tailgate_spike import LateShare, spike

from tailgate import (
    PROFILES,
    Criterion,
    Outcome,
    Payload,
    PhaseRecord,
    Spike,
    Window,
    draw_plan,
    refs,
    resolve,
)
from tailgate.harness.testing import samples

BUDGETS = {"rate": 10.0, "quiet": 5.0, "spike": 5.0, "late": 0.2, "late_share": 0.02, "error_rate": 0.0}


def test_the_scenario_asks_for_the_budgets_that_its_documentation_names():
    assert refs(spike(PROFILES["default"])) == set(BUDGETS)


def test_the_rate_triples_for_as_long_as_the_budget_says():
    profile = PROFILES["default"]
    scenario = resolve(spike(profile), BUDGETS)
    assert scenario.phases[1].arrivals == Spike(10.0, 30.0, at_s=5.0, for_s=5.0)
    plan = draw_plan(scenario, [Payload("any", b"", "text/plain")], seed=1)
    assert [len(phase.offsets_ns) for phase in plan.phases] == [profile.warm_up_requests, profile.requests]


def test_what_is_late_or_failed_counts():
    phase = resolve(spike(PROFILES["smoke"]), BUDGETS).phases[1]
    ends = [Outcome.OK] * 9 + [Outcome.TIMEOUT]
    window = Window((PhaseRecord(phase, samples([0.1] * 8 + [0.3] * 2, outcomes=ends)),))
    estimate = LateShare().estimate(window, Criterion("late_share", 0.02, ("spike",), objective_s=0.2))
    assert estimate.value == pytest.approx(0.2)
    assert estimate.low is not None
    assert estimate.low < 0.2
