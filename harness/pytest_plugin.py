"""The pytest plugin: options, the marker ``perf``, one test for each scenario.

``pytest -m perf`` runs the gate, which is :mod:`harness.gate`; without it, tests marked ``perf`` are left out and nothing
of the gate is loaded. Imports stand inside functions, since every pytest session on the machine loads this module.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

if TYPE_CHECKING:
    from harness.gate import Gate, GatePlugin
    from harness.options import GateSettings, Option
    from harness.scenario import Scenario

MARKER = "perf"
GATE = "tailgate-gate"
_WORDS = re.compile(r"[^\s()]+")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add every option of the gate, with an ini key behind it."""
    from harness.options import OPTIONS  # noqa: PLC0415

    group = parser.getgroup("perf", "performance gate (tailgate)")
    for option in OPTIONS:
        choices = f" ({', '.join(option.choices)})" if option.choices else ""
        # argparse formats help with %.
        text = f"{option.help}{choices}".replace("%", "%%")
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
    if getattr(config.option, "numprocesses", None) or hasattr(config, "workerinput"):
        raise pytest.UsageError(
            "the performance gate does not run under xdist, where tests side by side measure each other; "
            "run it without -n"
        )
    from harness.errors import UsageError  # noqa: PLC0415
    from harness.gate import GatePlugin  # noqa: PLC0415

    try:
        gate = GatePlugin(config, _settings(config))
    except UsageError as error:
        raise pytest.UsageError(str(error)) from error
    config.pluginmanager.register(gate, GATE)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test for each scenario of each plugin."""
    if "perf_scenario" not in metafunc.fixturenames:
        return
    gate = _gate(metafunc.config)
    # Not asked for: one stand-in keeps the test in the list of those that are left out.
    scenarios = list(gate.scenarios.values()) if gate else [None]
    metafunc.parametrize("perf_scenario", scenarios, ids=lambda item: item.name if item else "any")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out tests that put load on a server, unless they are asked for."""
    marked = [item for item in items if _marked(item)]
    config.stash[_MARKED] = len(marked)
    if marked and not _selected(config):
        items[:] = [item for item in items if item not in marked]
        config.hook.pytest_deselected(items=marked)


def pytest_report_collectionfinish(config: pytest.Config) -> list[str]:
    """Say how the tests that were left out are run, or where the gate's own test is when none was found."""
    marked = config.stash.get(_MARKED, 0)
    if _selected(config):
        where = f"{MARKER}: nothing collected puts load on a server; tailgate's own test: pytest --pyargs scenarios"
        return [] if marked else [f"{where} -m {MARKER}"]
    if marked and MARKER not in _words(config):
        tests = "1 test that puts" if marked == 1 else f"{marked} tests that put"
        return [f"{MARKER}: left out {tests} load on a server; run with: pytest -m {MARKER}"]
    return []


@pytest.fixture(scope="session")
def perf_gate(request: pytest.FixtureRequest) -> Iterator["Gate"]:
    """The gate: it launches the target, drives scenarios against it, judges them, and stops it."""
    plugin = _gate(request.config)
    if plugin is None:
        pytest.fail(
            f"perf_gate puts load on a server: mark the test with @pytest.mark.{MARKER}, and run pytest -m {MARKER}",
            pytrace=False,
        )
    plugin.skip_without_device()
    with plugin.open() as gate:
        yield gate


@pytest.fixture
def perf_scenario() -> "Scenario":
    """One scenario; parametrized with those of every plugin."""
    raise AssertionError("parametrized by pytest_generate_tests")


_MARKED = pytest.StashKey[int]()


def _words(config: pytest.Config) -> list[str]:
    return _WORDS.findall(config.getoption("markexpr", "") or "")


def _selected(config: pytest.Config) -> bool:
    """Tell whether ``-m`` asks for perf: its name stands there, and no "not" before it."""
    words = _words(config)
    return any(word == MARKER and before != "not" for before, word in zip(["", *words], words, strict=False))


def _marked(item: pytest.Item) -> bool:
    marker = item.get_closest_marker(MARKER)
    if marker is not None and (marker.args or marker.kwargs):
        raise pytest.UsageError(f"{item.nodeid}: the marker {MARKER} takes no arguments")
    return marker is not None


def _gate(config: pytest.Config) -> "GatePlugin | None":
    gate: GatePlugin | None = config.pluginmanager.get_plugin(GATE)
    return gate


def _settings(config: pytest.Config) -> "GateSettings":
    from harness.options import OPTIONS, parse_options  # noqa: PLC0415

    given = frozenset(item.name for item in OPTIONS if config.getoption(f"perf_{item.field}") is not None)
    return parse_options(lambda item: _raw(config, item), config.rootpath, given)


def _raw(config: pytest.Config, option: "Option") -> Any:
    """Return what the command line says, else what the ini file says, else None; paths of an ini file start there."""
    name = f"perf_{option.field}"
    given = config.getoption(name, None)
    if given is not None:
        return given
    value = config.getini(name)
    if value is None or option.parse is not Path:
        return value
    folder = config.inipath.parent if config.inipath else config.rootpath
    return [str(folder / item) for item in value] if option.repeated else str(folder / value)
