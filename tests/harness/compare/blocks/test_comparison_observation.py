"""A block's samples become a row, and a row survives the disk."""

import dataclasses
import math

import numpy as np
import orjson
import pytest
from comparison_rows import arm, row, rows
from hypothesis import given
from hypothesis import strategies as st
from sample_records import record, samples

from benchmarks.gate.rows import swapped
from tailgate.harness.compare.blocks.observation import arm_row, quantile_s, times_within_answers
from tailgate.harness.compare.blocks.row import (
    STAGES,
    append_rows,
    arm_value,
    ln_ratio,
    read_rows,
    to_json,
)
from tailgate.harness.compare.lens import LENSES, WITHIN_ANSWERS, find_lens
from tailgate.harness.errors import MeasurementError
from tailgate.harness.load.records.events import EVENT

P95 = find_lens("p95")


def observed(latencies_s, failed=0, stages_s=None, slots=0):
    return arm_row(np.asarray(latencies_s, dtype=float), failed, stages_s or {}, slots)


def test_an_arm_is_observed_by_exact_quantiles_and_its_cost():
    costs = {"cpu_s": 5.0, "peak_rss_bytes": 7, "start_up_s": 2.0, "capacity_per_s": 90.0}
    seen = dataclasses.replace(observed(np.arange(1.0, 1001.0)), **costs)
    expected = {"cpu": 0.005, "p50": 500.0, "p95": 950.0, "p99": 990.0, "error_rate": 0.0}
    expected |= {"memory": 7, "start_up": 2.0, "capacity": 90.0}
    expected |= dict.fromkeys(WITHIN_ANSWERS)
    assert {lens.name: arm_value(lens, seen) for lens in LENSES} == expected


def test_the_mean_is_kept_beside_the_quantiles_and_no_median_stands_for_it(tmp_path):
    skewed = np.r_[np.full(990, 0.01), np.full(10, 0.5)]
    one = row(base=observed(skewed), head=observed(np.r_[skewed, math.inf], 1))
    assert (one.base.p50_s, one.base.mean_s) == (0.01, pytest.approx(0.0149))
    assert one.head.mean_s == math.inf
    append_rows(tmp_path / "rows", [one])
    assert read_rows(tmp_path / "rows") == (one,)
    assert observed([]).mean_s is None


@pytest.mark.parametrize(
    ("requests", "seen"), [(9, ()), (10, ("p50",)), (100, ("p50", "p95")), (500, ("p50", "p95", "p99"))]
)
def test_a_quantile_is_seen_only_with_five_samples_beyond_it(requests, seen):
    found = observed(np.arange(1.0, requests + 1))
    assert tuple(name for name in ("p50", "p95", "p99") if getattr(found, f"{name}_s") is not None) == seen


def test_p99_is_the_geometric_mean_of_the_slots_so_that_one_stall_is_not_all_that_a_block_tells():
    calm, stalled = np.full(250, 0.01), np.r_[np.full(200, 0.01), np.full(50, 0.16)]
    latencies_s = np.r_[calm, calm, calm, stalled]
    found = observed(latencies_s, slots=4)
    assert found.p99_s == pytest.approx(0.02)
    # Too short slots have no p99 of their own: then it is the block's.
    assert observed(latencies_s, slots=11).p99_s == 0.16
    assert observed(latencies_s, slots=0).p99_s == 0.16


def test_a_slot_whose_p99_failed_makes_that_of_the_block_infinite():
    latencies_s = np.r_[np.full(990, 0.01), np.full(10, math.inf)]
    assert observed(latencies_s, failed=10, slots=4).p99_s == math.inf


def testtimes_within_answers_are_seen_where_answers_have_them():
    requests = samples(np.full(1_000, 0.5))
    requests["first_byte_ns"] = requests["intended_ns"] + np.arange(1, 1_001) * 1_000
    without = times_within_answers([record(requests)], requests)
    assert without == {"ttfb_p95_s": pytest.approx(950e-6)}
    requests["events"], requests["first_event_ns"] = 2, requests["first_byte_ns"] + 1_000_000
    events = np.zeros(2_000, EVENT)
    events["request"] = np.repeat(requests["request"], 2)
    events["read_ns"][1::2] = np.arange(1, 1_001) * 10_000
    seen = times_within_answers([dataclasses.replace(record(requests), events=events)], requests)
    assert seen == {
        "ttfb_p95_s": pytest.approx(950e-6),
        "ttft_p95_s": pytest.approx(1_950e-6),
        "gap_p99_s": pytest.approx(9.9e-3),
    }


