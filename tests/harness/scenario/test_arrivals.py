import math
from dataclasses import is_dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tailgate.harness.errors import UsageError
from tailgate.harness.results.slot import Loop
from tailgate.harness.scenario.arrivals import Bursts, ClosedLoop, Constant, Gamma, Poisson
from tailgate.harness.scenario.changing_rates import OnOff, Ramp, Sine, Spike, Steps
from tailgate.harness.scenario.ref import Ref
from tailgate.harness.scenario.scenario import Phase
from tailgate.harness.scenario.trace import Trace

LAWS = [
    Constant(50.0),
    Poisson(50.0),
    Gamma(50.0, 4.0),
    Gamma(50.0, 0.25),
    OnOff(100.0, on_s=0.5, off_s=0.5),
    OnOff(80.0, on_s=0.5, off_s=0.5, off_per_s=20.0),
    Ramp(10.0, 90.0),
    Ramp(90.0, 10.0),
    Ramp(0.0, 100.0),
    Ramp(50.0, 50.0),
    Steps((25.0, 75.0), step_s=10.0),
    Spike(40.0, 140.0, at_s=5.0, for_s=2.0),
    Sine(50.0, 1.0, 4.0),
    Bursts(20, every_s=1.0, rate_per_s=30.0, quiet_s=0.0),
]

EXPECTED_IN_20_S = 1000


def law_id(value):
    """Name a test by its law; what is expected of it has an address in its text, which is another one in each process."""
    return repr(value) if is_dataclass(value) else None


def draw(law, seed=1, *, requests=None, duration_s=None):
    return law.draw(np.random.default_rng(seed), requests=requests, duration_s=duration_s)


@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_the_same_seed_draws_the_same_times(law):
    np.testing.assert_array_equal(draw(law, 7, duration_s=5.0), draw(law, 7, duration_s=5.0))


@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_times_ascend_from_zero_and_end_before_the_duration(law):
    times = draw(law, duration_s=20.0)
    assert times.dtype == np.float64
    assert times[0] >= 0
    assert (np.diff(times) >= 0).all()
    assert times[-1] < 20.0


@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_a_number_of_requests_is_met_exactly(law):
    times = draw(law, requests=137)
    assert times.shape == (137,)
    assert times[0] >= 0
    assert (np.diff(times) >= 0).all()


@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_the_mean_number_of_requests_is_the_rate_times_the_duration(law):
    """Over 200 seeds; Gamma(50, 4) has the largest variance, 4,000 a draw, so 4 standard errors are 18."""
    counts = [draw(law, seed, duration_s=20.0).size for seed in range(200)]
    assert np.mean(counts) == pytest.approx(EXPECTED_IN_20_S, abs=18)


@pytest.mark.parametrize(
    ("law", "distribution"),
    [
        (Poisson(100.0), stats.expon(scale=0.01)),
        (Gamma(100.0, 4.0), stats.gamma(0.25, scale=0.04)),
        (Gamma(100.0, 0.2), stats.gamma(5.0, scale=0.002)),
    ],
    ids=law_id,
)
def test_gaps_follow_their_law_over_many_seeds(law, distribution):
    """If they do, the p-values of Kolmogorov and Smirnov's test are uniform, which the same test can judge."""
    p_values = [
        stats.kstest(np.diff(draw(law, seed, requests=400), prepend=0.0), distribution.cdf).pvalue
        for seed in range(300)
    ]
    assert stats.kstest(p_values, "uniform").pvalue > 0.001


@pytest.mark.parametrize(
    ("law", "expected_share"),
    [
        (Ramp(10.0, 90.0), lambda t: (10 * t + 2 * t**2) / 1000),
        (Ramp(90.0, 10.0), lambda t: (90 * t - 2 * t**2) / 1000),
        (Sine(50.0, 0.8, 20.0), lambda t: (t + 0.8 * 20 / math.tau * (1 - np.cos(math.tau * t / 20))) / 20),
        (Steps((25.0, 75.0), step_s=10.0), lambda t: np.interp(t, [0, 10, 20], [0, 0.25, 1])),
        (Spike(40.0, 140.0, at_s=5.0, for_s=2.0), lambda t: np.interp(t, [0, 5, 7, 20], [0, 0.2, 0.48, 1])),
        (OnOff(100.0, on_s=10.0, off_s=10.0), lambda t: np.interp(t, [0, 10, 20], [0, 1, 1])),
    ],
    ids=law_id,
)
def test_a_changing_rate_is_followed_in_time(law, expected_share):
    times = np.concatenate([draw(law, seed, duration_s=20.0) for seed in range(30)])
    assert stats.kstest(times, expected_share).pvalue > 0.001


def test_constant_spaces_evenly_from_the_start():
    np.testing.assert_allclose(draw(Constant(4.0), duration_s=1.0), [0, 0.25, 0.5, 0.75])


