"""A plan held to the truth: the service's own queue in virtual time, on a machine whose noise is known."""

import math

import numpy as np
import pytest
from virtual_service import as_samples, recorded

from tailgate.harness.errors import MeasurementError
from tailgate.harness.scenario.arrivals import Poisson
from tailgate.harness.scenario.changing_rates import Sine
from tailgate.harness.sizing.fitted import fitted
from tailgate.harness.sizing.sizing import foresee, gamma_shape

LOADS = (0.1, 0.3, 0.5, 0.65, 0.8)
FITTED, REQUESTS, COURSES = 8_000, 5_000, 40
# Reading a request takes the event loop so long, and answering it, too; t(n) deviates by this share.
EVENT_LOOP_S, SPREAD = 50e-6, 0.08


def affine(item_ms, fixed_ms):
    return lambda size: (fixed_ms + item_ms * size) / 1000


# t(n) and the largest batch.
SHAPES = {
    "4.4 + 0.55 n": (affine(0.55, 4.4), 32),
    "batching saves nothing": (affine(5, 0), 8),
    "one at a time": (affine(5, 0), 1),
    "batching saves nearly all": (affine(0.3, 1.2), 32),
    "a batch of any size takes the same": (affine(0, 5), 32),
    "dear batches": (affine(2, 60), 64),
    "stepped": (lambda size: (2 + 3 * math.ceil(size / 8)) / 1000, 32),
    "bent": (lambda size: (1 + 4 * math.sqrt(size)) / 1000, 32),
}
# At 0.8 of the capacity the wait wanders so slowly that two runs of 5,000 requests do not have the same p50 themselves.
WANDER = {"batching saves nothing", "one at a time", "batching saves nearly all", "stepped"}


@pytest.mark.parametrize("shape", SHAPES)
def test_percentiles_of_runs_that_the_plan_has_not_seen_lie_in_narrow_intervals(shape):
    batch_s, cap = SHAPES[shape]
    noise = {"event_loop_s": EVENT_LOOP_S, "spread": SPREAD}
    rate = cap / (batch_s(cap) + 2 * EVENT_LOOP_S)
    swing = Sine(0.45 * rate, 0.89, FITTED / (0.45 * rate) / 8)
    seen = swing.draw(np.random.default_rng(1), requests=FITTED, duration_s=None)
    replica = fitted([as_samples(recorded(batch_s, cap, seen, **noise))], cap)
    inside = []
    for number, load in enumerate(LOADS):
        law = Poisson(load * rate)
        arrivals_s = law.draw(np.random.default_rng(100 + number), requests=REQUESTS, duration_s=None)
        truth_s = recorded(batch_s, cap, arrivals_s, seed=number, **noise).latencies_s
        row = foresee(replica, gamma_shape(1.0), load * rate, REQUESTS, COURSES)
        for told, share, widest in ((row.p50_s, 0.5, 0.10), (row.p99_s, 0.99, 0.25)):
            inside.append(told.low <= np.quantile(truth_s, share) <= told.high)
            assert told.width <= widest or shape in WANDER, (load, share)
    # 98 of 100, as an interval says of itself, would be one of them outside in every fifth shape.
    assert sum(inside) >= len(inside) - 1


@pytest.mark.parametrize("gap_s", [0.0, 0.001])
def test_what_batches_wait_for_besides_each_other_is_found_from_how_long_requests_waited(gap_s):
    batch_s, cap = SHAPES["4.4 + 0.55 n"]
    rate = 0.6 * cap / batch_s(cap)
    arrivals_s = Poisson(rate).draw(np.random.default_rng(3), requests=FITTED, duration_s=None)
    records = as_samples(recorded(lambda size: batch_s(size) + gap_s, cap, arrivals_s))
    # The gap is in nobody's time of the batch: the answers leave before it.
    records["compute_s"] -= gap_s
    records["done_ns"] -= round(gap_s * 1e9)
    assert fitted([records], cap).gap_s == pytest.approx(gap_s, abs=2e-4)


def test_what_an_idle_executor_takes_to_wake_is_such_a_gap_and_no_part_of_the_rest():
    batch_s, cap = SHAPES["4.4 + 0.55 n"][0], 2
    arrivals_s = Poisson(20.0).draw(np.random.default_rng(3), requests=2_000, duration_s=None)
    records = as_samples(recorded(batch_s, cap, arrivals_s))
    records["queue_s"] += 100e-6
    records["done_ns"] += 100_000
    replica = fitted([records], cap)
    assert replica.gap_s == pytest.approx(100e-6, rel=0.15)
    assert replica.rest_s[1] == pytest.approx(0, abs=15e-6)


def test_a_run_at_so_light_a_load_that_nearly_all_batches_have_one_request_tells_nothing_of_larger_ones():
    batch_s, cap = SHAPES["4.4 + 0.55 n"]
    arrivals_s = Poisson(5.0).draw(np.random.default_rng(3), requests=2_000, duration_s=None)
    with pytest.raises(MeasurementError, match=r"hardly any of .* batches had more than 1 requests"):
        fitted([as_samples(recorded(batch_s, cap, arrivals_s))], cap)
