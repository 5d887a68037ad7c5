"""The e-processes: fair at the promise, alarms that seldom accuse a gate which keeps it, and soon one which does not."""

import re
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.gate.drills import HEALTHY, LONG, SABOTAGED, WITHIN, first_alarm, pool, project, windows
from benchmarks.gate.simulation.effects import GATES
from benchmarks.gate.simulation.replay import RECORDING
from tailgate.harness.compare.blocks.row import read_rows
from tailgate.harness.compare.decision.design import plan_design
from tailgate.harness.drill.evidence import PROMISES, Seen, standings
from tailgate.harness.results.verdict import Verdict

PASS, FAIL, INCONCLUSIVE, INVALID = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.INVALID
promises = pytest.mark.parametrize("promise", PROMISES, ids=lambda one: one.text)


def capital(promise, events):
    return list(promise.capitals(events))[-1]


@promises
def test_the_bets_are_all_of_the_capital_and_on_worse_than_was_promised(promise):
    assert sum(promise.bets.values()) == pytest.approx(1)
    assert all(promise.most < q < 1 for q in promise.bets)
    assert capital(promise, []) == pytest.approx(1)


def test_all_promises_together_are_accused_falsely_at_most_once_in_a_hundred():
    assert sum(Fraction(str(one.alpha)) for one in PROMISES) == Fraction(1, 100)


@promises
@given(kept=st.floats(0, 1), before=st.lists(st.booleans(), max_size=30))
def test_while_the_promise_is_kept_the_capital_is_not_expected_to_grow_whatever_came_before(
    promise, kept, before
):
    p = kept * promise.most
    now = capital(promise, before)
    expected = p * capital(promise, [*before, True]) + (1 - p) * capital(promise, [*before, False])
    assert expected <= now * (1 + 1e-9)


def ever_accused(promise, p, drills):
    """Return the exact probability that independent events of probability p bring the capital to the alarm."""
    parts, accused = {0: 1.0}, 0.0
    for number in range(1, drills + 1):
        after = {}
        for events, probability in parts.items():
            for more, share in ((1, p), (0, 1 - p)):
                after[events + more] = after.get(events + more, 0.0) + probability * share
        parts = {}
        for events, probability in after.items():
            # The capital depends on the counts alone.
            capital = sum(
                weight * (q / promise.most) ** events * ((1 - q) / (1 - promise.most)) ** (number - events)
                for q, weight in promise.bets.items()
            )
            if capital >= promise.enough:
                accused += probability
            elif probability > 1e-12:
                parts[events] = probability
    return accused


@promises
def test_a_promise_that_is_just_kept_is_ever_accused_no_more_often_than_its_level(promise):
    assert ever_accused(promise, promise.most, 500) <= promise.alpha


@promises
def test_a_promise_that_is_well_kept_is_hardly_ever_accused(promise):
    assert ever_accused(promise, promise.most / 5, 500) <= promise.alpha / 5


def test_the_page_on_drills_lists_the_promises_with_their_levels():
    page = Path(__file__).parents[3] / "docs" / "how-to" / "drills.md"
    listed = re.findall(r"^\| (.*)\. \| ([\d.]+) % \|$", page.read_text("utf-8"), re.MULTILINE)
    shown = [(text[0].lower() + text[1:], Fraction(level) / 100) for text, level in listed]
    assert shown == [(one.text[0].lower() + one.text[1:], Fraction(str(one.alpha))) for one in PROMISES]


def seen(case, verdict, *failing):
    return Seen(case, verdict, failing)


def broken(*drills):
    return [one.promise.text for one in standings(drills) if one.alarm]


def test_two_misses_of_a_case_that_was_never_caught_are_enough_and_so_are_two_false_alarms_in_four():
    miss, caught = seen("all-5", INCONCLUSIVE), seen("all-5", FAIL, "cpu")
    assert broken(miss) == []
    assert broken(miss, miss) == ["5 % more of all work FAILs in at least 95 % of runs"]
    assert broken(caught, caught, miss) == []
    alarm, quiet = seen("unchanged", FAIL, "p95"), seen("unchanged", PASS)
    assert broken(alarm, quiet) == []
    assert broken(quiet, alarm, quiet, alarm) == ["base against base FAILs in at most 1 % of runs"]


def test_an_alarm_stays_however_many_drills_are_right_afterwards():
    miss, caught = seen("stall", PASS), seen("stall", FAIL, "p99")
    assert broken(miss, miss, *[caught] * 50) == ["a stall of 1 in 50 FAILs in at least 95 % of runs"]


def test_drills_that_are_invalid_say_nothing_of_the_gate_until_there_are_too_many():
    void = seen("all-5", INVALID)
    assert broken(void, void) == []
    assert broken(*[void] * 6) == ["at most 20 % of drills are INVALID"]
    (_, of_all, _, _) = standings([void])
    assert (of_all.drills, of_all.against) == (0, 0)


@pytest.fixture(scope="module")
def replayed():
    design = plan_design(GATES)
    return windows(read_rows(RECORDING), design)[::6], design


def test_a_healthy_gate_is_not_accused_in_a_thousand_replayed_drills(replayed):
    drills = project(pool(HEALTHY, *replayed), seed=1)
    seen = [one for one, _ in zip(drills, range(LONG), strict=False)]
    assert len(seen) == LONG
    assert broken(*seen) == []


@pytest.mark.parametrize("gate", SABOTAGED, ids=lambda one: one.name)
def test_a_sabotaged_gate_is_exposed_within_ten_replayed_drills(gate, replayed):
    said = pool(gate, *replayed)
    assert None not in [first_alarm(project(said, seed), WITHIN) for seed in range(20)]
