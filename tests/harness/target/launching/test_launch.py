"""Real processes, each a few lines of Python: what is asserted is that events happen, never how long they take."""

import contextlib
import dataclasses
import json
import os
import select
import signal
import subprocess
import sys
import textwrap
import time

import httpx
import pytest

from tailgate.harness.errors import TargetError, UsageError
from tailgate.harness.target.launching.last_words import describe_exit, tail
from tailgate.harness.target.launching.launch import Launch
from tailgate.harness.target.launching.process import ServerProcess

GONE_TIMEOUT_S = 60  # a bound on waiting for an event, many times what it takes

SERVER = """
import http.server, os, socket, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = repr((os.getpid(), sys.stdin.read(), os.environ.get("SAYS"))).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass

kind, number = sys.argv[1], int(sys.argv[2])
server = http.server.HTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
if kind == "fd":
    server.socket.close()
    server.socket = socket.socket(fileno=number)
else:
    server.server_address = ("127.0.0.1", number)
    server.server_bind()
    server.server_activate()
print("serving", flush=True)
server.serve_forever()
"""

# Starts a child in a session of its own, tells both pids, ignores TERM, and never ends by itself.
STUBBORN = """
import os, signal, sys, time

signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = os.fork()
if child == 0:
    os.setsid()
    grandchild = os.fork()
    if grandchild == 0:
        while True:
            time.sleep(60)
    print(os.getpid(), grandchild, flush=True)
    os._exit(0)
os.waitpid(child, 0)
print(os.getpid(), "up", flush=True)
while True:
    time.sleep(60)
"""


def python(code, *arguments):
    return (sys.executable, "-c", textwrap.dedent(code), *arguments)


def wait_for_log(server, word):
    """Wait until the log holds a word; the server's death or a long silence fails the test."""
    deadline_s = time.monotonic() + GONE_TIMEOUT_S
    while word not in server.log_tail():
        assert time.monotonic() < deadline_s
        with contextlib.suppress(subprocess.TimeoutExpired):
            server._guardian.wait(0.01)
        server.check_alive()


def assert_gone(*pids):
    for pid in pids:
        try:
            process = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        ended, _, _ = select.select([process], [], [], GONE_TIMEOUT_S)  # readable at exit, reaped or not
        os.close(process)
        assert ended


@pytest.mark.parametrize("placeholder", ["fd", "port"])
def test_a_server_gets_its_socket_its_environment_and_an_empty_standard_input(tmp_path, placeholder):
    launch = Launch(python(SERVER, placeholder, f"{{{placeholder}}}"), {"SAYS": "port {port}"})
    with ServerProcess(launch, tmp_path / "logs" / "server.log") as server:
        answer = httpx.get(server.base_url, trust_env=False).text
        assert answer == repr((server.pid, "", f"port {server.port}"))
        assert server.pids() == (server.pid,)
        assert server.alive()
        assert "serving" in server.log_tail()
    assert not server.alive()
    assert_gone(server.pid)


@pytest.mark.parametrize(
    ("placeholder", "options"),
    [
        ("port", {"readiness_path": None}),
        ("port", {"readiness_path": None, "ready_log": "^serving$"}),
        ("fd", {"readiness_path": None, "ready_log": "^serving$"}),
        ("fd", {"readiness_path": "/up", "ready_log": "^serving$"}),
    ],
)
def test_a_server_is_ready_by_its_connections_and_its_log(tmp_path, placeholder, options):
    launch = Launch(python(SERVER, placeholder, f"{{{placeholder}}}"), **options)
    with ServerProcess(launch, tmp_path / "log") as server:
        assert httpx.get(server.base_url, trust_env=False).is_success
        assert "ready_log" not in options or "serving" in server.log_tail()


def test_a_log_that_never_says_so_is_given_up_with_its_end(tmp_path):
    with ServerProcess(Launch(python(SERVER, "fd", "{fd}")), tmp_path / "log") as server:
        server.launch = dataclasses.replace(server.launch, ready_log="listening", ready_timeout_s=1e-9)
        with pytest.raises(
            TargetError, match=r"no line of its log matched 'listening' \(--perf-ready-log\) within 1e-09 s"
        ):
            server.wait_ready()


def test_a_connection_to_a_socket_that_is_inherited_says_nothing_and_is_refused():
    with pytest.raises(
        UsageError, match=r"put \{port\} in place of \{fd\}, or give --perf-readiness-path=PATH or"
    ):
        Launch(("server", "{fd}"), readiness_path=None)


