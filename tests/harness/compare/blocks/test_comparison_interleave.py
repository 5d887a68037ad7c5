"""Interleaving: windows that never overlap, the same requests for both arms, and nothing lost."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tailgate.harness.compare.blocks.interleave import (
    GAP_S,
    NEVER_NS,
    WINDOW_REQUESTS,
    WINDOW_S,
    can_interleave,
    interleave,
    plan_of_arm,
    room_ns,
    windows_in,
)
from tailgate.harness.compare.blocks.schedule import Arm, plan_block
from tailgate.harness.scenario.arrivals import Bursts, ClosedLoop, Constant, Gamma, Poisson
from tailgate.harness.scenario.behaviour import Behaviour, Disturbers
from tailgate.harness.scenario.changing_rates import OnOff, Ramp
from tailgate.harness.scenario.payloads.payload import Payload
from tailgate.harness.scenario.plan import PlannedPhase, draw_plan
from tailgate.harness.scenario.scenario import Phase, Scenario

GAP_NS = round(GAP_S * 1e9)
offsets = st.lists(st.integers(0, 6_000_000_000), min_size=1, max_size=300).map(sorted)


def planned(offsets_ns):
    offsets_ns = np.array(offsets_ns, dtype=np.int64)
    return PlannedPhase("slot 1", offsets_ns, np.arange(offsets_ns.size, dtype=np.uint16))


@given(offsets, st.integers(0, 2**40))
def test_windows_of_both_arms_hold_the_same_and_never_overlap(drawn, seed):
    phase = planned(drawn)
    first = plan_block(seed, 0, 1).first(0, windows_in(phase))
    base, head = (interleave(phase, first, arm).offsets_ns for arm in (Arm.BASE, Arm.HEAD))
    window_ns = -(-(drawn[-1] + 1) // len(first))
    turn_ns = window_ns + GAP_NS
    turns = {Arm.BASE: base // turn_ns, Arm.HEAD: head // turn_ns}
    # Within its turn each request stands at the same offset for both, and never in the gap.
    np.testing.assert_array_equal(base % turn_ns, head % turn_ns)
    assert (base % turn_ns < window_ns).all()
    # Both turns of a pair of windows are one of each arm, as the coins say.
    np.testing.assert_array_equal(turns[Arm.BASE] // 2, turns[Arm.HEAD] // 2)
    assert not set(turns[Arm.BASE].tolist()) & set(turns[Arm.HEAD].tolist())
    for arm, taken in turns.items():
        assert [first[turn // 2] is arm for turn in taken] == [turn % 2 == 0 for turn in taken]
    assert max(base[-1], head[-1]) < 2 * len(first) * turn_ns
    for sent in (base, head):
        assert (np.diff(sent) >= 0).all()
        assert sent.dtype == np.int64


@given(offsets)
def test_without_the_others_turns_it_is_the_plan_again(drawn):
    phase = planned(drawn)
    first = (Arm.HEAD,) * windows_in(phase)
    window_ns = -(-(drawn[-1] + 1) // len(first))
    head = interleave(phase, first, Arm.HEAD)
    skipped = head.offsets_ns // (2 * (window_ns + GAP_NS)) * (window_ns + 2 * GAP_NS)
    np.testing.assert_array_equal(head.offsets_ns - skipped, drawn)
    assert head.payloads is phase.payloads


@given(offsets, st.integers(0, 2**40), st.floats(0.03, 0.25))
def test_the_room_of_a_request_ends_where_the_other_arms_next_window_begins(drawn, seed, gap_s):
    phase = planned(drawn)
    first = plan_block(seed, 0, 1).first(0, windows_in(phase))
    turn_ns = -(-(drawn[-1] + 1) // len(first)) + round(gap_s * 1e9)
    owners = [owner for one in first for owner in (one, one.other)]
    sent = interleave(phase, first, Arm.HEAD, gap_s).offsets_ns
    expected = [
        next(
            (
                turn * turn_ns - int(at_ns)
                for turn in range(int(at_ns) // turn_ns + 1, len(owners))
                if owners[turn] is Arm.BASE
            ),
            NEVER_NS,
        )
        for at_ns in sent
    ]
    assert room_ns(phase, first, Arm.HEAD, gap_s).tolist() == expected


@given(st.floats(0, 100), st.integers(1, 5_000))
def test_windows_are_about_as_long_as_they_should_be_and_hold_enough(length_s, requests):
    phase = planned(np.linspace(0, length_s * 1e9, requests + 1)[1:])
    count = windows_in(phase)
    if count > 1:
        assert length_s / count >= 0.75 * WINDOW_S
        assert requests / count >= WINDOW_REQUESTS
    if requests >= (length_s / WINDOW_S + 1) * WINDOW_REQUESTS:
        assert length_s / count <= 1.5 * WINDOW_S


@pytest.mark.parametrize(
    ("arrivals", "cut"),
    [
        (Poisson(100.0), True),
        (Constant(100.0), True),
        (Gamma(100.0, 4.0), True),
        (Bursts(4, 0.5, 10.0, 0.25), False),
        (OnOff(100.0, 1.0, 1.0), False),
        (Ramp(1.0, 100.0), False),
        (ClosedLoop(4, 5.0), False),
    ],
)
def test_what_has_a_shape_in_time_is_not_cut(arrivals, cut):
    assert can_interleave(Phase("p", arrivals, requests=10)) is cut


def test_clients_that_leave_something_behind_are_not_cut():
    slow = (Disturbers(Behaviour.LEAVES, 0.1),)
    assert not can_interleave(Phase("p", Poisson(100.0), requests=10, disturbers=slow))


def test_only_the_phases_of_turns_are_moved():
    phases = (
        Phase("warm-up", Poisson(100.0), requests=50, measured=False),
        Phase("slot 1", Poisson(100.0), requests=200),
    )
    plan = draw_plan(Scenario("s", "d", phases, ()), [Payload("p", b"x", "text/plain")], 1)
    made = plan_of_arm(plan, {1: (Arm.HEAD, Arm.BASE, Arm.BASE)}, Arm.BASE)
    assert made.phases[0] is plan.phases[0]
    assert made.phases[1].offsets_ns[0] > plan.phases[1].offsets_ns[0]
    assert (made.payloads, made.seed, made.scenario) == (plan.payloads, plan.seed, plan.scenario)
