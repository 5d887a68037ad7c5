"""Each built-in measure on records whose truth is known."""

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_records import MEASURES, delta, record, samples, window

from tailgate.harness import statistics
from tailgate.harness.errors import MeasurementError, UsageError
from tailgate.harness.load.records.samples import Outcome
from tailgate.harness.measures.dependence import Bounds
from tailgate.harness.measures.latency import of_histogram
from tailgate.harness.observe.histogram import Histogram
from tailgate.harness.results.criterion import Witness
from tailgate.harness.results.verdict import Better, Verdict
from tailgate.harness.scenario.arrivals import Bursts, Constant, Gamma, Poisson
from tailgate.harness.scenario.changing_rates import Ramp
from tailgate.harness.scenario.scenario import Criterion, quantile_name
from tailgate.harness.units import Unit
from tailgate.harness.verdict.judge import decide

SPREAD = np.random.default_rng(11).permutation(np.linspace(0.001, 1.0, 1_000))


def asked(measure, limit=0.5, witness=Witness.CLIENT, objective_s=None):
    return Criterion(measure.name, limit, ("load",), witness, objective_s)


def estimate(measure, made, **criterion):
    return measure.estimate(made, asked(measure, **criterion))


def test_the_built_in_measures_have_the_names_that_scenarios_use():
    assert list(MEASURES) == [
        *("p50", "p90", "p95", "p99", "p99.9", "accepted_p50", "accepted_p95", "accepted_p99"),
        *("drift_p50", "drift_p95", "p50_rise", "p95_rise"),
        *("ttfb_p50", "ttfb_p95", "ttfb_p99", "ttft_p50", "ttft_p95", "ttft_p99"),
        *("gap_p50", "gap_p99", "tokens_per_s"),
        *("error_rate", "lost_rate", "misanswered", "wrong_answers", "throughput", "goodput"),
        *("goodput_share", "refusal_p50", "unhinted_refusals", "knee", "recover", "settle"),
        *("health_p50", "health_p90", "metrics_p50", "metrics_p90"),
        *("rss_growth_per_hour", "rss_growth_per_1000", "rss_growth_share_per_hour"),
        *("fd_growth_per_hour", "thread_growth_per_hour", "rss_rise", "late_rate"),
        *("lost", "lost_elsewhere", "duplicated", "unaccounted"),
    ]


@pytest.mark.parametrize("measure", MEASURES.values(), ids=lambda measure: measure.name)
def test_more_is_better_of_rates_of_good_answers_only(measure):
    rate = measure.unit is Unit.PER_SECOND or measure.name == "goodput_share"
    assert (measure.better is Better.HIGHER) == rate


@pytest.mark.parametrize(("share", "expected"), [(0.5, 0.5), (0.95, 0.95), (0.99, 0.99)])
def test_the_clients_quantile_is_exact(share, expected):
    got = estimate(MEASURES[quantile_name(share)], window(samples(SPREAD)))
    assert got.value == pytest.approx(expected)
    assert got.low < got.value < got.high
    assert (got.n, got.confidence, got.note) == (1_000, 0.99, "")


def test_phases_are_pooled_before_a_quantile_is_taken():
    got = estimate(MEASURES["p50"], window(samples(SPREAD[:400]), samples(SPREAD[400:])))
    assert got.value == pytest.approx(0.5)


@pytest.mark.parametrize(("n", "spoken"), [(199, False), (200, True)])
def test_a_value_is_spoken_of_from_ten_samples_beyond_it_on(n, spoken):
    got = estimate(MEASURES["p95"], window(samples(SPREAD[:n])))
    assert (got.value is not None) == spoken
    assert got.high is not None  # the interval holds from 90 on
    assert ("needs at least 200 requests, got 199" in got.note) != spoken


