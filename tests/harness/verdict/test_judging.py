"""From a record to a scenario's answer, without a server."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sample_records import delta, record, samples

from tailgate.harness.load.records.samples import Outcome
from tailgate.harness.measures import built_in_measures
from tailgate.harness.observe.checked import Checked
from tailgate.harness.observe.slot_record import Slot, SlotRecord
from tailgate.harness.results.criterion import Witness
from tailgate.harness.results.failure import Failure
from tailgate.harness.results.fault import Cause, Fault
from tailgate.harness.results.verdict import Verdict
from tailgate.harness.results.yardstick import Yardstick
from tailgate.harness.scenario.arrivals import Poisson
from tailgate.harness.scenario.ref import Ref
from tailgate.harness.scenario.scenario import Criterion, Phase, Scenario
from tailgate.harness.statistics import quantile_ranks
from tailgate.harness.testing import criterion_result, run_result
from tailgate.harness.units import parse_quantity
from tailgate.harness.verdict.judging import fail_confidence, failures_of, judge_slot, reasons

QUICK = [0.015] * 1_000
SERVED = [0.012] * 1_000
YARD = Yardstick(0.010, 0.0099, 0.0101, 60)
FASTER = Yardstick(0.005, 0.0049, 0.0051, 60)
CRITERIA = (
    Criterion("p95", 0.1, ("load",)),
    Criterion("p95", 0.1, ("load",), Witness.SERVER),
    Criterion("error_rate", 0.0, ("load",)),
)


def slot(records, *, planned=None, criteria=CRITERIA, faults=(), budgets=None, scenarios=1):
    """Build what a slot of one phase measured."""
    phase = Phase("load", Poisson(100.0), requests=1_000)
    scenario = Scenario("steady", "made up", (phase,), criteria)
    quantities = {key: parse_quantity(text) for key, text in (budgets or {}).items()}
    return SlotRecord(
        slot=Slot(scenario, "head", 0, 1, 7, quantities, YARD, scenarios),
        planned=(len(records[0].samples) if planned is None else planned,) if records else (1_000,),
        phases=tuple(records),
        reports=(),
        machines=(),
        samples=Path("samples.bin"),
        faults=tuple(faults),
    )


def judged(made, before=YARD, after=YARD, confidence=0.99):
    """Judge it between two readings of the yardstick."""
    timed = tuple(replace(one, yardsticks=(before, after)) for one in made.phases)
    return judge_slot(replace(made, phases=timed), built_in_measures(), confidence, "pytest -m perf")


def test_a_quick_service_passes_by_both_witnesses():
    result = judged(slot([record(samples(QUICK), delta(SERVED))]))
    assert (result.verdict, result.seed, result.reproduce) == (Verdict.PASS, 7, "pytest -m perf")
    assert [item.name for item in result.criteria] == ["p95 (client)", "p95 (server)", "error_rate (client)"]


def test_a_slow_service_fails_by_both_witnesses_and_nothing_else():
    slow = [0.5] * 1_000
    result = judged(slot([record(samples(slow), delta([0.49] * 1_000))]))
    assert [item.verdict for item in result.criteria] == [Verdict.FAIL, Verdict.FAIL, Verdict.PASS]
    assert result.verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("made", "after", "cause", "text"),
    [
        (
            slot([record(samples(QUICK), delta(SERVED))], planned=1_001),
            YARD,
            Cause.INTEGRITY,
            "1001 requests were",
        ),
        (slot([record(samples(QUICK), delta(SERVED[1:]))]), YARD, Cause.INTEGRITY, "the server counted 999"),
        (
            slot([record(samples([0.03] * 1_000, lag_s=0.014), delta(SERVED))]),
            YARD,
            Cause.NOISE,
            "the generator was late",
        ),
        (slot([record(samples(QUICK), delta(SERVED))]), FASTER, Cause.NOISE, "the machine changed"),
        (
            slot([record(samples(QUICK), delta(SERVED))], faults=[Fault(Cause.INTEGRITY, "the server died")]),
            YARD,
            Cause.INTEGRITY,
            "the server died",
        ),
        (
            slot([record(samples(QUICK), delta(SERVED))], criteria=()),
            YARD,
            Cause.INTEGRITY,
            "no criterion is left",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_fault_voids_the_scenario_and_is_told_once(made, after, cause, text):
    result = judged(made, after=after)
    assert result.verdict is Verdict.INVALID
    assert result.faults[0].cause is cause
    assert text in result.faults[0].text
    for criterion in result.criteria:
        assert criterion.verdict is Verdict.INVALID
        assert criterion.value is not None  # kept, to be looked at
        assert criterion.reason == f"{cause.value}: void, as the whole scenario is"


def test_a_slot_that_was_cut_short_is_invalid_and_says_why():
    result = judged(slot([], faults=[Fault(Cause.INTEGRITY, "the generator died")]))
    assert result.verdict is Verdict.INVALID
    assert result.criteria[0].reason.startswith("integrity: no request was recorded")


def yard(milliseconds):
    return replace(YARD, seconds=milliseconds / 1e3)


@pytest.mark.parametrize(
    ("before_ms", "after_ms", "verdict"),
    [
        (10.0, 10.0, Verdict.PASS),
        (10.0, 13.9, Verdict.PASS),
        (9.0, 10.0, Verdict.INCONCLUSIVE),  # 9 ms more than 15 yd: it passes by the reading after only
        (10.0, 9.0, Verdict.INCONCLUSIVE),  # and here by the one before
        (9.0, 9.0, Verdict.FAIL),
        (6.0, 8.0, Verdict.FAIL),
        (10.0, 14.1, Verdict.INVALID),  # further apart than is allowed
        (14.1, 10.0, Verdict.INVALID),
        (5.0, 8.0, Verdict.INVALID),
    ],
)
def test_a_limit_in_yardsticks_holds_by_both_readings_or_fails_by_both(before_ms, after_ms, verdict):
    """Every request takes 145 ms, and the limit is 15 yd."""
    criteria = (Criterion("p95", Ref("p95"), ("load",)),)
    made = slot([record(samples([0.145] * 1_000))], criteria=criteria, budgets={"p95": "15 yd"})
    result = judged(made, yard(before_ms), yard(after_ms))
    assert result.verdict is verdict
    (criterion,) = result.criteria
    both = sorted((before_ms * 0.015, after_ms * 0.015))
    assert [criterion.limit, criterion.fail_limit] == pytest.approx(both)


def test_a_limit_in_milliseconds_is_one_whatever_the_yardstick_says():
    criteria = (Criterion("p95", Ref("p95"), ("load",)),)
    made = slot([record(samples([0.145] * 1_000))], criteria=criteria, budgets={"p95": "150 ms"})
    (criterion,) = judged(made, yard(10.0), yard(13.0)).criteria
    assert (criterion.verdict, criterion.limit, criterion.fail_limit) == (Verdict.PASS, 0.15, 0.15)


def test_phases_that_are_judged_together_are_held_to_every_reading_around_them():
    """The machine becomes slower step by step: the first reading is the strictest, and the last the laxest."""
    names = [str(step) for step in range(3)]
    phases = tuple(Phase(name, Poisson(100.0), requests=100) for name in names)
    criteria = (Criterion("p95", Ref("p95"), ("1", "2")), Criterion("p95", Ref("p95"), tuple(names)))
    records = tuple(
        replace(record(samples([0.15] * 100), name=name), yardsticks=(yard(10 + step), yard(11 + step)))
        for step, name in enumerate(names)
    )
    whole = Slot(Scenario("ramp", "d", phases, criteria), "head", 0, 1, 7, {"p95": parse_quantity("10 yd")})
    made = replace(slot([]), slot=whole, planned=(100,) * 3, phases=records)
    result = judge_slot(made, built_in_measures(), 0.99, "again")
    limits = [(criterion.limit, criterion.fail_limit) for criterion in result.criteria]
    assert limits == [pytest.approx((0.11, 0.13)), pytest.approx((0.10, 0.13))]


def test_a_slot_that_was_cut_short_before_a_second_reading_goes_by_the_first():
    criteria = (Criterion("p95", Ref("p95"), ("load",)),)
    made = slot([record(samples(QUICK))], criteria=criteria, budgets={"p95": "15 yd"})
    result = judge_slot(made, built_in_measures(), 0.99, "again")
    assert [one.limit for one in result.criteria] == [pytest.approx(0.15)]


@pytest.mark.parametrize("scenarios", [1, 4])
@pytest.mark.parametrize("confidence", [0.9, 0.99])
def test_what_a_run_may_err_is_split_over_its_scenarios_and_their_criteria_for_fail_alone(
    scenarios, confidence
):
    made = slot([record(samples(QUICK), delta(SERVED))], scenarios=scenarios)
    criteria = judged(made, confidence=confidence).criteria
    assert {one.confidence for one in criteria} == {confidence}
    spent = sum(1 - one.fail_confidence for one in criteria)
    assert spent * scenarios == pytest.approx(1 - confidence)


def test_no_run_of_criteria_that_all_hold_fails_more_often_than_it_may():
    """Four scenarios of five independent criteria, every limit exactly the true p95: one in a hundred, not one in five."""
    rng, runs, criteria = np.random.default_rng(1), 400, 20
    failed = np.zeros(2)
    for confidence, place in ((0.99, 0), (fail_confidence(0.99, 4, 5), 1)):
        ranks = quantile_ranks(500, 0.95, confidence)
        # The sample of a rank, as a uniform order statistic, lies above the quantile.
        lowest = rng.beta(ranks.low, 501 - ranks.low, size=(runs, criteria))
        failed[place] = np.mean((lowest > 0.95).any(axis=1))
    assert failed[0] > 0.05
    assert failed[1] <= 0.01 + 4 * 0.005


def scenario(name, verdict, *faults, reason="why"):
    (made,) = run_result(
        [criterion_result(verdict=verdict, reason=reason)], scenario=name, faults=faults
    ).scenarios
    return made


def test_the_reasons_begin_with_what_is_worst():
    found = reasons(
        [
            scenario("a", Verdict.PASS),
            scenario("b", Verdict.INCONCLUSIVE, reason="undecided"),
            scenario("c", Verdict.FAIL, reason="beyond"),
            scenario("d", Verdict.INVALID, Fault(Cause.INTEGRITY, "died\nits log ends:\n…")),
        ]
    )
    assert found == ("d: died", "c: beyond", "b: undecided")


def answered(wrong):
    """Build a slot in which so many of 1,000 answers are wrong."""
    made = samples(QUICK)
    made["answer"] = 1
    made["outcome"][:wrong] = Outcome.WRONG
    said = Failure("wrong", None, wrong, "$.label is 'dog', expected 'cat'")
    checked = Checked(frozenset({0}), (said,) if wrong else ())
    asked = (*CRITERIA[:1], Criterion("wrong_answers", 0.0, ("load",)))
    return slot([replace(record(made), checked=checked)], criteria=asked)


def test_one_wrong_answer_fails_beside_a_latency_that_passes():
    result = judged(answered(1))
    assert [item.verdict for item in result.criteria] == [Verdict.PASS, Verdict.FAIL]
    assert "1 of 1,000 are wrong" in result.criteria[1].reason


def test_right_answers_pass_and_say_what_they_can_show():
    result = judged(answered(0))
    assert result.verdict is Verdict.PASS
    assert result.notes[0] == (
        "wrong_answers (client): none of 1,000 is wrong, so that at most 0.299 % are (one-sided 95 %)"
    )


def test_wrong_answers_are_among_the_failures_with_what_is_wrong():
    made = replace(answered(3), reports=(SimpleNamespace(failures=()),))
    assert [str(one) for one in failures_of([made])] == ["3 × wrong answer: $.label is 'dog', expected 'cat'"]