def test_bursts_come_at_their_instants_after_the_quiet():
    law = Bursts(3, every_s=2.0, rate_per_s=0.0, quiet_s=1.0)
    np.testing.assert_allclose(draw(law, duration_s=5.5), [1, 1, 1, 3, 3, 3, 5, 5, 5])
    np.testing.assert_allclose(draw(law, requests=4), [1, 1, 1, 3])


def test_no_burst_falls_on_the_end_of_the_phase():
    law = Bursts(3, every_s=2.0, rate_per_s=0.0, quiet_s=1.0)
    np.testing.assert_allclose(draw(law, duration_s=3.0), [1, 1, 1])


def test_on_off_is_silent_while_off():
    times = draw(OnOff(100.0, on_s=0.5, off_s=1.0), duration_s=15.0)
    assert ((times % 1.5) <= 0.5).all()


def test_a_trace_is_replayed_up_to_the_extent():
    law = Trace((0.0, 0.5, 0.5, 2.0))
    np.testing.assert_allclose(draw(law, duration_s=1.0), [0.0, 0.5, 0.5])
    np.testing.assert_allclose(draw(law, requests=2), [0.0, 0.5])


@pytest.mark.parametrize(
    ("law", "message"),
    [
        (Poisson(0.0), "rate_per_s must be above 0, got 0"),
        (Poisson(-1.0), "rate_per_s must be above 0, got -1"),
        (Poisson(math.nan), "rate_per_s must be a finite number, got nan"),
        (Poisson(math.inf), "rate_per_s must be a finite number, got inf"),
        (Constant(Ref("rate") * 0.5), "rate_per_s is still the budget number 'rate'"),
        (Gamma(1.0, 0.0), "burstiness must be above 0"),
        (OnOff(1.0, on_s=1.0, off_s=-1.0), "off_s must be above 0"),
        (Ramp(0.0, 0.0), "the mean of start_per_s and end_per_s must be above 0"),
        (Ramp(-1.0, 5.0), "start_per_s must not be below 0"),
        (Steps((), 1.0), "rates_per_s is empty"),
        (Steps((1.0, 0.0), 1.0), "rates_per_s must be above 0"),
        (Spike(1.0, 2.0, at_s=math.nan, for_s=1.0), "at_s must be a finite number"),
        (Sine(1.0, 1.5, 1.0), "swing is a share of the mean from 0 to 1, got 1.5"),
        (Bursts(0, 1.0, 1.0, 0.0), "size is a number of requests from 1 on, got 0"),
        (Bursts(1, 0.0, 1.0, 0.0), "every_s must be above 0"),
        (Trace(()), "must be finite seconds that ascend"),
        (Trace((1.0, 0.5)), "must be finite seconds that ascend"),
        (Trace((1.0, math.nan)), "must be finite seconds that ascend"),
        (Trace((1.0,), ("a", "b")), "1 times but 2 payload names"),
    ],
    ids=repr,
)
def test_what_cannot_be_drawn_is_refused(law, message):
    with pytest.raises(UsageError, match=message):
        draw(law, requests=1) if "Trace" not in repr(law) else draw(law, duration_s=1.0)


def test_a_trace_gives_no_more_than_it_holds():
    with pytest.raises(UsageError, match="asks for 3 requests, the trace holds 2"):
        draw(Trace((0.0, 1.0)), requests=3)


def test_a_closed_loop_has_no_intended_times_and_says_what_it_is():
    assert draw(ClosedLoop(8), requests=3).tolist() == [0, 0, 0]
    assert Phase("probe", ClosedLoop(8), requests=3).loop is Loop.CLOSED
    assert {Phase("load", law, requests=3).loop for law in LAWS} == {Loop.OPEN}


@pytest.mark.parametrize(
    ("law", "extent", "message"),
    [
        (ClosedLoop(0), {"requests": 1}, "connections is a number from 1 on, got 0"),
        (ClosedLoop(1, limit_s=0.0), {"requests": 1}, "limit_s must be above 0"),
        (ClosedLoop(1), {"duration_s": 5.0}, "the phase must give requests, got duration_s = 5.0"),
    ],
)
def test_a_closed_loop_that_cannot_be_is_refused(law, extent, message):
    with pytest.raises(UsageError, match=message):
        draw(law, **extent)


@pytest.mark.parametrize("law", LAWS, ids=repr)
def test_a_draw_without_an_extent_is_refused(law):
    with pytest.raises(UsageError, match="either requests or duration_s"):
        draw(law)


@settings(deadline=None)
@given(
    start=st.floats(0, 1e4),
    end=st.floats(0.1, 1e4),
    seed=st.integers(0, 2**32),
    duration_s=st.floats(0.01, 50),
)
def test_a_ramp_stays_within_its_extent(start, end, seed, duration_s):
    times = draw(Ramp(start, end), seed, duration_s=duration_s)
    assert np.isfinite(times).all()
    assert (np.diff(times) >= 0).all()
    assert ((times >= 0) & (times <= duration_s * (1 + 1e-9))).all()
