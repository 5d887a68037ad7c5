"""What is written into a project: new files, keys and lines that are added, and nothing that is replaced."""

import ast
import configparser
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from tailgate.harness.first.files import (
    BODY,
    BUDGETS,
    plan_files,
    pytest_settings,
    with_ignored,
    write,
)
from tailgate.harness.first.workflow import WORKFLOW, requirement, workflow

SETTINGS = {
    "perf_target": "command:{python} -m uvicorn app:app --port {port}",
    "perf_metrics_path": "",
    "perf_scenario": ["steady"],
}
LINE = '"steady" = { rate = "5 /s" }\n'


def plan(root, *, force=False, body="{}"):
    return plan_files(root, SETTINGS, LINE, body, "tailgate==1.2", force=force)


def test_an_empty_project_gets_all_that_a_gate_needs(tmp_path):
    made = plan(tmp_path)
    write(tmp_path, made)
    assert (made.kept, made.advice) == ((), "")
    assert (tmp_path / BODY).read_text() == "{}\n"
    assert (tmp_path / BUDGETS).read_text() == LINE
    ast.parse((tmp_path / "perf" / "test_perf.py").read_text())
    assert "- run: pytest -m perf --perf-enforce=measurement\n" in (tmp_path / WORKFLOW).read_text()
    assert (tmp_path / ".gitignore").read_text() == ".perf/\n"
    parser = configparser.RawConfigParser()
    parser.read(tmp_path / "pytest.ini")
    assert dict(parser["pytest"]) == {
        "perf_target": SETTINGS["perf_target"],
        "perf_metrics_path": "",
        "perf_scenario": "\nsteady",
    }


def test_a_second_time_changes_nothing(tmp_path):
    write(tmp_path, plan(tmp_path))
    again = plan(tmp_path)
    assert (again.texts, again.advice) == ({}, "")
    assert set(again.kept) == {BODY, BUDGETS, WORKFLOW, Path("perf/test_perf.py")}


def test_what_is_there_is_replaced_by_force_alone(tmp_path):
    (tmp_path / BUDGETS).write_text("mine")
    assert BUDGETS in plan(tmp_path).kept
    assert plan(tmp_path, force=True).texts[BUDGETS] == LINE


def test_without_a_body_or_new_budgets_none_is_written(tmp_path):
    made = plan_files(tmp_path, SETTINGS, "", None, "tailgate==1.2", force=True)
    assert not {BODY, BUDGETS} & set(made.texts)


def test_the_test_goes_among_those_of_the_project(tmp_path):
    (tmp_path / "tests").mkdir()
    assert Path("tests/test_perf.py") in plan(tmp_path).texts


def test_the_workflow_installs_what_the_project_needs(tmp_path):
    (tmp_path / "requirements.txt").touch()
    assert "pip install tailgate==1.2 -r requirements.txt\n" in plan(tmp_path).texts[WORKFLOW]


GIT = {"url": "ssh://host/x.git", "vcs_info": {"vcs": "git", "commit_id": "4f2a"}}


@pytest.mark.parametrize(
    ("origin", "wanted"),
    [
        (None, "tailgate==1.2"),
        (GIT, "tailgate @ git+ssh://host/x.git@4f2a"),
        ({"url": "file:///x", "dir_info": {"editable": True}}, "tailgate @ git+ADDRESS"),
        ({"url": "file:///x.whl", "archive_info": {}}, "tailgate @ git+ADDRESS"),
    ],
)
def test_the_workflow_installs_tailgate_from_where_this_one_came(origin, wanted):
    (step,) = [
        one["run"]
        for one in yaml.safe_load(workflow(requirement("1.2", origin), "."))["jobs"]["gate"]["steps"]
        if one.get("run", "").startswith("pip ")
    ]
    assert shlex.split(step) == ["pip", "install", wanted, "."]
    Requirement(wanted)


def test_an_address_that_is_not_known_is_asked_for_in_the_workflow():
    text = workflow("tailgate @ git+ADDRESS", ".")
    assert "# tailgate is not on PyPI yet. Replace ADDRESS with" in text
    assert "ADDRESS" not in workflow("tailgate==1.2", ".")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", ".perf/\n"),
        ("a\n", "a\n.perf/\n"),
        ("a", "a\n.perf/\n"),
        (".perf/\n", None),
        ("a\n/.perf\n", None),
    ],
)
def test_the_folder_of_results_is_ignored_once(before, after):
    assert with_ignored(before) == after


TOML = """\
# mine
[tool.pytest.ini_options]
addopts = "-q" # stays
perf_scenario = ["ramp"]

[tool.other]
a = 1
"""


def test_settings_in_toml_are_added_to_with_all_else_left_as_it_is(tmp_path):
    (tmp_path / "pyproject.toml").write_text(TOML)
    path, text, advice = pytest_settings(tmp_path, SETTINGS)
    assert (path, advice) == (Path("pyproject.toml"), "")
    assert [line for line in TOML.splitlines() if line not in text.splitlines()] == []
    before, after = tomllib.loads(TOML), tomllib.loads(text)
    added = {key: SETTINGS[key] for key in ("perf_target", "perf_metrics_path")}
    before["tool"]["pytest"]["ini_options"] |= added
    assert after == before


def test_an_inline_table_is_left_alone_and_its_lines_are_told(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[tool.pytest]\nini_options = { addopts = "-q" }\n')
    _, text, advice = pytest_settings(tmp_path, SETTINGS)
    assert text is None
    assert 'perf_metrics_path = ""' in advice


@pytest.mark.parametrize("text", ["", "[project]\nname = 'x'\n", "no toml", "tool = 3"])
def test_a_project_file_without_pytests_settings_gets_a_file_of_its_own_beside_it(tmp_path, text):
    (tmp_path / "pyproject.toml").write_text(text)
    path, written, _ = pytest_settings(tmp_path, SETTINGS)
    assert (str(path), written.startswith("[pytest]\nperf_target = ")) == ("pytest.ini", True)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pytest.ini", "[pytest]\nperf_target = x\n"),
        (".pytest.ini", "[pytest]\nperf_target = x\n"),
        ("tox.ini", "[tox]\n[pytest]\nperf_target = x\n"),
        ("setup.cfg", "[tool:pytest]\nperf_target = x\n"),
    ],
)
def test_of_an_ini_file_that_is_there_the_lines_are_told(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    path, written, advice = pytest_settings(tmp_path, SETTINGS)
    assert (str(path), written) == (name, None)
    assert advice == f"add to pytest's section in {name}:\nperf_metrics_path =\nperf_scenario =\n    steady\n"


@pytest.mark.parametrize(
    ("name", "text"), [("tox.ini", "[tox]\nenvlist = x\n"), ("setup.cfg", "[metadata]\n")]
)
def test_an_ini_file_of_another_tool_is_none_of_pytests(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert pytest_settings(tmp_path, SETTINGS)[0] == Path("pytest.ini")
