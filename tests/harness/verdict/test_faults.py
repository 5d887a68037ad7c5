"""Each way in which a measurement cannot be believed, with its cause; and that good ones have none."""

import dataclasses

import numpy as np
import pytest
from sample_records import delta, phase, record, samples, window

from tailgate.harness.load.records.events import EVENT
from tailgate.harness.load.records.samples import Outcome
from tailgate.harness.load.wire.stream import UNKNOWN_LAG
from tailgate.harness.observe.beside.probes import Asked, ProbeRecord
from tailgate.harness.observe.window import PhaseRecord
from tailgate.harness.results.fault import Cause
from tailgate.harness.results.yardstick import Yardstick
from tailgate.harness.target.asking.metric_names import MetricNames
from tailgate.harness.verdict.faults import (
    check_counts,
    check_generator,
    check_reading_lag,
    check_records,
    check_send_lag,
    check_yardsticks,
)
from tailgate.harness.verdict.witnesses import check_witnesses


def single(faults, cause):
    """Return the text of the only fault, which must be of this cause."""
    assert [fault.cause for fault in faults] == [cause]
    return faults[0].text


def lose(records, indices, outcome=Outcome.TIMEOUT):
    records["outcome"][indices] = outcome
    records["status"][indices] = 0
    return records


def test_one_record_for_each_planned_request_is_no_fault():
    assert check_records(window(samples([0.1] * 3), samples([0.1])), [3, 1]) == []


@pytest.mark.parametrize(
    ("planned", "found"), [(4, "4 requests were planned, 3 records"), (2, "2 requests were")]
)
def test_a_record_too_few_or_too_many_is_a_broken_record(planned, found):
    text = single(check_records(window(samples([0.1] * 3)), [planned]), Cause.INTEGRITY)
    assert found in text
    assert "'phase0'" in text


def test_a_request_recorded_twice_is_a_broken_record():
    twice = samples([0.1] * 3)
    twice["request"][2] = 0
    text = single(check_records(window(twice), [3]), Cause.INTEGRITY)
    assert "3 records of 2 requests" in text


@pytest.mark.parametrize("field", ["sent_ns", "done_ns"])
def test_times_that_run_backwards_are_a_broken_record(field):
    records = samples([0.1] * 3)
    records[field][1] = 1
    assert "run backwards" in single(check_records(window(records), [3]), Cause.INTEGRITY)


def test_a_failed_request_needs_no_times():
    records = lose(samples([0.1]), [0], Outcome.REFUSED)
    records["sent_ns"] = 0
    assert check_records(window(records), [1]) == []


@pytest.mark.parametrize(
    ("counted", "lost", "good"),
    [
        (10, 0, True),
        (9, 0, False),
        (11, 0, False),
        (8, 2, True),  # none of the lost ones was counted
        (10, 2, True),  # both were
        (7, 2, False),
        (11, 2, False),
    ],
)
def test_the_server_counted_what_was_answered_and_perhaps_what_was_lost(counted, lost, good):
    records = lose(samples([0.1] * 10), slice(0, lost))
    faults = check_counts(window(record(records, delta([0.1] * counted))))
    if good:
        assert faults == []
    else:
        text = single(faults, Cause.INTEGRITY)
        assert f"counted {counted} requests" in text
        assert f"{10 - lost} answers and lost {lost}" in text


def test_refusals_by_the_server_are_answers_and_refused_connections_are_not():
    records = samples([0.1] * 10)
    records["outcome"][:2], records["status"][:2] = Outcome.SHED, 503
    records["outcome"][2:4], records["status"][2:4], records["sent_ns"][2:4] = Outcome.REFUSED, 0, 0
    assert check_counts(window(record(records, delta([0.1] * 8)))) == []


