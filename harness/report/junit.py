"""JUnit properties: a scenario's numbers for pytest's ``user_properties``, in full precision and SI units."""

from collections.abc import Iterator, Sequence

from tailgate.harness.report.escape import xml
from tailgate.harness.report.summary import failures
from tailgate.harness.results.comparison import ComparisonResult
from tailgate.harness.results.run import RunResult, ScenarioResult
from tailgate.harness.verdict.waivers import waived


def properties(result: RunResult, scenario: ScenarioResult) -> list[tuple[str, str]]:
    """Return names and values for the test case of one scenario of a run; a number that is missing is left out."""
    return [(xml(name), xml(value)) for name, value in _properties(result, scenario)]


_CRITERION = (
    *("limit", "fail_limit", "value", "low", "high"),
    *("n", "worth", "confidence", "fail_confidence", "margin"),
)


def _properties(result: RunResult, scenario: ScenarioResult) -> Iterator[tuple[str, str]]:
    yield "perf.verdict", scenario.verdict.value
    yield "perf.run_id", result.run_id
    yield "perf.seed", str(scenario.seed)
    yield "perf.profile", result.profile.name
    yield "perf.reproduce", scenario.reproduce
    for number, fault in enumerate(scenario.faults, start=1):
        yield f"perf.fault.{number}", f"{fault.cause.value}: {fault.text}"
    if scenario.refused:
        yield "perf.refused", scenario.refused
    for number, failed in enumerate(failures(scenario), start=1):
        yield f"perf.failed.{number}", failed.removeprefix("failed: ")
    for number, told in enumerate(waived(scenario), start=1):
        yield f"perf.waived.{number}", told
    for criterion in scenario.criteria:
        name = f"perf.{criterion.name}"
        yield f"{name}.verdict", criterion.verdict.value
        yield f"{name}.unit", criterion.unit.value
        yield from _numbers(name, criterion, _CRITERION)
    if scenario.comparison is not None:
        yield from _compared(scenario.comparison)


def _compared(comparison: ComparisonResult) -> Iterator[tuple[str, str]]:
    decision = comparison.decision
    yield from _numbers("perf.comparison", decision, ("blocks", "voided", "look", "load_s", "wall_s"))
    if comparison.answers is not None:
        yield "perf.answers.verdict", comparison.answers.verdict.value
        yield "perf.answers.gates", str(comparison.answers.gates).lower()
        yield "perf.answers.reason", comparison.answers.reason
        yield from _numbers("perf.answers", comparison.answers, ("compared", "differing", "most"))
    for result in decision.results:
        name = f"perf.{result.lens.name}"
        yield f"{name}.verdict", result.verdict.value
        yield f"{name}.gates", str(result.lens.gates).lower()
        yield f"{name}.scale", result.lens.scale.value
        yield f"{name}.tolerance", str(result.lens.tolerance)
        yield f"{name}.margin", str(result.lens.margin)
        yield from _numbers(name, result, ("base", "head", "change", "low", "high", "n", "mde"))
    for attribution in comparison.attributions:
        if attribution.moved is not None:
            yield f"perf.{attribution.lens.name}.stage", attribution.moved


def _numbers(name: str, of: object, parts: Sequence[str]) -> Iterator[tuple[str, str]]:
    values = ((part, getattr(of, part)) for part in parts)
    yield from ((f"{name}.{part}", str(value)) for part, value in values if value is not None)
