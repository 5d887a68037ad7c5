"""The examples of the hooks: one for each, and a run of the gate in which all of them take part."""

import csv
import os
import re
import sys
from pathlib import Path

import pytest
from scripted_server import OK, ScriptedServer

from tailgate.harness.errors import PluginError
from tailgate.harness.load import LoadSettings
from tailgate.harness.plugins.hooks import EXPECTED
from tailgate.harness.plugins.manager import create_plugin_manager
from tailgate.harness.profiles import PROFILES
from tailgate.harness.scenario.arrivals import Constant
from tailgate.harness.scenario.payloads.payload import Payload
from tailgate.harness.scenario.plan import draw_plan
from tailgate.harness.scenario.ref import refs
from tailgate.harness.scenario.scenario import Phase, Scenario
from tailgate.harness.target.settings import TargetSettings

EXAMPLES = Path(__file__).parents[3] / "examples" / "hooks"
FILES = sorted(EXAMPLES.glob("*.py"))


def plugin(name):
    return create_plugin_manager([EXAMPLES / name], {"PERF_PLUGINS": ""})


def test_each_hook_has_one_example_and_the_page_lists_it():
    brings = {file.name: plugin(file.name).origins[-1].hooks for file in FILES}
    assert sorted(hook for hooks in brings.values() for hook in hooks) == sorted(EXPECTED)
    rows = re.findall(
        r"^\| \[(\w+\.py)\]\(\1\) \| `(\w+)` \|", (EXAMPLES / "README.md").read_text(), re.MULTILINE
    )
    assert {name: (hook,) for name, hook in rows} == brings


def test_the_scenario_asks_for_the_budgets_that_it_names():
    scenario = plugin("lunch.py").scenarios(PROFILES["default"])["lunch"]
    assert refs(scenario) == {"rate", "p95", "p99", "error_rate"}


@pytest.mark.parametrize("source", ["items:", "items:0", "items:x", "items:-1"])
def test_payloads_that_cannot_be_read_are_refused(source):
    with pytest.raises(PluginError, match="expected items:N with a whole number from 1 on"):
        plugin("item_payloads.py").payloads(source)


@pytest.mark.parametrize("spec", ["podman:", "podman:2", "podman:0,image", "podman:x,image"])
def test_generators_in_no_container_are_refused(spec):
    with pytest.raises(PluginError, match="expected podman:N,IMAGE"):
        plugin("podman_generators.py").generate(spec)


FAKE_PODMAN = """#!/bin/sh
# Runs the command of the container here.
while [ "$1" != an-image ]; do shift; done
shift 2
exec "{python}" "$@"
"""


def test_generators_in_containers_speak_over_their_standard_input_and_output(tmp_path, monkeypatch):
    podman = tmp_path / "podman"
    podman.write_text(FAKE_PODMAN.format(python=sys.executable))
    podman.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    scenario = Scenario("s", "for tests", (Phase("p", Constant(100.0), requests=5),), ())
    plan = draw_plan(scenario, [Payload("a", b"", "", path="/a")], 1)
    generate = plugin("podman_generators.py").generate("podman:2,an-image")
    with ScriptedServer({"/a": [OK]}) as server:
        settings = LoadSettings("127.0.0.1", server.port)
        with generate(plan, settings, tmp_path / "slot") as generators:
            report = generators.run_phase(0)
    assert [(part.name, part.requests) for part in report.parts] == [("container-1", 3), ("container-2", 2)]


def test_a_target_that_is_no_folder_is_refused_and_others_are_left_alone(tmp_path):
    plugins = plugin("folder_target.py")
    with pytest.raises(PluginError, match="names no folder"):
        plugins.target(f"folder:{tmp_path / 'none'}", TargetSettings())
    assert plugins.target("http://h", TargetSettings()).spec == "http://h"


def test_a_folder_is_served_again_after_a_restart_and_no_more_after_the_stop(tmp_path):
    settings = TargetSettings(metrics_path=None)
    with plugin("folder_target.py").target(f"folder:{tmp_path}", settings).start(tmp_path) as running:
        for _ in range(2):
            with running.client(10.0) as client:
                assert client.get(f"{running.base_url}/").status_code == 200
            assert running.alive()
            running.restart()
        assert "GET / HTTP/1.1" in running.log_tail()
    assert not running.alive()
    assert running.pids == ()


def test_all_of_them_take_part_in_one_run(project, monkeypatch):
    folder = project.pytester.path
    monkeypatch.setenv("PERF_TEXTFILE", str(folder / "tailgate.prom"))
    (folder / "items").mkdir()
    for number in (1, 2):
        (folder / "items" / str(number)).write_text("x" * 100 * number)
    (folder / "budgets.toml").write_text('tiny = { largest_answer = "1 MiB" }')
    result = project.gate(
        *(f"--perf-plugin={file}" for file in FILES),
        *("--perf-scenario=tiny", "--perf-payloads=items:2", "--perf-enforce=measurement"),
        *("--perf-metrics-path=", "--perf-readiness-path="),
        target=f"folder:{folder}",
    )
    result.assert_outcomes(passed=1)
    with (project.results() / "criteria.csv").open(newline="") as file:
        rows = {row["criterion"]: row for row in csv.DictReader(file)}
    assert float(rows["largest_answer (client)"]["value"]) > 200
    assert rows["largest_answer (client)"]["verdict"] == "PASS"
    assert re.search(
        r'^perf_passed\{scenario="tiny",run="[^"]+"\} [01]$',
        (folder / "tailgate.prom").read_text(),
        re.MULTILINE,
    )
