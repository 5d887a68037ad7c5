"""Power by normal approximation, held to seeded simulation of the exact decision."""

import math

import numpy as np
import pytest
from comparison_rows import arm, row

from tailgate.harness.compare.decision.decision import judge
from tailgate.harness.compare.decision.design import plan_design
from tailgate.harness.compare.decision.power import detectable, prospect, smallest_change
from tailgate.harness.compare.lens import find_lens, override
from tailgate.harness.results.verdict import Verdict
from tailgate.harness.statistics import share_interval

DESIGN = plan_design()
P95 = find_lens("p95")


@pytest.mark.parametrize(("sigma", "change"), [(0.05, 0.05), (0.08, 0.10), (0.10, 0.0)])
def test_the_prospect_is_what_the_exact_decision_does(sigma, change):
    random, runs = np.random.default_rng(1), 400
    fails = passes = 0
    for _ in range(runs):
        heads = 0.02 * (1 + change) * np.exp(random.normal(0, sigma, DESIGN.blocks))
        decision = judge(
            [row(index, head=arm(p95_s=float(each))) for index, each in enumerate(heads)], DESIGN, [P95]
        )
        fails += decision.verdict is Verdict.FAIL
        passes += decision.verdict is Verdict.PASS
    expected = prospect(DESIGN, P95, sigma, change)
    # Student's critical values are a little too cautious where FAIL and PASS compete.
    assert -0.06 <= fails / runs - expected.fails[-1] <= 0.12
    assert -0.12 <= passes / runs - expected.passes[-1] <= 0.06
    if change == P95.tolerance:
        assert share_interval(passes, runs, 0.999).low <= DESIGN.beta


def test_without_a_change_fail_is_no_commoner_than_this_lenss_share_of_alpha():
    assert prospect(DESIGN, P95, 0.3, 0.0).fails[-1] <= 0.01 / 5


def test_a_change_as_large_as_the_tolerance_passes_no_more_often_than_beta():
    for sigma in (0.02, 0.08, 0.3):
        assert prospect(DESIGN, P95, sigma, 0.10).passes[-1] <= 0.05 + 1e-6


def test_the_smallest_change_has_the_power_it_is_asked_for():
    change = smallest_change(DESIGN, P95, 0.1)
    assert prospect(DESIGN, P95, 0.1, change).fails[-1] == pytest.approx(0.95, abs=1e-3)
    assert smallest_change(DESIGN, P95, 0.2) > change
    (capacity,) = override([find_lens("capacity")], ["capacity=gate"])
    assert 0 < smallest_change(DESIGN, capacity, 0.05) < 1
    assert smallest_change(DESIGN, capacity, 20.0) == math.inf


def test_four_times_the_blocks_see_half_the_change():
    once, fourfold = (detectable(0.16 / math.sqrt(blocks), blocks, 0.001) for blocks in (100, 400))
    assert fourfold == pytest.approx(once / 2, rel=0.05)
