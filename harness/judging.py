"""From what a slot measured to what a scenario came to: faults first, then each criterion, then the whole.

Pure functions over saved records: nothing here measures, and judging again needs no server.
"""

from collections.abc import Iterable

from harness import faults as checks
from harness import judge
from harness.errors import HarnessError
from harness.failures import Failure, pooled
from harness.faults import VOID, Cause, Fault
from harness.measures import Measure
from harness.notes import notes
from harness.results import ScenarioResult, criterion_result
from harness.scenario import Scenario
from harness.scrape import MetricNames
from harness.slot import SlotRecord
from harness.verdict import SEVERITY, Verdict, worst
from harness.window import Window
from harness.witnesses import check_witnesses
from harness.yardstick import Yardstick


def judge_slot(
    record: SlotRecord,
    measures: tuple[Measure, ...],
    names: MetricNames,
    confidence: float,
    yardsticks: tuple[Yardstick, Yardstick],
    reproduce: str,
) -> ScenarioResult:
    """Judge every criterion of the slot's scenario; a fault makes all of them INVALID.

    Args:
        record: what was measured.
        measures: all that the plugins give.
        names: what the target calls its metrics.
        confidence: one-sided, for each end of every interval.
        yardsticks: timed before and after the slot.
        reproduce: command line that runs it again.
    """
    scenario = record.slot.scenario
    found = find_faults(record, measures, names, confidence, yardsticks)
    if not scenario.criteria:
        found.append(
            Fault(Cause.INTEGRITY, "no criterion is left to judge this target by: nothing was judged")
        )
    by_name = {phase.phase.name: phase for phase in record.phases}
    judged = []
    for criterion in scenario.criteria:
        # A slot that was cut short lacks phases; what there is of them is shown, and is INVALID.
        there = tuple(by_name[name] for name in criterion.phases if name in by_name)
        judgement = judge.judge(criterion, Window(there, confidence, names), measures)
        judged.append(criterion_result(judge.void(judgement, _summary(found))))
    return ScenarioResult(
        name=scenario.name,
        description=scenario.description,
        seed=record.slot.seed,
        verdict=worst([criterion.verdict for criterion in judged]),
        criteria=tuple(judged),
        faults=tuple(found),
        reproduce=reproduce,
        failures={record.slot.arm: failures_of([record])},
        notes=tuple(notes(_measured(record, confidence, names), record.reports)),
    )


def failures_of(records: Iterable[SlotRecord]) -> tuple[Failure, ...]:
    """Return what failed in the measured phases by kind; in the others where no phase was measured."""
    reports = [pair for record in records for pair in zip(record.phases, record.reports, strict=False)]
    measured = [report for phase, report in reports if phase.phase.measured]
    chosen = measured or [report for _, report in reports]
    return pooled(failure for report in chosen for failure in report.failures)


def unmeasured(scenario: Scenario, seed: int, error: BaseException, reproduce: str) -> ScenarioResult:
    """Return the result of a scenario that ended in an exception: INVALID, since nothing is known of the service."""
    text = str(error) if isinstance(error, HarnessError) else f"cut short by {type(error).__name__}: {error}"
    return ScenarioResult(
        name=scenario.name,
        description=scenario.description,
        seed=seed,
        verdict=Verdict.INVALID,
        criteria=(),
        faults=(Fault(Cause.INTEGRITY, text.removesuffix(": ")),),
        reproduce=reproduce,
    )


def _summary(found: list[Fault]) -> list[Fault]:
    """Return what each criterion says of the faults, which the scenario tells in full once."""
    if not found:
        return []
    cause = min((fault.cause for fault in found), key=list(Cause).index)
    return [Fault(cause, VOID)]


def find_faults(
    record: SlotRecord,
    measures: tuple[Measure, ...],
    names: MetricNames,
    confidence: float,
    yardsticks: tuple[Yardstick, Yardstick],
) -> list[Fault]:
    """Return what keeps the slot from carrying a verdict; none for a sound one."""
    scenario = record.slot.scenario
    everything = Window(record.phases, confidence, names)
    measured = _measured(record, confidence, names)
    found = list(record.faults)
    found += checks.check_records(everything, record.planned[: len(record.phases)])
    found += checks.check_counts(everything, record.processes)
    for phase in measured.phases:
        found += check_witnesses(Window((phase,), confidence, names))
    latencies_s = judge.judged_latencies_s(scenario.criteria, measures)
    found += checks.check_send_lag(measured, latencies_s)
    for item, report in zip(record.phases, record.reports, strict=False):
        if item.phase.measured:
            found += checks.check_generator(report.utilisation, report.run_delay_per_request_s, latencies_s)
    found += checks.check_yardstick(*yardsticks)
    return found


def _measured(record: SlotRecord, confidence: float, names: MetricNames) -> Window:
    return Window(tuple(item for item in record.phases if item.phase.measured), confidence, names)


def reasons(scenarios: Iterable[ScenarioResult]) -> tuple[str, ...]:
    """Return why the run is not PASS, a line each, the most telling first."""
    # A stable sort: within a verdict the scenarios keep their order.
    worst_first = sorted(scenarios, key=lambda scenario: SEVERITY.index(scenario.verdict))
    lines = []
    for scenario in worst_first:
        if scenario.verdict is Verdict.PASS:
            continue
        if scenario.faults:
            # A server's log may follow on further lines; the scenario itself tells it.
            lines.append(f"{scenario.name}: {scenario.faults[0].text.splitlines()[0]}")
            continue
        if scenario.comparison is not None:
            lines.append(f"{scenario.name}: {scenario.comparison.reason}")
            continue
        lines += [
            f"{scenario.name}: {item.reason}"
            for item in scenario.criteria
            if item.verdict is scenario.verdict
        ]
    # Criteria that fell for one reason say it once.
    return tuple(dict.fromkeys(lines))
