"""The design: alpha shared by all that gates, and a first look that the exact test can use."""

import pytest

from tailgate.harness.compare.decision.design import LOOKS, plan_design
from tailgate.harness.compare.decision.signed_rank import least_n
from tailgate.harness.compare.decision.spending import nominal_levels
from tailgate.harness.compare.lens import LENSES, override
from tailgate.harness.errors import UsageError


def test_alpha_is_split_over_all_gating_lenses_of_all_scenarios():
    design = plan_design(LENSES, scenarios=3)
    assert design.gates == 15
    sizes = tuple(look.blocks for look in design.looks)
    assert tuple(look.fail_level for look in design.looks) == nominal_levels(sizes, 0.01 / 15)
    assert tuple(look.pass_level for look in design.looks) == nominal_levels(sizes, 0.05)


def test_a_lens_that_is_only_reported_takes_no_share():
    alone = plan_design(override(LENSES, ["cpu=report", "p50=report", "p99=report", "error_rate=report"]))
    assert alone.gates == 1
    assert alone.looks[0].fail_level > 4 * plan_design().looks[0].fail_level


@pytest.mark.parametrize("scenarios", [1, 2, 3, 10, 40])
def test_the_exact_test_can_reject_at_every_first_look(scenarios):
    design = plan_design(scenarios=scenarios)
    assert least_n(design.looks[0].fail_level) <= design.looks[0].blocks


def test_a_single_scenario_is_looked_at_as_simulated():
    design = plan_design()
    assert tuple(look.blocks for look in design.looks) == LOOKS
    assert design.blocks == LOOKS[-1]
    assert (design.max_void_blocks + 1) / (design.max_void_blocks + 1 + design.blocks) > design.max_void_share


def test_a_first_look_too_small_for_the_exact_test_is_refused_with_the_least_that_would_do():
    with pytest.raises(UsageError, match=r"first look has 5 blocks.*look first at 1\d blocks or more"):
        plan_design(blocks=(5, 30))


def test_without_a_gate_there_is_nothing_to_design():
    with pytest.raises(UsageError, match="p95=gate"):
        plan_design([lens for lens in LENSES if not lens.gates])
