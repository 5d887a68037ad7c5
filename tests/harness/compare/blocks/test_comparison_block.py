"""One block: both arms fresh, the same requests, stages that sum to the latency, and what makes it broken."""

import contextlib
import functools
import itertools
import os
import signal
from dataclasses import replace

import benches
import numpy as np
import pytest

from tailgate.harness.compare.blocks.block import measure_block
from tailgate.harness.compare.blocks.observation import stages_s
from tailgate.harness.compare.blocks.schedule import Arm, plan_block
from tailgate.harness.compare.load import CAPACITY
from tailgate.harness.compare.processors import Sharing
from tailgate.harness.errors import TargetError
from tailgate.harness.load import Generator
from tailgate.harness.load.many.engine import built_in_engine
from tailgate.harness.load.many.generators import Generators
from tailgate.harness.load.records.samples import Outcome
from tailgate.harness.observe.slot import Course
from tailgate.harness.results.fault import Cause
from tailgate.harness.scenario.arrivals import ClosedLoop, Constant
from tailgate.harness.scenario.changing_rates import Steps
from tailgate.harness.scenario.scenario import Phase, Scenario
from tailgate.harness.testing import fake_server_spec, samples
from tailgate.harness.verdict import generators

HERE = tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else ()
PAIRS = 2
SLOTS = tuple(Phase(f"slot {pair}", Constant(500.0), requests=20) for pair in range(PAIRS))
SCENARIO = Scenario(
    "tiny", "few", (Phase("warm-up", Constant(500.0), requests=5, measured=False), *SLOTS), ()
)


@pytest.fixture
def bench(tmp_path):
    """Return a function that makes the ground of blocks between two servers of these specifications."""

    def make(base=None, head=None, *, capacity=False, scenario=SCENARIO):
        if capacity:
            probe = Phase(CAPACITY, ClosedLoop(4, 5.0), requests=30, measured=False)
            scenario = replace(SCENARIO, phases=(*SCENARIO.phases, probe))
        return benches.bench_of(
            tmp_path, scenario, base or fake_server_spec(0.5), head or fake_server_spec(0.5)
        )

    return make


def test_a_block_loads_fresh_arms_in_turn_with_the_same_requests(bench, tmp_path):
    plan = plan_block(3, 0, PAIRS)
    record = measure_block(plan, bench())
    assert record.faults == ()
    block = record.block
    for arm, seen in ((Arm.BASE, block.base), (Arm.HEAD, block.head)):
        assert (seen.requests, seen.failed) == (40, 0)
        assert seen.p50_s > 0
        assert seen.cpu_s > 0
        assert seen.start_up_s > 0
        assert seen.peak_rss_bytes > 0
        assert sum(seen.stages_s["mean"].values()) == pytest.approx(seen.mean_s, abs=1e-6)
        assert (tmp_path / f"tiny-{arm.value}-0" / "samples.bin").is_file()
    assert (block.run, block.index) == ("r", 0)
    assert 0 < block.load_s < block.wall_s
    offsets = [slot.phases[1].samples["request"].tolist() for slot in record.slots.values()]
    assert offsets[0] == offsets[1]


def test_each_arm_may_have_many_generators_which_send_what_one_would(bench):
    generate = functools.partial(Generators, built_in_engine("processes:2"))
    record = measure_block(plan_block(3, 0, PAIRS), replace(bench(), generate=generate))
    assert record.faults == ()
    for slot in record.slots.values():
        assert [phase.samples["request"].tolist() for phase in slot.phases[1:]] == [[*range(20)]] * PAIRS
        assert [[part.requests for part in report.parts] for report in slot.reports[1:]] == [[10, 10]] * PAIRS


