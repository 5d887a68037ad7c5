"""The benchmarks: what no run on this machine would show before a peer is measured."""

import os
import subprocess
import sys

from benchmarks.environments import ROOT, link_shared

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
