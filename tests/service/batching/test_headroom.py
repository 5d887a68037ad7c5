"""What a replica tells autoscalers, held to the service's own queue in virtual time."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.limits.simulation import Open, World
from tailgate.service.batching.forecast import Forecast
from tailgate.service.batching.headroom import (
    MOST_BUSY,
    WINDOW_S,
    Counts,
    Lately,
    Stages,
    capacity_per_s,
    headroom,
    stages_of,
)
from tailgate.service.batching.policy import BatchPolicy, BatchQueue

REQUESTS = 10_000
# a, b in milliseconds, and the cap.
SHAPES = {
    "batching saves nothing": (5, 0, 8),
    "one at a time": (5, 0, 1),
    "batching saves half": (5, 5, 16),
    "batching saves nearly all": (0.3, 1.2, 32),
    "a batch of any size takes the same": (0, 5, 32),
    "dear batches": (2, 60, 64),
}


def stages(shape):
    item_ms, fixed_ms, cap = SHAPES[shape]
    return Stages(item_ms / 1000, fixed_ms / 1000, cap)


def p99_s(plant, per_s, seed=7):
    """Return the 99th percentile of the service's own queue at a rate, without admission."""
    world = World(BatchQueue(BatchPolicy(plant.cap, REQUESTS)), plant.batch_s, Open(per_s, REQUESTS, burst=1))
    world.dice.seed(seed)
    world.run()
    return float(np.percentile(world.latencies_s, 99))


@pytest.mark.parametrize("tightness", [1.05, 1.5, 3.0, 10.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_at_capacity_99_of_100_requests_keep_the_objective_and_beyond_it_they_do_not(shape, tightness):
    plant = stages(shape)
    objective_s = 2 * plant.batch_s(1) * tightness
    capacity = capacity_per_s(plant, objective_s)
    assert p99_s(plant, capacity) <= 1.25 * objective_s  # batches are whole
    enough = min(1.5 * capacity, 0.98 * plant.saturated_per_s)
    assert capacity == MOST_BUSY * plant.saturated_per_s or p99_s(plant, enough) > 0.9 * objective_s


@pytest.mark.parametrize("busy", [0.1, 0.4, MOST_BUSY])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_latency_foreseen_is_that_of_the_queue(shape, busy):
    plant = stages(shape)
    per_s = busy * plant.saturated_per_s
    assert 0.88 < plant.latency_s(per_s) / p99_s(plant, per_s) < 1.25


def test_without_an_objective_or_with_one_that_nothing_keeps_a_replica_gets_a_share_of_what_it_can_do():
    plant = stages("batching saves half")
    most = MOST_BUSY * 16 / 0.085
    assert capacity_per_s(plant, None) == pytest.approx(most)
    assert capacity_per_s(plant, 0.001) == pytest.approx(most)
    assert capacity_per_s(plant, 60) == pytest.approx(most)


PLANTS = st.builds(
    Stages,
    item_s=st.floats(1e-6, 1),
    fixed_s=st.floats(0, 1),
    cap=st.integers(1, 256),
    items=st.floats(1, 100),
    threads=st.integers(1, 64),
    decode_s=st.floats(0, 1),
    decoded=st.floats(0, 1),
)


@given(PLANTS, st.floats(1e-4, 60), st.floats(1, 10))
def test_a_looser_objective_and_a_faster_model_never_lower_what_is_kept(plant, objective_s, factor):
    capacity = capacity_per_s(plant, objective_s)
    assert 0 < capacity <= MOST_BUSY * plant.saturated_per_s
    if plant.latency_s(0.01 * MOST_BUSY * plant.saturated_per_s) <= objective_s:
        assert plant.latency_s(capacity) <= objective_s * (1 + 1e-9)
        assert capacity_per_s(plant, objective_s * factor) >= capacity * 0.999


@given(PLANTS, st.integers(0, 10**6))
def test_the_requests_of_all_replicas_need_the_sum_of_what_the_requests_of_each_need(plant, asked):
    lately = Counts(WINDOW_S, asked, asked, asked, asked)
    one = headroom(lately, plant, None)
    two = headroom(lately._replace(asked=2 * asked), plant, None)
    assert two.replicas == pytest.approx(2 * one.replicas)
    assert (one.spare_per_s < 0) == (one.replicas > 1) or math.isclose(one.replicas, 1)


def test_the_slower_of_two_stages_decides():
    batches = Stages(0.001, 0.002, 16)
    pictures = replace(batches, threads=2, decode_s=0.02, decoded=1.0)
    assert pictures.saturated_per_s == pytest.approx(100)
    assert replace(pictures, decoded=0.1).saturated_per_s == pytest.approx(16 / 0.018)
    assert replace(batches, items=4.0).saturated_per_s == pytest.approx(4 / 0.018)


def test_the_stages_take_what_they_have_taken_of_late():
    forecast = Forecast(lambda size: 0.001 * size + 0.002, 16)
    for _ in range(200):
        forecast.learn(8, 0.020)  # twice what is measured at start
    forecast.learn_decoding(0.005)
    found = stages_of(Counts(30, asked=50, answered=40, decoded=10, items=80), forecast, 16, 2)
    assert (found.item_s, found.fixed_s) == (pytest.approx(0.002, rel=1e-3), pytest.approx(0.004, rel=1e-3))
    assert replace(found, item_s=0, fixed_s=0) == Stages(0, 0, 16, 2.0, 2, 0.005, 0.25)


def test_where_nothing_was_answered_a_request_is_taken_for_one_input():
    forecast = Forecast(lambda size: 0.001 * size, 16)
    nothing = Counts(30, 0, 0, 0, 0)
    assert stages_of(nothing, forecast, 16, 2) == Stages(0.001, 0, 16, 1.0, 2, 0, 0)
    forecast.learn_decoding(0.005)
    assert stages_of(nothing, forecast, 16, 2).decoded == 1
    assert headroom(nothing, stages_of(nothing, forecast, 16, 2), None).replicas == 0
    assert headroom(Counts(0, 0, 0, 0, 0), stages_of(nothing, forecast, 16, 2), None) is None


@pytest.mark.parametrize("apart_s", [0.01, 1.0, 7.0, 15.0, 30.0, 60.0])
def test_however_often_somebody_scrapes_the_window_is_half_a_minute_or_the_time_between_two_scrapes(apart_s):
    lately, windows = Lately(Counts(0, 0, 0, 0, 0)), []
    for number in range(1, int(200 / apart_s) + 1):
        now_s = number * apart_s
        seen = lately.note(Counts(now_s, round(now_s * 1000), 0, 0, 0))
        assert seen.asked / seen.time_s == pytest.approx(1000, rel=0.01)
        windows.append((now_s, seen.time_s))
    assert all(
        min(now_s, WINDOW_S) - 1e-9 <= window_s <= max(WINDOW_S, apart_s) + max(1.0, apart_s)
        for now_s, window_s in windows
    )
    assert len(lately._kept) <= WINDOW_S + 3
