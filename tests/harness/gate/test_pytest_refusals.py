"""The options as pytest reads them, and what is refused before anything is started, timed or written."""

import pytest

from tailgate.harness.gate.options import read
from tailgate.harness.options.settings import OPTIONS

INI = {
    "target": "http://127.0.0.1:1",
    "env": "\n  A=1\n  B=2",
    "base-env": "A=1",
    "head-env": "A=2",
    "set-up": "true",
    "reset": "true",
    "tear-down": "true",
    "scenario": "\n  steady\n  burst",
    "profile": "smoke",
    "budgets": "some.toml",
    "request": "GET /score",
    "budget": "\n  p95=80 ms\n  steady:rate=20 /s",
    "header": "\n  A: b\n  C: $D",
    "payloads": "file:body.json",
    "requests": "requests.txt",
    "expect": "\n  status=200\n  contains:cat",
    "answers": "report",
    "answer-tolerance": "0.01",
    "answer-ignore": "\n  $.id\n  $.time",
    "ca-file": "ca.pem",
    "insecure": "false",
    "client-cert": "client.pem",
    "client-key": "client.key",
    "plugin": "\n  one.py\n  two.py",
    "seed": "5",
    "output": "elsewhere",
    "keep": "3",
    "live": "0",
    "generators": "processes:2",
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
    "ready-log": "listening",
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
    assert (made.requests, made.ca_file) == (path.parent / "requests.txt", path.parent / "ca.pem")
    assert (made.client_cert, made.client_key) == (path.parent / "client.pem", path.parent / "client.key")
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


MISSING = """
from tailgate import hookimpl
from tailgate.harness.scenario.arrivals import Poisson
from tailgate.harness.scenario.scenario import Criterion, Phase, Scenario
from tailgate.harness.scenario.ref import Ref

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
        (
            ["--perf-set-up=no-such-program x"],
            "--perf-set-up: there is no program 'no-such-program' on the path*",
        ),
        (["--perf-reset=echo 'x"], "--perf-reset: expected a command line (No closing quotation), got *"),
        (
            ["--perf-head-env=A=1"],
            "--perf-head-env is for one side of a comparison, and nothing is compared; *",
        ),
        (["--perf-env=A"], "--perf-env: expected KEY=VALUE, got 'A'; *"),
        (["--perf-target=nothing"], "no plugin knows the target 'nothing'; expected service, *"),
        (["--perf-target=command:python x.py"], "*is told neither {port} nor {fd}*"),
        (
            ["--perf-target=command:no-such-program {port}"],
            "*starts the program 'no-such-program', which is not on *",
        ),
        (["--perf-target=http://h:x"], "the target 'http://h:x' is not an address; *"),
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
            "base: 'gone' is not a revision of the repository at *",
        ),
        (
            ["--perf-scenario=tiny", "--perf-against=.", "--perf-head=gone"],
            "head: 'gone' is not a revision of the repository at *",
        ),
        (["--perf-against=.", "--perf-scenario=tiny", "--perf-lens=p96=1%"], "there is no lens 'p96'*"),
        (["--perf-against=."], "no plugin brings a scenario that is made for comparisons; name one *"),
        (["--perf-output=body.txt"], "--perf-output: cannot write into body.txt: body.txt is not a folder *"),
        (
            ["--perf-output=body.txt/x/y"],
            "--perf-output: cannot write into body.txt/x/y: *body.txt is not a folder *",
        ),
        (["--perf-payloads=dir:"], "payloads dir:PATH: expected a path, got none"),
        (["--perf-payloads=file:"], "payloads file:PATH: expected a path, got none"),
        (["--perf-payloads=file:/dev/zero"], "payloads file:PATH: /dev/zero is not a regular file"),
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
        (
            '"c" = { p95 = "1 s" }',
            "p95",
            "scenario 'a' lacks budgets; write into *budgets.toml: \"a\" = { p95 = …, rate = … }, or say each by --perf-budget",
        ),
        (
            '"a" = { rate = "9 /s", p59 = "1 s" }',
            "p95",
            "scenario 'a' lacks *{ p95 = … }, or say each by --perf-budget; is 'p59' meant for 'p95'?",
        ),
        ('"a" = { rate = "9 /s", p95 = "1 s" }', "p95", "scenario 'b' lacks budgets; write into *"),
        (
            '"a" = { rate = "9 /s", p95 = "1 s" }\n"bb" = { rate = "9 /s", p95 = "1 s" }',
            "p95",
            "scenario 'b' lacks budgets; write into *{ p95 = …, rate = … }, or say each by --perf-budget; is 'bb' meant for 'b'?",
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
    result.stdout.fnmatch_lines(["*[Ss]cenario 'a' lacks budgets for cpu in fp32; write into *"])


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
    server = project.server(
        "import sys\nfrom tailgate.harness.testing.fake_server import main\nmain(sys.argv[1:])"
    )
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
    gate = ["-p", "tailgate", "--pyargs", "tailgate.scenarios", "-m", "perf"]
    run(*gate, "--perf-enforce=measurement").assert_outcomes(passed=1)
    assert project.results().is_dir()
    refused = run(*gate, "--perf-payloads=file:body.txt")
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    refused.stderr.fnmatch_lines(["ERROR: payloads file:PATH: cannot read body.txt: *"])
