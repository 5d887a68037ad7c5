"""What to do next, from a result alone: the last sentences of a report. Advice never changes a verdict."""

from collections.abc import Iterator

from tailgate.harness.report import comparison
from tailgate.harness.report.summary import machine_use, measured_phases, stage_means
from tailgate.harness.results.fault import INTERRUPTED
from tailgate.harness.results.run import RunResult
from tailgate.harness.results.verdict import Verdict
from tailgate.harness.units import percent

# Identical servers on one shared machine differ by 5 % to 10 % in the median over a few seconds: a smaller
# share of steal explains no failure.
STEAL_WORTH_SAYING = 0.02
PRESSURE_WORTH_SAYING = 0.2
MOST_OF_THE_TIME = 0.5
# More requests would not decide these, and their reasons say what would.
SAY_THEMSELVES = ("coarse: ", "unbudgeted: ")


def advice(result: RunResult) -> tuple[str, ...]:
    """Return sentences, the most useful first; none for a run that passed in peace."""
    compared = [one for one in result.scenarios if one.comparison is not None and not one.faults]
    random = [arm for arm in result.arms if arm.facts.get("weights") == "random"]
    return (
        *_verdicts(result),
        *(sentence for scenario in compared for sentence in comparison.advice(scenario)),
        *_stages(result),
        *_machine(result),
        *(f"{arm.name} runs random weights: its times count, its answers mean nothing." for arm in random),
    )


def _verdicts(result: RunResult) -> Iterator[str]:
    undecided = any(
        criterion.verdict is Verdict.INCONCLUSIVE and not criterion.reason.startswith(SAY_THEMSELVES)
        for scenario in result.scenarios
        for criterion in scenario.criteria
    )
    invalid = [one for one in result.scenarios if one.verdict is Verdict.INVALID]
    if was_interrupted(result):
        yield _interrupted(result)
        if any(one.comparison is not None for one in invalid):
            yield "The blocks before are kept: tailgate judge gives the verdict of these."
    elif result.verdict is Verdict.INVALID:
        yield (
            "INVALID says nothing about the service, since the measurement itself went wrong. "
            "Fix the cause above, then run again."
        )
    if undecided and result.profile.name != "thorough":
        profile = "default" if result.profile.name == "smoke" else "thorough"
        yield f"INCONCLUSIVE: too few requests to decide. Send more of them: --perf-profile={profile}."
    elif undecided:
        yield (
            "INCONCLUSIVE: more requests would hardly decide. Where the limit lies inside the interval, it is about what the "
            "service can do: allow more, or make the service faster. Where the interval has no end, slow requests come in long "
            "runs: a lower rate makes them shorter."
        )


def was_interrupted(result: RunResult) -> bool:
    """Tell whether a key ended a run."""
    return any(fault.text.startswith(INTERRUPTED) for one in result.scenarios for fault in one.faults)


def _interrupted(result: RunResult) -> str:
    whole = [one.name for one in result.scenarios if one.verdict is not Verdict.INVALID]
    if not whole:
        return "The run was interrupted, so it says nothing about the service. Run it again to its end."
    planned = max(result.planned or 0, len(result.scenarios))
    return f"The run was interrupted: of {planned} scenarios, only {', '.join(whole)} ran to the end. Run it again to its end."


def _stages(result: RunResult) -> Iterator[str]:
    phases = measured_phases(result)
    for scenario in result.scenarios:
        means = stage_means(phases[scenario.name])
        total = sum(means.values())
        if scenario.verdict is not Verdict.FAIL or scenario.comparison is not None or not total:
            continue
        stage, seconds = max(means.items(), key=lambda item: item[1])
        if seconds < MOST_OF_THE_TIME * total:
            continue
        told = f"{scenario.name}: {percent(seconds / total)} of a request's time is {stage}"
        if stage == "queue":
            yield f"{told}: requests wait for the executor, so the load is near what this machine can serve."
        else:
            yield f"{told}: look there first."


def _machine(result: RunResult) -> Iterator[str]:
    use = machine_use(result)
    if use.steal_share is not None and use.steal_share > STEAL_WORTH_SAYING:
        yield f"The hypervisor took {percent(use.steal_share)} of the processor away: compare with a quieter hour."
    if use.cpu_pressure_share is not None and use.cpu_pressure_share > PRESSURE_WORTH_SAYING:
        yield (
            f"Tasks waited for a processor {percent(use.cpu_pressure_share)} of the time: "
            "end other work, or lower the rate."
        )
