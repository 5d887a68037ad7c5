"""A service that cannot start as it is asked to: a clear reason, no traceback, a status that is not 0."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import tiny_models

from tailgate.service.http import server
from tailgate.service.settings import load_settings

HERE = Path(__file__).parent
PATIENCE_S = 60
SOME_DIGEST = "0" * 64


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "weights.safetensors"
    safetensors.torch.save_file(tiny_models.perceptron().module.state_dict(), path)
    return str(path)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"weights_sha256": SOME_DIGEST}, f"expected {SOME_DIGEST}"),
        (
            {"executor": "cuda-graph"},
            "TAILGATE_EXECUTOR: cuda-graph is asked for, but the model runs on the cpu",
        ),
        ({"executor": "compiled"}, "TAILGATE_EXECUTOR: compiled is asked for, but there is none"),
        ({"model": "tiny_models:doubler"}, "weights weights.safetensors do not fit the model"),
    ],
)
def test_what_cannot_be_had_as_asked_is_said_before_ready_with_status_1(
    capsys, tmp_path, weights, settings, reason
):
    settings = {"model": "tiny_models:perceptron", "weights": weights, "device": "cpu", **settings}
    assert server.run(load_settings({}, port=0, threads=1, cache_dir=tmp_path, **settings)) == 1
    log = capsys.readouterr().out
    assert "cannot start" in log
    assert reason in log
    assert "Traceback" not in log


def test_a_process_whose_weights_are_missing_ends_with_status_1_and_one_line_of_reason(tmp_path):
    ended = subprocess.run(
        [
            sys.executable,
            "-m",
            "tailgate.service",
            "--port",
            "0",
            "--model",
            "tiny_models:perceptron",
            "--weights",
            "gone.pt",
        ],
        env={**os.environ, "PYTHONPATH": str(HERE)},
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert ended.returncode == 1
    (line,) = [line for line in ended.stderr.splitlines() if "cannot start" in line]
    assert "there is none at 'gone.pt'" in line
    assert "Traceback" not in ended.stderr
