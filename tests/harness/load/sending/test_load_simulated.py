"""The sender in virtual time: what it records is the truth to the nanosecond, and what queueing theory says."""

import numpy as np
import pytest
from scipy import stats
from simulated_server import START_NS, SimulatedServer, latency_s, lindley_wait_s, simulate

from tailgate.harness.load.records.samples import Outcome
from tailgate.harness.scenario.arrivals import Bursts, ClosedLoop, Constant, Poisson
from tailgate.harness.scenario.trace import Trace

LEAD_S = 0.02 + START_NS / 1e9  # the moment of a phase's time 0


def exponential_s(mean_s, n, seed=2):
    return np.random.default_rng(seed).exponential(mean_s, n)


@pytest.mark.parametrize(
    "service_s",
    [np.full(3_000, 0.002), exponential_s(0.002, 3_000), np.where(np.arange(3_000) % 20, 0.001, 0.02)],
    ids=["constant", "exponential", "bimodal"],
)
def test_every_latency_is_the_servers_truth_to_the_nanosecond(monkeypatch, tmp_path, service_s):
    server = SimulatedServer(service_s.__getitem__)
    report, samples = simulate(monkeypatch, tmp_path, server, Poisson(300.0), 3_000)
    assert report.ok == 3_000
    assert samples["sent_ns"].tolist() == server.arrived_ns
    assert samples["done_ns"].tolist() == server.answered_ns
    np.testing.assert_array_equal(samples["sent_ns"], samples["intended_ns"])
    assert report.lag.max_s == 0


def test_the_sender_feeds_a_queue_as_its_schedule_says(monkeypatch, tmp_path):
    """So what is proved of the schedules below holds of what is sent."""
    service_s = np.rint(exponential_s(0.002, 5_000) * 1e9) / 1e9
    server = SimulatedServer(service_s.__getitem__)
    _, samples = simulate(monkeypatch, tmp_path, server, Poisson(400.0), 5_000)
    offsets_s = (samples["intended_ns"] - samples["intended_ns"][0]) / 1e9
    np.testing.assert_allclose(
        latency_s(samples), lindley_wait_s(offsets_s, service_s) + service_s, atol=5e-9
    )


def test_a_frozen_server_is_seen_by_every_request_that_it_kept_waiting(monkeypatch, tmp_path):
    """Frozen for F = 2 s of T = 20 s at a constant rate: mean F^2 / 2T, and a p99 of F - T / 100 (coordinated omission)."""
    frozen_s = (LEAD_S + 9.0, LEAD_S + 11.0)
    server = SimulatedServer(lambda _: 50e-6, frozen_s)
    _, samples = simulate(monkeypatch, tmp_path, server, Constant(100.0), 2_000)
    latencies_s = latency_s(samples)
    assert latencies_s.mean() == pytest.approx(0.1, rel=0.02)
    assert np.quantile(latencies_s, 0.99, method="inverted_cdf") == pytest.approx(1.8, rel=0.02)
    assert np.count_nonzero(latencies_s > 0.001) == pytest.approx(200, abs=2)


def test_a_closed_loop_hardly_sees_a_frozen_server(monkeypatch, tmp_path):
    """Which is why no latency may be judged by one: four requests in thousands noticed."""
    server = SimulatedServer(lambda _: 0.005, (LEAD_S + 9.0, LEAD_S + 11.0))
    _, samples = simulate(monkeypatch, tmp_path, server, ClosedLoop(4), 3_600)
    assert np.quantile(latency_s(samples), 0.99) < 0.021
    assert np.count_nonzero(latency_s(samples) > 0.1) == 4


def test_a_closed_loop_keeps_its_connections_busy_and_measures_capacity(monkeypatch, tmp_path):
    server = SimulatedServer(lambda _: 0.004)
    report, samples = simulate(monkeypatch, tmp_path, server, ClosedLoop(8), 1_000)
    assert 1_000 / ((report.end_ns - report.start_ns) / 1e9) == pytest.approx(250.0)
    np.testing.assert_array_equal(samples["intended_ns"], samples["dispatched_ns"])
    in_flight = np.arange(1, 1_001) - np.searchsorted(
        np.sort(samples["done_ns"]), samples["sent_ns"], "right"
    )
    assert in_flight.max() == 8


def test_a_closed_loop_ends_at_its_limit_with_a_record_for_each_request(monkeypatch, tmp_path):
    server = SimulatedServer(lambda _: 0.1)
    report, samples = simulate(monkeypatch, tmp_path, server, ClosedLoop(2, limit_s=1.0), 50)
    assert (report.ok, report.outcomes[Outcome.TIMEOUT], len(samples)) == (10, 40, 50)
    assert samples["intended_ns"][0] == report.start_ns
    assert report.end_ns - report.start_ns == 1_000_000_000
    assert np.count_nonzero(samples["sent_ns"]) == 11
    assert np.count_nonzero(samples["dispatched_ns"] == 0) == 39


