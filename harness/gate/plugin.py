"""The pytest plugin: options, the marker ``perf``, one test for each scenario.

Tests that ask for the fixtures ``perf_gate`` or ``perf_scenario`` put load on a server. Without ``-m perf`` they are left
out and nothing of the gate is loaded; no other test is touched, whatever it is marked with. Imports stand inside functions,
since every pytest session on the machine loads this module.
"""

import re
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tailgate.harness.gate.gate import Gate, GatePlugin
    from tailgate.harness.scenario.scenario import Scenario

MARKER = "perf"
SCENARIO = "perf_scenario"
# Whatever asks for a fixture of this module asks for this one, directly or not; nobody else has one of this name.
LOAD = "tailgate_puts_load_on_a_server"

# How pytest's expressions are written: quoted text, and names.
_QUOTED = re.compile(r"\"[^\"]*\"|'[^']*'")
_NAMES = re.compile(r"[\w:+\-.\[\]\\/]+")


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(
    early_config: pytest.Config, parser: pytest.Parser, args: list[str]
) -> Generator[None, Any, Any]:
    """Add the options of the gate last of all, so that those of other plugins and of conftest files come first."""
    from tailgate.harness.gate import options as pytest_options  # noqa: PLC0415

    pytest_options.join_values(early_config, parser, args)
    result = yield
    early_config.stash[_CLASHES] = pytest_options.add(early_config, parser)
    return result


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, unless the project has one of this name."""
    names = [re.split(r"[:(]", line)[0].strip() for line in config.getini("markers")]
    if MARKER not in names:
        config.addinivalue_line(
            "markers", f"{MARKER}: puts load on a server; only run by: pytest -m {MARKER}"
        )
    if config.getoption("pyargs", False):
        # Before pytest looks for the package: a folder "scenarios" in the project must not take its place.
        _scenarios(config)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make a test for each scenario of each plugin."""
    if SCENARIO not in metafunc.fixturenames or LOAD not in metafunc.fixturenames:
        return
    config = metafunc.config
    # Not asked for, or refused: one stand-in keeps the test in the list of those that are left out or refused.
    scenarios: list[Scenario | None] = [*_scenarios(config).values()] or [None]
    metafunc.parametrize(SCENARIO, scenarios, ids=lambda item: item.name if item else "any", indirect=True)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> Generator[None, Any, Any]:
    """Leave out the tests that put load on a server unless they are asked for; make the gate ready for those that run."""
    ours = [item for item in items if _puts_load(item)]
    for item in ours:
        if item.get_closest_marker(MARKER) is None:
            item.add_marker(MARKER)
    config.stash[_NONE_MARKED] = all(item.get_closest_marker(MARKER) is None for item in items)
    if ours and not _asked_for(config):
        items[:] = [item for item in items if item not in ours]
        config.hook.pytest_deselected(items=ours)
        config.stash[_LEFT_OUT] = len(ours)
    result = yield
    chosen = [item for item in items if _puts_load(item)]
    if chosen and not _is_worker(config):
        gate = _gate(config)
        with _refusing(config):
            gate.prepare(chosen)
    return result


def pytest_report_collectionfinish(config: pytest.Config) -> list[str]:
    """Say how the tests that were left out are run, or where the gate's own test is when none was found."""
    left_out = config.stash.get(_LEFT_OUT, 0)
    if left_out:
        tests = "1 test that puts" if left_out == 1 else f"{left_out} tests that put"
        return [f"{MARKER}: left out {tests} load on a server; run with: pytest -m {MARKER}"]
    if _asked_for(config) and config.stash.get(_NONE_MARKED, False):
        where = "tailgate's own test: pytest --pyargs tailgate.scenarios"
        return [f"{MARKER}: nothing collected puts load on a server; {where} -m {MARKER}"]
    return []


@pytest.fixture(scope="session", name=LOAD)
def _load(request: pytest.FixtureRequest) -> "GatePlugin":
    """Give the gate to the fixtures of this module."""
    if _is_worker(request.config):
        pytest.fail(
            "the performance gate does not run under xdist, where tests side by side disturb each other; "
            "run it with -n0 or without -n, -d, --dist and --tx",
            pytrace=False,
        )
    if _GATE not in request.config.stash:
        pytest.fail(
            f"this fixture puts load on a server: name it among the test's arguments, and run pytest -m {MARKER}",
            pytrace=False,
        )
    return request.config.stash[_GATE]


@pytest.fixture(scope="session")
def perf_gate(tailgate_puts_load_on_a_server: "GatePlugin") -> "Iterator[Gate]":
    """The gate: it launches the target, drives scenarios against it, judges them, and stops it."""
    tailgate_puts_load_on_a_server.skip_without_device()
    with tailgate_puts_load_on_a_server.open() as gate:
        yield gate


@pytest.fixture
def perf_scenario(request: pytest.FixtureRequest, tailgate_puts_load_on_a_server: "GatePlugin") -> "Scenario":  # noqa: ARG001 - it makes the test one that puts load on a server
    """One scenario; parametrized with those of every plugin."""
    scenario: Scenario = request.param
    return scenario


_CLASHES = pytest.StashKey[Mapping[str, str]]()
_GATE = pytest.StashKey["GatePlugin"]()
_LEFT_OUT = pytest.StashKey[int]()
_NONE_MARKED = pytest.StashKey[bool]()


def _asked_for(config: pytest.Config) -> bool:
    """Tell whether ``-m`` speaks of the marker; what it says of it is pytest's to decide."""
    expression = config.getoption("markexpr", "") or ""
    return MARKER in _NAMES.findall(_QUOTED.sub("", expression))


def _puts_load(item: pytest.Item) -> bool:
    return LOAD in getattr(item, "fixturenames", ())


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def _scenarios(config: pytest.Config) -> "Mapping[str, Scenario]":
    """Return those that are run; none where nobody asks, and where the gate is refused once all is collected."""
    if _is_worker(config) or not _asked_for(config):
        return {}
    try:
        return _gate(config).scenarios
    except pytest.UsageError:
        return {}


def _gate(config: pytest.Config) -> "GatePlugin":
    if _GATE not in config.stash:
        from tailgate.harness.gate import options as pytest_options  # noqa: PLC0415
        from tailgate.harness.gate.gate import GatePlugin  # noqa: PLC0415

        with _refusing(config):
            settings = pytest_options.read(config, config.stash.get(_CLASHES, None))
            config.stash[_GATE] = GatePlugin(config, settings)
    return config.stash[_GATE]


@contextmanager
def _refusing(config: pytest.Config) -> Iterator[None]:
    """Raise what the harness refuses as pytest's own refusal, which ends it with status 4 and one line."""
    from tailgate.harness.errors import HarnessError  # noqa: PLC0415
    from tailgate.harness.secrecy import Secrets  # noqa: PLC0415

    try:
        yield
    except HarnessError as error:
        secrets = Secrets.of(map(str, config.invocation_params.args))
        raise pytest.UsageError(secrets.hide(str(error))) from None
