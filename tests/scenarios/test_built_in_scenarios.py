"""The built-in scenarios are data: what they ask is looked at, and nothing is sent."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest

from tailgate import scenarios
from tailgate.harness.measures import built_in_measures
from tailgate.harness.measures.dependence import requests_needed
from tailgate.harness.profiles import PROFILES
from tailgate.harness.results.criterion import Witness
from tailgate.harness.results.slot import Loop
from tailgate.harness.scenario.arrivals import Bursts, Poisson
from tailgate.harness.scenario.behaviour import Behaviour
from tailgate.harness.scenario.budgets import check_units, find_budgets, numbers
from tailgate.harness.scenario.payloads.payload import Payload
from tailgate.harness.scenario.plan import draw_plan
from tailgate.harness.scenario.ref import refs, resolve
from tailgate.harness.scenario.scenario import Scenario, When, quantile_name
from tailgate.harness.statistics import quantile_interval
from tailgate.scenarios import burst, compare, overload, ramp, rollout, soak, steady

ROOT = Path(__file__).parents[2]
YARDSTICK_S = 0.013
CONFIDENCE = 0.99  # the default of --perf-confidence
PAYLOADS = [Payload("any", b"", "text/plain")]

ALL = [steady, burst, ramp, overload, soak, rollout, compare]
every = pytest.mark.parametrize("module", [steady, burst, ramp], ids=lambda module: module.__name__)
# Those that judge another kind of load by other criteria, too.
any_of_all = pytest.mark.parametrize("module", ALL, ids=lambda module: module.__name__)
profiles = pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)


def resolved(module, profile) -> Scenario:
    """Build a scenario with this repository's budgets."""
    scenario = module.scenario(profile)
    return resolve(scenario, numbers_of(scenario))


def budgets():
    return find_budgets(ROOT / "budgets.toml", ROOT)


def numbers_of(scenario):
    return numbers(budgets().quantities(scenario.name, "cpu", "fp32"), YARDSTICK_S)


def planned(scenario):
    """Return the intended times of each phase, in seconds."""
    plan = draw_plan(scenario, PAYLOADS, seed=1)
    return {phase.name: phase.offsets_ns / 1e9 for phase in plan.phases}


def test_the_plugin_brings_all_of_them_and_a_run_takes_four():
    brought = scenarios.tailgate_scenarios(PROFILES["default"])
    assert [scenario.name for scenario in brought] == [
        module.scenario(PROFILES["default"]).name
        for module in (steady, burst, ramp, overload, soak, rollout, compare)
    ]
    unasked = {scenario.name for scenario in brought if scenario.when is When.ALWAYS}
    assert unasked == {"steady", "burst", "ramp", "overload"}


@any_of_all
@profiles
def test_the_budgets_of_this_repository_answer_what_a_scenario_asks(module, profile):
    scenario = module.scenario(profile)
    quantities = budgets().quantities(scenario.name, "cpu", "fp32")
    assert refs(scenario) <= set(quantities)
    check_units(scenario, quantities, {measure.name: measure.unit for measure in built_in_measures()})


def test_the_budgets_of_this_repository_hold_nothing_that_nobody_asks_for():
    used = {
        module.scenario(PROFILES["default"]).name: refs(module.scenario(PROFILES["default"]))
        for module in ALL
    }
    assert budgets().unused(used) == []


@any_of_all
def test_the_documentation_of_a_scenario_names_its_budgets(module):
    for key in refs(module.scenario(PROFILES["default"])):
        assert f"``{key}``" in module.scenario.__doc__ or f"``{key}``" in module.__doc__


@every
@profiles
def test_both_witnesses_are_asked_for_each_quantile_of_the_profile(module, profile):
    criteria = module.scenario(profile).criteria
    for share in profile.quantiles:
        asked = {item.witness for item in criteria if item.measure == quantile_name(share)}
        assert asked == {Witness.CLIENT, Witness.SERVER}


@every
@profiles
def test_the_phases_that_a_quantile_is_judged_by_hold_the_evidence_of_the_profile(module, profile):
    scenario = resolved(module, profile)
    times = planned(scenario)
    for criterion in scenario.criteria:
        if criterion.measure.startswith("p"):
            assert sum(len(times[name]) for name in criterion.phases) >= profile.requests


@every
@profiles
def test_a_warm_up_comes_first_and_is_not_judged(module, profile):
    first, *others = module.scenario(profile).phases
    assert not first.measured
    assert first.requests == profile.warm_up_requests
    assert all(phase.measured for phase in others)


@every
def test_a_rate_in_the_budget_is_the_rate_that_is_sent(module):
    """Doubling it halves the time between requests; everything else stays."""
    scenario = module.scenario(PROFILES["default"])
    line = numbers_of(scenario)
    slow = planned(resolve(scenario, line))
    fast = planned(resolve(scenario, line | {"rate": 2 * line["rate"]}))
    name = scenario.phases[0].name
    assert fast[name] == pytest.approx(slow[name] / 2)


