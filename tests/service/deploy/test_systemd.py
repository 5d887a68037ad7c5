"""deploy/systemd: units that systemd can read, and a service that serves on the socket that they pass."""

import configparser
import contextlib
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from expressions import DEPLOY

from tailgate.service.settings import PREFIX, Settings, load_settings

PATIENCE_S = 120
UNITS = DEPLOY / "systemd"
TESTS = Path(__file__).parents[1]
TAILGATE = Path(sys.executable).with_name("tailgate")
# sd_listen_fds(3): descriptors begin at 3, and LISTEN_PID is the process that they are for.
AS_SYSTEMD = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_FDS": "1", "LISTEN_PID": str(os.getpid()), "LISTEN_FDNAMES": "tailgate.socket"}
os.execv(sys.argv[2], sys.argv[2:])
"""


def unit(name):
    """Return a unit's sections."""
    parser = configparser.ConfigParser(interpolation=None, delimiters="=")
    parser.optionxform = str
    parser.read(UNITS / name, encoding="utf-8")
    return parser


def variables():
    return dict(
        word.split("=", 1) for word in shlex.split(unit("tailgate.service")["Service"]["Environment"])
    )


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_finds_nothing_wrong_with_the_units(tmp_path):
    for path in UNITS.iterdir():
        text = path.read_text("utf-8").replace("/opt/tailgate/bin/tailgate", str(TAILGATE))
        (tmp_path / path.name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *tmp_path.iterdir()],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_settings_are_settings_and_the_stop_has_time():
    service = unit("tailgate.service")["Service"]
    assert {name.removeprefix(PREFIX).lower() for name in variables()} <= set(Settings.model_fields)
    settings = load_settings(variables())
    assert float(service["TimeoutStopSec"]) >= settings.drain_delay_s + settings.drain_timeout_s + 10
    assert str(settings.cache_dir) == f"/var/cache/{service['CacheDirectory']}"
    assert unit("tailgate.socket")["Socket"]["ListenStream"] == f"{settings.host}:{settings.port}"


def test_a_connection_waits_in_the_socket_before_the_service_starts_and_after_it_has_ended():
    words = shlex.split(unit("tailgate.service")["Service"]["ExecStart"])
    with contextlib.ExitStack() as stack:
        held = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        early = stack.enter_context(socket.create_connection(held.getsockname(), PATIENCE_S))
        early.sendall(b"GET /livez HTTP/1.1\r\nHost: tailgate\r\n\r\n")
        process = subprocess.Popen(
            [sys.executable, "-c", AS_SYSTEMD, str(held.fileno()), str(TAILGATE), *words[1:]],
            pass_fds=[held.fileno()],
            stderr=subprocess.DEVNULL,
            env=os.environ
            | {"PYTHONPATH": str(TESTS), "TAILGATE_MODEL": "tiny_models:doubler", "TAILGATE_THREADS": "1"},
        )
        stack.callback(process.wait)
        stack.callback(process.kill)
        assert early.recv(12) == b"HTTP/1.1 200"
        client = stack.enter_context(httpx.Client(base_url=url, timeout=PATIENCE_S))
        while client.get("/readyz").status_code == 503:
            assert process.poll() is None
            time.sleep(0.05)
        answer = client.post("/predict", json={"inputs": [1, 2, 3, 4]})
        assert answer.json()["outputs"] == [2.0, 4.0, 6.0, 8.0]
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
        with socket.create_connection(held.getsockname(), PATIENCE_S) as late:
            accepted, address = held.accept()
            accepted.close()
            assert address == late.getsockname()
