"""Plugins take part loudly: whatever does not fit stops the run and names who brought it."""

import importlib
import sys
import tomllib
import types
from pathlib import Path

import pytest
from sample_records import MEASURES

from tailgate import __version__, hookimpl, scenarios
from tailgate.harness.errors import PluginError, UsageError
from tailgate.harness.plugins.hookspecs import PROJECT
from tailgate.harness.plugins.manager import Plugins, create_plugin_manager
from tailgate.harness.profiles import PROFILES
from tailgate.harness.scenario.arrivals import Poisson
from tailgate.harness.scenario.payloads.payload import Payload
from tailgate.harness.scenario.scenario import Phase, Scenario

PROFILE = PROFILES["smoke"]
EXAMPLE = Path(__file__).parents[3] / "examples" / "tailgate-spike"


def scenario(name):
    return Scenario(name, "made up", (Phase("load", Poisson(1.0), requests=1),), ())


def brings(**functions):
    """Make a plugin of these hooks."""
    plugin = types.ModuleType("made_up")
    for name, function in functions.items():
        setattr(plugin, name, hookimpl(function))
    return plugin


def hermetic(*files):
    return create_plugin_manager(files, {"PERF_PLUGINS": ""})


def write_distribution(folder, name, entry_point, module):
    """Write what an installer would: a distribution's metadata with its entry point."""
    information = folder / f"{name}-1.2.dist-info"
    information.mkdir(parents=True)
    information.joinpath("METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    information.joinpath("entry_points.txt").write_text(f"[{PROJECT}]\n{entry_point} = {module}\n")


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Return a function that installs a module as a plugin of a distribution, for this test."""
    # Below the interpreter's own folder, as what is installed is: what lies in a project is looked for last.
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.syspath_prepend(folder)

    def install(name, code, entry_point="theirs"):
        module = f"module_of_{name.replace('-', '_')}"
        write_distribution(folder, name, entry_point, module)
        folder.joinpath(f"{module}.py").write_text(code)
        monkeypatch.delitem(sys.modules, module, raising=False)
        importlib.invalidate_caches()  # a module that is written a moment after the folder was read is not seen

    yield install
    for module in [module for module in sys.modules if module.startswith("module_of_")]:
        del sys.modules[module]


# Who takes part


def test_the_built_ins_come_in_through_the_same_hooks_as_anybody():
    plugins = hermetic()
    (origin,) = plugins.origins
    assert (origin.name, origin.distribution, origin.version) == ("builtin", "tailgate", __version__)
    assert origin.hooks == (
        "tailgate_generators",
        "tailgate_measures",
        "tailgate_payloads",
        "tailgate_reporters",
        "tailgate_target",
    )
    assert {reporter.name for reporter in plugins.reporters()} == {"json", "markdown", "html"}
    assert "p95" in {measure.name for measure in plugins.measures()}
    assert plugins.scenarios(PROFILE) == {}


def test_installed_plugins_are_found_by_their_entry_point(installed):
    installed("acme-perf", "from tailgate import hookimpl\n@hookimpl\ndef tailgate_measures(): return []")
    origins = {origin.name: origin for origin in create_plugin_manager((), {}).origins}
    assert str(origins["theirs"]) == "'theirs' of acme-perf"
    assert origins["theirs"].hooks == ("tailgate_measures",)
    assert origins["scenarios"].distribution == "tailgate"


@pytest.mark.parametrize(
    ("limit", "names"),
    [
        ("", ["builtin"]),
        ("scenarios", ["builtin", "scenarios"]),
        (" theirs ,scenarios,", ["builtin", "scenarios", "theirs"]),
    ],
)
def test_perf_plugins_limits_what_is_installed(installed, limit, names):
    installed("acme-perf", "from tailgate import hookimpl\n@hookimpl\ndef tailgate_measures(): return []")
    installed("noisy", "raise RuntimeError('loaded all the same')", entry_point="noisy")
    plugins = create_plugin_manager((), {"PERF_PLUGINS": limit})
    assert [origin.name for origin in plugins.origins] == names


def test_perf_plugins_that_names_nobody_is_refused():
    with pytest.raises(
        PluginError, match=r"PERF_PLUGINS names 'theirs', which is not installed; there are \["
    ):
        create_plugin_manager((), {"PERF_PLUGINS": "theirs"})


def test_a_file_is_a_plugin_whatever_it_is_called(tmp_path):
    """Its module has a name of its own: a file called harness.py takes nobody's place."""
    code = "from tailgate import hookimpl\n@hookimpl\ndef tailgate_measures(): return []"
    files = [tmp_path / "tailgate.harness.py", tmp_path / "a-b.py"]
    for file in files:
        file.write_text(code)
    plugins = hermetic(*files)
    assert [origin.name for origin in plugins.origins[1:]] == [str(file) for file in files]
    assert sys.modules["tailgate"].__version__ == __version__


def test_the_built_in_scenarios_are_a_plugin():
    plugins = hermetic()
    plugins.register(scenarios, "scenarios")
    assert list(plugins.scenarios(PROFILE)) == [
        "burst",
        "compare",
        "overload",
        "ramp",
        "rollout",
        "soak",
        "steady",
    ]


# Who does not fit


def test_an_installed_plugin_that_does_not_load_is_named_with_its_distribution(installed):
    installed("acme-perf", "import a_module_that_nobody_has")
    with pytest.raises(
        PluginError, match=r"plugin 'theirs' of acme-perf does not load .*a_module_that_nobody"
    ):
        create_plugin_manager((), {})


def test_two_distributions_with_one_plugin_name_are_both_named(installed):
    for name in ("acme-perf", "other-perf"):
        installed(name, "from tailgate import hookimpl\n@hookimpl\ndef tailgate_measures(): return []")
    with pytest.raises(PluginError) as refused:
        create_plugin_manager((), {})
    assert "'theirs' of acme-perf" in str(refused.value)
    assert "'theirs' of other-perf" in str(refused.value)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("1 / 0", r"plugin file .*mine.py does not load: ZeroDivisionError: division by zero"),
        ("import sys\nsys.exit(5)", r"plugin file .*mine.py does not load: SystemExit: 5"),
        ("x = (", r"plugin file .*mine.py does not load: SyntaxError: "),
        ("", r"mine.py' has no hook .*@tailgate.hookimpl"),
        (
            "from tailgate import hookimpl\n@hookimpl\ndef tailgate_scenarios(profil): return []",
            r"mine.py' does not fit: .*\n.*profil",
        ),
    ],
)
def test_a_file_that_does_not_fit_is_refused(tmp_path, code, message):
    file = tmp_path / "mine.py"
    file.write_text(code)
    with pytest.raises(PluginError, match=message):
        hermetic(file)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(PluginError, match=r"there is no plugin file .*gone.py; expected a Python file"):
        hermetic(tmp_path / "gone.py")


