import dataclasses
import io

import pytest
from rich.console import Console

from tailgate.harness.profiles import PROFILES
from tailgate.harness.report import JsonReporter, junit, markdown, summary, terminal
from tailgate.harness.report.advice import advice
from tailgate.harness.results.failure import Failure, pooled
from tailgate.harness.results.fault import VOID, Cause, Fault
from tailgate.harness.results.run import ArmResult
from tailgate.harness.results.slot import MachineUse, Quantiles, Slowest, StageMeans, StreamTimes
from tailgate.harness.results.verdict import Verdict
from tailgate.harness.session.outcome import explain
from tailgate.harness.testing import criterion_result, run_result

FAULT = Fault(Cause.INTEGRITY, "10 requests were planned, 9 records were saved")
SLOT = run_result().slots[0]
PHASE = SLOT.phases[1]


def failing(name):
    return criterion_result(name, 0.2, verdict=Verdict.FAIL)


def test_only_measured_phases_of_sound_slots_on_the_first_arm_are_pooled():
    other = dataclasses.replace(SLOT, arm="base")
    void = dataclasses.replace(SLOT, faults=(FAULT,))
    elsewhere = dataclasses.replace(SLOT, scenario="burst")
    result = run_result(slots=(SLOT, other, void, elsewhere, SLOT))
    assert summary.measured_phases(result) == {"steady": (PHASE, PHASE)}
    assert summary.measured_phases(dataclasses.replace(result, arms=())) == {"steady": ()}


def test_the_slowest_request_of_all_measured_phases_is_named_in_every_text():
    phases = [
        dataclasses.replace(PHASE, slowest=slowest)
        for slowest in (Slowest(0.1, "1" * 32), Slowest(0.412, "3f" * 16), None)
    ]
    assert summary.slowest(phases) == (f"slowest: 412 ms, request id {'3f' * 16}",)
    assert summary.slowest([PHASE]) == summary.slowest([]) == ()
    result = run_result(slots=(dataclasses.replace(SLOT, phases=tuple(phases)),))
    shown = io.StringIO()
    terminal.render(result, Console(file=shown, width=80), terminal.Detail.EVERYTHING)
    assert f"slowest: 412 ms, request id {'3f' * 16}\n" in shown.getvalue()
    # In code marks, or GitHub would take it for a commit.
    assert f"slowest: 412 ms, request id `{'3f' * 16}`\n" in markdown.render(result)


def test_the_load_adds_requests_and_averages_rates_over_time():
    longer = dataclasses.replace(PHASE, duration_s=60.0, offered_per_s=90.1, achieved_per_s=None)
    load = summary.load([PHASE, longer])
    assert (load.requests, load.refused, load.failed) == (2_000, 0, 4)
    assert load.offered_per_s == pytest.approx(80.1)
    assert load.achieved_per_s == pytest.approx(49.9)


def test_requests_that_were_refused_are_not_those_that_failed():
    refusing = dataclasses.replace(PHASE, outcomes={"ok": 700, "shed": 290, "timeout": 10})
    assert (
        summary.load_line(summary.load([refusing]))
        == "1,000 requests, offered 50.1/s, achieved 49.9/s, 10 failed, 290 refused"
    )
    assert summary.load_line(summary.load([])) == ""


def test_batch_sizes_are_shares_by_range_in_order():
    one = dataclasses.replace(PHASE, batch_sizes={"+Inf": 1, "4.0": 2, "1.0": 3, "2.0": 0})
    two = dataclasses.replace(PHASE, batch_sizes={"1.0": 4})
    none = dataclasses.replace(PHASE, batch_sizes=None)
    assert list(summary.batch_shares([one, two, none]).items()) == [("1", 0.7), ("3-4", 0.2), (">4", 0.1)]
    assert summary.batch_shares([none]) == {}
    assert summary.batch_shares([dataclasses.replace(PHASE, batch_sizes={"1.0": 0})]) == {}


def test_stages_are_averaged_over_requests_and_left_out_where_nobody_told():
    one = dataclasses.replace(PHASE, requests=300, stages=StageMeans(queue_s=0.01))
    two = dataclasses.replace(PHASE, requests=100, stages=StageMeans(queue_s=0.03))
    none = dataclasses.replace(PHASE, stages=None)
    assert summary.stage_means([one, two, none]) == {"queue": pytest.approx(0.015)}


