"""The gap between windows: as long as base's answers take, within bounds."""

import benches
import pytest

from tailgate.harness.compare.blocks import bench
from tailgate.harness.compare.blocks.bench import find_gap_s
from tailgate.harness.compare.blocks.block import measure_block
from tailgate.harness.compare.blocks.interleave import GAP_S
from tailgate.harness.compare.blocks.schedule import plan_block
from tailgate.harness.errors import LoadError
from tailgate.harness.scenario.arrivals import Constant
from tailgate.harness.scenario.changing_rates import Steps
from tailgate.harness.scenario.scenario import Phase, Scenario
from tailgate.harness.testing import fake_server_spec

WARM_UP = Phase("warm-up", Constant(100.0), requests=2, measured=False)


EVEN = Constant(50.0)


def bench_of(folder, service_time_ms=1.0, arrivals=EVEN):
    scenario = Scenario("tiny", "few", (WARM_UP, Phase("slot 1", arrivals, requests=50)), ())
    spec = fake_server_spec(service_time_ms)
    return benches.bench_of(folder, scenario, spec, spec)


@pytest.mark.parametrize(
    ("seen_s", "gap_s"), [(0.002, GAP_S), (0.1, 0.1), (9.0, 0.245), (float("inf"), 0.245)]
)
def test_the_gap_is_what_an_answer_of_base_takes_within_its_bounds(tmp_path, monkeypatch, seen_s, gap_s):
    monkeypatch.setattr(bench, "_latency_s", lambda *_: seen_s)
    # Two windows of 0.49 s.
    assert find_gap_s(bench_of(tmp_path), 1) == pytest.approx(gap_s)


def test_base_is_loaded_for_it_and_a_base_that_breaks_is_left_to_the_first_block(tmp_path, monkeypatch):
    assert find_gap_s(bench_of(tmp_path, service_time_ms=15.0), 1) >= GAP_S
    assert (tmp_path / "tiny-trial" / "samples.bin").is_file()

    def broken(*_):
        raise LoadError("the load generator ended")

    monkeypatch.setattr(bench, "_latency_s", broken)
    assert find_gap_s(bench_of(tmp_path), 1) == GAP_S


def test_whole_slots_need_no_gap_and_load_nothing(tmp_path):
    assert find_gap_s(bench_of(tmp_path, arrivals=Steps((400.0, 800.0), 0.01)), 1) == GAP_S
    assert not (tmp_path / "tiny-trial").exists()


def test_answers_that_end_in_the_other_arms_window_are_counted(tmp_path):
    # At 50/s the queue of a service that takes 30 ms grows, so that the last answers of a window come long after it.
    slow = measure_block(plan_block(3, 0, 1), bench_of(tmp_path / "slow", service_time_ms=30.0))
    assert slow.faults == ()
    assert slow.block.base.spilled + slow.block.head.spilled > 5
    whole = measure_block(
        plan_block(3, 0, 1), bench_of(tmp_path / "whole", arrivals=Steps((400.0, 800.0), 0.01))
    )
    assert (whole.block.base.spilled, whole.block.head.spilled) == (None, None)
