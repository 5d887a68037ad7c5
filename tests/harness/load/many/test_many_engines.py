"""Who starts generators: processes, ssh, and those that come to a door with the token."""

import contextlib
import os
import socket
import subprocess
import sys

import psutil
import pytest
from scripted_server import OK, ScriptedServer

from tailgate.harness.errors import LoadError, UsageError
from tailgate.harness.load import LoadSettings
from tailgate.harness.load.many.engine import built_in_engine, open_door
from tailgate.harness.load.many.generators import Generators
from tailgate.harness.scenario.arrivals import Constant
from tailgate.harness.scenario.payloads.payload import Payload
from tailgate.harness.scenario.plan import draw_plan
from tailgate.harness.scenario.scenario import Phase, Scenario

WORKER = [sys.executable, "-P", "-m", "tailgate.harness.load.worker"]
SHORT = draw_plan(
    Scenario("s", "for tests", (Phase("steady", Constant(500.0), requests=100),), ()),
    [Payload("a", b"body", "text/plain", path="/a")],
    1,
)

FAKE_SSH = """#!/bin/sh
# Takes the options, says where it would go, and runs the command here.
while [ "$1" = -o ]; do shift 2; done
echo "$1" >>"$SSH_LOG"
shift
exec "$@"
"""


def test_ssh_runs_the_worker_of_each_host(tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    ssh = tmp_path / "bin" / "ssh"
    ssh.write_text(FAKE_SSH)
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{ssh.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("SSH_LOG", str(tmp_path / "hosts"))
    engine = built_in_engine(f"ssh:a={sys.executable},user@b={sys.executable}")
    with ScriptedServer({"/a": [OK]}) as server:
        settings = LoadSettings("127.0.0.1", server.port)
        with Generators(engine, SHORT, settings, tmp_path) as generators:
            report = generators.run_phase(0)
            assert generators.pids == ()
    assert sorted((tmp_path / "hosts").read_text().split()) == ["a", "user@b"]
    assert [part.name for part in report.parts] == ["1-a", "2-user@b"]
    assert report.ok == 100
    assert not psutil.Process().children()


@pytest.mark.parametrize(
    "spec",
    [
        *("processes:", "processes:0", "processes:x", "processes:-1", "processes:1001", "processes:²"),
        *("ssh:", "ssh:a,,b", "ssh:-oProxyCommand=x", "ssh:a b", "ssh: "),
    ],
)
def test_a_specification_that_means_nothing_is_refused(spec):
    with pytest.raises(UsageError, match="expected"):
        built_in_engine(spec)


def test_other_specifications_are_left_to_plugins():
    assert built_in_engine("kubernetes:2") is None
    assert built_in_engine("") is None


def test_a_door_lets_in_who_knows_the_token_and_nobody_else(tmp_path):
    with contextlib.ExitStack() as stack:
        with open_door("127.0.0.1") as door:
            host, port = door.address.split(":")
            stranger = stack.enter_context(socket.create_connection((host, int(port))))
            stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
            wrong = {**os.environ, **door.environment, "TAILGATE_LOAD_TOKEN": "wrong"}
            right = {**os.environ, **door.environment}
            refused = stack.enter_context(_worker(door.address, wrong))
            taken = stack.enter_context(_worker(door.address, right))
            (worker,) = door.accept(1, 60.0)
            assert set(worker.link.told()) == {"name", "version", "machine", "clock"}
            worker.link.close()
            assert taken.wait(60.0) == 0
        # Whoever came after the right one was never asked; the door is closed before it.
        assert refused.wait(60.0) != 0


@contextlib.contextmanager
def _worker(address, environment):
    """Run a generator that is ended in any case."""
    with subprocess.Popen([*WORKER, address], env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_door_says_how_many_did_not_come():
    with open_door("127.0.0.1") as door, pytest.raises(LoadError, match="0 of 2 generators connected to 127"):
        door.accept(2, 0.01)
