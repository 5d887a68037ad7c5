"""From a record to a scenario's answer, without a server."""

from pathlib import Path

import pytest
from sample_records import delta, record, samples

from harness.arrivals import Poisson
from harness.faults import Cause, Fault
from harness.judging import judge_slot, reasons
from harness.measures import built_in_measures
from harness.scenario import Criterion, Phase, Scenario, Witness
from harness.scrape import MetricNames
from harness.slot import Slot, SlotRecord
from harness.testing import criterion_result, run_result
from harness.verdict import Verdict
from harness.yardstick import Yardstick

QUICK = [0.015] * 1_000
SERVED = [0.012] * 1_000
YARD = Yardstick(0.010, 0.0099, 0.0101, 60)
FASTER = Yardstick(0.005, 0.0049, 0.0051, 60)
CRITERIA = (
    Criterion("p95", 0.1, ("load",)),
    Criterion("p95", 0.1, ("load",), Witness.SERVER),
    Criterion("error_rate", 0.0, ("load",)),
)


def slot(records, *, planned=None, criteria=CRITERIA, faults=()):
    """Build what a slot of one phase measured."""
    phase = Phase("load", Poisson(100.0), requests=1_000)
    scenario = Scenario("steady", "made up", (phase,), criteria)
    return SlotRecord(
        slot=Slot(scenario, "head", block=0, start=1, seed=7),
        planned=(len(records[0].samples) if planned is None else planned,) if records else (1_000,),
        phases=tuple(records),
        reports=(),
        machines=(),
        samples=Path("samples.bin"),
        faults=tuple(faults),
    )


def judged(made, after=YARD):
    return judge_slot(made, built_in_measures(), MetricNames(), 0.99, (YARD, after), "pytest -m perf")


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
    result = judged(made, after)
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
