"""The plugin as its users see it: pytest runs in a project of their own, against a server without a model."""

import xml.etree.ElementTree as ET

import pytest

from harness import device, results_file
from harness.options import OPTIONS, PROFILE_NAMES
from harness.pytest_options import read
from harness.report.markdown import SUMMARY
from harness.scenario import PROFILES
from harness.target import TargetSettings
from harness.target_spec import parse_target
from harness.testing import fake_server_spec
from harness.verdict import Verdict

DIES_AT_START = "import sys; sys.exit('no weights in this folder')"
DIES_UNDER_LOAD = """
import os
from harness import fake_server

class Dying(fake_server.FakeServer):
    served = 0

    async def _predict(self):
        Dying.served += 1
        if Dying.served > 20:
            print("the memory is used up", flush=True)
            os._exit(9)
        return await super()._predict()

fake_server.FakeServer = Dying
fake_server.main()
"""
USERS_TESTS = """
import pytest
from harness.arrivals import Constant
from harness.scenario import Criterion, Phase, Scenario

def test_of_a_unit():
    pass

@pytest.mark.x
@pytest.mark.perf
def test_under_load(perf_gate):
    phases = (Phase("load", Constant(200.0), requests=90),)
    perf_gate.check(Scenario("own", "a user's own", phases, (Criterion("error_rate", 0.0, ("load",)),)))

@pytest.mark.perf
def test_with_each(perf_scenario, perf_gate):
    perf_gate.check(perf_scenario)
"""


def lines_after(result, title):
    """Return what was printed after a line that holds this."""
    lines = result.outlines
    start = next(index for index, line in enumerate(lines) if title in line)
    return lines[start + 1 :]


# Which tests are run


@pytest.mark.parametrize(
    ("expression", "selected"),
    [
        (None, {"test_of_a_unit"}),
        ("not perf", {"test_of_a_unit"}),
        ("not (perf)", {"test_of_a_unit"}),
        ("x", set()),
        ("performance", set()),
        ("perf", {"test_under_load", "test_with_each[one]", "test_with_each[two]"}),
        ("perf and x", {"test_under_load"}),
        ("perf and not x", {"test_with_each[one]", "test_with_each[two]"}),
        ("not x and (perf)", {"test_with_each[one]", "test_with_each[two]"}),
    ],
)
def test_tests_under_load_are_run_only_when_they_are_asked_for(project, expression, selected):
    project.scenarios("one", "two")
    project.pytester.makepyfile(USERS_TESTS)
    chosen = [] if expression is None else ["-m", expression]
    result = project.run("--collect-only", "-q", *chosen)
    names = {line.partition("::")[2] for line in result.outlines if "::" in line}
    assert names == selected


def test_a_run_without_load_says_how_the_tests_under_load_are_run(project):
    project.pytester.makepyfile(USERS_TESTS)
    result = project.run()
    result.assert_outcomes(passed=1, deselected=2)
    result.stdout.fnmatch_lines(
        ["perf: left out 2 tests that put load on a server; run with: pytest -m perf"]
    )


def test_a_project_without_a_test_under_load_is_told_where_one_is(project):
    project.pytester.makepyfile("def test_of_a_unit(): pass")
    result = project.run("-m", "perf")
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    result.stdout.fnmatch_lines(["*tailgate's own test: pytest --pyargs scenarios -m perf"])


def test_plain_pytest_loads_nothing_heavy(project):
    project.pytester.makepyfile(
        """
        import sys

        def test_modules():
            heavy = {"numpy", "scipy", "httpx", "rich", "jsonschema", "torch", "filelock", "harness.session"}
            assert heavy & set(sys.modules) == set()
        """
    )
    # Hypothesis is not ours, and what it loads is not our doing.
    result = project.pytester.runpytest_subprocess("-p", "no:asyncio", "-p", "no:hypothesispytest")
    result.assert_outcomes(passed=1)


WORKER = """
def pytest_configure(config):
    config.workerinput = {}  # as xdist's workers have it
"""


