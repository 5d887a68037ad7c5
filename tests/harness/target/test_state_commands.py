"""Commands around a target: which runs when, what it is told, and what is said where it fails."""

import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

from tailgate.harness.errors import TargetError
from tailgate.harness.target import state
from tailgate.harness.target.settings import TargetSettings
from tailgate.harness.target.spec import parse_target
from tailgate.harness.target.state import StateCommands, Step, commands_of

TELL = "sh -c 'echo {} $TAILGATE_ARM ${{TAILGATE_URL-none}} ${{TAILGATE_PORT-none}} ${{DATA-none}} >> told'"
LINES = {step: TELL.format(step.value) for step in Step}
RUNNING = SimpleNamespace(base_url="http://127.0.0.1:8123", socket_path=None)


def commands(folder, lines=None, **environment):
    return StateCommands("base", LINES if lines is None else lines, environment, folder)


def told(folder):
    return (folder / "told").read_text().splitlines()


def test_each_command_runs_in_its_folder_and_is_told_the_arm_and_the_address_once_it_is_known(tmp_path):
    with commands(tmp_path, DATA="/data-{port}", FD="{fd}").around(tmp_path / "logs") as around:
        around.started(RUNNING)
        around.reset()
        around.reset()
    at = "base http://127.0.0.1:8123 8123 /data-8123"
    assert told(tmp_path) == ["set-up base none none none", f"reset {at}", f"reset {at}", f"tear-down {at}"]


def test_a_socket_takes_the_place_of_the_port(tmp_path):
    running = SimpleNamespace(base_url="http://localhost", socket_path=tmp_path / "s")
    with commands(tmp_path, DATA="/data-{socket}", FD="{port}").around(tmp_path / "logs") as around:
        around.started(running)
        around.reset()
    assert told(tmp_path)[1] == f"reset base http://localhost none /data-{tmp_path / 's'}"


def test_what_is_not_asked_for_does_not_run_and_leaves_no_log(tmp_path):
    with commands(tmp_path, {}).around(tmp_path) as around:
        around.reset()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (
            "sh -c 'echo no table; exit 3'",
            r"ended with exit status 3\.\nThe end of its log \(.*\):\nno table",
        ),
        ("sh -c 'kill -9 $$'", "ended with signal SIGKILL. It wrote nothing to its log"),
        ("./gone", "cannot be started: No such file or directory"),
    ],
)
@pytest.mark.parametrize("step", Step)
def test_a_command_that_fails_is_told_with_its_status_and_the_end_of_its_log(tmp_path, step, line, says):
    with (
        pytest.raises(TargetError, match=rf"--perf-{step.value} of base: .*{says}"),
        commands(tmp_path, {step: line}).around(tmp_path) as around,
    ):
        around.reset()


def test_a_set_up_that_fails_is_torn_down_and_told_even_where_the_tear_down_fails_too(tmp_path):
    lines = {Step.SET_UP: "false", Step.TEAR_DOWN: "sh -c 'echo down >> told; exit 1'"}
    with pytest.raises(TargetError, match="--perf-set-up of base"):
        commands(tmp_path, lines).around(tmp_path).__enter__()
    assert told(tmp_path) == ["down"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, TargetError])
def test_the_tear_down_runs_after_what_ends_a_run_and_does_not_take_its_place(tmp_path, error):
    lines = {Step.TEAR_DOWN: "sh -c 'echo down >> told; exit 1'"}
    with pytest.raises(error, match="first"), commands(tmp_path, lines).around(tmp_path):
        raise error("first")
    assert told(tmp_path) == ["down"]


@pytest.mark.parametrize("ended", [subprocess.TimeoutExpired("x", 1), KeyboardInterrupt()])
def test_a_command_that_is_cut_short_is_killed_with_what_it_has_started_and_torn_down(
    tmp_path, monkeypatch, ended
):
    usual, waits = subprocess.Popen.wait, []

    def wait(process, timeout=None):
        waits.append(process)
        if len(waits) == 1:
            # The shell has told the process that it started.
            while not (tmp_path / "child").exists() or not (tmp_path / "child").read_text().strip():
                assert process.poll() is None
            raise ended
        return usual(process, timeout)

    monkeypatch.setattr(subprocess.Popen, "wait", wait)
    lines = {
        Step.SET_UP: "sh -c 'sleep 600 & echo $! > child; wait'",
        Step.TEAR_DOWN: "sh -c 'echo down >> told'",
    }
    with pytest.raises((TargetError, KeyboardInterrupt)) as raised:
        commands(tmp_path, lines).around(tmp_path).__enter__()
    if isinstance(ended, subprocess.TimeoutExpired):
        assert f"did not end within {state.TIMEOUT_S:g} s" in str(raised.value)
    assert waits[0].returncode == -signal.SIGKILL
    child = int((tmp_path / "child").read_text())
    deadline_s = time.monotonic() + 60
    while not _is_gone(child):
        assert time.monotonic() < deadline_s
    assert told(tmp_path) == ["down"]


def _is_gone(pid):
    try:
        with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123
            return stat.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_a_command_leaves_no_bytecode_that_would_speak_for_the_servers_code(tmp_path):
    (tmp_path / "a_module.py").write_text("")
    line = f"{sys.executable} -c 'import a_module'"
    environment = {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": ""}
    with commands(tmp_path, {Step.SET_UP: line}, **environment).around(tmp_path):
        assert not list(tmp_path.rglob("__pycache__"))


def test_the_environment_is_that_of_the_started_server_and_an_address_is_known_from_the_first():
    settings = TargetSettings(environment={"A": "1"})
    service, address = (parse_target(spec, settings) for spec in ("service:MODEL=x", "http://u:p@host/api"))
    made = commands_of({}, "head", service, settings, None)
    assert (made.environment["TAILGATE_MODEL"], made.environment["A"], made.url) == ("x", "1", None)
    assert commands_of({}, "head", address, settings, None).url == "http://host/api"