def test_a_clock_that_is_not_known_well_enough_breaks_a_block(bench, monkeypatch):
    monkeypatch.setattr(generators, "DRIFT_MOST", -1.0)
    generate = functools.partial(Generators, built_in_engine("processes:1"))
    record = measure_block(plan_block(3, 0, PAIRS), replace(bench(), generate=generate))
    assert "base, phase 'slot 0', generator 'process-1': its clock may run" in {
        fault.text.partition(" 0.000%")[0] for fault in record.faults
    }


@pytest.mark.skipif(len(HERE) < 2, reason="one processor cannot be shared out")
def test_both_arms_are_loaded_on_the_same_processor_and_their_generators_on_others(bench, monkeypatch):
    seen = []
    run_phase = Course.run_phase

    def watch(course, index, generator, *rest):
        where = [os.sched_getaffinity(pid) for pid in (*course._running.pids, *generator.pids)]
        seen.append((*where, os.sched_getaffinity(0)))
        return run_phase(course, index, generator, *rest)

    monkeypatch.setattr(Course, "run_phase", watch)
    ground = replace(bench(), sharing=Sharing(HERE, 1))
    for index in (0, 2):
        record = measure_block(plan_block(3, index, PAIRS), ground)
        assert record.faults == ()
        split = ground.sharing.split(index)
        assert seen == [(split.servers, split.harness, split.harness)] * 6
        assert record.block.processors == 1
        seen.clear()
    assert tuple(sorted(os.sched_getaffinity(0))) == HERE


def letters(record):
    """Return whose request each one of a block's measured ones was, in the order of their intended times."""
    sent = sorted(
        (int(intended_ns), arm.value[0])
        for arm, slot in record.slots.items()
        for phase in slot.phases
        if phase.phase.measured
        for intended_ns in phase.samples["intended_ns"]
    )
    return [letter for _, letter in sent]


def in_turn(order, requests):
    """Return the letters of so many requests a window."""
    return [letter for letter in order.replace(" ", "") for _ in range(requests)]


def test_a_constant_rate_is_sent_in_windows_by_turns_from_a_common_start(bench):
    slots = tuple(replace(slot, arrivals=Constant(50.0), requests=50) for slot in SLOTS)
    scenario = replace(SCENARIO, phases=(SCENARIO.phases[0], *slots))
    plan, ground = plan_block(3, 0, PAIRS), bench(scenario=scenario)
    record = measure_block(plan, ground)
    assert record.faults == ()
    # 50 requests in 0.98 s are two windows of 25.
    assert record.block.order == plan.order((2, 2))
    assert letters(record) == in_turn(record.block.order, 25)
    base, head = (slot.reports[1:] for slot in record.slots.values())
    assert [one.start_ns for one in base] == [one.start_ns for one in head]
    # Time in which both arms were under way is load once.
    both_s = [max(one.wall_s for one in pair) for pair in zip(base, head, strict=True)]
    assert record.block.load_s == pytest.approx(sum(both_s))


def test_a_shape_in_time_is_sent_whole_one_arm_after_the_other(bench):
    slots = tuple(replace(slot, arrivals=Steps((400.0, 800.0), 0.01)) for slot in SLOTS)
    plan = plan_block(3, 0, PAIRS)
    record = measure_block(plan, bench(scenario=replace(SCENARIO, phases=(SCENARIO.phases[0], *slots))))
    assert record.faults == ()
    assert record.block.order == plan.order((1, 1))
    assert letters(record) == in_turn(record.block.order, 20)
    ends = sorted(
        (report.start_ns, report.end_ns) for slot in record.slots.values() for report in slot.reports
    )
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(ends))


def test_a_probe_of_capacity_comes_last_and_is_in_no_latency(bench):
    ground = bench(capacity=True)
    record = measure_block(plan_block(3, 0, PAIRS), ground)
    assert record.faults == ()
    for seen in (record.block.base, record.block.head):
        assert seen.capacity_per_s > 0
        assert seen.requests == 40