NEVER_S = 1e6


def test_a_request_without_answer_ends_as_timeout_and_takes_its_connection_with_it(monkeypatch, tmp_path):
    server = SimulatedServer(lambda request: 0.001 if request else NEVER_S, in_line=False)
    arrivals = Trace((0.0, 0.0, 0.05, 0.09))
    report, samples = simulate(monkeypatch, tmp_path, server, arrivals, 4, timeout_s=0.1)
    assert [Outcome(value) for value in samples["outcome"]] == [Outcome.TIMEOUT, *[Outcome.OK] * 3]
    assert (report.outcomes[Outcome.TIMEOUT], report.ok) == (1, 3)
    assert samples["first_byte_ns"][0] == 0
    assert latency_s(samples)[0] == pytest.approx(0.1)
    never, *good = samples["connection"].tolist()
    assert never not in good


def test_the_connection_of_a_request_that_timed_out_is_not_used_again(monkeypatch, tmp_path):
    server = SimulatedServer(lambda request: 0.001 if request else NEVER_S, in_line=False)
    arrivals = Trace((0.0, 0.5))
    _, samples = simulate(monkeypatch, tmp_path, server, arrivals, 2, connections_max=1, timeout_s=0.1)
    assert [Outcome(value) for value in samples["outcome"]] == [Outcome.TIMEOUT, Outcome.OK]
    assert samples["connection"].tolist() == [1, 2]


def test_requests_that_never_got_a_connection_time_out_unsent(monkeypatch, tmp_path):
    server = SimulatedServer(lambda _: NEVER_S)
    at_once = Bursts(3, every_s=1.0, rate_per_s=0.0, quiet_s=0.0)
    report, samples = simulate(monkeypatch, tmp_path, server, at_once, 3, connections_max=1, timeout_s=0.1)
    assert report.outcomes[Outcome.TIMEOUT] == 3
    assert (samples["sent_ns"] > 0).tolist() == [True, False, False]


def test_the_connection_that_was_used_last_is_taken_first_so_that_a_row_needs_one(monkeypatch, tmp_path):
    server = SimulatedServer(lambda _: 0.001, in_line=False)
    arrivals = Trace((0.0,) * 40 + tuple(1.0 + 0.02 * number for number in range(20)))
    report, samples = simulate(monkeypatch, tmp_path, server, arrivals, 60, connections_max=16)
    assert report.ok == 60
    assert len(set(samples["connection"][:40])) == 16
    assert len(set(samples["connection"][40:])) == 1


SEEDS = range(40)
REQUESTS = 20_000


@pytest.mark.parametrize("load", [0.3, 0.5, 0.8])
@pytest.mark.parametrize(("law", "variation"), [("M/D/1", 0.0), ("M/M/1", 1.0)])
def test_our_poisson_arrivals_make_a_single_server_wait_as_theory_says(law, variation, load):
    """Pollaczek and Khinchine: the mean wait is rho / (1 - rho) * (1 + c^2) / 2 services, c^2 being the variation.

    By independent replications: the 99.9 % interval of 40 means holds it, and is narrow enough to mean something.
    """
    means = []
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        arrivals_s = Poisson(load).draw(rng, requests=REQUESTS, duration_s=None)
        services_s = rng.exponential(1.0, REQUESTS) if variation else np.ones(REQUESTS)
        means.append(lindley_wait_s(arrivals_s, services_s).mean())
    theory = load / (1 - load) * (1 + variation) / 2
    error = stats.t.ppf(0.9995, len(means) - 1) * stats.sem(means)
    assert abs(np.mean(means) - theory) < error < 0.1 * theory


def test_the_wait_in_m_m_1_has_its_distribution():
    """P(W > t) = rho exp(-(1 - rho) t / s), seen every 500 requests, where waits no longer know each other."""
    load, waits = 0.5, []
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        arrivals_s = Poisson(load).draw(rng, requests=REQUESTS, duration_s=None)
        waits.append(lindley_wait_s(arrivals_s, rng.exponential(1.0, REQUESTS))[500::500])
    seen = np.concatenate(waits)
    assert stats.binomtest(np.count_nonzero(seen), len(seen), load).pvalue > 0.001
    assert stats.kstest(seen[seen > 0], stats.expon(scale=1 / (1 - load)).cdf).pvalue > 0.001
