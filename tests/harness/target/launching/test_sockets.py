"""A server behind a Unix socket, and one at an IPv6 address: asked and loaded as any other."""

import shlex
import socket
import subprocess
import sys

import pytest

from tailgate.harness.errors import UsageError
from tailgate.harness.load import Generator
from tailgate.harness.load.reach import load_settings
from tailgate.harness.options.reading import parse_options
from tailgate.harness.scenario.arrivals import Constant
from tailgate.harness.scenario.payloads.payload import Payload
from tailgate.harness.scenario.plan import draw_plan
from tailgate.harness.scenario.scenario import Phase, Scenario
from tailgate.harness.target.settings import TargetSettings
from tailgate.harness.target.spec import parse_target

# Answers where it was asked, and by which host.
SERVER = """
import http.server, socket, sys

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = f"# TYPE asked gauge\\nasked{{path=\\"{self.path}\\",host=\\"{self.headers['host']}\\"}} 1\\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def address_string(self):
        return "somebody"
    def log_message(self, *_):
        print(f"{self.path} {self.headers['host']}\\n", end="", flush=True)

class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    def server_bind(self):
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = "localhost", 0

where = sys.argv[1]
Server.address_family = socket.AF_UNIX if where.startswith("/") else socket.AF_INET6
server = Server(where if where.startswith("/") else ("::1", int(where)), Handler)
if not where.startswith("/"):
    print(server.socket.getsockname()[1], flush=True)
server.serve_forever()
"""
SETTINGS = TargetSettings(readiness_path="/up", ready_timeout_s=60)
SCENARIO = Scenario("few", "a few requests", (Phase("load", Constant(100.0), requests=5),), ())


def has_ipv6():
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


@pytest.fixture
def command(tmp_path):
    code = tmp_path / "server.py"
    code.write_text(SERVER)
    return f"command:{shlex.join([sys.executable, '-P', str(code)])}"


def load(running, directory):
    """Send a few requests, and return what the server's metrics say of who asks for them."""
    plan = draw_plan(SCENARIO, [Payload("one", b"", "", "/score", "GET")], 1)
    settings = load_settings(
        running, parse_options(lambda option: {"readiness_path": "/up"}.get(option.field), directory)
    )
    with Generator(plan, settings, directory / "load") as generator:
        report = generator.run_phase(0)
    with running.client(10) as client:
        return report.ok, client.get(running.metrics_url).text


def test_a_launched_server_listens_at_the_socket_that_it_is_told(tmp_path, command):
    with parse_target(f"{command} {{socket}}", SETTINGS).start(tmp_path) as running:
        folder = running.socket_path.parent
        assert len(str(running.socket_path)) < 60
        assert running.alive()
        ok, text = load(running, tmp_path)
        assert (ok, text.splitlines()[1]) == (5, 'asked{path="/metrics",host="localhost"} 1')
        # The same server, at the address that a user writes for it.
        outside = parse_target(f"unix:{running.socket_path}:/api", SETTINGS).start(tmp_path / "outside")
        assert outside.alive()
        assert outside.pids is None
        ok, text = load(outside, tmp_path / "outside")
        assert (ok, text.splitlines()[1]) == (5, 'asked{path="/api/metrics",host="localhost"} 1')
        first = running.socket_path
        running.restart()
        assert running.socket_path != first
        assert running.alive()
    asked = (tmp_path / "server-1.log").read_text().splitlines()
    assert [asked.count(f"{path} localhost") for path in ("/score", "/api/score")] == [5, 5]
    assert not folder.exists()


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")
def test_an_ipv6_address_is_asked_and_loaded_as_any_other(tmp_path, command):
    with subprocess.Popen(
        [*shlex.split(command.removeprefix("command:")), "0"], stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            port = int(server.stdout.readline())
            running = parse_target(f"http://[::1]:{port}/api", SETTINGS).start(tmp_path)
            ok, text = load(running, tmp_path)
        finally:
            server.kill()
    assert (ok, text.splitlines()[1]) == (5, f'asked{{path="/api/metrics",host="[::1]:{port}"}} 1')


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("unix:", "expected unix:/PATH/OF/SOCKET"),
        ("unix:app.sock", "expected unix:/PATH/OF/SOCKET"),
        ("unix:/app.sock:", "expected unix:/PATH/OF/SOCKET"),
        ("unix:/app.sock:api", "expected unix:/PATH/OF/SOCKET"),
        ("unix:/" + "x" * 107, "names a socket by 108 bytes, and the system takes 107"),
        ("unix:/app.sock:/api?x=1", "holds '\\?'"),
        ("command:app {socket} {port}", "is told both {socket} and {port}"),
        ("command:app", "neither {port} nor {fd} nor {socket}"),
    ],
)
def test_a_socket_that_is_none_is_refused(spec, words):
    with pytest.raises(UsageError, match=words):
        parse_target(spec, SETTINGS)
