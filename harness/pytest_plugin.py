"""The pytest plugin: options, the marker ``perf``, one test for each scenario, the verdict table at the end.

``pytest -m perf`` runs the gate; without it, tests marked ``perf`` are left out and nothing here is loaded. Imports
stand inside functions, since every pytest session on the machine loads this module.
"""

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any, Literal

import pytest

if TYPE_CHECKING:
    from harness.options import GateSettings, Option
    from harness.plugins import Plugins
    from harness.results import RunResult, ScenarioResult
    from harness.scenario import Scenario
    from harness.session import Session

MARKER = "perf"
GATE = "tailgate-gate"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add every option of the gate, with an ini key behind it."""
    from harness.options import OPTIONS  # noqa: PLC0415

    group = parser.getgroup("perf", "performance gate (tailgate)")
    for option in OPTIONS:
        choices = f" ({', '.join(option.choices)})" if option.choices else ""
        text = f"{option.help}{choices}"
        name, dest = f"--perf-{option.name}", f"perf_{option.field}"
        if option.flag:
            group.addoption(name, dest=dest, action="store_true", default=None, help=text)
            parser.addini(dest, text, type="bool", default=None)
        else:
            action = "append" if option.repeated else "store"
            group.addoption(name, dest=dest, action=action, default=None, help=text)
            kind: Literal["linelist", "string"] = "linelist" if option.repeated else "string"
            parser.addini(dest, text, type=kind, default=None)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, and the gate where it is asked for."""
    config.addinivalue_line("markers", f"{MARKER}: puts load on a server; only run by: pytest -m {MARKER}")
    if not _selected(config):
        return
    if getattr(config.option, "numprocesses", None):
        raise pytest.UsageError(
            "the performance gate cannot run under xdist: tests side by side measure each other"
        )
    from harness.errors import UsageError  # noqa: PLC0415

    try:
        config.pluginmanager.register(GatePlugin(config), GATE)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from error


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test for each scenario of each plugin."""
    if "perf_scenario" not in metafunc.fixturenames:
        return
    gate: Any = metafunc.config.pluginmanager.get_plugin(GATE)
    # Not asked for: one stand-in keeps the test in the list of those that are left out.
    scenarios = list(gate.scenarios.values()) if gate else [None]
    metafunc.parametrize("perf_scenario", scenarios, ids=lambda item: item.name if item else "any")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests that put load on a server, unless they are asked for."""
    if _selected(config):
        return
    left_out = [item for item in items if item.get_closest_marker(MARKER)]
    if left_out:
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


@pytest.fixture(scope="session")
def perf_gate(request: pytest.FixtureRequest) -> Iterator["Gate"]:
    """The gate: it launches the target, drives scenarios against it, judges them, and stops it."""
    plugin: Any = request.config.pluginmanager.get_plugin(GATE)
    plugin.skip_without_device()
    with plugin.open() as session:
        yield Gate(session, plugin)
        plugin.finish()


@pytest.fixture
def perf_scenario() -> "Scenario":
    """One scenario; parametrized with those of every plugin."""
    raise AssertionError("parametrized by pytest_generate_tests")


def _selected(config: pytest.Config) -> bool:
    return MARKER in (config.getoption("markexpr", "") or "").replace(f"not {MARKER}", "")


class Gate:
    """What a test asks to check a scenario."""

    def __init__(self, session: "Session", plugin: "GatePlugin") -> None:
        self._session = session
        self._plugin = plugin

    def check(self, scenario: "Scenario") -> "ScenarioResult":
        """Run and judge a scenario; fail the test where its verdict asks for it."""
        __tracebackhide__ = True
        from harness.errors import HarnessError  # noqa: PLC0415
        from harness.outcome import outcome_of  # noqa: PLC0415

        try:
            result = self._session.run(scenario)
        except HarnessError as error:
            pytest.fail(f"{type(error).__name__}: {error}", pytrace=False)
        outcome = outcome_of(result, self._plugin.settings)
        if outcome.fails:
            pytest.fail(outcome.text, pytrace=False)
        if outcome.text:
            self._plugin.notes.append(outcome.text)
        return result


class GatePlugin:
    """Registered only where the gate is asked for."""

    def __init__(self, config: pytest.Config) -> None:
        from harness.options import parse_options  # noqa: PLC0415
        from harness.plugins import create_plugin_manager  # noqa: PLC0415

        self.settings: GateSettings = parse_options(lambda option: _raw(config, option), config.rootpath)
        self.plugins: Plugins = create_plugin_manager(self.settings.plugin)
        self.scenarios = self._chosen()
        self.session: Session | None = None
        self.result: RunResult | None = None
        self.notes: list[str] = []

    def _chosen(self) -> dict[str, "Scenario"]:
        from harness.errors import UsageError  # noqa: PLC0415

        every = self.plugins.scenarios(self.settings.gathered)
        for name in self.settings.scenario:
            if name not in every:
                raise UsageError(
                    f"--perf-scenario: there is no {name!r}; there are {', '.join(every) or 'none'}"
                )
        return {name: every[name] for name in self.settings.scenario or every}

    def skip_without_device(self) -> None:
        """Skip, or fail where that is asked for, when the target wants CUDA and there is none."""
        from harness.device import cuda_devices  # noqa: PLC0415

        if self.settings.variable("TAILGATE_DEVICE") != "cuda" or cuda_devices():
            return
        reason = "TAILGATE_DEVICE=cuda, and the driver finds no CUDA device on this machine"
        if self.settings.require_device:
            pytest.fail(f"{reason} (--perf-require-device)", pytrace=False)
        pytest.skip(reason)

    def open(self) -> "Session":
        """Return the session, not entered yet."""
        from harness.session import Session  # noqa: PLC0415

        self.session = Session(self.settings, self.plugins)
        return self.session

    def finish(self) -> None:
        """Write the reports."""
        assert self.session is not None
        self.result = self.session.finish()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Generator[None, Any, Any]:
        """Attach the end of the server's log to a test that failed, and the numbers to every test's properties."""
        report = yield
        if report.when == "call" and item.get_closest_marker(MARKER) and self.session is not None:
            report.user_properties += self._properties(item)
            tail = self.session.log_tail() if report.failed else ""
            if tail:
                report.sections.append(("the server's log, its end", tail))
        return report

    def _properties(self, item: pytest.Item) -> list[tuple[str, str]]:
        from harness.report.junit import properties  # noqa: PLC0415

        assert self.session is not None
        scenario: Any = item.callspec.params.get("perf_scenario") if hasattr(item, "callspec") else None
        result = self.session.result()
        ran = scenario is not None and any(one.name == scenario.name for one in result.scenarios)
        return properties(result, scenario.name) if ran else []

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print the verdict first, then the table."""
        if self.result is None:
            return
        from rich.console import Console  # noqa: PLC0415

        from harness.report.terminal import render  # noqa: PLC0415

        writer = terminalreporter._tw  # noqa: SLF001 - pytest offers no other way to its width
        terminalreporter.section("performance gate")
        console = Console(width=writer.fullwidth, force_terminal=writer.hasmarkup, highlight=False)
        with console.capture() as captured:
            render(self.result, console)
        writer.write(captured.get())
        for note in self.notes:
            terminalreporter.write_line(note)
        if self.session is not None:
            terminalreporter.write_line(f"results: {self.session.directory}")


def _raw(config: pytest.Config, option: "Option") -> Any:
    """Return what the command line says, else what the ini file says, else None."""
    name = f"perf_{option.field}"
    given = config.getoption(name, None)
    if given is not None:
        return given
    value = config.getini(name)
    return value if value not in ("", None, []) else None
