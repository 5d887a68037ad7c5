"""Many generators, one verdict: a generator that was late, or whose clock is not known, is named, and voids the run."""

from dataclasses import replace

import pytest
from sample_records import record, samples

from tailgate.harness.load import PhaseReport, Scheduling, TimerMode
from tailgate.harness.load.records.samples import Outcome
from tailgate.harness.load.report import Lag, Part, decode_report, encode_report, together
from tailgate.harness.results.failure import Failure
from tailgate.harness.results.fault import Cause
from tailgate.harness.results.slot import Loop
from tailgate.harness.verdict.generators import check_agreement, check_parts, note

QUICK = Lag(1e-5, 2e-5, 3e-5)
PART = Part("a", True, 100, QUICK, 0.5, 1.0, 1e-6, 0.0, 0.0)
REPORT = PhaseReport(
    phase=0,
    name="load",
    outcomes={outcome: 100 * (outcome is Outcome.OK) for outcome in Outcome},
    failures=(),
    start_ns=10**9,
    end_ns=3 * 10**9,
    lag=QUICK,
    wall_s=2.0,
    busy_s=0.5,
    cpu_s=0.25,
    run_delay_s=None,
    connections_opened=3,
    connections_lost_idle=1,
    stale_retries=0,
    waited_requests=7,
    at_once=None,
    timer=TimerMode.SLEEP,
    scheduling=Scheduling.FIFO,
    loop=Loop.OPEN,
    processor=None,
    parts=(PART, replace(PART, name="b")),
)
# At 100 requests/s, 5 % of the mean gap are 500 µs.
RECORD = record(samples([0.1] * 100))


def of_b(**changes):
    return replace(REPORT, parts=(PART, replace(PART, name="b", **changes)))


def only(faults):
    (fault,) = faults
    assert fault.cause is Cause.NOISE
    assert "generator 'b'" in fault.text
    assert "'a'" not in fault.text
    return fault.text


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"schedule_error_s": 499e-6}, ""),
        ({"schedule_error_s": 501e-6}, "0.501 ms early or late, allowed are 0.500 ms, 5% of the mean gap"),
        ({"drift": 0.00099}, ""),
        ({"drift": 0.0011}, "may run 0.110% faster or slower than the harness's, allowed are 0.1%"),
    ],
)
def test_a_clock_that_is_not_known_well_enough_voids_with_the_name_of_its_generator(changes, told):
    faults = check_agreement(RECORD, of_b(**changes))
    assert told in only(faults) if told else not faults


def test_a_closed_loop_has_no_time_to_keep_but_its_latencies_need_a_steady_clock():
    loose = replace(of_b(schedule_error_s=1.0), loop=Loop.CLOSED)
    assert check_agreement(RECORD, loose) == []
    assert only(check_agreement(RECORD, replace(of_b(drift=0.5), loop=Loop.CLOSED)))


def test_a_single_request_has_no_gap():
    assert check_agreement(record(samples([0.1])), of_b(schedule_error_s=1.0)) == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"lag": Lag(1e-3, 6e-3, 1e-2)}, "p99 of its send lag is 6.00 ms, allowed are 5.00 ms"),
        ({"utilisation": 0.95}, "was the bottleneck: busy for 95% of its core"),
        ({"run_delay_per_request_s": 0.006}, "was starved"),
    ],
)
def test_one_generator_that_was_late_voids_with_its_name(changes, told):
    assert told in only(check_parts(of_b(**changes), (0.1,)))


def test_generators_on_time_are_no_fault_and_without_a_judged_latency_nobody_is_late():
    assert check_parts(REPORT, (0.1,)) == []
    assert check_parts(of_b(lag=Lag(1.0, 1.0, 1.0)), ()) == []


def test_the_reports_of_many_are_one_of_the_worst_lag_and_the_sum_of_the_rest():
    late = replace(
        REPORT,
        lag=Lag(2e-5, 1e-2, 2e-2),
        end_ns=4 * 10**9,
        busy_s=1.5,
        failures=(Failure("timeout", None, 3, "no answer began"),),
        scheduling=Scheduling.NORMAL,
    )
    one = together([REPORT, late], REPORT.parts)
    assert (one.requests, one.cpu_s, one.connections_opened) == (200, 0.5, 6)
    assert (one.start_ns, one.end_ns, one.wall_s) == (10**9, 4 * 10**9, 3.0)
    assert one.lag == Lag(2e-5, 1e-2, 2e-2)
    assert one.utilisation == 0.75
    assert one.failures == late.failures
    assert one.scheduling is Scheduling.NORMAL
    assert one.run_delay_s is None
    assert decode_report(encode_report(one)) == one


def test_processor_time_here_is_that_of_the_generators_here():
    parts = (replace(PART, cpu_s=1.0), replace(PART, here=False, cpu_s=5.0))
    assert replace(REPORT, parts=parts).cpu_here_s == 1.0
    assert replace(REPORT, parts=()).cpu_here_s == REPORT.cpu_s


def test_a_note_says_who_sent_and_how_well_their_clocks_are_known():
    assert note([replace(REPORT, parts=())]) == ""
    assert note([REPORT, REPORT]) == "2 generators sent the requests, which have one clock: a, b"
    assert note([of_b(schedule_error_s=2e-5, drift=1e-6)]) == (
        "2 generators sent the requests, whose clocks are known to 0.0200 ms, and drift by 1e-06 of the time at most: a, b"
    )


def test_one_generator_has_the_clock_of_the_harness():
    assert check_agreement(RECORD, replace(REPORT, parts=())) == []