@pytest.mark.parametrize(
    ("second", "third", "good"), [(10, 10, True), (11, 10, True), (10, 11, True), (11, 11, False)]
)
def test_a_lost_request_may_be_counted_once_in_its_phase_or_in_a_later_one(second, third, good):
    made = window(
        record(lose(samples([0.1] * 11), [0]), delta([0.1] * 10), name="first"),
        record(samples([0.1] * 10), delta([0.1] * second), name="second"),
        record(samples([0.1] * 10), delta([0.1] * third), name="third"),
    )
    assert (check_counts(made) == []) == good


def test_a_request_that_was_never_sent_cannot_have_been_counted():
    records = lose(samples([0.1] * 10), [0])
    records["sent_ns"][0] = 0  # it timed out while it waited for a connection
    text = single(check_counts(window(record(records, delta([0.1] * 10)))), Cause.INTEGRITY)
    assert "counted 10 requests, expected 9" in text


def probe(asked, status=200):
    return ProbeRecord(asked, 1, 0.001, status)


@pytest.mark.parametrize(
    ("counted", "good"),
    [
        (99, False),
        (100, True),  # none of the harness's own is counted
        (101, False),
        (103, True),  # the scrapes are
        (102, False),
        (104, True),  # the probes of readiness are, and one of them got no answer
        (105, True),
        (107, True),  # both are
        (108, True),
        (109, False),
        (110, False),
    ],
)
def test_the_harness_s_own_requests_are_allowed_for_to_the_request(counted, good):
    own = (*[probe(Asked.HEALTH)] * 4, probe(Asked.HEALTH, None), probe(Asked.METRICS))
    made = PhaseRecord(phase(), samples([0.1] * 100), delta([0.1] * counted), probes=own, own_scrapes=2)
    faults = check_counts(window(made))
    assert (faults == []) == good
    if counted > 100 and not good:
        assert "the harness itself asked 8 times, and that does not explain it" in faults[0].text


def test_the_histogram_counts_the_client_s_requests_without_the_harness_s_own():
    made = PhaseRecord(phase(), samples([0.1] * 100), delta([0.001, *[0.1] * 100]), own_scrapes=1)
    assert window(made).request_histogram().n == 100
    assert window(made).request_histogram().own == 1


def test_a_histogram_that_holds_more_than_its_counter_is_a_fault_with_both_numbers():
    """Two series of each request, such as one for a stage and one for the whole."""
    made = window(record(samples([0.1] * 100), delta([0.1] * 200, requests=100)))
    text = single(check_counts(made), Cause.INTEGRITY)
    assert "counted 200 requests, expected 100 (tailgate_request_seconds_count)" in text
    assert "tailgate_requests_total says 100" in text


@pytest.mark.parametrize(
    ("processes", "words"),
    [(None, "If several processes serve"), (3, "If 3 processes serve"), (1, None)],
)
def test_where_too_few_were_counted_several_processes_may_be_the_reason(processes, words):
    text = single(check_counts(window(record(samples([0.1] * 10), delta([0.1]))), processes), Cause.INTEGRITY)
    assert ("PROMETHEUS_MULTIPROC_DIR, run one worker, or leave the metrics out" in text) == bool(words)
    assert words is None or words in text


@pytest.mark.parametrize(
    ("counted", "good"), [(59, False), (60, True), (80, True), (100, True), (101, False)]
)
@pytest.mark.parametrize("outcome", [Outcome.SHED, Outcome.CLIENT_ERROR, Outcome.REDIRECT])
def test_a_failing_answer_may_have_been_given_before_the_server_counts(outcome, counted, good):
    """By a proxy, or by a part of the service that stands before the one that counts."""
    records = samples([0.1] * 100)
    records["outcome"][:40], records["status"][:40] = outcome, 400
    assert (check_counts(window(record(records, delta([0.1] * counted)))) == []) == good


def test_who_has_said_that_there_is_no_histogram_needs_no_counter():
    made = record(samples([0.1] * 3), delta([0.1] * 3))
    names = MetricNames(request_seconds=None, requests_total="nowhere")
    assert check_counts(window(made, names=names)) == check_witnesses(window(made, names=names)) == []


