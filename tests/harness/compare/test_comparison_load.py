"""What a comparison sends: which scenarios can be cut into slots, and how."""

import pytest

from tailgate.harness.compare.load import SLOT_REQUESTS, ComparisonLoad, block_scenario, comparable_phase
from tailgate.harness.errors import UsageError
from tailgate.harness.scenario.arrivals import Bursts, ClosedLoop, Poisson
from tailgate.harness.scenario.payloads.payload import Payload
from tailgate.harness.scenario.plan import draw_plan
from tailgate.harness.scenario.ref import resolve
from tailgate.harness.scenario.scenario import Phase, Scenario
from tailgate.harness.scenario.trace import Trace

WARM_UP = Phase("warm-up", Poisson(100.0), requests=50, measured=False)


def scenario(*phases):
    return Scenario("tiny", "a few requests", (WARM_UP, *phases), ())


def test_a_block_is_the_warm_up_and_a_slot_for_each_pair():
    made = block_scenario(scenario(Phase("load", Poisson(100.0), requests=1_000)), pairs=3)
    assert [(phase.name, phase.requests, phase.measured) for phase in made.phases] == [
        ("warm-up", 50, False),
        ("slot 1", SLOT_REQUESTS, True),
        ("slot 2", SLOT_REQUESTS, True),
        ("slot 3", SLOT_REQUESTS, True),
    ]


def test_a_load_of_its_own_says_how_long_its_slots_are():
    phases = (WARM_UP, Phase("load", Poisson(100.0), requests=20))
    made = block_scenario(ComparisonLoad("tiny", "few", phases, ()), pairs=2)
    assert [phase.requests for phase in made.phases] == [50, 20, 20]


@pytest.mark.parametrize(("asked", "last"), [(False, "slot 2"), (True, "capacity")])
def test_capacity_is_probed_last_and_only_where_it_is_asked_for(asked, last):
    made = block_scenario(scenario(Phase("load", Poisson(100.0), requests=9)), pairs=2, capacity=asked)
    assert (made.phases[-1].name, made.phases[-1].measured) == (last, not asked)


def test_a_phase_of_a_length_is_shared_among_the_pairs():
    made = block_scenario(scenario(Phase("bursts", Bursts(4, 0.5, 10.0, 0.25), duration_s=8.0)), pairs=4)
    assert [phase.duration_s for phase in made.phases[1:]] == [2.0] * 4


def test_slots_of_one_seed_send_different_requests():
    made = block_scenario(scenario(Phase("load", Poisson(100.0), requests=20)), pairs=2)
    plan = draw_plan(made, [Payload("p", b"x", "text/plain")], seed=1)
    assert (plan.phases[1].offsets_ns != plan.phases[2].offsets_ns).any()


@pytest.mark.parametrize(
    ("phases", "why"),
    [
        (
            (Phase("low", Poisson(1.0), requests=9), Phase("high", Poisson(2.0), requests=9)),
            r"it has 2 measured phases \('low', 'high'\), and slots are cut from one",
        ),
        ((), "it has 0 measured phases"),
        ((Phase("probe", ClosedLoop(4, limit_s=1.0), requests=9),), "'probe' is a closed loop"),
        ((Phase("replay", Trace((0.0, 0.1)), requests=2),), "'replay' replays a trace"),
    ],
)
def test_a_scenario_that_cannot_be_cut_is_refused_by_its_reason(phases, why):
    with pytest.raises(UsageError, match=f"scenario 'tiny' cannot be compared: .*{why}.*; choose another"):
        comparable_phase(scenario(*phases))


def test_a_load_stays_one_when_its_numbers_are_filled_in():
    load = ComparisonLoad("c", "d", (WARM_UP,), (), environment=(("A", "b"),), source="pixels:8")
    assert resolve(load, {}) == load
