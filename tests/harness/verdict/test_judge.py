"""From a criterion and its records to a judgement, its reason and its cause."""

import math
import re
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_records import delta, record, samples, window

from tailgate.harness.errors import UsageError
from tailgate.harness.load.records.samples import Outcome
from tailgate.harness.measures import built_in_measures
from tailgate.harness.measures.latency import latency
from tailgate.harness.measures.measure import Measured
from tailgate.harness.report import criteria
from tailgate.harness.results.criterion import Witness
from tailgate.harness.results.fault import VOID, Cause, Fault
from tailgate.harness.results.verdict import Better, Verdict
from tailgate.harness.scenario.arrivals import ClosedLoop, Poisson
from tailgate.harness.scenario.ref import Ref
from tailgate.harness.scenario.scenario import Criterion, Phase
from tailgate.harness.units import Unit
from tailgate.harness.verdict.judge import find_measure, judge, judged_times_s, refuse_unanswerable, void

MEASURES = built_in_measures()
P5 = Measured("p5", Unit.SECONDS, Better.LOWER, partial(latency, share=0.05))
SPREAD = np.random.default_rng(11).permutation(np.linspace(0.001, 1.0, 1_000))


def asked(measure="p95", limit=0.5, witness=Witness.CLIENT, objective_s=None):
    return Criterion(measure, limit, ("load",), witness, objective_s)


@pytest.mark.parametrize(
    ("limit", "verdict", "reason"),
    [
        (
            1.0,
            Verdict.PASS,
            "within: p95 (client) is at most 966 ms and the limit is 1000 ms (confidence 0.99, n = 1000)",
        ),
        (
            0.5,
            Verdict.FAIL,
            "beyond: p95 (client) is at least 933 ms and the limit is 500 ms (confidence 0.99, n = 1000)",
        ),
        (
            0.95,
            Verdict.INCONCLUSIVE,
            (
                "undecided: p95 (client) lies between 933 ms and 966 ms and the limit is 950 ms "
                "(confidence 0.99, n = 1000); more requests may tell"
            ),
        ),
    ],
)
def test_a_judgement_says_what_was_found_and_how_surely(limit, verdict, reason):
    got = judge(asked(limit=limit), window(samples(SPREAD)), MEASURES)
    assert (got.verdict, got.reason) == (verdict, reason)


@pytest.mark.parametrize(
    ("measure", "n", "reason"),
    [
        ("p95", 60, "is at least 28 ms, with no upper end"),
        ("p5", 60, "is at most"),
        ("p95", 1, "is not bounded"),
    ],
)
def test_an_open_end_is_named(measure, n, reason):
    measures = (*MEASURES, P5)
    limit = 1e-5 if measure == "p5" else 0.5
    got = judge(asked(measure, limit), window(samples(np.sort(SPREAD)[:n])), measures)
    assert got.verdict is Verdict.INCONCLUSIVE
    assert reason in got.reason


@pytest.mark.parametrize(
    ("limits_s", "verdict"),
    [
        ((1.0, 1.2), Verdict.PASS),
        ((0.97, 1.2), Verdict.PASS),
        ((0.95, 1.2), Verdict.INCONCLUSIVE),  # within the laxer one only
        ((0.94, 0.96), Verdict.INCONCLUSIVE),
        ((0.5, 1.2), Verdict.INCONCLUSIVE),  # surely beyond the one, and surely within the other
        ((0.5, 0.95), Verdict.INCONCLUSIVE),  # beyond the stricter one only
        ((0.5, 0.9), Verdict.FAIL),
    ],
)
def test_pass_goes_by_the_stricter_of_two_limits_and_fail_by_the_laxer(limits_s, verdict):
    """p95 lies between 933 and 966 ms."""
    for first, second in (limits_s, limits_s[::-1]):
        got = judge(asked(limit=first), window(samples(SPREAD)), MEASURES, also=asked(limit=second))
        assert got.verdict is verdict
        assert (got.limit, got.fail_limit) == limits_s


