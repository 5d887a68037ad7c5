"""What reports say in words and totals, worked out once from a result: headline, pooled phases, rows of the table.

Pure functions between :mod:`tailgate.harness.results.run` and the reporters; how a line looks is the reporter's.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

from tailgate.harness.results.criterion import CriterionResult
from tailgate.harness.results.failure import sentences
from tailgate.harness.results.fault import VOID
from tailgate.harness.results.run import RunResult, Scalar, ScenarioResult
from tailgate.harness.results.slot import MachineUse, PhaseResult, StageMeans
from tailgate.harness.results.verdict import Verdict
from tailgate.harness.units import Unit, interval, percent, quantity

COLUMNS = ("criterion", "measured", "interval", "limit", "margin", "verdict")
OK = "ok"


@dataclass(frozen=True, slots=True)
class Load:
    """What was asked of the service in the measured phases of one scenario, and what came back.

    Attributes:
        requests: that have a record.
        failed: of these, without a good answer.
        offered_per_s: mean rate over the phases, by time.
        achieved_per_s: the same of good answers.
    """

    requests: int
    failed: int
    offered_per_s: float | None
    achieved_per_s: float | None


def headline(result: RunResult) -> str:
    """Return the first line of any report: the verdict, and why."""
    return f"{result.verdict.value}: {_why(result)}"


def _why(result: RunResult) -> str:
    criteria = sum(len(scenario.criteria) for scenario in result.scenarios)
    compared = [(scenario.name, scenario.comparison) for scenario in result.scenarios if scenario.comparison]
    if compared and not result.reasons:
        return "; ".join(f"{name}: {comparison.reason}" for name, comparison in compared)
    if result.verdict is Verdict.PASS:
        names = ", ".join(one.name for one in result.scenarios)
        return f"{criteria} of {criteria} criteria hold; scenarios: {names}"
    told = [
        f"{scenario.name}: {why}"
        for scenario in result.scenarios
        if scenario.verdict is result.verdict and (why := _why_of(scenario))
    ]
    return "; ".join(told) or "nothing was judged"


def _why_of(scenario: ScenarioResult) -> str:
    """Return the first fault, or the comparison's reason, or the criteria that came to the verdict: below stands why."""
    if scenario.faults:
        # A server's log may follow on further lines.
        return scenario.faults[0].text.splitlines()[0]
    if scenario.comparison is not None:
        return scenario.comparison.reason
    return ", ".join(item.name for item in scenario.criteria if item.verdict is scenario.verdict)


def row(criterion: CriterionResult) -> tuple[str, ...]:
    """Return a criterion's cells, one for each of :data:`COLUMNS`."""
    return (
        criterion.name,
        quantity(criterion.value, criterion.unit),
        interval(criterion.low, criterion.high, criterion.unit),
        quantity(criterion.limit, criterion.unit),
        percent(criterion.margin, signed=True),
        criterion.verdict.value,
    )


def remarks(scenario: ScenarioResult) -> tuple[str, ...]:
    """Return what a reader must know of a scenario beyond its table: faults, what failed, why criteria do not hold.

    Each is said once: criteria that fell for one reason share a line, and of one that is void with the whole scenario
    the fault says enough. Of one that holds, the note stays in the file.
    """
    faults = [f"{fault.cause.value}: {fault.text}" for fault in scenario.faults]
    names: dict[str, list[str]] = {}
    for criterion in scenario.criteria:
        if criterion.verdict is not Verdict.PASS and VOID not in criterion.reason:
            note = "" if criterion.note in criterion.reason else criterion.note
            text = "; ".join(filter(None, (criterion.reason, note)))
            names.setdefault(text, []).append(criterion.name)
    why = [f"{', '.join(named)}: {text}" for text, named in names.items()]
    return (*faults, *failures(scenario), *why, *scenario.notes)


def failures(scenario: ScenarioResult) -> tuple[str, ...]:
    """Return what failed, a line for each kind; with the arm's name where there are several."""
    several = len(scenario.failures) > 1
    return tuple(
        f"{arm}, {line}" if several else line
        for arm, found in scenario.failures.items()
        for line in sentences(found)
    )


def measured_phases(result: RunResult) -> Mapping[str, tuple[PhaseResult, ...]]:
    """Return by scenario the measured phases of its sound slots on the first arm, the one that is judged."""
    arm = result.arms[0].name if result.arms else None
    found: dict[str, list[PhaseResult]] = {scenario.name: [] for scenario in result.scenarios}
    for slot in result.slots:
        if slot.arm == arm and not slot.faults and slot.scenario in found:
            found[slot.scenario] += [phase for phase in slot.phases if phase.measured]
    return {name: tuple(phases) for name, phases in found.items()}


def load(phases: Sequence[PhaseResult]) -> Load:
    """Pool the load of phases."""
    requests = sum(phase.requests for phase in phases)
    return Load(
        requests=requests,
        failed=requests - sum(phase.outcomes.get(OK, 0) for phase in phases),
        offered_per_s=_mean(phases, lambda phase: phase.offered_per_s, _seconds),
        achieved_per_s=_mean(phases, lambda phase: phase.achieved_per_s, _seconds),
    )


