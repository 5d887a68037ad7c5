"""The conformance tests pass against our own server, fail a server that breaks a clause, and say what they need."""

import importlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from benchmarks.serving.conformance import key, worst

ROOT = Path(__file__).parents[1]
# A run inside this process forgets the modules that it loads, and numpy cannot be loaded twice.
importlib.import_module("tailgate.conformance.server")


class Sloppy(BaseHTTPRequestHandler):
    """A server of one model that doubles two numbers, which ignores the id, names no datatype, and knows no errors."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        tensor = {"name": "x", "datatype": "FP32", "shape": [-1, 2]}
        model = {"name": "m", "platform": "none", "inputs": [tensor], "outputs": [tensor]}
        self._answer(
            model if self.path.startswith("/v2/models") else {"name": "s", "version": "1", "extensions": []}
        )

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}")
        if self.path == "/v2/repository/index":
            self._answer([{"name": "m"}])
        else:
            data = [2 * number for number in body["inputs"][0]["data"]] if body.get("inputs") else []
            self._answer({"model_name": "m", "outputs": [{"name": "x", "shape": [1, 2], "data": data}]})

    def _answer(self, document):
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def sloppy():
    with ThreadingHTTPServer(("127.0.0.1", 0), Sloppy) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def conform(pytester, monkeypatch):
    """Return a function that runs the conformance tests inside this process."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    kit = ("-p", "tailgate-conformance", "-p", "no:cacheprovider", "--pyargs", "tailgate.conformance")
    return lambda *arguments: pytester.runpytest_inprocess(*kit, *arguments)


def test_a_server_that_breaks_clauses_fails_with_the_clauses(conform, sloppy):
    run = conform(f"--oip-url={sloppy}", "-k", "id_comes_back or metadata_name or binary")
    outcomes = run.parseoutcomes()
    assert outcomes["failed"] == 1
    assert outcomes["passed"] == 2
    assert outcomes["skipped"] >= 1
    run.stdout.fnmatch_lines(
        [
            "*the clause*",
            '*Inference Request JSON Object — "id" : if specified this identifier must be returned in the response.*',
        ]
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "name the server: --oip-url=http://HOST:PORT"),
        (("--oip-url=http://127.0.0.1:1",), "no server of HTTP answers at http://127.0.0.1:1"),
        (("--oip-url=http://127.0.0.1:1", "--oip-header=x"), "--oip-header: expected 'NAME: VALUE', got 'x'"),
    ],
)
def test_what_is_missing_is_said(conform, arguments, told):
    run = conform(*arguments, "-x", "-k", "live_server")
    assert run.ret != 0
    assert told in run.stdout.str() + run.stderr.str()


def test_the_table_of_the_page_has_every_test_and_no_other():
    page = (ROOT / "docs" / "reference" / "open-inference.md").read_text()
    listed = set(re.findall(r"^\| (\w+) \| ([^|]+) \| (?:pass|FAIL|–) \|", page, re.MULTILINE))
    there = set()
    for path in (ROOT / "tailgate" / "conformance").glob("test_*.py"):
        for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE):
            there.add(key({"classname": f"tailgate.conformance.{path.stem}", "name": name}))
    assert listed == there


def test_the_worst_of_a_test_s_parameters_is_its_result():
    name = ("infer", "a")
    assert worst([(name, "–"), (name, "pass"), (name, "FAIL"), (name, "pass")]) == {name: "FAIL"}
    assert worst([(name, "–"), (name, "pass")]) == {name: "pass"}