def test_in_a_worker_of_xdist_only_the_tests_under_load_fail(project):
    project.pytester.makeconftest(WORKER)
    project.pytester.makepyfile(USERS_TESTS)
    result = project.run("-m", "perf")
    result.assert_outcomes(errors=2, deselected=1)
    result.stdout.fnmatch_lines(["*does not run under xdist*run it with -n0*"])
    project.run().assert_outcomes(passed=1, deselected=2)
    assert not project.pytester.path.joinpath(".perf").exists()


# Tests of others


OTHERS = """
import pytest

@pytest.mark.perf
def test_marked():
    pass

@pytest.mark.perf(level=1)
@pytest.mark.slow
def test_of_a_level(request):
    assert request.node.get_closest_marker("perf").kwargs == {"level": 1}

def test_plain():
    pass
"""
OTHERS_INI = "[pytest]\nmarkers =\n  perf(level): the project's own\n  slow: takes long\n"


@pytest.mark.parametrize(
    ("expression", "selected"),
    [
        (None, {"test_marked", "test_of_a_level", "test_plain"}),
        ("perf", {"test_marked", "test_of_a_level"}),
        ("perf(level=1)", {"test_of_a_level"}),
        ("perf(level=2)", set()),
        ("not perf", {"test_plain"}),
        ("not (slow or perf)", {"test_plain"}),
        ("perf and not slow", {"test_marked"}),
        ("slow or perf", {"test_marked", "test_of_a_level"}),
    ],
)
def test_a_projects_own_marker_is_its_own(project, expression, selected):
    project.pytester.makeini(OTHERS_INI)
    project.pytester.makepyfile(OTHERS)
    chosen = [] if expression is None else ["-m", expression]
    # What the gate would refuse: it is not asked.
    result = project.run("-v", "--strict-markers", "--perf-seed=x", *chosen)
    passed = {line.partition("::")[2].partition(" ")[0] for line in result.outlines if " PASSED" in line}
    assert passed == selected
    assert "perf: " not in result.stdout.str()
    assert [line for line in project.run("--markers").outlines if line.startswith("@pytest.mark.perf")] == [
        "@pytest.mark.perf(level): the project's own"
    ]


@pytest.mark.parametrize(
    ("expression", "selected"),
    [
        ("not slow", set()),
        ("slow or perf", {"test_under_load"}),
        ("perf or slow", {"test_under_load"}),
        ("not (slow or perf)", set()),
        ("x or not perf", {"test_under_load"}),
        ("perf(level=1)", set()),
        ("not x(reason='perf')", set()),
    ],
)
def test_pytests_own_expression_decides_once_it_speaks_of_perf(project, expression, selected):
    project.pytester.makepyfile(
        """
        import pytest
        @pytest.mark.x
        def test_under_load(perf_gate): pass
        """
    )
    result = project.run("--collect-only", "-q", "-m", expression)
    assert {line.partition("::")[2] for line in result.outlines if "::" in line} == selected


def test_a_fixture_of_the_same_name_in_the_project_is_its_own(project):
    project.pytester.makepyfile(
        """
        import pytest
        @pytest.fixture
        def perf_gate(): return 5
        def test_of_theirs(perf_gate): assert perf_gate == 5
        """
    )
    project.run().assert_outcomes(passed=1)


def test_a_test_that_asks_for_the_gate_needs_no_mark(project):
    project.pytester.makepyfile(USERS_TESTS.replace("@pytest.mark.perf", ""))
    project.run().assert_outcomes(passed=1, deselected=2)
    project.run("-m", "perf").assert_outcomes(passed=2, deselected=1)


def test_a_gate_that_is_asked_for_behind_pytests_back_says_how_to_ask(project):
    project.pytester.makepyfile("def test_x(request): request.getfixturevalue('perf_gate')")
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*name it among the test's arguments, and run pytest -m perf"])


THEIR_OPTION = """
def pytest_addoption(parser):
    parser.getgroup("theirs").addoption("--perf-target")
    parser.addini("perf_seed", "their own key")
"""