def test_tokens_that_came_in_one_piece_have_no_gap_to_compare():
    gaps_s = np.zeros(1_000)
    assert quantile_s(gaps_s, 0.99, 2) == 0
    one = row(base=arm(gap_p99_s=0.0), head=arm(gap_p99_s=0.0))
    assert ln_ratio(find_lens("gap_p99"), one) is None


def test_failed_requests_are_slower_than_all_others():
    latencies_s = np.r_[np.full(950, 0.01), np.full(50, math.inf)]
    found = observed(latencies_s, failed=50)
    assert (found.p95_s, found.p99_s) == (0.01, math.inf)


def test_stages_about_a_quantile_sum_to_it():
    random = np.random.default_rng(0)
    stages_s = {stage: random.exponential(0.01, 2000) for stage in STAGES}
    total_s = sum(stages_s.values())
    found = observed(total_s, stages_s=stages_s)
    for place, value in (("p50", found.p50_s), ("p95", found.p95_s), ("mean", total_s.mean())):
        assert sum(found.stages_s[place].values()) == pytest.approx(value, rel=0.03)


def test_requests_that_told_no_stages_are_left_out_of_the_stages_alone():
    queue_s = np.full(100, 0.5)
    queue_s[:40] = math.nan
    latencies_s = np.r_[np.full(90, 1.0), np.full(10, math.inf)]
    found = observed(latencies_s, failed=10, stages_s={"queue": queue_s})
    assert found.stages_s["mean"] == {"queue": 0.5}
    assert observed(np.ones(10), stages_s={"queue": np.full(10, math.nan)}).stages_s == {}


def test_a_stage_that_no_request_told_does_not_hide_the_others():
    stages_s = {"queue": np.full(20, 0.5), "encode": np.full(20, math.nan)}
    assert observed(np.ones(20), stages_s=stages_s).stages_s["mean"] == {"queue": 0.5}


@pytest.mark.parametrize(
    ("base", "head", "expected"),
    [
        (0.01, 0.02, math.log(2)),
        (0.01, math.inf, math.inf),
        (math.inf, 0.01, -math.inf),
        (math.inf, math.inf, None),
        (None, 0.01, None),
        (0.01, None, None),
        (0.0, 0.01, None),
    ],
)
def test_a_ratio_needs_both_arms_and_one_of_them_finite(base, head, expected):
    assert ln_ratio(P95, row(base=arm(p95_s=base), head=arm(p95_s=head))) == (
        None if expected is None else pytest.approx(expected)
    )


@given(st.integers(0, 1000))
def test_swapping_the_arms_inverts_every_ratio(seed):
    (one,) = rows(1, worse=1.3, seed=seed, order="bhhb")
    assert swapped(one).order == "hbbh"
    assert swapped(swapped(one)) == one
    for name in ("cpu", "p50", "p95", "p99"):
        assert ln_ratio(find_lens(name), swapped(one)) == -ln_ratio(find_lens(name), one)


def test_rows_survive_the_disk(tmp_path):
    stages_s = {"mean": {"queue": 0.001, "compute": 0.005}}
    several = [
        *rows(3),
        row(3, base=arm(p99_s=math.inf, cpu_s=None, stages_s=stages_s), void="steal", order="bh", run="a"),
    ]
    path = tmp_path / "new" / "blocks.jsonl"
    append_rows(path, several[:2])
    append_rows(path, several[2:])
    assert read_rows(path) == tuple(several)
    assert len(path.read_text().splitlines()) == 4


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"index": 0, "base": {}, "head": {}}', '{"index": 0, "base": 3, "head": 4}']
)
def test_a_line_that_is_no_row_is_refused_with_its_number(tmp_path, text):
    path = tmp_path / "blocks.jsonl"
    append_rows(path, rows(1))
    path.write_text(path.read_text() + text + "\n")
    with pytest.raises(MeasurementError, match=r"blocks.jsonl, line 2: "):
        read_rows(path)


def test_a_missing_file_is_refused_and_a_field_of_a_later_version_is_left_alone(tmp_path):
    with pytest.raises(MeasurementError, match="cannot read the blocks"):
        read_rows(tmp_path / "none.jsonl")
    path = tmp_path / "blocks.jsonl"
    path.write_bytes(orjson.dumps({**to_json(row()), "colour": "red"}))
    assert read_rows(path) == (row(),)