def test_failed_requests_stand_at_the_slow_end():
    records = samples(np.full(1_000, 0.1))
    records["outcome"][:60], records["status"][:60] = Outcome.SHED, 503
    got = estimate(MEASURES["p95"], window(records))
    assert got.value == math.inf
    assert got.note == ("60 of 1,000 requests failed (503 Service Unavailable), and p95 may lie among them")
    assert estimate(MEASURES["p50"], window(records)).value == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("failures", "note"),
    [
        ({}, ""),
        ({(Outcome.TIMEOUT, 0): 2}, ""),  # p95 leaves them out
        ({(Outcome.TIMEOUT, 0): 500}, "500 of 1,000 requests failed (timeout), and p95 lies among them"),
        (
            {(Outcome.CLIENT_ERROR, 404): 1000},
            "all 1,000 requests failed (404 Not Found), so there is no latency to judge",
        ),
        (
            {(Outcome.REDIRECT, 307): 600, (Outcome.TIMEOUT, 0): 400},
            "all 1,000 requests failed (307 Temporary Redirect, timeout), so there is no latency to judge",
        ),
        (
            {(Outcome.SERVER_ERROR, code): 250 for code in (500, 502, 599, 504)},
            "all 1,000 requests failed (500 Internal Server Error, 502 Bad Gateway, 599, …), so there is no latency to judge",
        ),
    ],
)
def test_where_a_quantile_lies_among_failed_requests_the_note_says_what_failed(failures, note):
    records = samples(np.full(1_000, 0.1))
    first, some = 0, sum(failures.values()) < 1_000
    # Anywhere: a run of failures would be one event.
    anywhere = np.random.default_rng(1).permutation(1_000) if some else np.arange(1_000)
    for (outcome, status), count in failures.items():
        part = anywhere[first : first + count]
        records["outcome"][part], records["status"][part] = outcome, status
        first += count
    assert estimate(MEASURES["p95"], window(records)).note == note


def test_one_outage_of_half_a_run_does_not_tell_in_which_half_of_the_time_there_is_one():
    records = samples(np.full(1_000, 0.1))
    records["outcome"][:500], records["status"][:500] = Outcome.TIMEOUT, 0
    got = estimate(MEASURES["p95"], window(records))
    assert (got.value, got.low, got.high) == (math.inf, 0.1, None)
    assert got.note == "500 of 1,000 requests failed (timeout), and p95 may lie among them"


@given(st.integers(0, 100))
def test_no_failure_ever_helps_a_quantile(failures):
    records = samples(SPREAD[:300])
    before = estimate(MEASURES["p95"], window(records))
    records["outcome"][:failures] = Outcome.TIMEOUT
    after = estimate(MEASURES["p95"], window(records))
    assert after.value >= before.value
    assert after.high is None or after.high >= before.high


def test_requests_that_come_in_runs_bound_less_and_a_reader_is_told_how_many_would():
    got, apart = (estimate(MEASURES["p95"], window(samples(made))) for made in (np.sort(SPREAD), SPREAD))
    assert (got.value, got.high) == (apart.value, None)
    assert got.low < apart.low
    assert got.worth < 10 < 800 < apart.worth
    assert re.search(r"[\d,]+ requests that come in such runs would bound it, with none beyond", got.note)


def test_the_servers_quantile_comes_in_the_runs_that_the_client_saw():
    server = delta(np.full(1_000, 0.07))
    got, apart = (
        estimate(MEASURES["p95"], window(record(samples(made), server)), witness=Witness.SERVER)
        for made in (np.sort(SPREAD), SPREAD)
    )
    assert (got.high, apart.high) == (None, 0.1)
    assert got.worth < 10 < apart.worth


def test_the_servers_quantile_is_the_bucket_and_exact_on_its_edge():
    server = record(samples(SPREAD), delta(np.full(1_000, 0.07)))
    got = estimate(MEASURES["p99"], window(server), witness=Witness.SERVER)
    assert (got.low, got.high, got.n) == (math.nextafter(0.05, 1), 0.1, 1_000)
    assert 0.05 < got.value <= 0.1
    assert decide(got, 0.1, Better.LOWER) is Verdict.PASS
    assert decide(got, 0.05, Better.LOWER) is Verdict.FAIL
    assert decide(got, 0.07, Better.LOWER) is Verdict.INCONCLUSIVE


def independent(buckets):
    """Return the ranks that bound p95 of independent requests."""
    return Bounds(*statistics.quantile_ranks(buckets.n, 0.95, 0.99), buckets.n)


@pytest.mark.parametrize(
    ("edges", "server_s", "limit", "words"),
    [
        (
            (),
            0.1,
            0.15,
            "no edge at all, so that no number of requests can tell: give it one at 150 ms, or leave",
        ),
        ((0.1, 0.5), 0.2, 0.15, "no edge between 100 ms and 500 ms"),
        ((0.1, 0.5), 0.6, 0.7, "no edge above 500 ms"),
        ((0.3,), 0.2, 0.297, "no edge below 300 ms"),
        ((0.1, 0.5), 0.2, 0.5, None),  # an edge stands on the limit
        ((0.1, 0.5), 0.05, 0.15, None),  # all are surely below
        ((0.1, 0.5), 0.6, 0.15, None),  # all are surely above
    ],
)
def test_a_histogram_without_an_edge_near_the_limit_says_where_to_put_one(edges, server_s, limit, words):
    every = (*edges, math.inf)
    buckets = Histogram(every, tuple(1_000 if server_s <= edge else 0 for edge in every))
    got = of_histogram(buckets, 0.95, independent(buckets), 0.99, limit)
    assert got.narrows == (words is None)
    assert words is None or words in got.note
    assert (decide(got, limit, Better.LOWER) is Verdict.INCONCLUSIVE) == (words is not None)