@pytest.mark.parametrize("kind", ["plugin before", "plugin after", "conftest"])
def test_beside_others_with_options_of_the_same_name_pytest_runs_and_the_gate_says_whose_they_are(
    project, kind
):
    if kind == "conftest":
        project.pytester.makeconftest(THEIR_OPTION)
        plugins = ["-p", "tailgate"]
    else:
        project.pytester.makepyfile(their_plugin=THEIR_OPTION)
        project.pytester.syspathinsert()
        plugins = ["-p", "their_plugin", "-p", "tailgate"]
        plugins = plugins if kind == "plugin before" else plugins[2:] + plugins[:2]
    project.pytester.makepyfile(
        "def test_x(request):\n"
        "    assert request.config.getoption('perf_target') == 'theirs'\n"
        "    assert request.config.getini('perf_seed') == ''\n"
        "def test_under_load(perf_gate): pass"
    )
    run = project.pytester.runpytest_inprocess
    run(*plugins, "--perf-target=theirs", "-W", "error").assert_outcomes(passed=1, deselected=1)
    refused = run(*plugins, "--perf-target=theirs", "-m", "perf")
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    whose = (
        "*conftest.py, too: rename that"
        if kind == "conftest"
        else "*'their_plugin', too: *-p no:their_plugin"
    )
    refused.stderr.fnmatch_lines([f"ERROR: the gate's --perf-target is an option of {whose}"])


# Options


INI = {
    "target": "http://127.0.0.1:1",
    "env": "\n  A=1\n  B=2",
    "scenario": "\n  steady\n  burst",
    "profile": "smoke",
    "budgets": "some.toml",
    "payloads": "file:body.json",
    "plugin": "\n  one.py\n  two.py",
    "seed": "5",
    "output": "elsewhere",
    "against": "main",
    "head": ".",
    "against-python": "python",
    "time-limit": "5",
    "blocks": "20",
    "lens": "\n  p95=8%\n  memory=gate",
    "inconclusive": "warn",
    "enforce": "measurement",
    "confidence": "0.9",
    "pin": "off",
    "processors": "1",
    "require-device": "true",
    "readiness-path": "/ready",
    "metrics-path": "",
    "metric": "request_seconds=seconds",
    "ready-timeout": "7",
    "request-timeout": "8",
}


def settings_of(project, *arguments):
    return read(project.pytester.parseconfig("-p", "tailgate", *arguments), {})


def test_every_option_has_an_ini_key_and_paths_start_where_the_file_lies(project):
    assert set(INI) == {option.name for option in OPTIONS}
    project.pytester.mkdir("elsewhere")
    path = project.pytester.makeini(
        "[pytest]\n" + "\n".join(f"perf_{name.replace('-', '_')} = {value}" for name, value in INI.items())
    )
    made = settings_of(project, "elsewhere")
    assert made.said_in_ini == set(INI)
    assert (made.env, made.scenario, made.lens) == (
        ("A=1", "B=2"),
        ("steady", "burst"),
        ("p95=8%", "memory=gate"),
    )
    assert (made.seed, made.require_device, made.metrics_path) == (5, True, "")
    assert made.plugin == (path.parent / "one.py", path.parent / "two.py")
    assert (made.budgets, made.output) == (path.parent / "some.toml", path.parent / "elsewhere")
    assert made.payloads == f"file:{path.parent}/body.json"
    assert made.launch_folder("target") == path.parent


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pytest.ini", "[pytest]\nperf_profile = smoke\nperf_seed = 5"),
        ("tox.ini", "[pytest]\nperf_profile = smoke\nperf_seed = 5"),
        ("setup.cfg", "[tool:pytest]\nperf_profile = smoke\nperf_seed = 5"),
        ("pyproject.toml", "[tool.pytest.ini_options]\nperf_profile = 'smoke'\nperf_seed = 5"),
        ("pytest.ini", "[pytest]\naddopts = --perf-profile=smoke --perf-seed 5"),
    ],
)
def test_the_command_line_beats_whatever_pytest_reads(project, name, text):
    project.pytester.path.joinpath("tox.ini").unlink()
    project.pytester.path.joinpath(name).write_text(text)
    made = settings_of(project, "--perf-profile", "thorough")
    assert (made.profile, made.seed, made.target) == ("thorough", 5, "service")
    assert "profile" in made.given


