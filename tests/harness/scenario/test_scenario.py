"""Scenarios as pure data: what is refused, and how open numbers are filled in."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailgate.harness.errors import BudgetError, UsageError
from tailgate.harness.profiles import PROFILES
from tailgate.harness.results.criterion import Witness
from tailgate.harness.scenario.arrivals import Poisson
from tailgate.harness.scenario.changing_rates import Steps
from tailgate.harness.scenario.ref import Ref, refs, resolve
from tailgate.harness.scenario.scenario import Criterion, Phase, Scenario, latency_criteria, quantile_name
from tailgate.harness.statistics import least_samples, quantile_ranks

WARM_UP = Phase("warm-up", Poisson(1.0), requests=1, measured=False)
LOAD = Phase("load", Poisson(Ref("rate")), duration_s=2.0)
P95 = Criterion("p95", Ref("p95"), ("load",))


def scenario(phases=(WARM_UP, LOAD), criteria=(P95,)):
    return Scenario("steady", "Even load.", phases, criteria)


@pytest.mark.parametrize(
    ("extent", "message"),
    [
        ({}, "phase 'p': give either requests or duration_s"),
        ({"requests": 1, "duration_s": 1.0}, "either requests or duration_s"),
        ({"requests": 0}, "extent must be positive"),
        ({"duration_s": 0.0}, "extent must be positive"),
        ({"duration_s": -1.0}, "extent must be positive"),
        ({"duration_s": float("nan")}, "extent must be positive"),
    ],
)
def test_a_phase_has_one_extent(extent, message):
    with pytest.raises(UsageError, match=message):
        Phase("p", Poisson(1.0), **extent)


@pytest.mark.parametrize(
    ("phases", "criteria", "message"),
    [
        ((), (), "phases need unique names"),
        ((LOAD, LOAD), (), "phases need unique names"),
        (
            (LOAD,),
            (dataclasses.replace(P95, phases=("lode",)),),
            r"'steady': p95 \(client\) judges phases \['lode'\]",
        ),
        ((WARM_UP, LOAD), (dataclasses.replace(P95, phases=("warm-up",)),), r"measured ones are \['load'\]"),
        ((LOAD,), (dataclasses.replace(P95, phases=()),), r"judges phases \[\]"),
    ],
)
def test_a_scenario_judges_only_measured_phases_that_it_has(phases, criteria, message):
    with pytest.raises(UsageError, match=message):
        scenario(phases, criteria)


@pytest.mark.parametrize(("share", "name"), [(0.5, "p50"), (0.95, "p95"), (0.99, "p99"), (0.999, "p99.9")])
def test_a_quantile_is_named_in_percent(share, name):
    assert quantile_name(share) == name


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
def test_a_profile_gathers_enough_requests_and_bursts_for_what_it_judges(profile):
    """n(1 - p) >= 10 for every quantile, and as many bursts as bound their median."""
    assert all(profile.requests >= least_samples(share) for share in profile.quantiles)
    assert all(quantile_ranks(profile.requests, share, 0.99).high for share in profile.quantiles)
    assert quantile_ranks(profile.repeats, 0.5, 0.99).high is not None


def test_profiles_are_known_by_their_own_names():
    assert all(name == profile.name for name, profile in PROFILES.items())


def test_every_quantile_of_a_profile_is_asked_of_both_witnesses():
    criteria = latency_criteria(PROFILES["default"], ["a", "b"])
    assert [criterion.name for criterion in criteria] == [
        *("p95 (client)", "p95 (server)", "p99 (client)", "p99 (server)"),
    ]
    assert {criterion.phases for criterion in criteria} == {("a", "b")}
    assert refs(criteria) == {"p95", "p99"}
    assert {criterion.witness for criterion in criteria} == set(Witness)


def test_the_open_numbers_of_a_scenario_are_found_wherever_they_stand():
    steps = Phase("steps", Steps((Ref("a"), 2.0, Ref("b") * 3), Ref("c")), requests=3)
    judged = Criterion("knee", Ref("d"), ("steps",), objective_s=Ref("e"))
    assert refs(scenario((steps,), (judged,))) == {"a", "b", "c", "d", "e"}
    assert refs(scenario((WARM_UP, dataclasses.replace(LOAD, arrivals=Poisson(1.0))), ())) == frozenset()
    assert refs(3.0) == refs("text") == refs(Scenario) == frozenset()


def test_resolving_fills_in_every_number_and_leaves_the_rest():
    got = resolve(scenario(), {"rate": 40.0, "p95": 0.25, "unused": 1.0})
    assert refs(got) == frozenset()
    assert got.phases == (WARM_UP, dataclasses.replace(LOAD, arrivals=Poisson(40.0)))
    assert got.criteria[0].limit == 0.25
    assert got.criteria[0].witness is Witness.CLIENT


def test_a_number_that_is_missing_is_named_with_those_that_are_there():
    with pytest.raises(BudgetError, match=r"no budget 'rate'; there are \['p95'\]"):
        resolve(scenario(), {"p95": 0.25})
    with pytest.raises(BudgetError, match=r"no budget 'rate'; there are none"):
        resolve(scenario(), {})


@given(st.floats(-1e3, 1e3), st.floats(-1e3, 1e3), st.floats(-1e3, 1e3))
def test_factors_multiply_from_either_side(first, second, number):
    got = resolve(first * Ref("x") * second, {"x": number})
    assert got == pytest.approx(number * first * second)


RELATIVE = Phase("twice", Poisson(2.0), requests=10, relative_to="load")


def test_a_phase_may_count_in_the_throughput_of_an_earlier_one_that_is_judged():
    assert scenario((WARM_UP, LOAD, RELATIVE)).phases[-1].relative_to == "load"


@pytest.mark.parametrize(
    ("phases", "criteria"),
    [
        ((WARM_UP, RELATIVE, LOAD), (P95,)),  # not yet measured
        ((WARM_UP, dataclasses.replace(RELATIVE, relative_to="nothing"), LOAD), (P95,)),
        ((WARM_UP, LOAD, dataclasses.replace(RELATIVE, relative_to="warm-up")), (P95,)),  # never judged
        ((WARM_UP, LOAD, RELATIVE), (dataclasses.replace(P95, phases=("twice",)),)),
    ],
)
def test_a_capacity_that_no_criterion_holds_is_refused_as_a_measure_of_load(phases, criteria):
    with pytest.raises(UsageError, match="a service that got slower all over would pass"):
        scenario(phases, criteria)


def test_a_load_that_counts_in_a_throughput_has_no_length_in_seconds():
    with pytest.raises(UsageError, match="its extent must be requests"):
        Phase("p", Poisson(2.0), duration_s=1.0, relative_to="load")