def test_an_answer_that_broke_off_after_its_status_was_lost():
    records = samples([0.1] * 10)
    records["outcome"][0] = Outcome.RESET
    assert check_counts(window(record(records, delta([0.1] * 9)))) == []


def test_a_target_without_metrics_has_no_second_witness_to_disagree():
    made = window(samples([0.1] * 300))
    assert check_counts(made) == check_witnesses(made) == []


def test_metrics_of_some_phases_only_are_a_fault():
    made = window(record(samples([0.1]), delta([0.1]), name="a"), record(samples([0.1]), name="b"))
    assert "phase 'b' has no metrics" in single(check_counts(made), Cause.INTEGRITY)


def test_metrics_under_other_names_are_a_fault_that_names_the_mapping():
    names = MetricNames(requests_total="answers", request_seconds="spent")
    made = window(record(samples([0.1] * 300), delta([0.1])), names=names)
    assert "neither 'answers' nor 'spent'" in single(check_counts(made), Cause.INTEGRITY)
    assert "no histogram 'spent'" in single(check_witnesses(made), Cause.INTEGRITY)


def test_the_histogram_counts_where_there_is_no_counter():
    made = window(
        record(samples([0.1] * 3), delta([0.1] * 3, requests=99)), names=MetricNames(requests_total=None)
    )
    assert check_counts(made) == []


@pytest.mark.parametrize(
    ("lag_ms", "limits_s", "fault"),
    [
        (0.9, (0.001,), None),  # a millisecond is never a fault
        (1.1, (0.001,), "p99 of its send lag is 1.1 ms, allowed are 1 ms"),
        (4.9, (0.5, 0.1), None),
        (5.1, (0.5, 0.1), "p99 of its send lag is 5.1 ms, allowed are 5 ms"),
        (50.0, (), None),  # no latency is judged
    ],
)
def test_send_lag_is_a_fault_beyond_a_twentieth_of_the_smallest_latency_judged(lag_ms, limits_s, fault):
    faults = check_send_lag(window(samples([0.2] * 300, lag_s=lag_ms / 1e3)), limits_s)
    if fault is None:
        assert faults == []
    else:
        assert fault in single(faults, Cause.NOISE)


def test_a_few_late_sends_are_no_fault():
    lag_s = np.zeros(300)
    lag_s[:3] = 0.2
    assert check_send_lag(window(samples(np.full(300, 0.3), lag_s=lag_s)), (0.5,)) == []


def test_waiting_for_a_connection_is_not_the_generators_lag():
    records = samples([0.2] * 300)
    records["sent_ns"] += 100_000_000
    assert check_send_lag(window(records), (0.5,)) == []


def test_a_generator_that_took_up_nothing_is_broken():
    records = samples([0.2] * 3)
    records["dispatched_ns"] = 0
    assert "none of 3 requests" in single(check_send_lag(window(records), (0.5,)), Cause.INTEGRITY)


def read_late(lags_ns):
    events = np.zeros(len(lags_ns), EVENT)
    events["lag_ns"] = lags_ns
    return window(dataclasses.replace(record(samples([0.2] * 3)), events=events))


@pytest.mark.parametrize(
    ("lag_us", "limits_s", "allowed"),
    [
        (49, (0.0001,), None),  # 50 µs is never a fault
        (51, (0.0001, 5.0), "allowed are 0.05 ms"),
        (499, (0.01,), None),
        (
            501,
            (0.01, 0.5),
            "p99 of its reading lag is 0.501 ms, allowed are 0.5 ms by the least limit on a stream",
        ),
        (5_000, (), None),  # no stream is judged
    ],
)
def test_a_reading_lag_that_does_not_resolve_a_limit_on_a_stream_is_a_fault(lag_us, limits_s, allowed):
    faults = check_reading_lag(read_late([lag_us * 1_000] * 300), limits_s)
    if allowed is None:
        assert faults == []
    else:
        assert allowed in single(faults, Cause.NOISE)