def test_what_the_machine_said_is_told_in_phrases_and_silence_is_silence():
    assert summary.machine_parts(run_result())[0] == "steal 0.400 %"
    assert len(summary.machine_parts(run_result())) == 6
    assert summary.machine_parts(run_result(slots=(), yardstick_before=None, yardstick_after=None)) == ()


def remarks(*criteria, **changes):
    (scenario,) = run_result(criteria).scenarios
    return summary.remarks(dataclasses.replace(scenario, **changes))


def test_a_criterion_that_holds_or_is_void_with_its_scenario_needs_no_remark():
    assert remarks(criterion_result()) == ()
    assert remarks(criterion_result(note="few")) == ()
    assert remarks(criterion_result(verdict=Verdict.INVALID, reason=f"noise: {VOID}", note="few")) == ()
    (remark,) = remarks(criterion_result(verdict=Verdict.FAIL, reason="slow", note="few"))
    assert remark == "p95 (client): slow; few"


def test_criteria_that_fell_for_one_reason_say_it_once():
    both = [criterion_result(name, verdict=Verdict.FAIL, reason="all failed") for name in ("p95", "p99")]
    assert remarks(*both) == ("p95 (client), p99 (client): all failed",)


def failure(count, status=404, said=""):
    return Failure("client_error", status, count, said)


@pytest.mark.parametrize(
    ("failures", "lines"),
    [
        ({"head": ()}, ()),
        ({"head": (failure(1_000, said='{"no": 1}'),)}, ('failed: 1,000 × 404 Not Found: {"no": 1}',)),
        ({"head": (Failure("redirect", 307, 200, "/predict/"),)}, ("failed: 200 × 307 to /predict/",)),
        ({"head": (Failure("redirect", 304, 200),)}, ("failed: 200 × 304 Not Modified",)),
        (
            {"head": (Failure("timeout", None, 2, "no answer began"),)},
            ("failed: 2 × timeout: no answer began",),
        ),
        ({"head": (Failure("server_error", 999, 1),)}, ("failed: 1 × 999",)),
        ({"head": (Failure("of a later version", None, 1),)}, ("failed: 1 × of a later version",)),
        (
            {"head": (failure(3),), "base": (failure(2, 401),)},
            ("head, failed: 3 × 404 Not Found", "base, failed: 2 × 401 Unauthorized"),
        ),
        (
            {"head": tuple(failure(1, status) for status in (400, 401, 403, 404, 405, 406, 408))},
            (
                "failed: 1 × 400 Bad Request",
                "failed: 1 × 401 Unauthorized",
                "failed: 1 × 403 Forbidden",
                "failed: 1 × 404 Not Found",
                "failed: 1 × 405 Method Not Allowed",
                "failed: 2 in 2 further ways, which are in the file of the results",
            ),
        ),
    ],
)
def test_what_failed_is_said_a_line_for_each_kind(failures, lines):
    assert remarks(criterion_result(), failures=failures) == lines


def test_failures_of_several_phases_are_added_by_kind():
    first = (failure(3, said="first"), Failure("timeout", None, 1, "no answer began"))
    second = (Failure("timeout", None, 9, "no answer began"), failure(1, said="another"))
    assert pooled([*first, *second]) == (
        Failure("timeout", None, 10, "no answer began"),
        failure(4, said="first"),
    )


def test_every_report_says_what_failed_and_once(tmp_path):
    made = run_result([criterion_result(verdict=Verdict.FAIL, reason="beyond: it")])
    scenario = dataclasses.replace(made.scenarios[0], failures={"head": (failure(7, said="no such path"),)})
    result = dataclasses.replace(made, scenarios=(scenario,))
    shown = io.StringIO()
    terminal.render(result, Console(file=shown, width=200))
    JsonReporter().write(result, tmp_path)
    reports = {
        "terminal": shown.getvalue(),
        "markdown": markdown.render(result),
        "junit": "\n".join(value for _, value in junit.properties(result, result.scenarios[0])),
        "a failed test": explain(scenario),
        "json": (tmp_path / "results.json").read_text(),
    }
    assert {name: text.count("no such path") for name, text in reports.items()} == dict.fromkeys(reports, 1)
    assert "7 × 404 Not Found" in reports["terminal"]


