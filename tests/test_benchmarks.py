"""The benchmarks: what no run on this machine would show before a peer is measured."""

import os
import subprocess
import sys

from benchmarks.environments import ROOT, link_shared
from benchmarks.limits.gpu import Step, run_all

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
