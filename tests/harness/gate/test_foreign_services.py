"""Services that know nothing of tailgate, each gated by the one command that its program tells."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gate.foreign import REQUIREMENTS, SERVICES, command_of
from tailgate.harness.results import file as results_file
from tailgate.harness.results.fault import Cause

# The others need packages that stay out of the tests: python -m benchmarks.gate.foreign.
LIGHT = ("fastapi_app", "wsgi_app", "sse_app")
PATIENCE_S = 300
PLANTS = Path(__file__).parents[2] / "plants"


def gated(name, output, *options):
    """Return the result of a run, and what it printed. Its verdict is the machine's too, so nobody asks for it here."""
    line = " ".join([command_of(SERVICES / f"{name}.py"), f"--perf-output={output}", *options])
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [
            "bash",
            "-c",
            f"{line} --perf-profile=smoke --perf-enforce=measurement -p no:cacheprovider",
        ],
        cwd=SERVICES,
        # Others lack the plugins of our tests.
        env=os.environ
        | {
            "PATH": path,
            "PERF_PLUGINS": "scenarios",
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTEST_ADDOPTS": "-p tailgate -p unmeasured",
            "PYTHONPATH": str(PLANTS),
        },
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    told = done.stdout + done.stderr
    (folder,) = [one for one in output.iterdir() if (one / "results.json").is_file()]
    return results_file.read(folder / "results.json"), told


@pytest.mark.parametrize("name", LIGHT)
def test_a_service_of_others_is_gated_by_one_command(tmp_path, name):
    result, told = gated(name, tmp_path / "perf")
    (scenario,) = result.scenarios
    assert [fault.text for fault in scenario.faults if fault.cause is Cause.INTEGRITY] == [], told
    (measured,) = [phase for phase in result.slots[0].phases if phase.measured]
    assert measured.outcomes == {"ok": 400}, told


def test_every_program_tells_its_command():
    programs = {path.stem for path in SERVICES.glob("*.py")}
    assert programs == set(REQUIREMENTS)
    for name in programs:
        assert command_of(SERVICES / f"{name}.py").startswith("pytest --pyargs tailgate.scenarios -m perf ")