def test_a_command_gets_a_second_port_for_its_metrics_where_it_asks_for_one(tmp_path):
    launch = Launch(python(SERVER, "port", "{port}"), {"SAYS": "{metrics_port}"})
    with ServerProcess(launch, tmp_path / "log") as server:
        assert repr(str(server.metrics_port)) in httpx.get(server.base_url, trust_env=False).text
        assert server.metrics_port != server.port
    with ServerProcess(Launch(python(SERVER, "port", "{port}")), tmp_path / "other") as server:
        assert server.metrics_port is None


def test_a_descriptor_in_the_environment_alone_is_passed_down_too(tmp_path):
    code = "import os, sys; os.fstat(int(os.environ['SOCKET'])); print('inherited'); sys.exit(7)"
    with (
        pytest.raises(TargetError, match="inherited"),
        ServerProcess(Launch(python(code), {"SOCKET": "{fd}"}), tmp_path / "log"),
    ):
        pass


def test_a_server_that_dies_at_start_is_reported_with_its_status_and_its_last_words(tmp_path):
    code = "print('a first line'); raise SystemExit('no such model: resnet')"
    with (
        pytest.raises(TargetError) as caught,
        ServerProcess(Launch(python(code, "{fd}"), ready_timeout_s=1e6), tmp_path / "log"),
    ):
        pass
    message = str(caught.value)
    assert "ended with exit status 1" in message
    assert message.endswith("a first line\nno such model: resnet")


def test_a_server_that_goes_into_the_background_is_asked_to_stay(tmp_path):
    with (
        pytest.raises(
            TargetError, match="ended with exit status 0; if it went into the background, run it in the"
        ),
        ServerProcess(Launch(python("pass", "{fd}"), ready_timeout_s=1e6), tmp_path / "log"),
    ):
        pass


def test_a_server_that_is_killed_is_reported_by_its_signal(tmp_path):
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    with (
        pytest.raises(TargetError, match="signal SIGKILL"),
        ServerProcess(Launch(python(code, "{fd}")), tmp_path / "log"),
    ):
        pass


def test_a_program_that_does_not_exist_is_named(tmp_path):
    with (
        pytest.raises(TargetError, match="cannot execute 'no-such-program': No such file"),
        ServerProcess(Launch(("no-such-program", "{fd}")), tmp_path / "log"),
    ):
        pass


def test_a_directory_that_does_not_exist_is_a_target_error(tmp_path):
    server = ServerProcess(Launch(("true", "{fd}"), directory=tmp_path / "nowhere"), tmp_path / "log")
    with pytest.raises(TargetError, match="nowhere"):
        server.start()
    assert server.stop() is None


def test_a_server_that_is_never_ready_is_given_up_with_its_log(tmp_path):
    code = "import time; print('loading'); time.sleep(1e6)"
    server = ServerProcess(Launch(python(code, "{port}")), tmp_path / "log")
    server.start()
    wait_for_log(server, "loading")
    server.launch = dataclasses.replace(server.launch, ready_log="listening", ready_timeout_s=1e-9)
    with pytest.raises(TargetError, match=r"did not answer 2xx within 1e-09 s(.|\n)*loading"):
        server.wait_ready()
    server.stop()
    assert_gone(server.pid)


def test_an_exception_in_the_block_stops_the_server(tmp_path):
    server = ServerProcess(Launch(python(SERVER, "fd", "{fd}")), tmp_path / "log")
    with pytest.raises(KeyboardInterrupt), server:
        raise KeyboardInterrupt
    assert_gone(server.pid)


def test_stopping_asks_first_and_returns_the_status_and_again_changes_nothing(tmp_path):
    code = """
        import signal, sys, time
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))
        print("up")
        time.sleep(1e6)
    """
    server = ServerProcess(Launch(python(code, "{fd}")), tmp_path / "log")
    assert server.stop() is None
    assert server.exit_code() is None
    assert server.pids() == ()
    server.start()
    wait_for_log(server, "up")
    assert server.exit_code() is None
    assert server.stop() == 9
    assert server.stop() == 9
    with pytest.raises(TargetError, match="ended with exit status 9"):
        server.check_alive()
    with pytest.raises(TargetError, match="was started already"):
        server.start()