def test_the_command_line_beats_the_environment(project, monkeypatch):
    monkeypatch.setenv("PYTEST_ADDOPTS", "--perf-profile=smoke --perf-seed=5")
    made = settings_of(project, "--perf-profile=thorough")
    assert (made.profile, made.seed) == ("thorough", 5)


def test_the_help_lists_every_option(project):
    result = project.run("--help")
    for option in OPTIONS:
        assert f"--perf-{option.name}" in result.stdout.str()


def test_the_profiles_of_the_options_are_those_of_the_scenarios():
    assert tuple(PROFILES) == PROFILE_NAMES


MISSING = """
from harness import hookimpl
from harness.arrivals import Poisson
from harness.scenario import Criterion, Phase, Ref, Scenario

@hookimpl
def tailgate_scenarios(profile):
    phase = Phase("load", Poisson(Ref("rate")), requests=9)
    return [Scenario(name, "few", (phase,), (Criterion({measure!r}, Ref("p95"), ("load",)),)) for name in ("a", "b")]
"""
SOUND = '"*" = { rate = "200 /s", p95 = "1 s" }'


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--perf-scenario=tinny"], "--perf-scenario: there is no scenario 'tinny'; did you mean 'tiny'? *"),
        (["--perf-scenario=tiny", "--perf-scenario=x"], "--perf-scenario: there is no scenario 'x'; *"),
        (["--perf-profile=huge"], "--perf-profile: expected one of smoke, default, thorough, got 'huge'"),
        (["--perf-confidence=99"], "--perf-confidence: expected a share above 0.5 and below 1, got '99'; *"),
        (["--perf-seed=x"], "--perf-seed: expected a whole number from 0 on, got 'x'; *"),
        (["--perf-plugin=gone.py"], "there is no plugin file *gone.py; expected a Python file"),
        (["--perf-env=A"], "--perf-env: expected KEY=VALUE, got 'A'; *"),
        (["--perf-target=nothing"], "no plugin knows the target 'nothing'; expected service, *"),
        (["--perf-target=command:python x.py"], "*is told neither {port} nor {fd}*"),
        (
            ["--perf-target=command:no-such-program {port}"],
            "*starts the program 'no-such-program', which is not on *",
        ),
        (["--perf-target=http://h:x"], "the target 'http://h:x' is no address; *"),
        (["--perf-payloads=nothing"], "no plugin knows the payloads 'nothing'; expected photos, *"),
        (["--perf-payloads=file:gone"], "payloads file:PATH: cannot read gone: No such file or directory"),
        (["--perf-payloads=dir:gone"], "payloads dir:PATH: there is no file in gone"),
        (
            ["--perf-payloads=pixels:x"],
            "payloads pixels:SIDE: expected a whole number from 1 to 4096, got 'x'",
        ),
        (
            ["--perf-metric=request_second=x"],
            "--perf-metric: *'request_second'; did you mean 'request_seconds'?*",
        ),
        (["--perf-budgets=gone.toml"], "no budgets to read at gone.toml: No such file or directory"),
        (
            ["--perf-scenario=tiny", "--perf-against=gone"],
            "base: 'gone' is no revision of the repository at *",
        ),
        (
            ["--perf-scenario=tiny", "--perf-against=.", "--perf-head=gone"],
            "head: 'gone' is no revision of the repository at *",
        ),
        (["--perf-against=.", "--perf-scenario=tiny", "--perf-lens=p96=1%"], "there is no lens 'p96'*"),
        (["--perf-against=."], "no plugin brings a scenario that is made for comparisons; name one *"),
        (["--perf-output=body.txt"], "--perf-output: cannot write into body.txt: body.txt is no folder *"),
        (
            ["--perf-output=body.txt/x/y"],
            "--perf-output: cannot write into body.txt/x/y: *body.txt is no folder *",
        ),
        (["--perf-payloads=dir:"], "payloads dir:PATH: expected a path, got none"),
        (["--perf-payloads=file:"], "payloads file:PATH: expected a path, got none"),
        (["--perf-payloads=file:/dev/zero"], "payloads file:PATH: /dev/zero is no plain file"),
        (
            ["--perf-payloads=pixels:100000"],
            "payloads pixels:SIDE: expected a whole number from 1 to 4096, got '100000'",
        ),
        (["--perf-lens=p96=1%"], "there is no lens 'p96'*"),
        (["--perf-head=."], "--perf-head=. is compared with nothing; give --perf-against as well"),
    ],
)
def test_what_cannot_be_run_is_refused_before_anything_starts(project, arguments, message):
    project.scenarios("tiny", "other")
    refused(project, message, *arguments)


