"""What reports say in words and totals, from a result alone; how a line looks is the reporter's."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

from tailgate.harness.results import preflight
from tailgate.harness.results.criterion import CriterionResult
from tailgate.harness.results.failure import sentences
from tailgate.harness.results.fault import VOID
from tailgate.harness.results.run import RunResult, Scalar, ScenarioResult
from tailgate.harness.results.slot import MachineUse, PhaseResult, Quantiles, StageMeans
from tailgate.harness.results.verdict import Verdict
from tailgate.harness.statistics import mean_of_known
from tailgate.harness.units import Unit, percent, quantity
from tailgate.harness.verdict.waivers import idle, waived

OK, REFUSED = "ok", "shed"


@dataclass(frozen=True, slots=True)
class Load:
    """Requests with a record, those that were refused, those that failed, and mean rates over the measured phases, by time."""

    requests: int
    refused: int
    failed: int
    offered_per_s: float | None
    achieved_per_s: float | None


def remarks(scenario: ScenarioResult) -> tuple[str, ...]:
    """Return faults, failed requests and why criteria do not hold; those with one reason share a line."""
    faults = [f"{fault.cause.value}: {fault.text}" for fault in scenario.faults]
    refused = (scenario.refused,) if scenario.refused else ()
    why = reasons(scenario, _reason)
    return (*faults, *refused, *failures(scenario), *why, *waivers(scenario), *scenario.notes)


def waivers(scenario: ScenarioResult) -> tuple[str, ...]:
    """Return what waivers accept of a scenario, and which it did not need."""
    return (*(f"waived: {told}" for told in waived(scenario)), *idle(scenario))


def reasons(scenario: ScenarioResult, say: Callable[[CriterionResult], str]) -> tuple[str, ...]:
    """Return what ``say`` has to say of criteria that do not hold; those of which it says the same share a line."""
    names: dict[str, list[str]] = {}
    for criterion in scenario.criteria:
        if criterion.verdict is not Verdict.PASS and VOID not in criterion.reason:
            names.setdefault(say(criterion), []).append(criterion.name)
    return tuple(f"{', '.join(named)}: {text}" for text, named in names.items() if text)


def _reason(criterion: CriterionResult) -> str:
    note = "" if criterion.note in criterion.reason else criterion.note
    return "; ".join(filter(None, (criterion.reason, note)))


def first_answers(result: RunResult) -> tuple[str, ...]:
    """Return what the targets answered before any load, a few lines per arm, with the arm's name where there are several."""
    return _by_arm({arm.name: preflight.sentences(arm.preflight, len(result.arms)) for arm in result.arms})


def failures(scenario: ScenarioResult) -> tuple[str, ...]:
    """Return one line per kind of failed request, with the arm's name where there are several."""
    return _by_arm({arm: sentences(found) for arm, found in scenario.failures.items()})


