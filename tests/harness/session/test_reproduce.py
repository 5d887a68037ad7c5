"""The command that reproduces a scenario can be pasted into a shell."""

import shlex
from pathlib import Path

from tailgate.harness.options.reading import parse_options
from tailgate.harness.session.reproduce import built_in_test, command

SAID = {"target": "command:python app.py --port {port}", "env": ["A=x y"], "seed": "3"}


def words(environment=None, **said):
    raw = said or SAID
    ini = {"profile": "smoke"}
    settings = parse_options(
        lambda option: raw.get(option.field), Path("a-project"), lambda option: ini.get(option.field)
    )
    return command(built_in_test("steady"), 7, settings, environment or {})


def test_it_names_the_scenario_the_seed_and_what_the_command_line_said():
    """The profile stands in the ini file, where the second run finds it again."""
    assert shlex.split(words()) == [
        *(
            "pytest",
            "--pyargs",
            "tailgate.scenarios",
            "--perf-scenario=steady",
            "-m",
            "perf",
            "--perf-seed=7",
        ),
        *("--perf-target=command:python app.py --port {port}", "--perf-env=A=x y"),
    ]


def test_variables_of_the_service_and_of_the_harness_are_assigned_before_it():
    environment = {"TAILGATE_MODEL": "a b", "PERF_PLUGINS": "", "PERF_ARGS": "-v", "PATH": "/bin"}
    assert words(environment).startswith("PERF_PLUGINS='' TAILGATE_MODEL='a b' pytest --pyargs ")


def test_a_comparison_names_both_sides():
    said = words({"TAILGATE_THREADS": "1"}, against="HEAD~2", head="service:MODEL=x y", lens=["p95=8%"])
    assert shlex.split(said)[-5:] == [
        *(
            "perf",
            "--perf-seed=7",
            "--perf-against=HEAD~2",
            "--perf-head=service:MODEL=x y",
            "--perf-lens=p95=8%",
        ),
    ]


def test_secrets_are_taken_from_the_environment_of_whoever_runs_it_again():
    said = words(
        {"TAILGATE_TOKEN": "hunter2"},
        env=["API_KEY=a b", "A=x"],
        against=".",
        base_env=["DB_PASSWORD=c d", "B=y"],
        head_env=["DB_PASSWORD=e f"],
        set_up="psql postgres://u:hunter22@h -f up.sql",
        target="http://user:pw@host",
        metrics_path="/metrics?token=abc",
    )
    assert said.startswith('TAILGATE_TOKEN="$TAILGATE_TOKEN" pytest ')
    assert '"--perf-env=API_KEY=$API_KEY" --perf-env=A=x' in said
    assert '"--perf-base-env=DB_PASSWORD=$DB_PASSWORD" --perf-base-env=B=y' in said
    assert '"--perf-head-env=DB_PASSWORD=$DB_PASSWORD"' in said
    assert all(secret not in said for secret in ("c d", "e f", "hunter22"))
    assert "'--perf-target=http://***@host'" in said
    assert "'--perf-metrics-path=/metrics?token=***'" in said