def batch_shares(phases: Sequence[PhaseResult]) -> Mapping[str, float]:
    """Return the share of batches by size, such as ``3-4``; empty where the server told none."""
    batches: dict[float, float] = {}
    for phase in phases:
        for edge, count in (phase.batch_sizes or {}).items():
            batches[float(edge)] = batches.get(float(edge), 0.0) + count
    total = sum(batches.values())
    shares: dict[str, float] = {}
    below = 0.0
    for upper in sorted(batches):
        if batches[upper] > 0:
            shares[_sizes(below, upper)] = batches[upper] / total
        below = upper
    return shares


def _sizes(below: float, edge: float) -> str:
    if edge == float("inf"):
        return f">{below:g}"
    return f"{edge:g}" if edge - below <= 1 else f"{below + 1:g}-{edge:g}"


def stage_means(phases: Sequence[PhaseResult]) -> Mapping[str, float]:
    """Return mean seconds by stage over all requests; without the stages that nobody told."""

    def mean(name: str) -> float | None:
        return _mean(
            phases,
            lambda phase: None if phase.stages is None else getattr(phase.stages, name),
            lambda phase: phase.requests,
        )

    means = {field.name.removesuffix("_s"): mean(field.name) for field in fields(StageMeans)}
    return {stage: seconds for stage, seconds in means.items() if seconds is not None}


def machine_use(phases: Sequence[PhaseResult]) -> MachineUse:
    """Pool what the machine said: shares by time, processor seconds by request."""

    def pooled(name: str, weight: Callable[[PhaseResult], float]) -> float | None:
        return _mean(
            phases, lambda phase: None if phase.machine is None else getattr(phase.machine, name), weight
        )

    return MachineUse(
        steal_share=pooled("steal_share", _seconds),
        cpu_pressure_share=pooled("cpu_pressure_share", _seconds),
        server_cpu_s_per_request=pooled("server_cpu_s_per_request", lambda phase: phase.requests),
        generator_cpu_share=pooled("generator_cpu_share", _seconds),
    )


def machine_parts(result: RunResult) -> tuple[str, ...]:
    """Return what the machine and the yardstick said of the whole run, a phrase each; empty when neither spoke."""
    use = machine_use([phase for slot in result.slots for phase in slot.phases if phase.measured])
    before, after = result.yardstick_before, result.yardstick_after
    told = (
        ("steal {}", use.steal_share, percent),
        ("CPU pressure {}", use.cpu_pressure_share, percent),
        ("server {} CPU a request", use.server_cpu_s_per_request, _milliseconds),
        ("generator {} of a core", use.generator_cpu_share, percent),
        ("yardstick {} before", None if before is None else before.seconds, _milliseconds),
        ("yardstick {} after", None if after is None else after.seconds, _milliseconds),
    )
    return tuple(phrase.format(write(value)) for phrase, value, write in told if value is not None)


def _milliseconds(seconds: float | None) -> str:
    return quantity(seconds, Unit.SECONDS)


def yardsticks(phases: Sequence[PhaseResult]) -> tuple[str, ...]:
    """Return the readings of the yardstick around phases, in order of time."""
    # Two phases share the reading between them.
    readings = dict.fromkeys(reading for phase in phases for reading in phase.yardsticks)
    return tuple(_milliseconds(one.seconds) for one in readings)


def limits(scenario: ScenarioResult) -> tuple[str, ...]:
    """Return the limits that differ by the readings of the yardstick: the one that PASS goes by, and that of FAIL."""
    return tuple(
        f"{one.name} {' / '.join(quantity(limit, one.unit) for limit in (one.limit, one.fail_limit))}"
        for one in scenario.criteria
        if one.limit != one.fail_limit
    )


def confidence(result: RunResult) -> str:
    """Return how surely criteria pass and fail; empty where none was judged."""
    criteria = [one for scenario in result.scenarios for one in scenario.criteria]
    passing = [one.confidence for one in criteria if one.confidence is not None]
    if not passing:
        return ""
    failing = [one.fail_confidence for one in criteria]
    least, most = f"{min(failing):.4g}", f"{max(failing):.4g}"
    return (
        f"confidence: {passing[0]:g} for the run, which is {passing[0]:g} to pass each criterion, and "
        f"{least if least == most else f'{least} to {most}'} to fail one"
    )


def facts_line(facts: Mapping[str, Scalar]) -> str:
    """Return facts as ``model=demo, device=cpu``; without those that are unknown."""
    return ", ".join(f"{name}={value}" for name, value in facts.items() if value is not None)


def _seconds(phase: PhaseResult) -> float:
    return phase.duration_s or 0.0


def _mean(
    phases: Iterable[PhaseResult],
    value: Callable[[PhaseResult], float | None],
    weight: Callable[[PhaseResult], float],
) -> float | None:
    """Return the weighted mean over the phases that have a value; None when none has."""
    pairs = [(known, weight(phase)) for phase in phases if (known := value(phase)) is not None]
    total = sum(share for _, share in pairs)
    return sum(known * share for known, share in pairs) / total if total else None