def refused(project, message, *arguments):
    """Run the gate, which is refused with this line: as a usage error, and nothing is timed or written."""
    result = project.gate(*arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {message}"])
    assert "Traceback" not in result.stderr.str()
    assert not project.pytester.path.joinpath(".perf").exists()
    return result


@pytest.mark.parametrize(
    ("budgets", "measure", "message"),
    [
        ("", "p95", "scenario 'a' lacks budgets; write into *budgets.toml: \"a\" = { p95 = …, rate = … }"),
        (
            '"a" = { rate = "9 /s", p59 = "1 s" }',
            "p95",
            "scenario 'a' lacks *{ p95 = … }; is 'p59' meant for 'p95'?",
        ),
        ('"a" = { rate = "9 /s", p95 = "1 s" }', "p95", "scenario 'b' lacks budgets; write into *"),
        (
            '"a" = { rate = "9 /s", p95 = "1 s" }\n"bb" = { rate = "9 /s", p95 = "1 s" }',
            "p95",
            "scenario 'b' lacks budgets; write into *{ p95 = …, rate = … }; is 'bb' meant for 'b'?",
        ),
        ('"a:cuda" = { rate = "9 /s", p95 = "1 s" }\n"a" = { rate = "9 /s" }', "p95", "scenario 'b' lacks *"),
        (
            SOUND + '\n"b" = { p95 = "9 /s" }',
            "p95",
            "scenario 'b', budget 'p95': got '9 /s', expected * unit 's'",
        ),
        (
            SOUND + '\n"b" = { rate = "0 /s" }',
            "p95",
            "scenario 'b', phase 'load': Poisson: rate_per_s must be above 0*",
        ),
        (
            SOUND + '\n"b" = { rate = "fast" }',
            "p95",
            "*budgets.toml: budget 'b', rate: got 'fast', expected *",
        ),
        (SOUND, "p59", "there is no measure 'p59'; did you mean 'p99'? *"),
    ],
)
def test_budgets_and_criteria_of_all_scenarios_are_looked_at_before_any_runs(
    project, budgets, measure, message
):
    project.pytester.path.joinpath("tiny.py").write_text(MISSING.format(measure=measure))
    project.pytester.path.joinpath("budgets.toml").write_text(budgets)
    refused(project, message)


def test_budgets_of_one_device_alone_are_enough_until_the_target_has_told_its_own(project):
    project.pytester.path.joinpath("tiny.py").write_text(MISSING.format(measure="p95"))
    project.pytester.path.joinpath("budgets.toml").write_text(SOUND.replace('"*"', '"*:cuda"'))
    result = project.gate("--perf-scenario=a")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["scenario 'a' lacks budgets on cpu in fp32; write into *"])


