import dataclasses

import numpy as np
import pytest

from tailgate.harness.errors import LoadError, UsageError
from tailgate.harness.scenario.arrivals import ClosedLoop, Constant, Poisson
from tailgate.harness.scenario.payloads.payload import Payload
from tailgate.harness.scenario.plan import BODIES, HEADER, SCHEDULE, draw_plan, read_plan, write_plan
from tailgate.harness.scenario.ref import Ref
from tailgate.harness.scenario.scenario import Criterion, Phase, Scenario
from tailgate.harness.scenario.trace import Trace

SMALL = Payload("small", b"abc", "image/jpeg", weight=3.0)
LARGE = Payload("large", b"x" * 1000, "image/png", path="/other", headers=(("X-A", "1"), ("X-A", "2")))


def scenario(*phases, payloads=None):
    return Scenario("sample", "for tests", phases, (), payloads)


STEADY = Phase("steady", Poisson(100.0), requests=400)
WARM_UP = Phase("warm-up", Poisson(10.0), duration_s=2.0, measured=False)


def files(plan, directory):
    directory.mkdir()
    write_plan(plan, directory)
    return [(directory / name).read_bytes() for name in (HEADER, SCHEDULE, BODIES)]


def test_the_same_seed_gives_the_same_plan_byte_for_byte(tmp_path):
    first = files(draw_plan(scenario(WARM_UP, STEADY), [SMALL, LARGE], 2**80), tmp_path / "first")
    second = files(draw_plan(scenario(WARM_UP, STEADY), [SMALL, LARGE], 2**80), tmp_path / "second")
    other = files(draw_plan(scenario(WARM_UP, STEADY), [SMALL, LARGE], 3), tmp_path / "other")
    assert first == second
    assert first[1] != other[1]


def test_a_change_of_one_phase_moves_no_other():
    longer = dataclasses.replace(WARM_UP, duration_s=9.0)
    before = draw_plan(scenario(WARM_UP, STEADY), [SMALL, LARGE], 1).phases[1]
    after = draw_plan(scenario(longer, STEADY), [SMALL, LARGE], 1).phases[1]
    np.testing.assert_array_equal(before.offsets_ns, after.offsets_ns)
    np.testing.assert_array_equal(before.payloads, after.payloads)


def test_a_change_of_the_arrivals_leaves_the_order_of_payloads():
    steady = dataclasses.replace(STEADY, arrivals=Constant(5.0))
    before = draw_plan(scenario(STEADY), [SMALL, LARGE], 1).phases[0]
    after = draw_plan(scenario(steady), [SMALL, LARGE], 1).phases[0]
    np.testing.assert_array_equal(before.payloads, after.payloads)


def test_a_plan_survives_the_disk(tmp_path):
    plan = draw_plan(scenario(WARM_UP, STEADY), [SMALL, LARGE], 2**80)
    write_plan(plan, tmp_path)
    back = read_plan(tmp_path)
    assert (back.scenario, back.seed, back.payloads) == (plan.scenario, plan.seed, plan.payloads)
    for there, here in zip(back.phases, plan.phases, strict=True):
        assert there.name == here.name
        np.testing.assert_array_equal(there.offsets_ns, here.offsets_ns)
        np.testing.assert_array_equal(there.payloads, here.payloads)


def test_offsets_are_whole_nanoseconds_from_the_start_of_the_phase():
    phase = draw_plan(scenario(Phase("p", Constant(1000.0), requests=3)), [SMALL], 1).phases[0]
    assert phase.offsets_ns.tolist() == [0, 1_000_000, 2_000_000]
    assert phase.offsets_ns.dtype == np.int64
    assert phase.payloads.dtype == np.uint16


def test_payloads_are_drawn_by_weight():
    """Binomial(400, 3/4): 4.5 standard deviations are 39."""
    phase = draw_plan(scenario(STEADY), [SMALL, LARGE], 1).phases[0]
    assert np.count_nonzero(phase.payloads == 0) == pytest.approx(300, abs=39)


def test_a_payload_of_weight_0_is_never_drawn():
    plan = draw_plan(scenario(STEADY), [dataclasses.replace(SMALL, weight=0.0), LARGE], 1)
    assert set(plan.phases[0].payloads) == {1}