def test_every_block_has_fresh_processes(bench):
    ground, seen = bench(), []
    with pytest.MonkeyPatch.context() as patch:
        run_phase = Course.run_phase

        def watched(course, *arguments):
            seen.append(course._running.pids[0])
            run_phase(course, *arguments)

        patch.setattr(Course, "run_phase", watched)
        for index in range(2):
            measure_block(plan_block(3, index, PAIRS), ground)
    assert len(set(seen)) == 4
    for pid in set(seen):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_an_arm_that_does_not_start_is_named_and_the_other_is_stopped(bench):
    ground = bench(head="command:sh -c 'exit 3' {port}")
    with pytest.raises(TargetError, match=r"head: .* ended with exit status 3"):
        measure_block(plan_block(3, 0, PAIRS), ground)


def test_a_server_that_dies_under_load_makes_the_block_broken_and_names_the_arm(bench, monkeypatch):
    run_phase = Course.run_phase

    def killed(course, index, *arguments):
        if course._slot.arm == "head" and index == 1:
            os.kill(course._running.pids[0], signal.SIGKILL)
        run_phase(course, index, *arguments)

    monkeypatch.setattr(Course, "run_phase", killed)
    record = measure_block(plan_block(3, 0, PAIRS), bench())
    assert record.faults[0].cause is Cause.INTEGRITY
    assert record.faults[0].text.startswith("head's server died under load")


def test_an_interruption_stops_both_arms(bench, monkeypatch):
    pids = []

    def interrupted(course, *_):
        pids.append(course._running.pids[0])
        raise KeyboardInterrupt

    monkeypatch.setattr(Course, "run_phase", interrupted)
    with contextlib.suppress(KeyboardInterrupt):
        measure_block(plan_block(3, 0, PAIRS), bench())
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


@pytest.fixture
def endless(bench):
    """Return the ground of blocks whose one pair is interleaved and takes ten minutes."""
    slot = Phase("slot 1", Constant(50.0), duration_s=600.0)
    return bench(scenario=replace(SCENARIO, phases=(SCENARIO.phases[0], slot)))


def test_a_generator_that_dies_ends_the_other_arms_load_too(endless, monkeypatch):
    run_phase = Generator.run_phase

    def killed(generator, index, *arguments):
        if index == 1 and generator._directory.name == "tiny-head-0":
            os.kill(*generator.pids, signal.SIGKILL)
        return run_phase(generator, index, *arguments)

    monkeypatch.setattr(Generator, "run_phase", killed)
    record = measure_block(plan_block(3, 0, 1), endless)
    assert record.faults[0].text.startswith("block 1: the load generator")
    assert "exit status -9" in record.faults[0].text
    assert [len(slot.phases) for slot in record.slots.values()] == [1, 1]


def test_an_interruption_under_the_load_of_both_arms_stops_both(endless, monkeypatch):
    pids, phases, run_phase = [], itertools.count(1), Generator.run_phase

    def interrupted(generator, index, *arguments):
        pids.extend(generator.pids)
        if next(phases) == 4:
            os.kill(os.getpid(), signal.SIGINT)
        return run_phase(generator, index, *arguments)

    monkeypatch.setattr(Generator, "run_phase", interrupted)
    with pytest.raises(KeyboardInterrupt):
        measure_block(plan_block(3, 0, 1), endless)
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_stages_sum_to_the_latency_and_are_unknown_where_nobody_told():
    made = samples([0.010, 0.020, 0.030], outcomes=[Outcome.OK, Outcome.OK, Outcome.TIMEOUT])
    assert stages_s(made) == {}
    for stage in ("queue_s", "decode_s", "compute_s", "encode_s"):
        made[stage][0] = 0.002
    made["server_s"][0] = 0.009
    told = stages_s(made)
    assert list(told) == ["queue", "decode", "compute", "encode", "transport"]
    assert told["transport"][0] == pytest.approx(0.002)
    assert np.isnan([told[stage][1:] for stage in told]).all()