def test_only_what_is_selected_is_looked_at(project):
    project.pytester.path.joinpath("tiny.py").write_text(MISSING.format(measure="p95"))
    project.pytester.path.joinpath("budgets.toml").write_text('"a" = { rate = "200 /s", p95 = "1 s" }')
    assert project.gate("-k", "nothing", "--perf-seed=x").ret == pytest.ExitCode.NO_TESTS_COLLECTED
    project.gate("-k", "a]", "--perf-enforce=measurement").assert_outcomes(passed=1, deselected=1)


def test_what_would_be_run_is_listed_without_budgets_and_payloads(project):
    project.pytester.path.joinpath("tiny.py").write_text(MISSING.format(measure="p95"))
    result = project.gate("--collect-only", "--perf-payloads=file:gone")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["perf: target command:*, profile default, scenarios a, b"])


# Which project


@pytest.fixture
def another(project):
    """Return a folder with pytest settings of its own, beside the project's."""
    folder = project.pytester.path.parent / "another"
    folder.mkdir()
    folder.joinpath("pytest.ini").write_text("[pytest]\nperf_seed = 6")
    return folder


def test_a_value_behind_a_space_that_leads_pytest_to_another_project_is_refused(project, another):
    result = refused(
        project,
        f"pytest took '{another}' for a path *; write --perf-output={another}",
        "--perf-output",
        another,
    )
    assert str(another / "pytest.ini") in result.stderr.str()
    project.gate(f"--perf-output={another}", "--co").assert_outcomes()
    assert project.gate(f"--perf-output={another}", "--co").ret == pytest.ExitCode.OK


def test_what_an_ini_file_names_is_found_from_any_folder(project, monkeypatch):
    """The payload and the server's program lie beside the ini file, and pytest is called further down."""
    server = project.server("import sys\nfrom harness.fake_server import main\nmain(sys.argv[1:])")
    project.pytester.makeini(
        f"""
        [pytest]
        perf_target = {server.replace(str(project.pytester.path / "a_server.py"), "a_server.py")}
        perf_payloads = file:body.txt
        perf_plugin = tiny.py
        perf_budgets = budgets.toml
        """
    )
    project.pytester.path.joinpath("budgets.toml").write_text("")
    monkeypatch.chdir(project.pytester.mkdir("below"))
    run = project.pytester.runpytest_inprocess
    gate = ["-p", "tailgate", "--pyargs", "scenarios", "-m", "perf"]
    run(*gate, "--perf-enforce=measurement").assert_outcomes(passed=1)
    assert project.results().is_dir()
    refused = run(*gate, "--perf-payloads=file:body.txt")
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    refused.stderr.fnmatch_lines(["ERROR: payloads file:PATH: cannot read body.txt: *"])


# A run


def test_a_scenario_of_a_users_own_file_is_run_and_passes(project):
    result = project.gate("-v", "--junitxml=junit.xml")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        [
            "perf: target command:*, profile default, scenarios tiny",
            "target command:*: waiting until it is ready",
            "tiny: phase warm-up, 3 requests at *",
            "tiny: phase load, 90 requests at *",
            "*test_scenario[[]tiny[]] PASSED*",
        ]
    )
    assert lines_after(result, " performance gate ")[0] == "PASS: 3 of 3 criteria hold; scenarios: tiny"
    run = results_file.read(project.results() / results_file.RESULTS)
    assert run.verdict is Verdict.PASS
    assert run.settings["seed"] == 1
    assert [slot.samples for slot in run.slots] == ["tiny-head-0/samples.bin"]
    assert (project.results() / run.slots[0].samples).is_file()
    assert (project.results() / SUMMARY).read_text().startswith("# PASS")
    properties = junit_properties(project)
    assert properties["perf.verdict"] == "PASS"
    assert properties["perf.seed"] == "1"
    assert properties["perf.p95 (server).verdict"] == "PASS"


def junit_properties(project):
    (case,) = ET.parse(project.pytester.path / "junit.xml").iter("testcase")
    return {item.get("name"): item.get("value") for item in case.iter("property")}


