"""``tailgate init``, whole: a service that describes itself, and one that is told of; the run itself is a stub."""

import re
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tailgate.harness import cli
from tailgate.harness.cli import Status
from tailgate.harness.cli import init as first
from tailgate.harness.results.verdict import Verdict
from tailgate.harness.testing import criterion_result, run_result

SERVER = """
import json, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
SCHEMA = {"type": "object", "required": ["values"], "properties": {"values": {"type": "array", "items": {"type": "number"}}}}
BODY = {"content": {"application/json": {"schema": SCHEMA}}}
PAGES = {"/healthz": {}, "/openapi.json": {"paths": {"/score": {"post": {"requestBody": BODY}}}}}
class Handler(BaseHTTPRequestHandler):
    def answer(self, status, document):
        text = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
    def do_GET(self):
        self.answer(200 if self.path in PAGES else 404, PAGES.get(self.path))
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer(200 if self.path == "/score" and body == {"values": [1.0]} else 422, {"score": 1})
    def log_message(self, *_): pass
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
PROPOSAL = '"steady" = { rate = "50 /s", p95 = "31 ms", error_rate = 0.0 }'


@pytest.fixture
def init(tmp_path, monkeypatch, capsys):
    """Return a function that runs the command in a folder with a server, and gives its status, words and output."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "server.py").write_text(SERVER)
    ran = []
    result = run_result([criterion_result(limit=None, margin=None, verdict=Verdict.INCONCLUSIVE)])
    result = replace(result, scenarios=(replace(result.scenarios[0], proposal=PROPOSAL),))

    def run_gate(command, words):
        ran[:] = words
        command.result = init_command.result
        return Status.PASS

    monkeypatch.setattr(first, "run_gate", run_gate)

    def init_command(*words):
        monkeypatch.setattr(sys, "argv", ["tailgate", "init", *words])
        with pytest.raises(SystemExit) as left:
            cli.main()
        return left.value.code, list(ran), capsys.readouterr()

    init_command.result = result
    return init_command


COMMAND = f"{shlex.quote(sys.executable)} -P server.py {{port}}"


def test_a_command_line_is_all_that_it_needs(init, tmp_path):
    status, words, said = init(COMMAND)
    assert status == Status.PASS, said
    assert {
        f"--perf-target=command:{COMMAND}",
        "--perf-readiness-path=/healthz",
        "--perf-metrics-path=",
    } <= set(words)
    assert {"--perf-request=POST /score", "--perf-scenario=steady", "--perf-inconclusive=pass"} <= set(words)
    assert 'request: POST /score with {"values":[1.0]}' in said.out
    assert said.out.splitlines()[-1] == "next: pytest -m perf"
    assert PROPOSAL in (tmp_path / "budgets.toml").read_text()
    assert '"compare" = { rate = "50 /s" }' in (tmp_path / "budgets.toml").read_text()
    ini = (tmp_path / "pytest.ini").read_text()
    assert f"perf_target = command:{COMMAND}\n" in ini
    assert "perf_payloads = file:perf/body.json\n" in ini
    assert (tmp_path / "perf" / "body.json").read_text() == '{"values":[1.0]}\n'


def test_a_second_time_replaces_nothing_and_sends_the_body_that_is_there(init, tmp_path):
    init(COMMAND)
    (tmp_path / "budgets.toml").unlink()
    (tmp_path / "perf" / "body.json").write_text('{"values":[2.0]}\n')
    status, _, said = init(COMMAND)
    assert status == Status.PASS
    assert (
        "kept perf/test_perf.py, .github/workflows/perf.yml, perf/body.json, which --force replaces"
        in said.out
    )
    assert (tmp_path / "perf" / "body.json").read_text() == '{"values":[2.0]}\n'


def test_budgets_that_are_written_are_judged_by_and_kept(init, tmp_path):
    (tmp_path / "budgets.toml").write_text('"*" = { error_rate = 0.0 }\n')
    _, words, said = init(COMMAND)
    assert "--perf-inconclusive=pass" not in words
    assert (tmp_path / "budgets.toml").read_text() == '"*" = { error_rate = 0.0 }\n'
    assert "wrote" in said.out


