"""Which blocks are void: by signals that do not know the outcome, and by no other."""

import os
from types import SimpleNamespace

import pytest

from tailgate.harness.compare.blocks.disturbance import disturbance_of, one_arm_late
from tailgate.harness.observe.machine import MachineDelta
from tailgate.harness.observe.window import PhaseRecord
from tailgate.harness.scenario.arrivals import Constant
from tailgate.harness.scenario.scenario import Phase
from tailgate.harness.testing import samples

MEASURED = Phase("slot 1", Constant(100.0), requests=10)
WARM_UP = Phase("warm-up", Constant(100.0), requests=10, measured=False)


def slot(phase=MEASURED, *, at_s=0.0, lag_s=0.0, latency_s=0.01, cpu_s=1.0, pressure=0.0, **machine):
    """One slot of 10 s on two processors: the server uses 1 s, the generator 1 s, the rest is idle unless told."""
    shares = {"steal_share": 0.0, "idle_share": 0.9} | machine
    used = MachineDelta(
        seconds=10.0, stalled_share={"cpu": pressure}, load_1min=None, process_cpu_s=cpu_s, **shares
    )
    record = PhaseRecord(phase, samples([latency_s] * 10, lag_s=lag_s))
    report = SimpleNamespace(cpu_here_s=1.0, start_ns=round(at_s * 1e9), end_ns=round((at_s + 10.0) * 1e9))
    return SimpleNamespace(phases=(record,), reports=(report,), machines=(used,))


def after(**changes):
    """One slot of the other arm, after the first."""
    return slot(at_s=11.0, **changes)


@pytest.fixture(autouse=True)
def two_processors(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)


def of(*slots):
    return disturbance_of(slots)


@pytest.mark.parametrize(
    ("slots", "why"),
    [
        ([slot(), after()], None),
        (
            [slot(steal_share=0.3), after()],
            "the hypervisor took 15% of the processors' time, allowed are 10%",
        ),
        ([slot(steal_share=0.15), after()], None),
        ([slot(idle_share=0.1), after(idle_share=0.2)], "other programs used 75% of the processors' time"),
        (
            [slot(lag_s=0.03), after(lag_s=0.02)],
            "the generator was late in both arms: p99 of its lag is 20.0 ms or more, allowed are 10 ms",
        ),
        # One arm alone may be late because its server is slow.
        ([slot(lag_s=0.02), after()], None),
        # What a slow server does is no reason.
        ([slot(latency_s=9.0), after()], None),
        ([slot(cpu_s=18.0, idle_share=0.0), after()], None),
        ([slot(pressure=1.0), after(pressure=1.0)], None),
        # Nor is what both arms used while they ran together: neither's is foreign to the other.
        ([slot(cpu_s=9.0, idle_share=0.0), slot(cpu_s=9.0, idle_share=0.0)], None),
        ([slot(idle_share=0.1), slot(idle_share=0.2)], "other programs used 65% of the processors' time"),
        # Nor is what cannot be seen, or was before the load.
        ([slot(steal_share=None, idle_share=None, cpu_s=None), slot()], None),
        ([slot(WARM_UP, steal_share=1.0), slot()], None),
    ],
)
def test_a_block_is_void_by_what_does_not_know_the_outcome(slots, why):
    void = of(*slots).void
    assert (void is None) if why is None else void.startswith(why)


def test_the_signals_are_means_by_time_over_both_arms():
    seen = of(slot(steal_share=0.02, pressure=0.5), after(steal_share=None, pressure=0.1))
    assert seen.steal_share == pytest.approx(0.02)
    assert seen.cpu_pressure_share == pytest.approx(0.3)
    assert seen.load_s == 20.0


def test_load_of_both_arms_at_the_same_time_counts_once():
    seen = of(slot(), slot(at_s=0.5), slot(at_s=20.0), slot(at_s=30.0))
    assert seen.load_s == pytest.approx(10.5 + 10.0 + 10.0)


def test_what_others_used_is_told_of_pairs_and_of_slots_alike():
    # Of 20 processor seconds 8 are busy: one generator and server have 2 of them, or both arms' 4.
    assert of(slot(idle_share=0.6), after(idle_share=0.6)).foreign_share == pytest.approx(0.3)
    assert of(slot(idle_share=0.6), slot(idle_share=0.6)).foreign_share == pytest.approx(0.2)
    assert of(slot(idle_share=0.6), slot(idle_share=0.6, cpu_s=None)).foreign_share is None


def test_nothing_measured_is_nothing_seen():
    seen = of()
    assert (seen.steal_share, seen.foreign_share, seen.late, seen.void) == (None, None, (), None)


def test_an_arm_whose_generator_alone_was_late_in_most_late_blocks_is_told():
    neither, head = {"base": False, "head": False}, {"base": False, "head": True}
    base, both = {"base": True, "head": False}, {"base": True, "head": True}
    assert one_arm_late([neither] * 9) == ""
    assert one_arm_late([head, base, both, neither]) == ""
    told = one_arm_late([head, head, both, neither])
    assert told.startswith("the generator was late for head alone (p99 beyond 10 ms) in 2 of the 3 blocks")
    assert of(slot(lag_s=0.02), after()).late == (True, False)