def test_a_server_three_times_as_slow_turns_the_gate_red_and_names_what_moved(project):
    project.scenarios("tiny", limit_s=1.5)
    result = project.gate("--junitxml=junit.xml", service_time_ms=30.0)
    result.assert_outcomes(failed=1)
    failure = lines_after(result, "_ test_scenario")
    assert failure[0] == "FAIL: tiny: p95 (client), p95 (server)"
    assert failure[1].startswith("  FAIL  beyond: p95 (client) is at least ")
    assert failure[2].startswith("  FAIL  beyond: p95 (server) is at least ")
    assert failure[3].startswith("  reproduce: ")
    assert lines_after(result, " performance gate ")[0] == "FAIL: tiny: p95 (client), p95 (server)"
    run = results_file.read(project.results() / results_file.RESULTS)
    assert {item.name: item.verdict for item in run.scenarios[0].criteria} == {
        "p95 (client)": Verdict.FAIL,
        "p95 (server)": Verdict.FAIL,
        "error_rate (client)": Verdict.PASS,
    }
    assert junit_properties(project)["perf.verdict"] == "FAIL"


@pytest.mark.parametrize(
    ("arguments", "outcome"),
    [
        ([], {"failed": 1}),
        (["--perf-inconclusive=warn"], {"passed": 1}),
    ],
)
def test_an_inconclusive_scenario_does_what_the_option_says(project, arguments, outcome):
    """40 requests cannot show a p95: from 90 on they can."""
    project.scenarios("tiny", requests=40)
    result = project.gate(*arguments)
    result.assert_outcomes(**outcome)
    after = lines_after(result, " performance gate ")
    assert after[0] == "INCONCLUSIVE: tiny: p95 (client), p95 (server)"
    assert ("WARNING: INCONCLUSIVE: tiny: p95 (client), p95 (server)" in after) == ("passed" in outcome)


def test_a_server_that_dies_at_start_is_tried_once_and_its_log_is_shown(project):
    project.scenarios("one", "two")
    result = project.gate(target=project.server(DIES_AT_START))
    result.assert_outcomes(failed=2)
    text = result.stdout.str()
    one, two = text.index("_ test_scenario[one] _"), text.index("_ test_scenario[two] _")
    assert "no weights in this folder" in text[one:two]
    assert "ended with exit status 1" in text[one:two]
    assert "the target failed before and was not tried again" in text[two:]
    assert "During handling" not in text
    assert "harness/" not in text[one:two]
    assert lines_after(result, " performance gate ")[0].startswith("INVALID: one: ")
    run = results_file.read(project.results() / results_file.RESULTS)
    assert [scenario.verdict for scenario in run.scenarios] == [Verdict.INVALID, Verdict.INVALID]


def test_a_server_that_dies_under_load_makes_the_scenario_invalid_and_the_next_one_has_a_fresh_server(
    project,
):
    """18 requests each: the second scenario meets the 21st, and the third a server that does not die again."""
    project.scenarios("one", "three", "two", requests=15)
    project.pytester.makeconftest(
        """
        def pytest_collection_modifyitems(items):
            items.sort(key=lambda item: ["one", "two", "three"].index(item.callspec.id))
        """
    )
    result = project.gate("--perf-enforce=measurement", target=project.server(DIES_UNDER_LOAD))
    result.assert_outcomes(passed=2, failed=1)
    failure = lines_after(result, "_ test_scenario[two] _")
    assert failure[0] == "INVALID: two"
    assert failure[1:3] == ["  integrity: the server died under load", "its log ends:"]
    assert "the memory is used up" in failure[3]
    assert lines_after(result, " performance gate ")[0] == "INVALID: two: the server died under load"
    run = results_file.read(project.results() / results_file.RESULTS)
    assert [(slot.scenario, slot.start) for slot in run.slots] == [("one", 1), ("two", 1), ("three", 2)]


