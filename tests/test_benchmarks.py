"""The benchmarks: what no run on this machine would show before a peer is measured, or a gate sabotaged."""

import os
import subprocess
import sys

import pytest

from benchmarks.environments import ROOT, link_shared
from benchmarks.gate.sabotage import plugin as sabotage
from benchmarks.gate.sabotage.__main__ import DRILLS, GATE
from benchmarks.limits.gpu import Step, run_all
from tailgate.harness.cli.drill import _ours
from tailgate.harness.compare.load import comparable_phase
from tailgate.harness.drill.case import CASES
from tailgate.harness.drill.target import VARIABLE, Planting
from tailgate.harness.plugins.manager import create_plugin_manager
from tailgate.harness.profiles import PROFILES
from tailgate.harness.target.settings import TargetSettings

PREDICT = """
import sys
sys.path[:] = [path for path in sys.path if "site-packages" not in path] + sys.argv[1:]
from benchmarks.peers.predictor import build_predictor
print(build_predictor().predict([bytes(64 * 64 * 3)]))
"""


def test_a_peer_that_has_only_the_shared_packages_answers_as_the_service_does(tmp_path):
    link_shared(tmp_path / "shared")
    settings = {
        "TAILGATE_MODEL": "benchmarks.models:noop",
        "TAILGATE_DEVICE": "cpu",
        "TAILGATE_EXECUTOR": "eager",
    }
    done = subprocess.run(
        [sys.executable, "-S", "-E", "-c", PREDICT, str(ROOT), str(tmp_path / "shared")],
        env=os.environ | settings,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip().endswith("[{'model': 'noop', 'outputs': [0.0]}]"), done.stderr


def test_each_step_on_a_lent_machine_has_its_turn_and_its_log_whatever_became_of_those_before(tmp_path):
    steps = [
        Step("fails", ("-c", "import sys; sys.exit('no device')"), 60),
        Step("hangs", ("-c", "import threading; threading.Event().wait()"), 0.01),
        Step("writes", ("-c", "open('{into}/made', 'w').close(); print('made')"), 60),
    ]
    assert run_all(steps, tmp_path, 100) == {
        "fails": "failed with status 1",
        "hangs": "cut off",
        "writes": "done",
    }
    assert (tmp_path / "made").exists()
    assert [(tmp_path / f"{name}.log").read_text() for name in ("fails", "writes")] == [
        "no device\n",
        "made\n",
    ]
    assert run_all(steps[:1], tmp_path, -1) == {"fails": "not begun"}


def served(folder, share, *, stale):
    """Return the share by which the written program is slower, as its interpreter has it."""
    folder.mkdir()
    sabotage.write_program(ROOT / "benchmarks/gate/sabotage", folder, share, stale=stale)
    command = [sys.executable, "-c", "import work; print(work.SHARE)"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


def test_a_stale_compile_cache_runs_the_code_of_base_though_the_source_is_that_of_head(tmp_path):
    assert served(tmp_path / "fresh", 0.05, stale=False) == "0.05"
    assert served(tmp_path / "stale", 0.05, stale=True) == "0.0"


def environment_of_head(drilled):
    """Return what the options of a drill put into the environment of head."""
    words = [*drilled.options, *_ours(CASES[drilled.case])]
    return dict(
        word.removeprefix("--perf-head-env=").split("=")
        for word in words
        if word.startswith("--perf-head-env=")
    )


@pytest.fixture
def plugins():
    return create_plugin_manager((), {"PERF_PLUGINS": ""}, {"sabotage": sabotage, "drill": Planting()})


@pytest.mark.parametrize(
    ("name", "proxy", "code"),
    [
        ("healthy: unchanged", None, None),
        ("healthy: 5 % by the proxy", "all-5", None),
        ("healthy: 5 % in the code", "unchanged", (0.05, False)),
        ("both arms the same tree", "unchanged", None),
        ("stale compile cache", "unchanged", (0.05, True)),
        ("noise in one arm", None, ("drawn", False)),
        ("tolerance ten times too large", "all-5", None),
    ],
)
def test_each_sabotaged_gate_gives_head_what_its_name_says(plugins, name, proxy, code):
    (drilled,) = [one for one in DRILLS if one.name == name]
    environment = environment_of_head(drilled)
    if CASES[drilled.case].planted:
        assert environment[VARIABLE] == drilled.case
    target = plugins.known_target("command:python served.py {port}", TargetSettings(environment=environment))
    target = getattr(target, "target", target)  # what checks the targets of plugins stands around it
    assert getattr(target, "case", None) == proxy
    coded = target.target if proxy else target
    assert isinstance(coded, sabotage.Coded) == (code is not None)
    if code is not None:
        share, stale = code
        assert coded.stale is stale
        assert coded.share() >= 0 if share == "drawn" else coded.share() == share


def test_the_load_of_the_real_drills_is_a_scenario_that_can_be_compared(plugins):
    scenario = plugins.scenarios(PROFILES["default"])[sabotage.SCENARIO]
    assert f"--perf-scenario={scenario.name}" in GATE
    assert comparable_phase(scenario).requests == sabotage.REQUESTS
