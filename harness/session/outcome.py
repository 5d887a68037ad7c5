"""What a verdict does to a test: the options of the run decide, the verdict itself is not touched."""

from dataclasses import dataclass

from tailgate.harness.options.settings import GateSettings
from tailgate.harness.options.table import Enforce, OnInconclusive
from tailgate.harness.report.comparison import stages
from tailgate.harness.report.summary import failures
from tailgate.harness.results.comparison import ComparisonResult
from tailgate.harness.results.fault import Cause
from tailgate.harness.results.run import RunResult, ScenarioResult
from tailgate.harness.results.verdict import Verdict, worst


@dataclass(frozen=True, slots=True)
class TestOutcome:
    """Whether the test fails, and why, or what was let pass and by which option."""

    __test__ = False  # pytest: a value, and no test

    fails: bool
    text: str


def outcome_of(result: ScenarioResult, settings: GateSettings) -> TestOutcome:
    """Decide what a scenario's verdict does to its test.

    INVALID and FAIL fail. INCONCLUSIVE does what ``--perf-inconclusive`` says. With ``--perf-enforce=measurement`` only
    a broken measurement fails.
    """
    text = explain(result)
    if result.verdict is Verdict.PASS:
        return TestOutcome(fails=False, text="")
    if settings.enforce is Enforce.MEASUREMENT:
        broken = result.verdict is Verdict.INVALID and _broken(result)
        return TestOutcome(broken, text if broken else f"{text}\nnot enforced (--perf-enforce=measurement)")
    if result.verdict is not Verdict.INCONCLUSIVE:
        return TestOutcome(fails=True, text=text)
    match settings.inconclusive:
        case OnInconclusive.FAIL:
            return TestOutcome(fails=True, text=text)
        case OnInconclusive.WARN:
            return TestOutcome(fails=False, text=f"WARNING: {text}\nlet pass (--perf-inconclusive=warn)")
        case OnInconclusive.PASS:
            return TestOutcome(fails=False, text=f"{text}\nlet pass (--perf-inconclusive=pass)")


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
    """Return the verdict and what came to it, then a line for each fault, or for each criterion that does not hold."""
    if result.faults:
        named: list[str] = []
        lines = [f"  {fault.cause.value}: {fault.text}" for fault in result.faults]
    elif result.refused:
        named, lines = [], [f"  {result.refused}"]
    elif result.comparison is not None:
        named, lines = _lenses(result, result.comparison)
    else:
        bad = [item for item in result.criteria if item.verdict is not Verdict.PASS]
        named = [item.name for item in bad if item.verdict is result.verdict]
        # Criteria that fell for one reason say it once.
        lines = list(dict.fromkeys(f"  {item.verdict.value}  {item.reason}" for item in bad))
    lines += [f"  {line}" for line in failures(result)]
    headline = f"{result.verdict.value}: {result.name}" + (f": {', '.join(named)}" if named else "")
    return "\n".join([headline, *lines, f"  reproduce: {result.reproduce}"])


def _lenses(result: ScenarioResult, comparison: ComparisonResult) -> tuple[list[str], list[str]]:
    results = comparison.decision.results
    bad = [one for one in results if one.lens.gates and one.verdict is not Verdict.PASS]
    named = [one.lens.name for one in bad if one.verdict is result.verdict]
    # Before the first look all say the same, and the decision says it once.
    judged = [f"  {one.verdict.value}  {one.reason}" for one in bad if one.look is not None]
    moved = [f"  {stages(one, comparison)}" for one in comparison.attributions]
    lines = [*(judged or [f"  {comparison.decision.reason}"]), *moved]
    answers = comparison.answers
    if answers is None or not answers.fails:
        return named, lines
    return ["answers", *named], [f"  {answers.verdict.value}  {answers.reason}", *lines]
