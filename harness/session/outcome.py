"""What a verdict does to a test: the options of the run decide, the verdict itself is not touched."""

from dataclasses import dataclass

from tailgate.harness.options.settings import GateSettings
from tailgate.harness.options.table import Enforce, OnInconclusive
from tailgate.harness.report import comparison
from tailgate.harness.report.summary import remarks
from tailgate.harness.report.why import why_of_scenario
from tailgate.harness.results.fault import Cause
from tailgate.harness.results.run import RunResult, ScenarioResult
from tailgate.harness.results.verdict import Verdict, worst
from tailgate.harness.verdict.waivers import FILE_NAME, lets_pass, waived


@dataclass(frozen=True, slots=True)
class TestOutcome:
    """Whether the test fails, and why, or what was let pass and by which option."""

    __test__ = False  # pytest: a value, and no test

    fails: bool
    text: str


def outcome_of(result: ScenarioResult, settings: GateSettings) -> TestOutcome:
    """Decide what a scenario's verdict does to its test.

    INVALID and FAIL fail. INCONCLUSIVE does what ``--perf-inconclusive`` says. With ``--perf-enforce=measurement`` only
    a broken measurement fails. What waivers accept does not fail.
    """
    if result.verdict is Verdict.PASS:
        return TestOutcome(fails=False, text="")
    fails = TestOutcome(fails=True, text=explain(result))
    let_pass = f"{result.name}: {result.verdict.value} fails no test"
    if lets_pass(result):
        return TestOutcome(False, f"{let_pass} ({FILE_NAME}): {'; '.join(waived(result))}")
    if settings.enforce is Enforce.MEASUREMENT:
        broken = result.verdict is Verdict.INVALID and _broken(result)
        return fails if broken else TestOutcome(False, f"{let_pass} (--perf-enforce=measurement)")
    if result.verdict is not Verdict.INCONCLUSIVE or settings.inconclusive is OnInconclusive.FAIL:
        return fails
    warning = "WARNING: " if settings.inconclusive is OnInconclusive.WARN else ""
    return TestOutcome(False, f"{warning}{let_pass} (--perf-inconclusive={settings.inconclusive.value})")


def failing(result: RunResult, settings: GateSettings) -> Verdict:
    """Return the worst verdict that fails its test; PASS for none."""
    return worst(
        [one.verdict for one in result.scenarios if outcome_of(one, settings).fails] or [Verdict.PASS]
    )


def _broken(result: ScenarioResult) -> bool:
    if any(fault.cause is Cause.INTEGRITY for fault in result.faults):
        return True
    invalid = [item for item in result.criteria if item.verdict is Verdict.INVALID]
    if result.comparison is not None:
        return result.comparison.decision.reason.startswith(Cause.INTEGRITY.value)
    # No fault and nothing judged: nothing was measured.
    return not result.criteria or any(item.reason.startswith(Cause.INTEGRITY.value) for item in invalid)


def explain(result: ScenarioResult) -> str:
    """Return the verdict and why in the first line, then a line for all that is said of it."""
    lines = [*remarks(result)]
    if result.comparison is not None:
        lines += comparison.remarks(result.comparison)
    lines.append(f"reproduce: {result.reproduce}")
    headline = f"{result.verdict.value}: {result.name}: {why_of_scenario(result)}"
    return "\n".join([headline, *(f"  {line}" for line in lines)])
