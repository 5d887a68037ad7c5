"""The gate inside pytest: what a test asks to check a scenario, and the plugin that prints, reports and cleans up.

Loaded and registered by :mod:`harness.pytest_plugin` only where ``-m perf`` asks for it. Measuring and judging are
:mod:`harness.session`'s.
"""

import os
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any, TypeVar

import pytest
from rich.console import Console

from harness import device
from harness.comparison.load import ComparisonLoad
from harness.errors import HarnessError, UsageError
from harness.options import GateSettings
from harness.outcome import outcome_of
from harness.plugins import Plugins, create_plugin_manager
from harness.report.junit import properties
from harness.report.terminal import render
from harness.reproduce import built_in_test
from harness.results import RunResult, ScenarioResult
from harness.scenario import Scenario, When
from harness.session import Session

T = TypeVar("T")


class Gate:
    """What a test asks to check a scenario."""

    def __init__(self, session: Session, plugin: "GatePlugin") -> None:
        self._session = session
        self._plugin = plugin

    def check(self, scenario: Scenario) -> ScenarioResult:
        """Run and judge a scenario; fail the test where its verdict asks for it.

        Args:
            scenario: of the fixture ``perf_scenario``, or a test's own; each is run once in a session.

        Returns:
            What it came to, where the test goes on.
        """
        __tracebackhide__ = True
        self._plugin.checked.append(scenario.name)
        result = _plainly(lambda: self._session.run(scenario, self._plugin.selection(scenario)))
        outcome = outcome_of(result, self._plugin.settings)
        if outcome.fails:
            pytest.fail(outcome.text, pytrace=False)
        if outcome.text:
            self._plugin.notes.append(outcome.text)
        return result


def _plainly(step: Callable[[], T]) -> T:
    """Take a step; what the harness can name fails the test without a traceback, since its message says all."""
    __tracebackhide__ = True
    try:
        return step()
    except HarnessError as error:
        text = str(error)
    # Outside of the except clause, or pytest shows the error a second time, as its context.
    pytest.fail(text, pytrace=False)


class GatePlugin:
    """The plugin: its methods are pytest's hooks, and one session is behind them.

    Args:
        config: of pytest.
        settings: the options.

    Raises:
        UsageError: a plugin does not fit, or there is no scenario of a name that was given.

    Attributes:
        settings: the options.
        plugins: who takes part.
        scenarios: those that are run, by name.
        checked: names of the scenarios that the present test has checked.
        notes: what the summary says after the table.
    """

    def __init__(self, config: pytest.Config, settings: GateSettings) -> None:
        self.settings = settings
        self.plugins: Plugins = create_plugin_manager(settings.plugin)
        self.scenarios = self._chosen()
        self.checked: list[str] = []
        self.notes: list[str] = []
        self._config = config
        self._expected = 1
        self._item: pytest.Item | None = None
        self._session: Session | None = None
        self._result: RunResult | None = None

    def _chosen(self) -> dict[str, Scenario]:
        every = self.plugins.scenarios(self.settings.gathered)
        for name in self.settings.scenario:
            if name not in every:
                raise UsageError(
                    f"--perf-scenario: there is no {name!r}; there are {', '.join(every) or 'none'}"
                )
        names = self.settings.scenario or [name for name in every if self._unasked(every[name])]
        return {name: every[name] for name in names}

    def _unasked(self, scenario: Scenario) -> bool:
        """Tell whether a run takes a scenario that nobody named: a comparison those that are made for it."""
        if self.settings.against is not None:
            return isinstance(scenario, ComparisonLoad)
        return scenario.when is When.ALWAYS

    def skip_without_device(self) -> None:
        """Skip, or fail where that is asked for, when the target wants CUDA and there is none."""
        if self.settings.variable("TAILGATE_DEVICE") != "cuda" or device.cuda_devices():
            return
        reason = "TAILGATE_DEVICE=cuda, and the driver finds no CUDA device on this machine"
        if self.settings.require_device:
            pytest.fail(f"{reason} (--perf-require-device)", pytrace=False)
        pytest.skip(reason)

    @contextmanager
    def open(self) -> Iterator[Gate]:
        """Start the session; write the reports when it is left, after an interruption too."""
        session = Session(self.settings, self.plugins, self._tell, expected=self._expected)
        with ExitStack() as stack:
            _plainly(lambda: stack.enter_context(session))
            self._session = session
            self.notes += [
                f"no scenario asks for the budget {name}: is it misspelt?"
                for name in session.misspelt_budgets()
            ]
            yield Gate(session, self)
            # First what there is: a key pressed while the reports are written costs reports, not the summary.
            self._result = session.result()
            self._result = _plainly(session.finish)

    def selection(self, scenario: Scenario) -> tuple[str, ...]:
        """Return pytest's arguments that select the present test."""
        if self._item is None or self.scenarios.get(scenario.name) == scenario:
            return built_in_test(scenario.name)
        return (self._item.nodeid,)

    def pytest_report_header(self) -> str:
        """Say what is going to be measured."""
        names = ", ".join(self.scenarios) or "none"
        if self.settings.against is not None:
            return f"perf: target {self.settings.target} against {self.settings.against}, scenarios {names}"
        return f"perf: target {self.settings.target}, profile {self.settings.profile}, scenarios {names}"

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Count the tests that will check a scenario, plugins' and users': a comparison splits its error over all of them."""
        asking = sum("perf_gate" in getattr(item, "fixturenames", ()) for item in session.items)
        self._expected = max(1, asking)

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Remember whose scenarios are checked from now on."""
        self._item = item
        self.checked.clear()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, Any, Any]:
        """Attach the numbers to the properties of a test, and the end of the server's log where it failed."""
        if call.when == "call":
            # Before the report is made: JUnit takes them from the report of the teardown.
            item.user_properties += self._properties()
        report = yield
        tail = self._session.log_tail() if self._session is not None and self.checked else ""
        if report.failed and tail:
            report.sections.append(("the server's log, its end", tail))
        return report

    def _properties(self) -> list[tuple[str, object]]:
        if self._session is None or not self.checked:
            return []
        result = self._session.result()
        ran = {scenario.name for scenario in result.scenarios}
        return [pair for name in self.checked if name in ran for pair in properties(result, name)]

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, Any, None]:
        """Go on to the summary when a second key ends the writing of reports or the wait for the target's end."""
        try:
            yield
        except KeyboardInterrupt:
            session.exitstatus = pytest.ExitCode.INTERRUPTED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the verdict first, then the table."""
        if self._result is None or self._session is None:
            return
        writer = terminalreporter._tw  # noqa: SLF001 - pytest offers no other way to its width
        terminalreporter.section("performance gate")
        console = Console(width=writer.fullwidth, force_terminal=writer.hasmarkup, highlight=False)
        with console.capture() as captured:
            render(self._result, console)
        writer.write(captured.get())
        for note in self.notes:
            terminalreporter.write_line(note)
        terminalreporter.write_line(f"results: {_short(self._session.directory)}")

    def _tell(self, line: str) -> None:
        """Print what is being done now, on a terminal or with -v; a minute of silence looks like a hang."""
        reporter: Any = self._config.pluginmanager.get_plugin("terminalreporter")
        capture: Any = self._config.pluginmanager.get_plugin("capturemanager")
        if reporter is None or not (reporter.isatty or self._config.get_verbosity() > 0):
            return
        with capture.global_and_fixture_disabled() if capture else nullcontext():
            reporter.ensure_newline()
            reporter.write_line(line)


def _short(path: Path) -> str:
    """Return a path as seen from the working directory, where that is shorter."""
    return min(os.path.relpath(path), str(path), key=len)
