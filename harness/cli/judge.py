"""``tailgate judge``: a run judged again from what it kept. Nothing is measured."""

from collections.abc import Sequence
from pathlib import Path

from tailgate.harness.cli.form import Format
from tailgate.harness.cli.report import show
from tailgate.harness.cli.run import status_of_verdict
from tailgate.harness.cli.status import Status
from tailgate.harness.errors import UsageError
from tailgate.harness.options.settings import GateSettings, parse_options
from tailgate.harness.plugins.manager import create_plugin_manager
from tailgate.harness.results import file as results_file
from tailgate.harness.results.run import RunResult
from tailgate.harness.results.verdict import worst
from tailgate.harness.scenario.budgets import find_budgets
from tailgate.harness.session.outcome import outcome_of
from tailgate.harness.session.rejudge import Terms, judge_again

# The options of the run that say what a verdict does.
_SAID = ("inconclusive", "enforce")


def judge(
    results: Path,
    budgets: Path | None,
    confidence: float | None,
    lenses: Sequence[str],
    plugins: Sequence[Path],
    form: Format,
) -> Status:
    """Judge a run again, and show what it came to; the status is that of a comparison with the options of the run.

    Args:
        results: a results file, or its folder.
        budgets: file of other budgets than the run's.
        confidence: another one than the run's.
        lenses: other settings of lenses, such as ``p95=8%``.
        plugins: files with hooks.
        form: of the report.
    """
    if confidence is not None and not 0.5 < confidence < 1:
        raise UsageError(f"--confidence: expected a share between 0.5 and 1, got {confidence}")
    path = results / results_file.RESULTS if results.is_dir() else results
    terms = Terms(None if budgets is None else find_budgets(budgets, Path.cwd()), confidence, tuple(lenses))
    measures = create_plugin_manager(plugins).measures()
    result = judge_again(results_file.read(path), path.parent, measures, terms)
    show(result, form)
    failing = [one.verdict for one in result.scenarios if outcome_of(one, _settings(result)).fails]
    return status_of_verdict(worst(failing)) if failing else Status.PASS


def _settings(result: RunResult) -> GateSettings:
    """Return what the run said of its verdicts; all else is as nobody had said anything."""
    return parse_options(
        lambda option: result.settings.get(option.field) if option.name in _SAID else None, Path.cwd()
    )