def _by_arm(told: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    several = len(told) > 1
    return tuple(f"{arm}, {line}" if several else line for arm, lines in told.items() for line in lines)


def measured_phases(result: RunResult) -> Mapping[str, tuple[PhaseResult, ...]]:
    """Return by scenario the measured phases of its sound slots on the first arm, which is judged."""
    arm = result.arms[0].name if result.arms else None
    found: dict[str, list[PhaseResult]] = {scenario.name: [] for scenario in result.scenarios}
    for slot in result.slots:
        if slot.arm == arm and not slot.faults and slot.scenario in found:
            found[slot.scenario] += [phase for phase in slot.phases if phase.measured]
    return {name: tuple(phases) for name, phases in found.items()}


def load(phases: Sequence[PhaseResult]) -> Load:
    """Pool the load of phases."""
    requests = sum(phase.requests for phase in phases)
    good, refused = (sum(phase.outcomes.get(end, 0) for phase in phases) for end in (OK, REFUSED))
    return Load(
        requests=requests,
        refused=refused,
        failed=requests - good - refused,
        offered_per_s=mean_of_known((phase.offered_per_s, phase.duration_s or 0.0) for phase in phases),
        achieved_per_s=mean_of_known((phase.achieved_per_s, phase.duration_s or 0.0) for phase in phases),
    )


def load_line(load: Load) -> str:
    """Return ``1,000 requests, offered 50.1/s, achieved 49.9/s, 2 failed``; nothing without requests."""
    if not load.requests:
        return ""
    rates = f"offered {quantity(load.offered_per_s, Unit.PER_SECOND)}, achieved {quantity(load.achieved_per_s, Unit.PER_SECOND)}"
    return f"{load.requests:,} requests, {rates}, {ends(load)}"


def ends(load: Load) -> str:
    """Return ``2 failed, 30 refused``; the second where there are any."""
    refused = f", {load.refused:,} refused" if load.refused else ""
    return f"{load.failed:,} failed{refused}"


def answer_times(phases: Sequence[PhaseResult]) -> Mapping[str, tuple[str, ...]]:
    """Return by title what phases tell of first bytes and of streams; each phase begins with its name if there are several."""
    found: dict[str, list[str]] = {}
    for phase in phases:
        streams = phase.streams
        told = {"time to first byte": _quantiles(phase.first_byte)}
        if streams is not None:
            told |= {
                "time to first token": _quantiles(streams.first_event),
                "between tokens": _quantiles(streams.gaps),
                "tokens": (
                    f"{streams.events:,} in {streams.answers:,} answers",
                    quantity(streams.events_per_s, Unit.PER_SECOND),
                    *(f"reading lag {part}" for part in _quantiles(streams.reading_lag)[-1:]),
                ),
            }
        name = f"{phase.name}: " if len(phases) > 1 else ""
        for title, parts in told.items():
            found.setdefault(title, []).extend(name * (not at) + part for at, part in enumerate(parts))
    return {title: tuple(parts) for title, parts in found.items() if parts}


def _quantiles(times: Quantiles | None) -> tuple[str, ...]:
    if times is None:
        return ()
    seconds = {"p50": times.p50_s, "p95": times.p95_s, "p99": times.p99_s}
    return tuple(f"{name} {_milliseconds(value)}" for name, value in seconds.items())


def slowest(phases: Sequence[PhaseResult]) -> tuple[str, ...]:
    """Return the sentence that names the slowest request, none where it is not known."""
    known = [phase.slowest for phase in phases if phase.slowest is not None]
    if not known:
        return ()
    found = max(known, key=lambda one: one.latency_s)
    return (f"slowest: {quantity(found.latency_s, Unit.SECONDS)}, request id {found.request_id}",)


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
    """Return mean seconds by stage over all requests; without unknown stages."""
    means = {
        field.name.removesuffix("_s"): mean_of_known(
            (getattr(phase.stages, field.name, None), phase.requests) for phase in phases
        )
        for field in fields(StageMeans)
    }
    return {stage: seconds for stage, seconds in means.items() if seconds is not None}


def machine_use(result: RunResult) -> MachineUse:
    """Pool what the machine said over all measured phases: shares by time, processor seconds by request."""
    phases = [phase for slot in result.slots for phase in slot.phases if phase.measured]
    pooled: dict[str, float | None] = {}
    for field in fields(MachineUse):
        weight = "requests" if field.name.endswith("_per_request") else "duration_s"
        pooled[field.name] = mean_of_known(
            (getattr(phase.machine, field.name, None), getattr(phase, weight) or 0.0) for phase in phases
        )
    return MachineUse(**pooled)


def machine_parts(result: RunResult) -> tuple[str, ...]:
    """Return one phrase per number of the machine and the yardstick over the whole run."""
    use, before, after = machine_use(result), result.yardstick_before, result.yardstick_after
    told = (
        ("steal {}", use.steal_share, percent),
        ("CPU pressure {}", use.cpu_pressure_share, percent),
        ("server {} CPU per request", use.server_cpu_s_per_request, _milliseconds),
        ("generator {} of a core", use.generator_cpu_share, percent),
        ("yardstick {} before", None if before is None else before.seconds, _milliseconds),
        ("yardstick {} after", None if after is None else after.seconds, _milliseconds),
    )
    return tuple(phrase.format(write(value)) for phrase, value, write in told if value is not None)


def _milliseconds(seconds: float | None) -> str:
    return quantity(seconds, Unit.SECONDS)


def yardsticks(phases: Sequence[PhaseResult]) -> tuple[str, ...]:
    """Return the yardstick's readings in order of time; two phases share the one between them."""
    readings = dict.fromkeys(reading for phase in phases for reading in phase.yardsticks)
    return tuple(_milliseconds(one.seconds) for one in readings)


def proposals(result: RunResult) -> tuple[str, ...]:
    """Return what no budgets were written for, as lines of a budget file; nothing where all were."""
    lines = [one.proposal for one in result.scenarios if one.proposal]
    if not lines:
        return ()
    return (
        "No limit was judged. Budgets to start from, with a margin of half beyond what was measured; write into budgets.toml:",
        *lines,
    )


def limits(scenario: ScenarioResult) -> tuple[str, ...]:
    """Return the limits of PASS and of FAIL, where the readings of the yardstick set them apart."""
    return tuple(
        f"{one.name} {' / '.join(quantity(limit, one.unit) for limit in (one.limit, one.fail_limit))}"
        for one in scenario.criteria
        if one.limit != one.fail_limit
    )


def confidence(result: RunResult) -> str:
    """Return how surely criteria pass and fail; empty if none was judged."""
    criteria = [one for scenario in result.scenarios for one in scenario.criteria if one.limit is not None]
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
    """Return the known facts as ``model=demo, device=cpu``."""
    return ", ".join(f"{name}={value}" for name, value in facts.items() if value is not None)