@profiles
def test_bursts_are_of_one_instant_and_enough_for_a_time_to_recover(profile):
    """Seven bursts bound a median at confidence 0.99."""
    scenario = resolved(burst, profile)
    assert isinstance(scenario.phases[1].arrivals, Bursts)
    _, together = np.unique(planned(scenario)["bursts"], return_counts=True)
    assert np.sum(together >= burst.SIZE) >= max(7, profile.repeats)


@profiles
def test_the_ramp_rises_and_goes_through_the_rate_that_is_asked(profile):
    scenario = resolved(ramp, profile)
    rates = [phase.arrivals.rate_per_s for phase in scenario.phases if phase.measured]
    knee = next(item for item in scenario.criteria if item.measure == "knee")
    assert rates == sorted(set(rates))
    assert knee.limit in rates
    assert rates[0] < knee.limit < rates[-1]
    assert len(knee.phases) == len(rates)


def test_each_step_of_the_ramp_can_show_its_p95():
    """With no request late, and slow ones in runs as of a queue that is half busy."""
    for phase in resolved(ramp, PROFILES["smoke"]).phases[1:]:
        assert phase.requests >= requests_needed(0.95, CONFIDENCE, 1_000, 1_000 / 3)
        assert isinstance(phase.arrivals, Poisson)


@every
@profiles
def test_a_quantile_can_be_shown_of_requests_that_come_in_runs(module, profile):
    """Four requests for each that they are worth, which a queue is at that is half busy (docs/reference/verdicts.md)."""
    scenario = resolved(module, profile)
    times = planned(scenario)
    for criterion in scenario.criteria:
        if criterion.measure in {"p95", "p99"}:
            share = float(criterion.measure[1:]) / 100
            n = sum(len(times[name]) for name in criterion.phases)
            assert n >= requests_needed(share, CONFIDENCE, 1_000, 250)


@any_of_all
def test_a_scenario_is_the_same_each_time(module):
    profile = PROFILES["thorough"]
    assert dataclasses.asdict(module.scenario(profile)) == dataclasses.asdict(module.scenario(profile))


@profiles
def test_an_overload_counts_in_a_capacity_that_has_a_budget_of_its_own(profile):
    scenario = resolved(overload, profile)
    saturated, load, afterwards = scenario.phases[1:]
    assert saturated.loop is Loop.CLOSED
    assert load.relative_to == afterwards.relative_to == saturated.name
    assert load.arrivals.rate_per_s == (10 if profile.name == "thorough" else 2)
    assert afterwards.arrivals.rate_per_s < 1
    (capacity,) = [item for item in scenario.criteria if item.phases == (saturated.name,)]
    assert capacity.measure == "throughput"


@profiles
def test_the_latency_of_accepted_requests_is_never_judged_without_the_goodput(profile):
    asked = {item.measure.partition("_p")[0] for item in overload.scenario(profile).criteria}
    assert {"accepted", "goodput_share"} <= asked


@profiles
def test_an_overload_asks_often_enough_that_one_late_answer_decides_nothing(profile):
    scenario = resolved(overload, profile)
    (phase,) = [phase for phase in scenario.phases if phase.probes]
    (share,) = {
        float(item.measure.partition("_p")[2]) / 100
        for item in scenario.criteria
        if item.measure.startswith(("health_", "metrics_"))
    }
    seconds = np.array([0.01] * (phase.probes - 1) + [math.inf])
    assert quantile_interval(seconds, share, CONFIDENCE)[1] == 0.01


@profiles
def test_an_overload_is_over_within_a_minute_and_a_half_on_a_slow_machine(profile):
    """At 20 requests/s, which is the demonstration model on one processor; the thorough one takes longer."""
    phases = resolved(overload, profile).phases
    seconds = sum(phase.requests / getattr(phase.arrivals, "rate_per_s", 1.0) / 20 for phase in phases)
    assert seconds < (270 if profile.name == "thorough" else 90)


@profiles
def test_a_soak_lasts_as_long_as_its_budget_says_and_has_every_kind_of_disturber(profile):
    scenario = resolved(soak, profile)
    _, before, load, after = scenario.phases
    assert load.duration_s == 20 * 60
    assert before.arrivals == after.arrivals
    assert before.arrivals.rate_per_s < load.arrivals.rate_per_s / 2
    assert {one.behaviour for one in load.disturbers} == set(Behaviour) - {Behaviour.WAITS}
    assert all(
        item.measure not in {"p95", "p99"} or item.witness is Witness.CLIENT for item in scenario.criteria
    )


def test_a_rollout_replaces_then_kills_and_judges_each_where_it_happens():
    made = rollout.scenario(PROFILES["default"])
    assert {phase.name: phase.meanwhile for phase in made.phases if phase.measured} == {
        "rollout": "replace",
        "kill": "kill",
    }
    judged = {criterion.measure: criterion.phases for criterion in made.criteria}
    assert judged["lost"] == ("rollout",)
    assert judged["lost_elsewhere"] == ("kill",)
    assert judged["duplicated"] == ("rollout", "kill")
    assert {
        one.limit for one in made.criteria if one.measure in {"lost", "lost_elsewhere", "duplicated"}
    } == {0.0}
