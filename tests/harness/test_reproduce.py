"""The command that reproduces a scenario can be pasted into a shell."""

import shlex
from pathlib import Path

from harness.options import parse_options
from harness.reproduce import built_in_test, command, comparison

RAW = {"target": "command:python app.py --port {port}", "profile": "smoke", "env": ["A=x y"], "seed": "3"}
GIVEN = frozenset({"target", "env", "seed"})


def words(environment=None, raw=RAW, given=GIVEN):
    settings = parse_options(lambda option: raw.get(option.field), Path("a-project"), given)
    return command(built_in_test("steady"), 7, settings, environment or {})


def test_it_names_the_scenario_the_seed_and_what_the_command_line_said():
    """The profile stands in the ini file, where the second run finds it again."""
    assert shlex.split(words()) == [
        *("pytest", "--pyargs", "scenarios", "--perf-scenario=steady", "-m", "perf", "--perf-seed=7"),
        *("--perf-target=command:python app.py --port {port}", "--perf-env=A=x y"),
    ]


def test_variables_of_the_service_and_of_the_harness_are_assigned_before_it():
    environment = {"TAILGATE_MODEL": "a b", "PERF_PLUGINS": "", "PERF_ARGS": "-v", "PATH": "/bin"}
    assert words(environment).startswith("PERF_PLUGINS='' TAILGATE_MODEL='a b' pytest --pyargs ")


def test_a_comparison_names_both_sides_first_and_the_base_once():
    raw = {"against": "HEAD~2", "lens": ["p95=8%"], "seed": "3"}
    settings = parse_options(lambda option: raw.get(option.field), Path("a-project"), frozenset(raw))
    assert shlex.split(
        comparison("service:MODEL=x y", "compare", 7, settings, {"TAILGATE_THREADS": "1"})
    ) == [
        *("TAILGATE_THREADS=1", "tailgate", "compare", "HEAD~2", "service:MODEL=x y"),
        *("--perf-scenario=compare", "--perf-seed=7", "--perf-lens=p95=8%"),
    ]