def test_a_few_late_reads_and_those_of_which_the_kernel_does_not_tell_are_no_fault():
    assert check_reading_lag(read_late([1_000] * 300 + [10**9] * 2 + [UNKNOWN_LAG] * 600), (0.01,)) == []
    assert check_reading_lag(read_late([UNKNOWN_LAG] * 3), (0.01,)) == []
    assert check_reading_lag(window(samples([0.2] * 3)), (0.01,)) == []


@pytest.mark.parametrize(("busy", "good"), [(None, True), (0.0, True), (0.9, True), (0.95, False)])
def test_a_generator_without_time_to_spare_is_a_fault(busy, good):
    faults = check_generator(busy)
    if good:
        assert faults == []
    else:
        assert "busy for 95% of its core" in single(faults, Cause.NOISE)


@pytest.mark.parametrize(
    ("delay_s", "limits_s", "good"),
    [
        (None, (0.1,), True),
        (0.0049, (0.5, 0.1), True),
        (0.0051, (0.5, 0.1), False),
        (0.0009, (0.001,), True),  # a millisecond is never a fault
        (1.0, (), True),  # no latency is judged
    ],
)
def test_a_generator_without_a_processor_when_it_needs_one_is_a_fault(delay_s, limits_s, good):
    faults = check_generator(0.1, delay_s, limits_s)
    if good:
        assert faults == []
    else:
        text = single(faults, Cause.NOISE)
        assert "the generator was starved: for each request it waited 5.1 ms" in text
        assert "allowed are 5 ms" in text


def yard(median_s):
    return Yardstick(median_s, median_s * 0.99, median_s * 1.01, 60)


def timed(name, *seconds):
    """Return what was seen of a phase between two readings of the yardstick, or without any."""
    around = tuple(map(yard, seconds)) or None
    return PhaseRecord(phase(name), samples([0.1]), yardsticks=around)


def test_a_machine_that_became_slower_within_a_phase_is_a_fault_that_names_it():
    found = check_yardsticks(window(timed("quick", 0.010, 0.010), timed("slow", 0.010, 0.018)))
    text = single(found, Cause.NOISE)
    assert text.startswith(
        "phase 'slow': the machine changed: its yardstick took 10 ms before and 18 ms after"
    )
    assert "1.8 times apart, allowed is 1.4 times" in text


def test_a_machine_that_became_slower_bit_by_bit_over_several_phases_is_none():
    """Each phase is judged by the readings around it, however far the last is from the first."""
    steps = [timed(str(step), 0.010 * 1.2**step, 0.010 * 1.2 ** (step + 1)) for step in range(5)]
    assert check_yardsticks(window(*steps)) == []


def test_phases_that_share_their_readings_have_one_fault():
    found = check_yardsticks(window(timed("overload", 0.010, 0.018), timed("afterwards", 0.010, 0.018)))
    assert "phase 'overload'" in single(found, Cause.NOISE)


@pytest.mark.parametrize("seconds", [(), (0.010, 0.011), (0.011, 0.010)])
def test_a_machine_that_stayed_or_was_not_timed_is_none(seconds):
    assert check_yardsticks(window(timed("load", *seconds))) == []


def test_requests_of_disturbers_are_planned_recorded_and_counted_like_any_others():
    theirs = samples([0.1] * 4)
    theirs["request"] += 10
    theirs["outcome"][:3], theirs["status"][:3] = Outcome.LEFT, 0
    theirs["status"][3], theirs["outcome"][3] = 400, Outcome.CLIENT_ERROR
    # The refusal of the corrupt body may have been given before anything was counted.
    for counted, good in [(9, False), (10, True), (11, True), (14, True), (15, False)]:
        made = PhaseRecord(phase(), samples([0.1] * 10), delta([0.1] * counted), disturbers=theirs)
        assert (check_counts(window(made)) == []) == good
        assert check_records(window(made), [14]) == []
        assert "10 requests were planned" in single(check_records(window(made), [10]), Cause.INTEGRITY)
