"""Decisions over made-up blocks: each verdict, each look, and what a swap or a later block may not change."""

import dataclasses
import math

import pytest
from comparison_rows import arm, row, rows
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.gate.rows import swapped
from tailgate.harness.compare.decision.decision import judge
from tailgate.harness.compare.decision.design import plan_design
from tailgate.harness.compare.decision.lens_result import judge_lens
from tailgate.harness.compare.lens import LENSES, find_lens, override
from tailgate.harness.results.verdict import Verdict

GATES = tuple(lens for lens in LENSES if lens.gates)
DESIGN = plan_design()
FIRST, SECOND, *_, LAST = (look.blocks for look in DESIGN.looks)


def result(decision, name):
    return next(each for each in decision.results if each.lens.name == name)


def test_an_unchanged_service_passes_at_the_first_look():
    decision = judge(rows(LAST, sigma=0.5), DESIGN, GATES)
    assert (decision.verdict, decision.look, decision.blocks) == (Verdict.PASS, 1, FIRST)
    assert decision.finished
    assert decision.next_look_blocks is None
    assert decision.load_s == 16.0 * FIRST
    assert decision.reason.startswith("within: ")


def test_a_service_slower_by_a_tenth_fails_and_says_by_how_much_at_least():
    decision = judge(rows(LAST, worse=1.1), DESIGN, GATES)
    cpu = result(decision, "cpu")
    assert decision.verdict is cpu.verdict is Verdict.FAIL
    assert cpu.change == pytest.approx(1.1, abs=0.03)
    assert 1 < cpu.low < cpu.change < cpu.high
    assert cpu.low_level <= DESIGN.looks[0].fail_level
    assert cpu.reason.startswith("beyond: CPU time per request of head is at least ")
    assert decision.reason.startswith("beyond: ")
    assert "likewise p50" in decision.reason


def test_a_faster_service_passes_and_is_called_faster():
    decision = judge(rows(LAST, worse=0.8), DESIGN, GATES)
    assert decision.verdict is Verdict.PASS
    assert "CPU time per request improved: head has at least" in result(decision, "cpu").reason
    assert "less than base" in result(decision, "cpu").reason


def test_noise_beyond_the_tolerance_stays_undecided_and_says_what_could_have_been_seen():
    decision = judge(rows(LAST, sigma=6, seed=4), DESIGN, GATES)
    p95 = result(decision, "p95")
    assert decision.verdict is p95.verdict is Verdict.INCONCLUSIVE
    assert decision.finished
    assert p95.look == len(DESIGN.looks)
    assert p95.mde > p95.lens.tolerance
    assert p95.further_blocks > 0
    assert "could have been seen" in p95.reason


def test_a_change_that_is_sure_but_tolerated_fails_until_a_margin_allows_it():
    surely = [row(index, head=arm(1.01)) for index in range(FIRST)]
    assert judge(surely, DESIGN, GATES).verdict is Verdict.FAIL
    allowed = override(GATES, [f"{name}.margin=2%" for name in ("cpu", "p50", "p95", "p99")])
    assert judge(surely, DESIGN, allowed).verdict is Verdict.PASS


def test_before_the_first_look_nothing_is_decided():
    decision = judge(rows(FIRST - 1), DESIGN, GATES)
    assert (decision.verdict, decision.finished, decision.look) == (Verdict.INCONCLUSIVE, False, 0)
    assert decision.next_look_blocks == FIRST
    assert f"{FIRST - 1} good blocks so far" in decision.reason
    assert judge([], DESIGN, GATES).verdict is Verdict.INCONCLUSIVE


def test_a_lens_that_was_decided_stays_decided_whatever_follows():
    # p50 is quiet and passes at once; cpu is so noisy that the run goes on; then p50 doubles.
    noisy = [math.exp(0.1 * (-1) ** index) for index in range(LAST)]
    blocks = [
        row(index, head=arm(cpu_s=7.0 * each, p50_s=0.010 * (2 if index >= FIRST else 1)))
        for index, each in enumerate(noisy)
    ]
    decision = judge(blocks, DESIGN, GATES)
    assert decision.look > 1
    assert (result(decision, "p50").verdict, result(decision, "p50").look) == (Verdict.PASS, 1)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1.0, 1.03, 1.1]), st.sampled_from([0.5, 1.0, 3.0]))