# What they bring


def test_what_plugins_bring_is_joined_in_the_order_of_the_names():
    plugins = Plugins()
    plugins.register(brings(tailgate_scenarios=lambda profile: [scenario("b")]), "one")
    plugins.register(brings(tailgate_scenarios=lambda: (scenario(name) for name in "ca")), "two")
    plugins.register(brings(tailgate_scenarios=lambda profile: None), "three")
    assert list(plugins.scenarios(PROFILE)) == ["a", "b", "c"]


def test_a_name_that_two_plugins_use_is_refused_and_both_are_named():
    plugins = Plugins()
    plugins.register(brings(tailgate_scenarios=lambda profile: [scenario("a")]), "one", "acme", "1")
    plugins.register(brings(tailgate_scenarios=lambda profile: [scenario("a")]), "two", "other", "1")
    with pytest.raises(PluginError, match="'a' is used by plugin 'one' of acme and by plugin 'two' of other"):
        plugins.scenarios(PROFILE)


def test_a_measure_of_a_taken_name_is_refused():
    plugins = hermetic()
    plugins.register(brings(tailgate_measures=lambda: [MEASURES["throughput"]]), "mine")
    with pytest.raises(
        PluginError, match="'throughput' is used by plugin 'builtin' of tailgate and by plugin 'mine'"
    ):
        plugins.measures()


@pytest.mark.parametrize(
    ("hook", "gives", "expected"),
    [
        ("tailgate_scenarios", ["steady"], "a Scenario"),
        ("tailgate_measures", [1.0], "a measure: its name is None"),
    ],
)
def test_what_is_not_of_its_kind_is_refused(hook, gives, expected):
    plugins = Plugins()
    plugins.register(brings(**{hook: lambda: gives}), "mine")
    with pytest.raises(PluginError, match=f"plugin 'mine': {hook} gave {gives[0]!r}, expected {expected}"):
        plugins.scenarios(PROFILE) if hook == "tailgate_scenarios" else plugins.measures()


def test_a_hook_that_raises_is_named():
    def tailgate_scenarios():
        raise UsageError("phases need unique names")

    plugins = Plugins()
    plugins.register(brings(tailgate_scenarios=tailgate_scenarios), "mine")
    with pytest.raises(PluginError, match="plugin 'mine': tailgate_scenarios raised UsageError: phases need"):
        plugins.scenarios(PROFILE)


def test_the_plugin_that_came_last_is_asked_first_for_payloads():
    plugins = hermetic()
    mine = [Payload("mine", b"", "")]
    plugins.register(brings(tailgate_payloads=lambda source: mine if source == "photos" else None), "mine")
    assert plugins.payloads("photos") == mine
    assert len(plugins.payloads("pixels:1")) > 1


def test_payloads_that_are_none_are_refused():
    plugins = hermetic()
    plugins.register(brings(tailgate_payloads=lambda source: []), "mine")
    with pytest.raises(PluginError, match="the payloads 'any' are none"):
        plugins.payloads("any")


# The example


def test_the_example_is_a_plugin_by_the_entry_point_that_it_declares(tmp_path, monkeypatch):
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text("utf-8"))["project"]
    ((entry_point, module),) = project["entry-points"][PROJECT].items()
    write_distribution(tmp_path, project["name"], entry_point, module)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.syspath_prepend(EXAMPLE)
    plugins = create_plugin_manager((), {"PERF_PLUGINS": entry_point})
    assert str(plugins.origins[-1]) == "'spike' of tailgate-spike"
    assert list(plugins.scenarios(PROFILE)) == ["spike"]
    assert "late_share" in {measure.name for measure in plugins.measures()}


def test_the_example_is_run_as_a_file(project):
    project.pytester.path.joinpath("budgets.toml").write_text(
        '"spike" = { rate = "200 /s", quiet = "0.2 s", spike = "0.2 s", late = "5 s", late_share = "20 %", '
        "error_rate = 0.0 }"
    )
    result = project.gate(
        f"--perf-plugin={EXAMPLE / 'tailgate_spike.py'}",
        "--perf-scenario=spike",
        "--perf-profile=smoke",
        service_time_ms=0.0,
    )
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["PASS: All 2 criteria hold; the nearest is *"])