@pytest.mark.parametrize(
    ("limits", "verdict"),
    [((20.0, 25.0), Verdict.PASS), ((20.0, 200.0), Verdict.INCONCLUSIVE), ((200.0, 250.0), Verdict.FAIL)],
)
def test_where_more_is_better_the_stricter_limit_is_the_higher(limits, verdict):
    made = window(samples(SPREAD, rate_per_s=100.0))
    for first, second in (limits, limits[::-1]):
        got = judge(asked("throughput", first), made, MEASURES, also=asked("throughput", second))
        assert got.verdict is verdict
        assert (got.fail_limit, got.limit) == limits


def test_an_objective_that_moved_must_be_kept_at_both_readings():
    """Half of the answers take more than 0.5 s: goodput is what an objective makes of it."""
    made = window(samples(SPREAD, rate_per_s=100.0))
    strict, lax = (asked("goodput", 60.0, objective_s=seconds) for seconds in (0.5, 5.0))
    verdicts = [judge(one, made, MEASURES).verdict for one in (strict, lax)]
    assert verdicts == [Verdict.FAIL, Verdict.PASS]
    assert judge(strict, made, MEASURES, also=lax).verdict is Verdict.INCONCLUSIVE


def test_only_the_end_that_fail_goes_by_is_moved_by_its_confidence():
    made = window(samples(SPREAD))
    plain = judge(asked(), made, MEASURES)
    surely = judge(asked(), made, MEASURES, fail_confidence=0.9999)
    assert surely.fail_confidence == 0.9999
    assert surely.high == plain.high
    assert surely.low < plain.low
    assert "(confidence 0.9999, n = 1000)" in surely.reason


def test_a_reason_names_both_limits_where_the_yardstick_moved_between_them():
    made = window(samples(SPREAD))
    reasons = [
        judge(asked(limit=first), made, MEASURES, also=asked(limit=second)).reason
        for first, second in ((1.0, 1.2), (0.5, 0.6), (0.9, 1.0))
    ]
    assert "the limit is 1000 ms by the stricter reading of the yardstick" in reasons[0]
    assert "the limit is 600 ms by the laxer reading of the yardstick" in reasons[1]
    assert "the limit is 900 ms or 1000 ms, by the yardstick before and after" in reasons[2]


def test_where_more_is_better_the_ends_change_places():
    steps = [
        record(samples(np.full(1_000, latency_s)), arrivals=Poisson(rate), name=f"at {rate}")
        for rate, latency_s in ((10, 0.1), (20, 9.0))
    ]
    got = judge(asked("knee", 5.0, objective_s=0.5), window(*steps), MEASURES)
    assert got.verdict is Verdict.PASS
    assert got.reason.startswith("within: knee (client) is at least 10/s and the limit is 5/s")
    got = judge(asked("knee", 30.0, objective_s=0.5), window(*steps), MEASURES)
    assert got.verdict is Verdict.FAIL
    assert got.reason.startswith("beyond: knee (client) is at most 20/s and the limit is 30/s")


def test_what_a_reader_must_know_is_in_the_reason():
    records = samples(SPREAD)
    records["outcome"][:60], records["status"][:60] = Outcome.SHED, 503
    got = judge(asked(), window(records), MEASURES)
    assert got.verdict is Verdict.FAIL
    assert got.reason.endswith(
        "; 60 of 1,000 requests failed (503 Service Unavailable), and p95 may lie among them"
    )


@pytest.mark.parametrize("measure", ["p50", "p95", "accepted_p95", "drift_p50", "error_rate", "throughput"])
@settings(deadline=None)
@given(count=st.integers(100, 400), share=st.sampled_from([0.0, 0.01, 0.04, 0.06, 0.3, 0.6, 1.0]))
def test_no_reason_and_no_report_says_that_a_latency_is_infinite(measure, count, share):
    records = samples(np.full(count, 0.1))
    bad = round(count * share)
    records["outcome"][count - bad :], records["status"][count - bad :] = Outcome.SERVER_ERROR, 500
    got = judge(asked(measure, 0.05), window(records), MEASURES)
    assert not re.search(r"\binf", got.reason)
    if measure == "p95" and share == 1.0:
        assert got.verdict is Verdict.FAIL
        assert got.reason == (
            f"beyond: all {count} requests failed (500 Internal Server Error), so there is no latency to judge"
        )
    assert not any(re.search(r"\binf", cell) for cell in criteria.row(got))