def test_a_histogram_with_too_few_requests_may_tell_with_more():
    server = record(samples(SPREAD[:50]), delta(np.full(50, 0.2), edges=(0.1, 0.5, math.inf)))
    assert estimate(MEASURES["p95"], window(server), witness=Witness.SERVER, limit=0.15).narrows


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 300), min_size=1, max_size=5), st.integers(0, 600), st.sampled_from([10, 1_000])
)
def test_where_more_requests_are_said_not_to_tell_they_do_not(counts, limit, more):
    edges = (*(0.1 * (1 + place) for place in range(len(counts) - 1)), math.inf)
    limit_s = limit / 1_000 + 1e-6

    def of(times):
        buckets = Histogram(edges, tuple(int(times * one) for one in np.cumsum(counts)))
        return of_histogram(buckets, 0.95, independent(buckets), 0.99, limit_s)

    if sum(counts) and not of(1).narrows:
        assert decide(of(more), limit_s, Better.LOWER) is Verdict.INCONCLUSIVE
        assert not of(more).narrows


def test_beyond_the_last_edge_nothing_bounds_the_servers_quantile():
    server = record(samples(SPREAD), delta(np.full(1_000, 7.0)))
    got = estimate(MEASURES["p95"], window(server), witness=Witness.SERVER)
    assert (got.value, got.high) == (None, None)
    assert decide(got, 0.5, Better.LOWER) is Verdict.FAIL


def test_the_server_is_not_asked_where_it_has_no_metrics():
    with pytest.raises(MeasurementError, match="no metrics"):
        estimate(MEASURES["p95"], window(samples(SPREAD)), witness=Witness.SERVER)


def test_the_error_rate_has_clopper_and_pearsons_interval():
    records = samples(np.full(100, 0.1))
    records["outcome"][[7, 30, 77]] = [Outcome.SHED, Outcome.CLIENT_ERROR, Outcome.RESET]
    got = estimate(MEASURES["error_rate"], window(records), limit=0.05)
    assert (got.value, got.low, got.high) == (0.03, *statistics.share_interval(3, 100, 0.99))
    assert got.worth == 100


def test_failures_that_come_in_a_run_say_less_of_the_error_rate():
    records = samples(np.full(100, 0.1))
    records["outcome"][:3] = Outcome.RESET
    got = estimate(MEASURES["error_rate"], window(records), limit=0.05)
    low, high = statistics.share_interval(3, 100, 0.99)
    assert got.worth < 50
    assert got.low < low < 0.03 < high < got.high


@pytest.mark.parametrize(("failures", "verdict"), [(0, Verdict.PASS), (1, Verdict.FAIL)])
def test_an_error_rate_of_none_is_asked_of_the_requests_that_were_sent(failures, verdict):
    records = samples(np.full(100, 0.1))
    records["outcome"][:failures] = Outcome.SERVER_ERROR
    got = estimate(MEASURES["error_rate"], window(records), limit=0.0)
    assert decide(got, 0.0, Better.LOWER) is verdict


def test_throughput_counts_good_answers_over_the_phases_own_time():
    steady = samples(np.full(101, 0.5), rate_per_s=200.0)  # one second in all
    steady["outcome"][0] = Outcome.SHED
    got = estimate(MEASURES["throughput"], window(steady, steady))
    assert got.value == pytest.approx(100.0)
    assert got.low < 100 < got.high
    assert got.n == 200


def test_throughput_over_no_time_is_refused():
    with pytest.raises(MeasurementError, match="no rate"):
        estimate(MEASURES["throughput"], window(samples([])))


