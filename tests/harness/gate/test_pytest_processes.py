"""What only shows in a process of its own: whose modules are loaded, and what an interrupted run leaves behind."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tailgate.harness.load.records.samples import SAMPLE, read_samples
from tailgate.harness.results import file as results_file
from tailgate.harness.results.verdict import Verdict
from tailgate.harness.testing import fake_server_spec

# Far longer than anything here takes: only a hang gets there.
PATIENCE_S = 60.0
PLANTS = Path(__file__).parents[2] / "plants"
# Only a broken measurement fails: the machine that runs the tests may be slow.
SOUND = "--perf-enforce=measurement"


@pytest.fixture
def command(project):
    """Return a function that gives the command line of a gate in a process of its own."""

    project.pytester.makeconftest((PLANTS / "unmeasured.py").read_text())

    def words(*arguments):
        target = f"--perf-target={fake_server_spec(1.0)}"
        # As the program pytest does, -P keeps the working directory out of the places where modules are looked for.
        pytest_words = [sys.executable, "-P", "-m", "pytest", "--pyargs", "tailgate.scenarios", "-m", "perf"]
        return [*pytest_words, *project.arguments, target, SOUND, *arguments]

    return words


def test_a_project_with_folders_called_as_tailgates_packages_runs_tailgates_gate(project, command):
    """Their conftest puts the project in front of the places where modules are looked for."""
    for name in ("service", "harness", "scenarios"):
        folder = project.pytester.mkpydir(name)
        folder.joinpath("__init__.py").write_text(f"raise RuntimeError('this is the {name} of the project')")
    environment = os.environ | {"PERF_PLUGINS": "scenarios"}
    done = subprocess.run(command("-k", "tiny"), env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    # The built-in scenarios that run without budgets are there, and the one that is run is not theirs.
    assert ", scenarios tiny\n" in done.stdout, done.stdout
    assert "1 passed, 2 deselected" in done.stdout


def test_the_reproduce_command_runs_the_same_requests_again(project, command):
    project.gate(SOUND).assert_outcomes(passed=1)
    first = results_file.read(project.results() / results_file.RESULTS)
    # Of an installed tailgate: here the interpreter's own pytest.
    words = shlex.split(first.scenarios[0].reproduce)
    at = words.index("pytest")
    assigned = dict(word.split("=", 1) for word in words[:at])
    again = [sys.executable, "-P", "-m", "pytest", "-p", "tailgate", *words[at + 1 :], "--perf-output=again"]
    done = subprocess.run(again, env=os.environ | assigned, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (directory,) = project.pytester.path.glob("again/*Z-*")
    second = results_file.read(directory / results_file.RESULTS)
    schedule = f"{first.slots[0].scenario}-head-0/schedule.bin"
    assert (directory / schedule).read_bytes() == (project.results() / schedule).read_bytes()
    assert second.scenarios[0].seed == first.scenarios[0].seed == 1


def wait_for(condition):
    """Return what the condition gives once that is true."""
    deadline_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s:
        if found := condition():
            return found
        time.sleep(0.05)
    pytest.fail(f"waited {PATIENCE_S} s in vain")


def under_load(project, process):
    """Return all processes below this one, once the samples of a hundred requests are on the disk."""
    for samples in project.pytester.path.glob(".perf/*Z-*/tiny-head-0/samples.bin"):
        if samples.stat().st_size > 100 * SAMPLE.itemsize:
            return psutil.Process(process.pid).children(recursive=True)
    return None


@pytest.fixture
def running(project, command):
    """Return a gate that is under load for minutes, and all processes that it has started."""
    project.scenarios("tiny", requests=100_000)
    with subprocess.Popen(
        command(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as process:
        try:
            yield process, wait_for(lambda: under_load(project, process))
        finally:
            process.kill()


def test_an_interrupted_run_leaves_no_process_and_says_what_it_has(project, running):
    process, below = running
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=PATIENCE_S)
    wait_for(lambda: not any(child.is_running() for child in below))
    assert process.returncode == pytest.ExitCode.INTERRUPTED
    assert "\nINVALID: Interrupted (Ctrl-C).\n" in output
    run = results_file.read(project.results() / results_file.RESULTS)
    assert [scenario.verdict for scenario in run.scenarios] == [Verdict.INVALID]


def test_a_killed_run_leaves_no_process_and_its_samples_are_on_the_disk(project, running):
    process, below = running
    process.kill()
    wait_for(lambda: not any(child.is_running() for child in below))
    kept = read_samples(project.results() / "tiny-head-0" / "samples.bin")
    assert len(kept) >= 99
    assert not (project.results() / "results.json").exists()


# It takes connections and never says that it is ready.
NEVER_READY = """
import pathlib, socket, sys, time
listener = socket.socket(fileno=int(sys.argv[sys.argv.index("--fd") + 1]))
taken = listener.accept()
pathlib.Path("asked").touch()
time.sleep(3_600)
"""


@pytest.fixture
def starting(project, command):
    """Return a gate whose server has started and does not become ready, and all processes that it has started."""
    words = [*command(), f"--perf-target={project.server(NEVER_READY)}"]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as process:
        try:
            yield process, wait_for(lambda: asked(project, process))
        finally:
            process.kill()


def asked(project, process):
    """Return all processes below this one, once the server has been asked whether it is ready."""
    if not (project.pytester.path / "asked").exists():
        return None
    return psutil.Process(process.pid).children(recursive=True)


def test_a_run_that_is_interrupted_before_its_server_is_ready_is_invalid(project, starting):
    process, below = starting
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=PATIENCE_S)
    wait_for(lambda: not any(child.is_running() for child in below))
    assert process.returncode == pytest.ExitCode.INTERRUPTED
    assert "\nINVALID: Interrupted (Ctrl-C).\n" in output
    run = results_file.read(project.results() / results_file.RESULTS)
    assert run.verdict is Verdict.INVALID


def test_a_run_that_is_killed_before_its_server_is_ready_leaves_no_process(starting):
    process, below = starting
    process.kill()
    wait_for(lambda: not any(child.is_running() for child in below))
