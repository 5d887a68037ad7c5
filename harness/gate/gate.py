"""The gate inside pytest: what a test asks to check a scenario, and the plugin that prints, reports and cleans up.

Registered by :mod:`tailgate.harness.gate.plugin` once a test is left that puts load on a server. Measuring and judging are
:mod:`tailgate.harness.session.session`'s.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

import pytest

from tailgate.harness.errors import HarnessError, UsageError
from tailgate.harness.gate import ending
from tailgate.harness.gate.choice import chosen
from tailgate.harness.gate.listeners import Listeners
from tailgate.harness.gate.live import Voice
from tailgate.harness.gate.run_page import Progress, RunServer, begin
from tailgate.harness.observe import machine
from tailgate.harness.options.secret import secrets_of
from tailgate.harness.options.settings import GateSettings
from tailgate.harness.plugins.manager import Plugins, create_plugin_manager
from tailgate.harness.report.escape import terminal
from tailgate.harness.report.junit import properties
from tailgate.harness.results.run import RunResult, ScenarioResult
from tailgate.harness.scenario.scenario import Scenario
from tailgate.harness.session.command import GateCommand
from tailgate.harness.session.outcome import outcome_of
from tailgate.harness.session.preparation import Prepared, prepare
from tailgate.harness.session.reproduce import built_in_test
from tailgate.harness.session.session import Session

T = TypeVar("T")

NAME = "tailgate-gate"
SCENARIO = "perf_scenario"


class Gate:
    """What a test asks to check a scenario."""

    def __init__(self, session: Session, plugin: "GatePlugin") -> None:
        self._session = session
        self._plugin = plugin

    def check(self, scenario: Scenario) -> ScenarioResult:
        """Run and judge a scenario; fail the test where its verdict asks for it.

        Each scenario, of the fixture ``perf_scenario`` or a test's own, is run once in a session.
        """
        __tracebackhide__ = True
        plugin, before = self._plugin, self._session.measured
        plugin.checked.append(scenario.name)
        try:
            result = plugin.plainly(lambda: self._session.run(scenario, plugin.selection(scenario)))
            outcome = outcome_of(result, plugin.settings)
            text = terminal(secrets_of(plugin.settings).hide(outcome.text))
            if outcome.fails:
                pytest.fail(text, pytrace=False)
        except pytest.fail.Exception as failure:
            # What stands in the results is told by the summary, and need not be told by pytest, too.
            if self._session.measured > before:
                plugin.told.append(failure)
            raise
        finally:
            if self._session.measured > before:
                plugin.tell_verdict(self._session.result())
        if text:
            plugin.notes.append(text)
        return result


class GatePlugin:
    """The plugin: its methods are pytest's hooks, and one session is behind them."""

    def __init__(self, config: pytest.Config, settings: GateSettings) -> None:
        self.settings = settings
        self.notes: list[str] = []
        self.told: list[BaseException] = []  # failures of tests of which the summary says all
        self._config = config
        self._command: GateCommand = GateCommand.of(config)
        self.plugins: Plugins = create_plugin_manager(settings.plugin, further=self._command.plugins)
        self._command.settings = settings
        self.scenarios = chosen(settings, self.plugins, self.notes.append)
        self.checked: list[str] = []
        self._names: list[str] = []
        self._prepared: Prepared | None = None
        self._item: pytest.Item | None = None
        self._session: Session | None = None
        self._live: RunServer | None = None
        self._listeners = Listeners()
        self._interrupted = False

    def prepare(self, items: Sequence[pytest.Item]) -> None:
        """Refuse what cannot run, now that it is known which tests will put load on a server."""
        self._config.pluginmanager.register(self, NAME)
        parameters = [getattr(getattr(item, "callspec", None), "params", {}) for item in items]
        scenarios: list[Any] = [one[SCENARIO] for one in parameters if SCENARIO in one]
        if None in scenarios:
            which = (
                "that a run takes unasked"
                if self.settings.against is None
                else "that is made for comparisons"
            )
            raise UsageError(
                f"no plugin brings a scenario {which}; name one with --perf-scenario, or bring one with --perf-plugin"
            )
        self._names = [one.name for one in scenarios]
        if self._command.alone and len(scenarios) != 1:
            names = ", ".join(self._names) or "none"
            raise UsageError(f"a calibration is of one scenario, got {names}; name one with --perf-scenario")
        if self._config.getoption("collectonly", False):
            return
        self._command.check(self.settings)
        # A comparison splits its error over all tests that will check a scenario, plugins' and users'.
        expected, looks = len(items), self._command.looks
        self._prepared = prepare(self.settings, self.plugins, scenarios, expected=expected, looks=looks)
        if self.settings.live is not None:
            progress = Progress(self._sides(), expected, secrets_of(self.settings))
            self._listeners.add(progress)
            self._live = begin(progress, self.settings.live, self._config)

    def skip_without_device(self) -> None:
        """Skip, or fail where that is asked for, when the target wants CUDA and there is none."""
        if self.settings.variable("TAILGATE_DEVICE") != "cuda" or machine.cuda_devices():
            return
        reason = "TAILGATE_DEVICE=cuda, and the driver finds no CUDA device on this machine"
        if self.settings.require_device:
            pytest.fail(f"{reason} (--perf-require-device)", pytrace=False)
        pytest.skip(reason)

    @contextmanager
    def open(self) -> Iterator[Gate]:
        """Start the session; write the reports when it is left, after an interruption too."""
        assert self._prepared is not None
        steps, of = self._command.tells, self._prepared.expected
        voice = Voice(self._config, self.settings, steps=steps, of=of)
        self._listeners.add(voice)
        told = self._listeners
        session = Session(self._prepared, told.tell, told.watching, told.comparing)
        with ExitStack() as stack:
            stack.enter_context(voice.speaking())
            self.plainly(lambda: stack.enter_context(session))
            self._session = session
            self._command.directory = session.directory
            self.notes += [
                f"no scenario asks for the budget {name}: is it misspelt?"
                for name in session.misspelt_budgets()
            ]
            yield Gate(session, self)
            # First what there is: a key pressed while the reports are written costs reports, not the summary.
            self._command.result = session.result()
            result = self.plainly(session.finish)
            if self._live is not None:
                self._live.progress.finish(result, session.directory)
            self._end(stack)

    def tell_verdict(self, result: RunResult) -> None:
        """Say at once what a scenario came to."""
        if self._command.reports:
            self._listeners.tell_verdict(result)

    def _end(self, stack: ExitStack) -> None:
        """Stop the target; a tear-down that fails fails the test, but for an interrupted run, where pytest has no test left."""
        if not self._interrupted:
            self.plainly(stack.close)
            return
        try:
            stack.close()
        except HarnessError as error:
            self.notes.append(terminal(secrets_of(self.settings).hide(str(error))))

    def plainly(self, step: Callable[[], T]) -> T:
        """Take a step; what the harness can name fails the test without a traceback, since its message says all."""
        __tracebackhide__ = True
        try:
            return step()
        except HarnessError as error:
            self._command.refused |= isinstance(error, UsageError)
            text = terminal(secrets_of(self.settings).hide(str(error)))
        # Outside of the except clause, or pytest shows the error a second time, as its context.
        pytest.fail(text, pytrace=False)

    def selection(self, scenario: Scenario) -> tuple[str, ...]:
        """Return pytest's arguments that select the present test."""
        if self._item is None or self.scenarios.get(scenario.name) == scenario:
            return built_in_test(scenario.name)
        return (self._item.nodeid,)

    def pytest_report_collectionfinish(self) -> list[str]:
        """Say what is going to be measured, and where it can be watched."""
        settings, names = self.settings, ", ".join(self._names) or "of the tests' own"
        profile = f", profile {settings.profile}" if settings.against is None else ""
        live = [] if self._live is None else [f"perf: watch the run at {self._live.address}"]
        return [secrets_of(settings).hide(f"perf: {self._sides()}{profile}, scenarios {names}"), *live]

    def _sides(self) -> str:
        settings = self.settings
        if settings.against is None:
            return f"target {settings.target}"
        return (
            f"target {settings.target if settings.head == '.' else settings.head} against {settings.against}"
        )

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
        if call.excinfo is not None and any(call.excinfo.value is one for one in self.told):
            ending.shorten(report, shown=self._command.reports and self._config.get_verbosity() <= 0)
        tail = self._session.log_tail() if self._session is not None and self.checked else ""
        if report.failed and tail:
            report.sections.append(("the server's log, its end", terminal(tail)))
        return report

    def _properties(self) -> list[tuple[str, object]]:
        if self._session is None or not self.checked:
            return []
        result = self._session.result()
        ran = [scenario for scenario in result.scenarios if scenario.name in self.checked]
        return [pair for scenario in ran for pair in properties(result, scenario)]

    def pytest_keyboard_interrupt(self) -> None:
        """Remember that no test is left that could fail."""
        self._interrupted = True

    @pytest.hookimpl(wrapper=True, trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, Any, None]:
        """Go on to the summary when a second key ends the writing of reports or the wait for the target's end."""
        try:
            yield
        except KeyboardInterrupt:
            self._command.interrupted = True
            session.exitstatus = pytest.ExitCode.INTERRUPTED

    def pytest_terminal_summary(self, terminalreporter: "pytest.TerminalReporter") -> None:
        """Print the verdict first, then what it takes to understand it, then where all of it lies."""
        result, directory = self._command.result, self._command.directory
        if result is None or directory is None or not self._command.reports:
            return
        ending.write(terminalreporter, self._config.get_verbosity(), result, directory, self.notes)
