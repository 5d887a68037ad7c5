"""From what a slot measured to what a scenario came to: faults first, then each criterion, then the whole.

Pure functions over saved records: nothing here measures, and judging again needs no server.
"""

from collections.abc import Iterable

from harness import faults as checks
from harness import judge
from harness.faults import Fault
from harness.measures import Measure
from harness.results import ScenarioResult, criterion_result
from harness.scrape import MetricNames
from harness.slot import SlotRecord
from harness.verdict import Verdict, worst
from harness.window import Window
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
    by_name = {phase.phase.name: phase for phase in record.phases}
    judged = []
    for criterion in scenario.criteria:
        # A slot that was cut short lacks phases; what there is of them is shown, and is INVALID.
        there = tuple(by_name[name] for name in criterion.phases if name in by_name)
        judgement = judge.judge(criterion, Window(there, confidence, names), measures)
        judged.append(criterion_result(judge.void(judgement, found)))
    verdicts = [criterion.verdict for criterion in judged] or ([Verdict.INVALID] if found else [])
    return ScenarioResult(
        name=scenario.name,
        description=scenario.description,
        seed=record.slot.seed,
        verdict=worst(verdicts),
        criteria=tuple(judged),
        faults=tuple(found),
        reproduce=reproduce,
    )


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
    measured = Window(tuple(item for item in record.phases if item.phase.measured), confidence, names)
    found = list(record.faults)
    found += checks.check_records(everything, record.planned[: len(record.phases)])
    found += checks.check_counts(everything)
    for phase in measured.phases:
        found += checks.check_witnesses(Window((phase,), confidence, names))
    found += checks.check_send_lag(measured, judge.judged_latencies_s(scenario.criteria, measures))
    for report in record.reports:
        found += checks.check_generator(report.utilisation)
    found += checks.check_yardstick(*yardsticks)
    return found


def reasons(scenarios: Iterable[ScenarioResult]) -> tuple[str, ...]:
    """Return why the run is not PASS, the most telling first."""
    severity = [Verdict.INVALID, Verdict.FAIL, Verdict.INCONCLUSIVE]
    bad = sorted(
        (scenario for scenario in scenarios if scenario.verdict in severity),
        key=lambda scenario: severity.index(scenario.verdict),
    )
    lines = []
    for scenario in bad:
        if scenario.faults:
            lines.append(f"{scenario.name}: {scenario.faults[0].text}")
            continue
        lines += [
            f"{scenario.name}: {item.reason}"
            for item in scenario.criteria
            if item.verdict is scenario.verdict
        ]
    return tuple(lines)
