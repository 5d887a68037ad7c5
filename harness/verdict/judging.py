"""From what a slot measured to what a scenario came to: faults first, then each criterion, then the whole.

Pure functions over saved records: nothing here measures, and judging again needs no server.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

from tailgate.harness.errors import HarnessError, MeasurementError
from tailgate.harness.load import PhaseReport
from tailgate.harness.measures import Measure
from tailgate.harness.named import listed
from tailgate.harness.observe.slot_record import Slot, SlotRecord
from tailgate.harness.observe.window import PhaseRecord, Window, counted_requests, summed_labels
from tailgate.harness.results.criterion import CriterionResult
from tailgate.harness.results.failure import Failure, pooled
from tailgate.harness.results.fault import INTERRUPTED, Cause, Fault
from tailgate.harness.results.run import ScenarioResult
from tailgate.harness.results.verdict import SEVERITY, Verdict, worst
from tailgate.harness.scenario.budgets import asked_at
from tailgate.harness.scenario.right_answers import WRONG_ANSWERS
from tailgate.harness.scenario.scenario import Scenario
from tailgate.harness.scenario.unbudgeted import open_keys, proposed_line
from tailgate.harness.target.asking.metric_names import MetricNames
from tailgate.harness.target.asking.selector import quoted
from tailgate.harness.verdict import faults as checks
from tailgate.harness.verdict import generators, judge, witnesses

# As many values of a label as a note lists.
SUMMED_SHOWN = 5


def judge_slot(
    record: SlotRecord, measures: tuple[Measure, ...], confidence: float, reproduce: str
) -> ScenarioResult:
    """Judge every criterion of the slot's scenario; a fault makes all of them INVALID.

    ``confidence`` is one minus the most that the run may err by a false PASS, and by a false FAIL (:func:`fail_confidence`).
    """
    slot, scenario = record.slot, record.slot.scenario
    by_name = {phase.phase.name: phase for phase in record.phases}
    asked = []
    for criterion in scenario.criteria:
        # A slot that was cut short lacks phases; what there is of them is shown, and is INVALID.
        phases = tuple(by_name[name] for name in criterion.phases if name in by_name)
        missing = open_keys(criterion, slot.quantities)
        ones = () if missing else asked_at(criterion, slot.quantities, yardsticks_s(slot, phases))
        asked.append((criterion, Window(phases, confidence, record.names), ones))
    every = [one for *_, ones in asked for one in ones]
    budgeted = all(ones for *_, ones in asked)
    latencies_s, streams_s = judge.judged_times_s(every, measures)
    found = find_faults(record, latencies_s, streams_s)
    if not scenario.criteria:
        found.append(
            Fault(Cause.INTEGRITY, "no criterion is left to judge this target by: nothing was judged")
        )
    surely = fail_confidence(confidence, slot.scenarios, len(scenario.criteria))
    judged = []
    for criterion, window, ones in asked:
        if ones:
            first, also = ones
            result = judge.judge(first, window, measures, also=also, fail_confidence=surely)
        else:
            result = judge.report(criterion, window, measures)
        judged.append(judge.void(result, found))
    return ScenarioResult(
        name=scenario.name,
        description=scenario.description,
        seed=slot.seed,
        verdict=worst([criterion.verdict for criterion in judged]),
        criteria=tuple(judged),
        faults=tuple(found),
        reproduce=reproduce,
        failures={record.slot.arm: failures_of([record])},
        notes=(
            *(f"{one.name}: {one.note}" for one in judged if _is_right(one)),
            *notes(_measured(record), record.reports),
        ),
        proposal="" if found or budgeted else proposed_line(scenario, judged, slot.quantities),
    )


def _is_right(result: CriterionResult) -> bool:
    """Tell whether a criterion says how many answers were right, which its number does not."""
    return result.measure == WRONG_ANSWERS and result.verdict is Verdict.PASS


def failures_of(records: Iterable[SlotRecord]) -> tuple[Failure, ...]:
    """Return what failed in the measured phases by kind; in the others where no phase was measured."""
    told = [
        (phase.phase.measured, phase.checked.failures(report.failures))
        for record in records
        for phase, report in zip(record.phases, record.reports, strict=False)
    ]
    measured = [found for measured, found in told if measured]
    chosen = measured or [found for _, found in told]
    return pooled(failure for found in chosen for failure in found)


def fail_confidence(confidence: float, scenarios: int, criteria: int) -> float:
    """Return the confidence of the end that FAIL goes by, so that a run whose criteria all hold FAILs seldom enough.

    Any one criterion fails the run: what it may err is split evenly over its scenarios, and each one's part over its
    criteria (Bonferroni), before anything is measured. PASS is not split. A run passes only if every criterion does, so
    that one which does not hold is passed no more often than it alone would be (an intersection-union test; Berger,
    "Multiparameter hypothesis testing and acceptance sampling", Technometrics 24, 1982).
    """
    return 1 - (1 - confidence) / (scenarios * max(1, criteria))


def yardsticks_s(slot: Slot, phases: Sequence[PhaseRecord]) -> tuple[float, ...]:
    """Return the readings around phases, in seconds; of a slot that was cut short, the one that its load was drawn by."""
    around = [reading for phase in phases for reading in phase.yardsticks or ()]
    drawn = [] if slot.yardstick is None else [slot.yardstick]
    return tuple(reading.seconds for reading in around or drawn)


def refused(scenario: Scenario, seed: int, why: str, reproduce: str) -> ScenarioResult:
    """Return the FAIL of a scenario whose load was not sent, since the first answer was a wrong one."""
    return dataclasses.replace(_unjudged(scenario, seed, Verdict.FAIL, reproduce), refused=why)


def unmeasured(scenario: Scenario, seed: int, error: BaseException, reproduce: str) -> ScenarioResult:
    """Return the result of a scenario that ended in an exception: INVALID, since nothing is known of the service."""
    if isinstance(error, KeyboardInterrupt):
        text = INTERRUPTED
    elif isinstance(error, HarnessError):
        text = str(error)
    else:
        text = f"cut short by {type(error).__name__}: {error}".removesuffix(": ")
    bare = _unjudged(scenario, seed, Verdict.INVALID, reproduce)
    return dataclasses.replace(bare, faults=(Fault(Cause.INTEGRITY, text),))


def _unjudged(scenario: Scenario, seed: int, verdict: Verdict, reproduce: str) -> ScenarioResult:
    return ScenarioResult(
        name=scenario.name,
        description=scenario.description,
        seed=seed,
        verdict=verdict,
        criteria=(),
        reproduce=reproduce,
    )


def find_faults(record: SlotRecord, latencies_s: Sequence[float], streams_s: Sequence[float]) -> list[Fault]:
    """Return what keeps the slot from carrying a verdict.

    ``latencies_s`` are the limits that the send lag is held against, and ``streams_s`` those for the reading lag.
    """
    measured = _measured(record)
    found = checks.check_whole(record)
    for phase in measured.phases:
        found += witnesses.check_witnesses(Window((phase,), names=record.names))
    found += checks.check_send_lag(measured, latencies_s)
    found += checks.check_reading_lag(measured, streams_s)
    for item, report in zip(record.phases, record.reports, strict=False):
        if not item.phase.measured:
            continue
        found += generators.check_agreement(item, report) + generators.check_parts(report, latencies_s)
        if not report.parts:
            found += checks.check_generator(report.utilisation, report.run_delay_per_request_s, latencies_s)
    found += checks.check_yardsticks(measured)
    # What ended the slot is found once more in its records.
    return list(dict.fromkeys(found))


def _measured(record: SlotRecord) -> Window:
    return Window(tuple(item for item in record.phases if item.phase.measured), names=record.names)


def reasons(scenarios: Iterable[ScenarioResult]) -> tuple[str, ...]:
    """Return why the run is not PASS, a line each, the most telling first."""
    # A stable sort: within a verdict the scenarios keep their order.
    worst_first = sorted(scenarios, key=lambda scenario: SEVERITY.index(scenario.verdict))
    lines = []
    for scenario in worst_first:
        if scenario.verdict is Verdict.PASS:
            continue
        of_criteria = [one.reason for one in scenario.criteria if one.verdict is scenario.verdict]
        said = [scenario.reason] if scenario.reason else of_criteria
        lines += [f"{scenario.name}: {one}" for one in said]
    # Criteria that fell for one reason say it once.
    return tuple(dict.fromkeys(lines))


def notes(window: Window, reports: Iterable[PhaseReport] = ()) -> Iterator[str]:
    """Yield sentences on measured phases, by their records and by what the generator says of itself."""
    reports = tuple(reports)
    if said := generators.note(reports):
        yield said
    if at_once := max((report.at_once or 0 for report in reports), default=0):
        several = "one connection" if at_once == 1 else f"{at_once} connections"
        yield (
            f"the server answers on {several} at a time: no more were open, and the wait for one is part of a request's "
            "latency"
        )
    if said := _own_requests(window):
        yield said
    if said := _summed(window):
        yield said
    if said := witnesses.late_ends(window):
        yield said


def _summed(window: Window) -> str:
    name = window.names.request_seconds
    if (
        name == MetricNames().request_seconds
    ):  # this project's service has a label of outcomes, and all are meant
        return ""
    try:
        summed = summed_labels(window)
    except MeasurementError:  # a fault, which the check of the counts finds
        return ""
    if not summed:
        return ""
    labels = " and ".join(
        f"{label} ({listed(sorted(values), SUMMED_SHOWN)})" for label, values in sorted(summed.items())
    )
    usual = {label: max(values, key=values.__getitem__) for label, values in summed.items()}
    chosen = ",".join(f"{label}={quoted(value)}" for label, value in sorted(usual.items()))
    return (
        f"{name} is summed over {labels}: its percentiles are of all of these; to choose, put conditions behind its name, "
        f"such as {{{chosen}}}"
    )


def _own_requests(window: Window) -> str:
    own = 0
    for record in window.phases:
        try:
            counts = counted_requests(record, window.names)
        except MeasurementError:  # a fault, or no metrics at all
            return ""
        sent = record.sent
        fits = [record.own_counted(one, sent.good, sent.answered + sent.lost) or 0 for one in counts.values()]
        own += max(fits, default=0)
    if not own:
        return ""
    return (
        f"the server counts the harness's own scrapes and probes too, {own} in the measured phases: they are allowed "
        "for, and its percentiles are bounded as if these were its slowest requests, and as if its quickest"
    )