def test_rows_beyond_the_look_that_finished_change_nothing(seed, worse, sigma):
    blocks = rows(LAST, worse, seed, sigma)
    whole = judge(blocks, DESIGN, GATES)
    asked = (judge(blocks[:count], DESIGN, GATES) for count in range(LAST + 1))
    assert next(decision for decision in asked if decision.finished) == whole


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1.0, 1.05, 1.2]))
def test_swapping_base_and_head_inverts_the_ratio_and_its_bounds(seed, worse):
    blocks = rows(FIRST, worse, seed)
    # Equal levels on both sides, so that the interval mirrors.
    look = dataclasses.replace(DESIGN.looks[0], pass_level=DESIGN.looks[0].fail_level)
    for name in ("cpu", "p50", "p95", "p99"):
        one = judge_lens(find_lens(name), blocks, look)
        other = judge_lens(find_lens(name), [swapped(block) for block in blocks], look)
        assert other.change == pytest.approx(1 / one.change)
        assert (other.low, other.high) == (pytest.approx(1 / one.high), pytest.approx(1 / one.low))
        assert {one.verdict, other.verdict} != {Verdict.FAIL}


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.01, 100))
def test_a_machine_that_is_slower_by_any_factor_for_both_changes_nothing(seed, factor):
    def scaled(one):
        times = {name: getattr(one, name) * factor for name in ("cpu_s", "p50_s", "p95_s", "p99_s")}
        return dataclasses.replace(one, **times)

    blocks = rows(FIRST, 1.04, seed)
    slower = [dataclasses.replace(each, base=scaled(each.base), head=scaled(each.head)) for each in blocks]
    for before, after in zip(
        judge(blocks, DESIGN, GATES).results, judge(slower, DESIGN, GATES).results, strict=True
    ):
        assert after.verdict is before.verdict
        assert after.change == pytest.approx(before.change)


def test_where_more_is_better_less_fails_and_more_passes():
    gates = override(LENSES, ["capacity=gate"])
    lens = find_lens("capacity", gates)
    for share, verdict in ((0.8, Verdict.FAIL), (1.0, Verdict.PASS), (1.3, Verdict.PASS)):
        blocks = [
            row(index, arm(capacity_per_s=100.0), arm(capacity_per_s=100.0 * share)) for index in range(FIRST)
        ]
        found = judge_lens(lens, blocks, DESIGN.looks[0])
        assert found.verdict is verdict
        assert found.low == found.change == found.high == pytest.approx(share)
    assert judge_lens(lens, blocks, DESIGN.looks[0]).reason.endswith("at least 30 % more than base")


def test_failures_of_head_in_every_block_fail_by_the_error_rate():
    blocks = [
        dataclasses.replace(each, head=dataclasses.replace(each.head, failed=3)) for each in rows(FIRST)
    ]
    decision = judge(blocks, DESIGN, GATES)
    assert result(decision, "error_rate").verdict is Verdict.FAIL
    assert "percentage points more" in result(decision, "error_rate").reason


def test_a_head_that_answers_nothing_in_time_fails_at_the_first_look():
    dead = arm(failed=700, p50_s=math.inf, p95_s=math.inf, p99_s=math.inf)
    decision = judge([row(index, head=dead) for index in range(FIRST)], DESIGN, GATES)
    p95 = result(decision, "p95")
    assert (decision.verdict, p95.verdict, p95.change) == (Verdict.FAIL, Verdict.FAIL, math.inf)


def test_where_most_requests_of_both_arms_fail_a_quantile_says_nothing():
    dead = arm(failed=50, p99_s=math.inf)
    gates = override(GATES, ["error_rate=report"])
    decision = judge([row(index, dead, dead) for index in range(FIRST)], DESIGN, gates)
    assert result(decision, "p99").verdict is Verdict.INVALID
    assert decision.verdict is Verdict.INVALID
    assert decision.finished


def test_a_lens_unseen_in_a_few_blocks_goes_by_the_others():
    blocks = rows(FIRST, sigma=0.3)
    for index in (2, 5):
        blocks[index] = dataclasses.replace(blocks[index], base=arm(cpu_s=None))
    cpu = result(judge(blocks, DESIGN, GATES), "cpu")
    assert (cpu.verdict, cpu.n, cpu.missing) == (Verdict.PASS, FIRST - 2, 2)