def ramp(*steps, n=1_000):
    """Build one phase for each (rate, latency of all, failures)."""
    made = []
    for rate, latency_s, failures in steps:
        records = samples(np.full(n, latency_s), rate_per_s=rate)
        # One in so many: a run of failures would be one event.
        records["outcome"][: failures * (n // max(1, failures)) : n // max(1, failures)] = Outcome.SHED
        made.append(record(records, arrivals=Poisson(rate), name=f"at {rate}"))
    return window(*made)


@pytest.mark.parametrize(
    ("why", "steps", "expected"),
    [
        (
            "the last step within, and the first beyond",
            [(10, 0.1, 0), (20, 0.2, 0), (30, 9.0, 0)],
            (20, 20, 30),
        ),
        ("in any order of phases", [(30, 9.0, 0), (10, 0.1, 0), (20, 0.2, 0)], (20, 20, 30)),
        ("never reached", [(10, 0.1, 0), (20, 0.2, 0)], (20, 20, None)),
        ("beyond from the start", [(10, 9.0, 0), (20, 9.0, 0)], (None, None, 10)),
        ("a step that recovers is not counted", [(10, 0.1, 0), (20, 9.0, 0), (30, 0.1, 0)], (10, 10, 20)),
        ("one failure ends it, but is no proof", [(10, 0.1, 0), (20, 0.2, 1), (30, 0.2, 0)], (10, 10, None)),
        ("one in ten failing is a p95 beyond", [(10, 0.1, 0), (20, 0.2, 100)], (10, 10, 20)),
    ],
)
def test_the_knee_is(why, steps, expected):
    got = estimate(MEASURES["knee"], ramp(*steps), objective_s=0.5)
    assert (got.value, got.low, got.high) == tuple(
        None if rate is None else pytest.approx(rate) for rate in expected
    ), why


def test_a_step_that_is_not_shown_within_keeps_the_knee_open():
    """60 requests cannot show a p95: nothing bounds the knee from below, but their own p95 is within."""
    got = estimate(MEASURES["knee"], ramp((10, 0.1, 0), n=60), objective_s=0.5)
    assert (got.value, got.low, got.high) == (10, None, None)
    assert decide(got, 5.0, Better.HIGHER) is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("law", [Constant(40.0), Poisson(40.0), Gamma(40.0, 2.0)], ids=str)
def test_a_steps_rate_is_the_one_that_its_law_names(law):
    """The drawn times of a random law come to 38/s here; a limit of 40/s is met all the same."""
    step = record(samples(np.full(200, 0.1), rate_per_s=38), arrivals=law)
    got = estimate(MEASURES["knee"], window(step), objective_s=0.5)
    assert (got.value, got.low) == (40, 40)
    assert decide(got, 40.0, Better.HIGHER) is Verdict.PASS


def test_a_steps_rate_is_that_of_its_times_where_its_law_has_no_constant_one():
    step = record(samples(np.full(200, 0.1), rate_per_s=38), arrivals=Ramp(30.0, 50.0))
    assert estimate(MEASURES["knee"], window(step), objective_s=0.5).value == pytest.approx(38)


def test_the_knee_fails_a_limit_above_the_first_step_beyond():
    got = estimate(MEASURES["knee"], ramp((10, 0.1, 0), (20, 9.0, 0)), objective_s=0.5)
    assert decide(got, 10.0, Better.HIGHER) is Verdict.PASS
    assert decide(got, 15.0, Better.HIGHER) is Verdict.INCONCLUSIVE
    assert decide(got, 25.0, Better.HIGHER) is Verdict.FAIL


def test_more_steps_make_the_high_end_more_careful():
    """One borderline step is shown beyond when it stands alone, and not as one of many."""
    slow = np.random.default_rng(3).permutation(np.r_[np.full(926, 0.1), np.full(74, 9.0)])
    steps = [
        record(
            samples(slow if rate == 10 else np.full(1_000, 0.1)), arrivals=Poisson(rate), name=f"at {rate}"
        )
        for rate in range(10, 30)
    ]
    alone, many = window(steps[0]), window(*steps)
    assert estimate(MEASURES["knee"], alone, objective_s=0.5).high == pytest.approx(10)
    assert estimate(MEASURES["knee"], many, objective_s=0.5).high is None


def burst_phase(recoveries_s, *, size=8, every_s=2.0, background=True, cut=0):
    """Build bursts of which the last request of burst k ends ``recoveries_s[k]`` after it, the others quickly."""
    intended, latencies = [], []
    for index, recovery_s in enumerate(recoveries_s):
        start_s = 0.5 + index * every_s
        intended += [start_s] * size
        latencies += [0.05] * (size - 1) + [recovery_s]
        if background:
            intended.append(start_s + 0.3)
            latencies.append(0.05)
    keep = len(intended) - cut
    arrivals = Bursts(size, every_s, 1.0 if background else 0.0, 0.5)
    return record(samples(latencies[:keep], intended_s=intended[:keep]), arrivals=arrivals)


def test_time_to_recover_is_the_median_over_the_bursts():
    got = estimate(
        MEASURES["recover"], window(burst_phase([0.3, 0.9, 0.4, 0.8, 0.5, 0.7, 0.6])), objective_s=0.1
    )
    assert (got.value, got.low, got.high) == pytest.approx((0.6, 0.3, 0.9))
    assert (got.n, got.note) == (7, "median of 7 bursts")


def test_bursts_that_were_never_late_recover_at_once():
    assert estimate(MEASURES["recover"], window(burst_phase([0.1] * 7)), objective_s=0.2).value == 0.0


def test_six_bursts_do_not_bound_the_median():
    got = estimate(MEASURES["recover"], window(burst_phase([0.3] * 6)), objective_s=0.1)
    assert (got.value, got.low, got.high) == (pytest.approx(0.3), None, None)


def test_a_late_request_between_two_bursts_belongs_to_the_first():
    phase = burst_phase([0.3] * 7)
    between = 8  # the background's request 0.3 s after the first burst of 8
    phase.samples["done_ns"][between] = phase.samples["intended_ns"][between] + 1_000_000_000
    got = estimate(MEASURES["recover"], window(phase), objective_s=0.1)
    assert (got.value, got.high) == pytest.approx((0.3, 1.3))


def test_a_failed_request_counts_until_it_failed():
    phase = burst_phase([0.05] * 7)
    phase.samples["outcome"][:] = Outcome.TIMEOUT
    phase.samples["done_ns"] = phase.samples["intended_ns"] + 1_500_000_000
    assert estimate(MEASURES["recover"], window(phase), objective_s=0.1).value == pytest.approx(
        1.8
    )  # the one 0.3 s after


def test_a_request_that_never_ended_never_recovers():
    phase = burst_phase([0.05] * 7)
    phase.samples["done_ns"] = 0
    assert estimate(MEASURES["recover"], window(phase), objective_s=0.1).value == math.inf


def test_a_last_burst_that_was_cut_short_is_left_out():
    got = estimate(
        MEASURES["recover"], window(burst_phase([0.3] * 7 + [1.9], background=False, cut=3)), objective_s=0.1
    )
    assert (got.n, got.high) == (7, pytest.approx(0.3))


@given(st.integers(0, 2**32 - 1), st.integers(2, 40), st.sampled_from([0.7, 1 / 3, 2.123456789]))
def test_bursts_are_found_in_what_the_law_of_arrivals_draws(seed, size, every_s):
    law = Bursts(size, every_s, 20.0, 0.5)
    times_s = law.draw(np.random.default_rng(seed), requests=None, duration_s=0.5 + 6.5 * every_s)
    latencies = np.full(len(times_s), 0.01)
    got = estimate(
        MEASURES["recover"],
        window(record(samples(latencies, intended_s=times_s), arrivals=law)),
        objective_s=0.1,
    )
    assert (got.n, got.value) == (7, 0.0)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (record(samples([0.1]), arrivals=Poisson(1.0)), "has no bursts of 2 or more, but Poisson"),
        (
            record(samples([0.1, 0.1]), arrivals=Bursts(2, 1.0, 0.0, 0.0)),
            "no 2 requests share an intended time",
        ),
    ],
)
def test_a_phase_without_bursts_has_no_time_to_recover(made, message):
    with pytest.raises(MeasurementError, match=message):
        estimate(MEASURES["recover"], window(made), objective_s=0.1)


@pytest.mark.parametrize(
    "measure",
    [MEASURES["error_rate"], MEASURES["throughput"], MEASURES["knee"], MEASURES["recover"]],
    ids=lambda measure: measure.name,
)
def test_what_only_the_client_sees_is_not_asked_of_the_server(measure):
    with pytest.raises(UsageError, match=f"{measure.name} is measured from the client's record only"):
        estimate(measure, window(samples([0.1])), witness=Witness.SERVER)


@pytest.mark.parametrize("measure", [MEASURES["knee"], MEASURES["recover"]], ids=lambda measure: measure.name)
@pytest.mark.parametrize("objective_s", [None, 0.0, math.nan, math.inf])
def test_what_counts_late_requests_needs_to_know_what_late_is(measure, objective_s):
    with pytest.raises(UsageError, match=f"{measure.name} needs the criterion's objective_s"):
        estimate(measure, window(samples([0.1])), objective_s=objective_s)


def test_a_ramp_step_of_one_request_offers_no_rate():
    with pytest.raises(MeasurementError, match="1 requests offer no rate"):
        estimate(MEASURES["knee"], window(record(samples([0.1]), arrivals=Ramp(30.0, 50.0))), objective_s=0.1)