def test_both_witnesses_are_judged_by_their_own_record():
    both = window(record(samples(SPREAD), delta(np.full(1_000, 0.07))))
    assert judge(asked(), both, MEASURES).verdict is Verdict.FAIL
    assert judge(asked(witness=Witness.SERVER), both, MEASURES).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("made", "witness", "reason"),
    [
        (window(), Witness.CLIENT, "nothing was measured"),
        (window(samples([])), Witness.CLIENT, "nothing was measured"),
        (window(samples(SPREAD)), Witness.SERVER, "phase 'phase0' has no metrics"),
        (
            window(record(samples(SPREAD), delta([]))),
            Witness.SERVER,
            "p95 (server) has nothing behind it: n = 0",
        ),
    ],
)
def test_what_measured_nothing_is_invalid_and_never_a_pass(made, witness, reason):
    got = judge(asked(limit=1e9, witness=witness), made, MEASURES)
    assert (got.verdict, got.value, got.n) == (Verdict.INVALID, None, None)
    assert got.reason.startswith("integrity: ")
    assert reason in got.reason


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("p96", "did you mean 'p9"),
        ("eror_rate", "did you mean 'error_rate'"),
        ("zzz", "no name is like it"),
    ],
)
def test_an_unknown_measure_is_refused_with_the_nearest_name(name, message):
    with pytest.raises(UsageError, match=f"there is no measure '{name}'; {message}.*'throughput'"):
        find_measure(name, MEASURES)


@pytest.mark.parametrize("limit", [Ref("p95"), math.nan, math.inf])
def test_a_limit_that_is_open_or_no_number_is_refused(limit):
    with pytest.raises(UsageError, match=r"p95 \(client\): its limit must be a finite number"):
        judge(asked(limit=limit), window(samples(SPREAD)), MEASURES)


NOISE = Fault(Cause.NOISE, "the generator was late")
BROKEN = Fault(Cause.INTEGRITY, "two requests are missing")


@pytest.mark.parametrize("question", [asked(), asked("knee", 10.0, objective_s=0.1), asked("recover", 1.0)])
def test_no_latency_is_judged_by_a_closed_loop(question):
    phase = Phase("load", ClosedLoop(8), requests=1)
    with pytest.raises(
        UsageError, match=r"asks for latency in \['load'\], a closed loop.*judge latency by an open"
    ):
        refuse_unanswerable([question], [phase], MEASURES)


@pytest.mark.parametrize("measure", ["throughput", "error_rate"])
def test_capacity_may_be_judged_by_a_closed_loop(measure):
    made = window(record(samples(SPREAD), name="probe", arrivals=ClosedLoop(8)))
    got = judge(asked(measure, 0.5), made, MEASURES)
    assert got.verdict is Verdict.PASS
    assert got.reason.endswith("closed loop")


def test_a_fault_voids_a_judgement_and_keeps_what_was_measured():
    passed = judge(asked(limit=1.0), window(samples(SPREAD)), MEASURES)
    voided = void(passed, [NOISE])
    assert (voided.verdict, voided.reason) == (Verdict.INVALID, f"noise: {VOID}")
    assert (voided.value, voided.low, voided.high) == (passed.value, passed.low, passed.high)


def test_what_is_broken_is_said_before_what_is_noisy():
    voided = void(judge(asked(), window(samples(SPREAD)), MEASURES), [NOISE, BROKEN])
    assert voided.reason == f"integrity: {VOID}"


def test_a_broken_record_stays_broken_under_noise():
    empty = judge(asked(), window(), MEASURES)
    assert void(empty, [NOISE]).reason.startswith("integrity: no request was recorded: nothing was measured")


def test_no_fault_changes_nothing():
    judgement = judge(asked(), window(samples(SPREAD)), MEASURES)
    assert void(judgement, []) is judgement


def test_the_times_that_are_judged_are_limits_in_seconds_and_objectives_by_the_lag_they_rest_on():
    criteria = [asked("p95", 0.2), asked("error_rate", 0.0), asked("knee", 10.0, objective_s=0.3)]
    criteria += [asked("ttft_p95", 0.4), asked("gap_p99", 0.5)]
    assert judged_times_s(criteria, MEASURES) == ([0.2, 0.3, 0.4], [0.4, 0.5])