def test_a_server_that_ignores_term_is_killed_with_a_grandchild_in_another_session(tmp_path):
    server = ServerProcess(Launch(python(STUBBORN, "{fd}"), stop_timeout_s=0), tmp_path / "log")
    server.start()
    wait_for_log(server, "up")
    pids = [int(word) for word in server.log_tail().split() if word.isdigit()]
    assert server.stop() == 128 + signal.SIGKILL
    assert len(pids) == 3
    assert_gone(*pids)


def test_what_a_server_leaves_behind_when_it_exits_is_killed(tmp_path):
    code = """
        import os, sys, time
        child = os.fork()
        if child == 0:
            os.setsid()
            time.sleep(1e6)
        print(child)
        sys.exit(4)
    """
    server = ServerProcess(Launch(python(code, "{fd}")), tmp_path / "log")
    server.start()
    server._guardian.wait(GONE_TIMEOUT_S)
    assert server.stop() == 4
    assert_gone(int(server.log_tail()))


def test_a_dead_server_refuses_connections(tmp_path):
    """Neither the harness nor the guardian keeps the listening socket open."""
    with ServerProcess(Launch(python(SERVER, "fd", "{fd}")), tmp_path / "log") as server:
        os.kill(server.pid, signal.SIGKILL)
        server._guardian.wait(GONE_TIMEOUT_S)
        with pytest.raises(httpx.ConnectError):
            httpx.get(server.base_url, trust_env=False)


HARNESS = """
import pathlib, sys, time
from tailgate.harness.target.launching.launch import Launch
from tailgate.harness.target.launching.process import ServerProcess

stubborn, log = sys.argv[1:]
server = ServerProcess(Launch((sys.executable, "-c", stubborn, "{fd}"), stop_timeout_s=0.01), pathlib.Path(log))
server.start()
while "up" not in server.log_tail():
    time.sleep(0.01)
print(server._guardian.pid, server.log_tail(), flush=True)
time.sleep(1e6)
"""


def test_a_killed_harness_leaves_no_server_behind(tmp_path):
    with subprocess.Popen(
        python(HARNESS, STUBBORN, str(tmp_path / "log")), stdout=subprocess.PIPE, text=True
    ) as parent:
        told = parent.stdout.readline() + parent.stdout.readline()
        parent.kill()
    pids = [int(word) for word in told.split() if word.isdigit()]
    assert len(pids) == 4
    assert_gone(*pids)


def test_a_killed_guardian_takes_the_server_with_it(tmp_path):
    server = ServerProcess(Launch(python(SERVER, "fd", "{fd}")), tmp_path / "log")
    with server:
        os.kill(server._guardian.pid, signal.SIGKILL)
        assert_gone(server.pid)
    assert server.exit_code() == -signal.SIGKILL


def test_children_of_the_server_count_as_its_processes(tmp_path):
    code = """
        import os, time
        if os.fork() == 0:
            time.sleep(1e6)
        print("up")
        time.sleep(1e6)
    """
    server = ServerProcess(Launch(python(code, "{fd}"), stop_timeout_s=0), tmp_path / "log")
    server.start()
    try:
        wait_for_log(server, "up")
        assert len(server.pids()) == 2
    finally:
        server.stop()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"command": ()}, "is empty"),
        ({"command": ("python", "app.py")}, "neither {port} nor {fd}"),
        ({"command": ("a", "{port}"), "ready_timeout_s": float("inf")}, "positive and finite"),
        ({"command": ("a", "{port}"), "ready_timeout_s": float("nan")}, "positive and finite"),
        ({"command": ("a", "{port}"), "stop_timeout_s": -1}, "positive and finite"),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
)
def test_a_launch_that_cannot_work_is_refused_before_anything_runs(settings, words):
    with pytest.raises(UsageError, match=words):
        Launch(**settings)


@pytest.mark.parametrize(
    ("code", "words"),
    [(0, "exit status 0"), (127, "exit status 127"), (137, "signal SIGKILL"), (-15, "signal SIGTERM")],
)
def test_an_exit_status_is_put_into_words(code, words):
    assert describe_exit(code) == words


def test_the_tail_of_a_log_is_its_last_lines_and_of_no_log_nothing(tmp_path):
    log = tmp_path / "log"
    assert tail(log) == ""
    log.write_text("\n".join(f"line {number}" for number in range(100_000)))
    assert tail(log, 2) == "line 99998\nline 99999"