def test_a_gating_lens_that_saw_nothing_is_invalid_and_says_how_to_leave_it_out():
    blocks = [row(index, arm(cpu_s=None), arm(cpu_s=None)) for index in range(FIRST)]
    decision = judge(blocks, DESIGN, GATES)
    assert decision.verdict is Verdict.INVALID
    assert "cpu=report" in decision.reason
    assert judge(blocks, DESIGN, override(GATES, ["cpu=report"])).verdict is Verdict.PASS


def test_void_blocks_count_towards_no_look():
    good = rows(FIRST, sigma=0.3)
    mixed = [row(0, void="steal"), *good[:5], row(6, void="steal"), *good[5:]]
    decision = judge(mixed, DESIGN, GATES)
    assert (decision.verdict, decision.blocks, decision.voided) == (Verdict.PASS, FIRST, 2)
    assert decision.results == judge(good, DESIGN, GATES).results
    assert decision.load_s == pytest.approx(16 * (FIRST + 2))


def test_a_look_with_too_many_void_blocks_decides_nothing_and_a_calmer_one_does():
    good = rows(LAST, sigma=0.3)
    disturbed = [row(index, void="steal") for index in range(6)] + good[:FIRST]
    decision = judge(disturbed, DESIGN, GATES)
    assert (decision.verdict, decision.finished, decision.look) == (Verdict.INCONCLUSIVE, False, 1)
    assert judge([*disturbed, *good[FIRST:SECOND]], DESIGN, GATES).verdict is Verdict.PASS


@pytest.mark.parametrize("worse", [1.0, 2.0])
def test_too_many_void_blocks_are_invalid_and_never_pass(worse):
    void = [row(index, void="steal") for index in range(DESIGN.max_void_blocks + 1)]
    decision = judge([*void, *rows(FIRST - 1, worse)], DESIGN, GATES)
    assert (decision.verdict, decision.finished) == (Verdict.INVALID, True)
    assert decision.reason.startswith("noise: 13 of 24 blocks are void")


@pytest.mark.parametrize(
    ("spilled", "latency", "cpu"),
    [
        (None, Verdict.PASS, Verdict.PASS),
        (14, Verdict.PASS, Verdict.PASS),
        (15, Verdict.INCONCLUSIVE, Verdict.PASS),
    ],
)
def test_a_latency_does_not_pass_where_many_answers_ended_in_the_other_arms_window(spilled, latency, cpu):
    # Of 700 requests of each arm 14 are 2 %.
    made = rows(FIRST, sigma=0.3)
    made = [
        dataclasses.replace(
            one,
            base=dataclasses.replace(one.base, spilled=spilled),
            head=dataclasses.replace(one.head, spilled=spilled),
        )
        for one in made
    ]
    decision = judge(made, DESIGN, GATES)
    assert (result(decision, "p50").verdict, result(decision, "cpu").verdict) == (latency, cpu)
    if latency is Verdict.INCONCLUSIVE:
        assert result(decision, "p50").reason.startswith(
            "spilled: 2.1% of the answers ended in the other arm's window, 2% may"
        )
        slower = [dataclasses.replace(one, head=dataclasses.replace(one.head, p50_s=1.0)) for one in made]
        assert result(judge(slower, DESIGN, GATES), "p50").verdict is Verdict.FAIL


def test_a_lens_on_times_within_answers_is_left_out_where_there_are_none_unless_it_gates():
    plain = rows(12)
    names = [result.lens.name for result in judge(plain, plan_design(LENSES)).results]
    assert {"ttfb_p95", "ttft_p95", "gap_p99"}.isdisjoint(names)
    seen = [dataclasses.replace(one, head=dataclasses.replace(one.head, ttft_p95_s=0.1)) for one in plain]
    assert "ttft_p95" in [result.lens.name for result in judge(seen, plan_design(LENSES)).results]
    gating = override(LENSES, ["gap_p99=gate"])
    found = {result.lens.name: result for result in judge(plain, plan_design(gating), gating).results}
    assert found["gap_p99"].verdict is Verdict.INVALID
    assert "it needs 500 such times an arm and block, and answers that have them" in found["gap_p99"].reason