def with_phase(result, **changes):
    slot = result.slots[0]
    phases = (slot.phases[0], dataclasses.replace(slot.phases[1], **changes))
    return dataclasses.replace(result, slots=(dataclasses.replace(slot, phases=phases),))


def test_more_requests_are_no_advice_where_they_cannot_tell():
    coarse = criterion_result(verdict=Verdict.INCONCLUSIVE, reason="coarse: the histogram has no edge there")
    assert advice(run_result([coarse])) == ()
    assert len(advice(run_result([coarse, criterion_result("p99", verdict=Verdict.INCONCLUSIVE)]))) == 1


FAILED = run_result([failing("p95")])
OPEN = run_result([criterion_result(verdict=Verdict.INCONCLUSIVE)])


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (run_result(faults=[FAULT]), "says nothing about the service"),
        (OPEN, "--perf-profile=thorough"),
        (dataclasses.replace(OPEN, profile=PROFILES["smoke"]), "--perf-profile=default"),
        (dataclasses.replace(OPEN, profile=PROFILES["thorough"]), "about what the service can do"),
        (FAILED, "70.0 % of a request's time is compute"),
        (with_phase(FAILED, stages=StageMeans(queue_s=0.9, compute_s=0.1)), "requests wait for the executor"),
        (with_phase(run_result(), machine=MachineUse(steal_share=0.1)), "took 10.0 % of the processor"),
        (with_phase(run_result(), machine=MachineUse(cpu_pressure_share=0.5)), "50.0 % of the time"),
        (run_result(arms=(ArmResult("head", "service", {"weights": "random"}),)), "runs random weights"),
    ],
)
def test_advice_is_one_sentence_for_what_stands_out(result, words):
    (sentence,) = advice(result)
    assert words in sentence


@pytest.mark.parametrize(
    "result",
    [
        run_result(),
        run_result(slots=()),
        with_phase(FAILED, stages=None),
        with_phase(FAILED, stages=StageMeans(queue_s=0.4, compute_s=0.3, decode_s=0.3)),
    ],
    ids=["passed in peace", "no slots", "no stages", "no stage stands out"],
)
def test_where_nothing_stands_out_there_is_no_advice(result):
    assert advice(result) == ()


def test_both_limits_are_told_where_the_yardstick_moved_and_each_reading_once():
    made = run_result([criterion_result(limit=0.1, fail_limit=0.12), criterion_result("p99", limit=0.3)])
    assert summary.limits(made.scenarios[0]) == ("p95 (client) 100 ms / 120 ms",)
    (phase,) = summary.measured_phases(made)["steady"]
    assert summary.yardsticks((phase, phase)) == ("13.0 ms", "13.1 ms")
    text = markdown.render(made)
    assert "Limits by its readings, to pass / to fail: p95 (client) 100 ms / 120 ms." in text


def test_a_run_without_criteria_says_nothing_of_their_confidence():
    assert summary.confidence(run_result([])) == ""
    assert summary.confidence(run_result()).startswith("confidence: 0.99 for the run")


def test_first_bytes_and_streams_are_told_by_phase():
    times = Quantiles(1_000, 0.010, 0.020, 0.030, 0.040)
    streams = StreamTimes(500, 12_345, 678.9, times, Quantiles(9, 0.001, 0.002, None, None), None)
    plain, streaming = (dataclasses.replace(PHASE, first_byte=times, streams=one) for one in (None, streams))
    assert summary.answer_times([plain]) == {
        "time to first byte": ("p50 10.0 ms", "p95 20.0 ms", "p99 30.0 ms")
    }
    both = summary.answer_times([plain, dataclasses.replace(streaming, name="later")])
    assert both["time to first byte"][::3] == ("steady: p50 10.0 ms", "later: p50 10.0 ms")
    assert both["between tokens"] == ("later: p50 1.00 ms", "p95 2.00 ms", "p99 –")
    assert both["tokens"] == ("later: 12,345 in 500 answers", "679/s")
    known = dataclasses.replace(streaming, streams=dataclasses.replace(streams, reading_lag=times))
    assert summary.answer_times([known])["tokens"][-1] == "reading lag p99 30.0 ms"
    assert summary.answer_times([PHASE]) == {}
