"""JUnit properties: a scenario's numbers for pytest's ``user_properties``, which its JUnit XML writes.

Numbers keep full precision and SI units here, since programs read them.
"""

from collections.abc import Iterator

from tailgate.harness.report.escape import xml
from tailgate.harness.report.summary import failures
from tailgate.harness.results.comparison import ComparisonResult
from tailgate.harness.results.run import RunResult, ScenarioResult


def properties(result: RunResult, scenario: str) -> list[tuple[str, str]]:
    """Return names and values for the test case of one scenario; a number that is missing is left out.

    Raises:
        KeyError: the run has no such scenario.
    """
    found = next((one for one in result.scenarios if one.name == scenario), None)
    if found is None:
        raise KeyError(
            f"the run has no scenario {scenario!r}; it has {[one.name for one in result.scenarios]}"
        )
    return [(xml(name), xml(value)) for name, value in _properties(result, found)]


def _properties(result: RunResult, scenario: ScenarioResult) -> Iterator[tuple[str, str]]:
    yield "perf.verdict", scenario.verdict.value
    yield "perf.run_id", result.run_id
    yield "perf.seed", str(scenario.seed)
    yield "perf.profile", result.profile.name
    yield "perf.reproduce", scenario.reproduce
    for number, fault in enumerate(scenario.faults, start=1):
        yield f"perf.fault.{number}", f"{fault.cause.value}: {fault.text}"
    for number, failed in enumerate(failures(scenario), start=1):
        yield f"perf.failed.{number}", failed.removeprefix("failed: ")
    for criterion in scenario.criteria:
        name = f"perf.{criterion.name}"
        yield f"{name}.verdict", criterion.verdict.value
        yield f"{name}.unit", criterion.unit.value
        for part in (
            "limit",
            "fail_limit",
            "value",
            "low",
            "high",
            "n",
            "worth",
            "confidence",
            "fail_confidence",
            "margin",
        ):
            value = getattr(criterion, part)
            if value is not None:
                yield f"{name}.{part}", str(value)
    if scenario.comparison is not None:
        yield from _compared(scenario.comparison)


def _compared(comparison: ComparisonResult) -> Iterator[tuple[str, str]]:
    decision = comparison.decision
    for name in ("blocks", "voided", "look", "load_s", "wall_s"):
        yield f"perf.comparison.{name}", str(getattr(decision, name))
    for result in decision.results:
        name = f"perf.{result.lens.name}"
        yield f"{name}.verdict", result.verdict.value
        yield f"{name}.gates", str(result.lens.gates).lower()
        yield f"{name}.scale", result.lens.scale.value
        yield f"{name}.tolerance", str(result.lens.tolerance)
        yield f"{name}.margin", str(result.lens.margin)
        for part in ("base", "head", "change", "low", "high", "n", "mde"):
            value = getattr(result, part)
            if value is not None:
                yield f"{name}.{part}", str(value)
    for attribution in comparison.attributions:
        if attribution.moved is not None:
            yield f"perf.{attribution.lens.name}.stage", attribution.moved