def test_what_voids_a_scenario_is_said_once_and_not_for_each_criterion(project):
    result = project.gate(target=project.server(DIES_UNDER_LOAD))
    run = results_file.read(project.results() / results_file.RESULTS)
    result.assert_outcomes(failed=1)
    assert [item.reason for item in run.scenarios[0].criteria if "died" in item.reason] == []
    assert {item.verdict for item in run.scenarios[0].criteria} == {Verdict.INVALID}


def test_an_address_without_metrics_leaves_out_the_servers_criteria_and_says_so(project, tmp_path):
    with parse_target(fake_server_spec(1.0), TargetSettings()).start(tmp_path) as running:
        result = project.gate("--perf-metrics-path=", target=running.base_url)
        assert running.alive()
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        ["PASS: 2 of 2 criteria hold*", "*metrics=none: the server's criteria are left*"]
    )
    run = results_file.read(project.results() / results_file.RESULTS)
    assert [item.name for item in run.scenarios[0].criteria] == ["p95 (client)", "error_rate (client)"]
    assert run.arms[0].facts == {"metrics": "none: the server's criteria are left out"}


def test_a_histogram_that_is_left_out_leaves_out_the_servers_latency_and_says_so(project):
    result = project.gate("--perf-metric=request_seconds=")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["PASS: 2 of 2 criteria hold*"])
    run = results_file.read(project.results() / results_file.RESULTS)
    assert [item.name for item in run.scenarios[0].criteria] == ["p95 (client)", "error_rate (client)"]
    assert (
        run.arms[0].facts["metrics"] == "no histogram of request seconds: the server's latency is not judged"
    )


def test_metrics_that_are_not_where_they_should_be_are_an_error_that_says_what_to_do(project):
    result = project.gate("--perf-metrics-path=/nowhere")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["no metrics from http*/nowhere: status 404*--perf-metrics-path= (empty)"])


def test_a_budget_that_nobody_asks_for_is_pointed_out(project):
    project.pytester.path.joinpath("budgets.toml").write_text('"tiny" = { p59 = "1 s" }')
    result = project.gate()
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["no scenario asks for the budget tiny.p59: is it misspelt?"])


def test_a_scenario_is_not_repeated_until_it_passes(project):
    project.pytester.makepyfile(
        USERS_TESTS.replace(
            "perf_gate.check(perf_scenario)", "[perf_gate.check(perf_scenario) for _ in 'ab']"
        )
    )
    result = project.run("-m", "perf and not x")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["scenario 'tiny' has been run in this session: a gate is not repeated *"])


def test_a_test_of_a_users_own_is_reproduced_by_its_node_and_has_its_properties(project):
    project.pytester.makepyfile(test_own=USERS_TESTS)
    result = project.run("-m", "perf and x", "--junitxml=junit.xml")
    result.assert_outcomes(passed=1, deselected=2)
    result.stdout.fnmatch_lines(
        ["reproduce own: *pytest test_own.py::test_under_load -m perf --perf-seed=1 *"]
    )
    assert junit_properties(project)["perf.verdict"] == "PASS"


def test_two_runs_at_once_are_refused(project):
    project.pytester.makepyfile(
        """
        import pytest
        from filelock import FileLock

        @pytest.fixture(scope="session", autouse=True)
        def another_run(tmp_path_factory):
            import pathlib
            pathlib.Path(".perf").mkdir()
            with FileLock(".perf/lock"):
                yield

        @pytest.mark.perf
        def test_x(perf_gate):
            pass
        """
    )
    result = project.run("-m", "perf")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["another run holds *lock: two runs at once would measure each other*"])


def test_without_cuda_a_gate_that_wants_it_is_skipped_with_the_reason(project, monkeypatch):
    monkeypatch.setattr(device, "cuda_devices", lambda: 0)
    result = project.gate("-rs", "--perf-env=TAILGATE_DEVICE=cuda")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED*TAILGATE_DEVICE=cuda, and the driver finds no CUDA device*"])
    demanded = project.gate("--perf-env=TAILGATE_DEVICE=cuda", "--perf-require-device")
    demanded.assert_outcomes(errors=1)