def test_a_scenario_names_the_payloads_it_wants():
    plan = draw_plan(scenario(STEADY, payloads=("large",)), [SMALL, LARGE], 1)
    assert plan.payloads == (LARGE,)


def test_a_trace_says_which_payload_goes_when():
    trace = Trace((0.0, 0.1, 0.2), ("large", "small", "large"))
    plan = draw_plan(scenario(Phase("p", trace, requests=2)), [SMALL, LARGE], 1)
    assert plan.phases[0].payloads.tolist() == [1, 0]


def test_a_closed_loop_survives_the_disk_and_is_as_long_as_its_limit(tmp_path):
    law = ClosedLoop(4, limit_s=7.0)
    plan = draw_plan(scenario(STEADY, Phase("probe", law, requests=9)), [SMALL], 1)
    write_plan(plan, tmp_path)
    steady, probe = read_plan(tmp_path).phases
    assert (steady.closed_loop, probe.closed_loop) == (None, law)
    assert probe.length_s == 7.0
    assert steady.length_s == steady.offsets_ns[-1] / 1e9


class Backwards:
    def draw(self, rng, *, requests, duration_s):
        return np.array([1.0, 0.0])


@pytest.mark.parametrize(
    ("case", "payloads", "message"),
    [
        (
            scenario(Phase("p", Poisson(Ref("rate")), requests=1)),
            [SMALL],
            r"resolve \['rate'\] before planning",
        ),
        (scenario(Phase("p", Poisson(1.0), duration_s=Ref("time_s"))), [SMALL], r"resolve \['time_s'\]"),
        (scenario(STEADY), [], "needs 1 to 65535 payloads, got 0"),
        (scenario(STEADY), [SMALL, SMALL], "payload names must be unique"),
        (scenario(STEADY, payloads=("medium",)), [SMALL], r"no payload 'medium'; there are \['small'\]"),
        (scenario(STEADY), [dataclasses.replace(SMALL, weight=0.0)], "all its payloads have weight 0"),
        (scenario(STEADY), [dataclasses.replace(SMALL, weight=-1.0)], "weight must be 0 or more, got -1"),
        (
            scenario(STEADY),
            [dataclasses.replace(SMALL, weight=float("nan"))],
            "weight must be 0 or more, got nan",
        ),
        (scenario(Phase("p", Trace((0.0,), ("huge",)), requests=1)), [SMALL], r"names payloads \['huge'\]"),
        (scenario(Phase("p", Trace((5.0,)), duration_s=1.0)), [SMALL], "gives no request within 1.0 s"),
        (scenario(Phase("p", Backwards(), requests=2)), [SMALL], "times that do not ascend"),
    ],
)
def test_what_cannot_be_planned_is_refused(case, payloads, message):
    with pytest.raises(UsageError, match=message):
        draw_plan(case, payloads, 1)


def test_a_plan_cut_short_is_refused(tmp_path):
    write_plan(draw_plan(scenario(STEADY), [SMALL], 1), tmp_path)
    (tmp_path / BODIES).write_bytes(b"ab")
    with pytest.raises(LoadError, match="does not fit its schedule and bodies"):
        read_plan(tmp_path)


def test_a_plan_of_another_format_is_refused(tmp_path):
    write_plan(draw_plan(scenario(STEADY), [SMALL], 1), tmp_path)
    header = (tmp_path / HEADER).read_text().replace('"format": 3', '"format": 4')
    (tmp_path / HEADER).write_text(header)
    with pytest.raises(LoadError, match="plan format 4, this harness reads 3"):
        read_plan(tmp_path)


def test_a_phase_that_is_relative_keeps_that_on_disk(tmp_path):
    phases = (STEADY, dataclasses.replace(STEADY, name="twice", relative_to="steady"))
    made = Scenario("sample", "for tests", phases, (Criterion("p95", 1.0, ("steady",)),))
    write_plan(draw_plan(made, [SMALL], 1), tmp_path)
    assert [phase.relative_to for phase in read_plan(tmp_path).phases] == [None, 0]
