"""What the doctor finds out, and that it needs no PyTorch for it."""

import fcntl
import http.server
import json
import subprocess
import sys
import threading

import orjson
import pytest

from tailgate.harness import cli
from tailgate.harness.cli import doctor as command
from tailgate.harness.doctor import probe
from tailgate.harness.results import folder


@pytest.fixture
def facts(tmp_path, monkeypatch):
    """Return a function that finds facts out, without waiting for a second to pass."""
    monkeypatch.setattr(probe, "STEAL_SEEN_S", 0.0)
    return lambda environment=None, **said: probe.find_facts(
        tmp_path / ".perf", said.pop("missing", ()), environment or {}, torch=said.pop("torch", False)
    )


def test_the_facts_of_this_machine_are_found(facts, tmp_path):
    found = facts()
    assert found.processors >= 1
    assert found.disk.error == ""
    assert found.disk.sync_s > 0
    assert found.disk.free_bytes > 0
    assert found.loopback_error == ""
    assert not found.run_here
    assert found.trial is None
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_holds_the_folder_is_seen(facts, tmp_path):
    (tmp_path / ".perf").mkdir()
    lock = tmp_path / ".perf" / folder.LOCK
    lock.touch()
    assert not facts().run_here
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert facts().run_here


def test_a_folder_that_cannot_be_written_to_is_told(facts, tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(probe.os, "fsync", full)
    assert facts().disk.error == "No space left on device"
    assert list(tmp_path.iterdir()) == []


class Answer(http.server.BaseHTTPRequestHandler):
    """Says what the test wants, to whoever asks."""

    said = b""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.said)))
        self.end_headers()
        self.wfile.write(self.said)

    def log_message(self, *_):
        pass


@pytest.fixture
def served():
    """Return a function that starts a server which says this, and gives its port."""
    servers = []

    def serve(said):
        handler = type("Said", (Answer,), {"said": said})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server.server_port

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_service_says_of_itself_what_it_offers(facts, served):
    said = {"name": "tailgate", "precision_offer": {"set": "TAILGATE_PRECISION=bf16"}}
    found = facts({"TAILGATE_PORT": str(served(json.dumps(said).encode()))})
    assert (found.port_taken, found.served) == (True, said)


@pytest.mark.parametrize("said", [b"", b"<html>", b"[]", b'{"name": "another"}', b"\xff"])
def test_another_program_on_the_port_is_no_service(facts, served, said):
    found = facts({"TAILGATE_PORT": str(served(said))})
    assert (found.port_taken, found.served) == (True, None)


@pytest.mark.parametrize("said", ["", "0", "70000", "tcp://10.0.0.1:8000", "x"])
def test_a_port_that_is_none_leaves_the_services_own(facts, said):
    assert facts({"TAILGATE_PORT": said}).port == 8000


@pytest.mark.parametrize(
    ("text", "built"),
    [
        ("cuda: Optional[str] = '13.2'\n", (13, 2)),
        ('cuda = "12.8"\n', (12, 8)),
        ("cuda: Optional[str] = None\nhip = '6.0'\n", None),
        ("", None),
    ],
)
def test_the_cuda_that_pytorch_was_built_for_is_read_from_its_own_file(text, built):
    assert probe.torch_cuda(text) == built


@pytest.mark.parametrize(("text", "quota"), [("max 100000\n", None), ("150000 100000\n", 1.5), ("", None)])
def test_a_quota_of_the_control_group_is_read(tmp_path, text, quota):
    (tmp_path / "cpu.max").write_text(text)
    assert probe.cpu_quota(tmp_path) == quota
    assert probe.cpu_quota(tmp_path / "none") is None


def test_pytorch_is_tried_in_a_process_of_its_own(monkeypatch):
    monkeypatch.setattr(probe, "TRIAL", "print(True)")
    assert probe._try_torch() == probe.Trial("", cuda=True)
    monkeypatch.setattr(probe, "TRIAL", "raise RuntimeError('operator torchvision::nms does not exist')")
    failed = probe.Trial("RuntimeError: operator torchvision::nms does not exist", None)
    assert probe._try_torch() == failed


def test_the_doctor_works_where_pytorch_is_absent_and_never_imports_it():
    """A finder that refuses PyTorch stands for an environment without it."""
    code = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"torch", "torchvision", "fastapi"}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
import importlib.util
find = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name in {"torch", "torchvision", "fastapi"} else find(name, package)
from tailgate.harness.doctor import probe
probe.STEAL_SEEN_S = 0.0
sys.argv = ["tailgate", "doctor", "--json"]
from tailgate.harness.cli import main
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode in {0, 1}, done.stderr
    checks = {one["name"]: one for one in orjson.loads(done.stdout)["checks"]}
    assert checks["processors"]["found"]


@pytest.fixture
def tailgate(monkeypatch, capsys, facts):
    """Return a function that runs the command with these facts."""
    monkeypatch.setenv("TERM", "dumb")

    def run(found, *words):
        monkeypatch.setattr(command, "checked", lambda _: found)
        monkeypatch.setattr(command, "find_facts", lambda *_, **__: None)
        monkeypatch.setattr(sys, "argv", ["tailgate", "doctor", *words])
        with pytest.raises(SystemExit) as left:
            cli.main()
        return left.value.code, capsys.readouterr().out

    return run


def check(state, mend=""):
    return command.Check("steal", state, "found [red]\x1b[31m", mend)


@pytest.mark.parametrize(
    ("states", "status", "last"),
    [
        ([command.State.OK], 0, "nothing will make a run fail"),
        (
            [command.State.OK, command.State.REMARK],
            0,
            "0 of 2 checks say that something will fail, 1 have a remark",
        ),
        ([command.State.FAIL], 1, "1 of 1 checks say that something will fail, 0 have a remark"),
    ],
)
def test_the_status_says_whether_something_will_fail(tailgate, states, status, last):
    found = tuple(check(state, "" if state is command.State.OK else "do this") for state in states)
    code, out = tailgate(found)
    assert (code, out.splitlines()[-1]) == (status, last)
    assert "\x1b" not in out
    assert "found [red]" in out
    assert ("→ do this" in out) == (states != [command.State.OK])
    code, out = tailgate(found, "--json")
    assert (code, [one["state"] for one in orjson.loads(out)["checks"]]) == (
        status,
        [state.value for state in states],
    )
