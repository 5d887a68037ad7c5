"""Which tests pytest runs: those under load only where they are asked for, and those of others as if nothing were there."""

import pytest
from users_tests import USERS_TESTS


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
    result.stdout.fnmatch_lines(["*tailgate's own test: pytest --pyargs tailgate.scenarios -m perf"])


def test_plain_pytest_loads_nothing_heavy(project):
    project.pytester.makepyfile(
        """
        import sys

        def test_modules():
            heavy = {"numpy", "scipy", "httpx", "rich", "jsonschema", "torch", "filelock", "tailgate.harness.session.session"}
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
