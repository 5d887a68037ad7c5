"""From p50 and p99 by load to the knee and the number of replicas."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tailgate.harness.errors import UsageError
from tailgate.harness.scenario.trace import Trace
from tailgate.harness.sizing.replica import Replica
from tailgate.harness.sizing.sizing import (
    MOST_BUSY,
    foresee,
    gamma_shape,
    size,
    trace_rate_per_s,
    trace_shape,
)

REPLICA = Replica.of_times({1: 0.005, 32: 0.022}, 32)
POISSON = gamma_shape(1.0)


def plan(objective_s=None, rate_per_s=None, replica=REPLICA, shape=POISSON):
    return size(replica, shape, objective_s, rate_per_s, requests=1_000, courses=10)


def test_the_knee_is_where_p99_reaches_the_objective():
    found = plan(objective_s=0.03)
    assert found.knee_per_s.low <= found.knee_per_s.value <= found.knee_per_s.high
    assert found.capacity_per_s <= found.knee_per_s.low
    at = foresee(REPLICA, POISSON, found.knee_per_s.value, 1_000, 10).p99_s.value
    assert at == pytest.approx(0.03, rel=0.03)


def test_without_an_objective_or_with_a_loose_one_a_replica_gets_a_share_of_what_it_can_do():
    most = MOST_BUSY * 32 / 0.022
    assert plan().capacity_per_s == pytest.approx(most)
    assert plan().knee_per_s is None
    loose = plan(objective_s=60)
    assert loose.capacity_per_s == pytest.approx(most)
    assert loose.knee_per_s.value == loose.rows[-1].rate_per_s


def test_an_objective_that_a_lone_request_misses_is_kept_by_no_number_of_replicas():
    found = plan(objective_s=0.004, rate_per_s=100)
    assert (found.knee_per_s, found.capacity_per_s, found.replicas) == (None, None, None)


@settings(max_examples=5)
@given(st.floats(0.012, 0.2), st.floats(1.0, 5.0), st.floats(1, 1e6))
def test_a_looser_objective_never_needs_more_replicas_and_they_are_always_enough(objective_s, factor, rate):
    tight, loose = plan(objective_s, rate), plan(objective_s * factor, rate)
    assert loose.replicas <= tight.replicas
    assert tight.replicas * tight.capacity_per_s >= rate * (1 - 1e-9)
    assert (tight.replicas - 1) * tight.capacity_per_s < rate


def test_the_burstier_the_arrivals_the_lower_the_knee():
    knees = [plan(0.03, shape=gamma_shape(burstiness)).knee_per_s.value for burstiness in (0.25, 1, 4, 16)]
    assert knees == sorted(knees, reverse=True)


def test_a_trace_keeps_its_shape_at_every_rate():
    times = np.cumsum(np.random.default_rng(0).exponential(0.01, 2_000))
    assert trace_rate_per_s(Trace(tuple(times))) == pytest.approx(100, rel=0.05)
    # A Poisson process recorded is a Poisson process, and starts anywhere.
    draw = trace_shape(Trace(tuple(times + 1e6)))
    pieces = [draw(np.random.default_rng(seed), 1_000) for seed in range(3)]
    assert all(piece[0] == 0 and piece[-1] == pytest.approx(1_000, rel=0.1) for piece in pieces)
    assert len({piece[1] for piece in pieces}) == 3
    recorded, drawn = (foresee(REPLICA, shape, 700, 1_000, 20).p99_s.value for shape in (draw, POISSON))
    assert recorded == pytest.approx(drawn, rel=0.15)


@pytest.mark.parametrize("times_s", [(), (0.0, 1.0), tuple(np.arange(999.0)), (5.0,) * 2_000])
def test_a_trace_that_tells_no_p99_is_refused(times_s):
    with pytest.raises(UsageError, match="a p99 needs 1,000 that do not all come at once"):
        trace_rate_per_s(Trace(times_s))