def test_what_the_options_say_is_not_asked_for_and_secrets_are_not_written(init, tmp_path, monkeypatch):
    monkeypatch.setenv("TOKEN", "of-the-environment")
    (tmp_path / "one.json").write_text("{}")
    _, words, said = init(
        COMMAND,
        "--request=POST /other",
        "--payloads=file:one.json",
        "--header=Authorization: Bearer $TOKEN",
        "--header=X-Api-Key: 0123456789",
        "--env",
        "MODE=fast",
        "--seed=5",
    )
    assert {"--perf-request=POST /other", "--perf-payloads=file:one.json", "--perf-env=MODE=fast"} <= set(
        words
    )
    ini = (tmp_path / "pytest.ini").read_text()
    assert "Authorization: Bearer $TOKEN" in ini
    assert "MODE=fast" in ini
    assert "perf_seed" not in ini
    assert "0123456789" not in ini + said.out
    assert "of-the-environment" not in ini + said.out
    assert "--perf-header holds a secret, and is not written: give its value as $VARIABLE" in said.out
    assert not (tmp_path / "perf" / "body.json").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "found no FastAPI, Starlette or Flask application in this folder"),
        (["a", "b"], "got 2 words: a b; put a command line in quotes"),
        ([COMMAND, "--colour=red"], "cannot read '--colour=red'; expected an option of the gate"),
        ([COMMAND, "--request=score"], "--perf-request: expected METHOD and PATH"),
        ([COMMAND, "--profile=huge"], "--perf-profile: expected one of smoke"),
        (["python server.py"], "is told neither {port} nor {fd}"),
        (["http://h:x"], "is not an address"),
    ],
)
def test_what_cannot_be_read_is_refused_before_anything_is_started(init, tmp_path, words, message):
    (tmp_path / "server.py").write_text("raise SystemExit('started')")
    status, ran, said = init(*words)
    assert (status, ran) == (Status.USAGE, [])
    assert message in said.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["server.py"]


def test_a_service_that_does_not_start_ends_it_with_nothing_written(init, tmp_path):
    (tmp_path / "server.py").write_text("raise SystemExit('no weights')")
    status, _, said = init(COMMAND)
    assert status == Status.UNMEASURED
    assert "ended with exit status 1" in said.err
    assert "no weights" in said.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["server.py"]


def test_a_run_that_is_invalid_leaves_nothing_behind(init, tmp_path):
    scenario = replace(init.result.scenarios[0], verdict=Verdict.INVALID)
    init.result = replace(init.result, scenarios=(scenario,))
    status, _, said = init(COMMAND)
    assert status == Status.UNMEASURED
    assert "nothing was written" in said.out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["server.py"]


def test_an_application_is_found_and_named(init, tmp_path, monkeypatch):
    (tmp_path / "server.py").unlink()
    (tmp_path / "main.py").write_text("from fastapi import FastAPI\napp = FastAPI()\n")
    monkeypatch.setattr(
        first, "_find_out", lambda _root, spec, *_: first.Found({"target": spec}, (), None, "smoke", tmp_path)
    )
    status, words, said = init()
    assert status == Status.PASS
    assert "application: FastAPI 'app' in main.py" in said.out
    assert "--perf-target=command:{python} -m uvicorn main:app --port {port} --log-level warning" in words
    assert "perf_profile = smoke" in (tmp_path / "pytest.ini").read_text()


@pytest.mark.parametrize(
    ("seconds", "profile"),
    [(None, "default"), (0.001, "default"), (0.006, "default"), (0.05, "smoke"), (3.0, "smoke")],
)
def test_a_slow_service_gets_fewer_requests(seconds, profile):
    assert first._profile(seconds) == profile


def test_the_help_names_what_it_writes(init):
    status, _, said = init("--help")
    assert status == Status.PASS
    assert "budgets.toml" in said.out


def test_the_tutorials_application_is_found_with_the_request_that_it_shows(init, tmp_path):
    page = (Path(__file__).parents[3] / "docs" / "tutorials" / "first-gate.md").read_text()
    code = re.search(r"```python\n# app.py\n(.*?)```", page, re.DOTALL)[1]
    (tmp_path / "server.py").unlink()
    (tmp_path / "app.py").write_text(code)
    status, _, said = init()
    assert status == Status.PASS, said
    told = said.out.splitlines()
    shown = page[page.index("$ tailgate init\n") :].splitlines()[1:6]
    assert told[: len(shown)] == shown
