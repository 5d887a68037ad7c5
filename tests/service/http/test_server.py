"""The service as a process: its start, its stop, its signals and its exit status. Nothing here depends on how long it takes."""

import asyncio
import contextlib
import json
import os
import queue
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import types
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

import httpx
import pytest
from edges import Connection
from nursery import nursery
from serving import metric_samples, serve_and, until
from tiny_models import HOLD, POISON

from tailgate.service.__main__ import main
from tailgate.service.batching.service import Phase
from tailgate.service.errors import ConfigurationError
from tailgate.service.http import server
from tailgate.service.http.limits import LINGER_S
from tailgate.service.http.state import State
from tailgate.service.settings import load_settings

HERE = Path(__file__).parents[1]
PATIENCE_S = 60
ITEM = {"inputs": [1.0, 2.0, 3.0, 4.0]}
HELD = {"inputs": [HOLD, 2.0, 3.0, 4.0]}


class Program:
    """``python -m tailgate.service`` on a socket of ours, and a pipe to and from its model."""

    def __init__(self, process, url, said, hold, *, read_log=True):
        self.process = process
        self.client = httpx.Client(base_url=url, timeout=PATIENCE_S)
        self.log = []
        self._said, self._hold = said, hold
        self._lines = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        if read_log:
            self._reader.start()

    def _read(self):
        for line in self.process.stderr:
            self._lines.put(json.loads(line) if line.startswith("{") else {"event": line.strip()})
        self._lines.put(None)

    def wait_for(self, event):
        """Read the log up to an event."""
        while (entry := self._lines.get(timeout=PATIENCE_S)) is not None:
            self.log.append(entry)
            if entry["event"] == event:
                return entry
        raise AssertionError(f"no event {event!r} in {self.log}")

    def wait_for_model(self):
        """Wait until the model says that it is held."""
        assert os.read(self._said, 1) == b"."

    def let_model_go(self):
        os.write(self._hold, b".")

    def samples(self):
        return metric_samples(self.client.get("/metrics").text)

    def until(self, **wanted):
        """Ask for the metrics until gauges or outcomes have these values."""
        for _ in range(10_000):
            samples = self.samples()
            seen = {
                name: samples.get(
                    (f"tailgate_{name}", ()), samples.get(("tailgate_requests_total", (("outcome", name),)))
                )
                for name in wanted
            }
            if seen == wanted:
                return
        raise AssertionError(f"expected {wanted}, got {seen}")

    def exit_status(self):
        return self.process.wait(PATIENCE_S)

    def close(self):
        self.client.close()
        self.process.kill()
        self.process.wait(PATIENCE_S)
        if self._reader.ident is not None:
            self._reader.join()
        self.process.stderr.close()


@contextlib.contextmanager
def program(model, *, read_log=True, **settings):
    """Start the service as a process; it is gone at the end, whatever happens."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        said, say = os.pipe()
        held, hold = os.pipe()
        for descriptor in (said, hold):
            stack.callback(os.close, descriptor)
        process = nursery().start(
            "tailgate.service",
            ["--model", model, "--log-format", "json"],
            {
                **os.environ,
                "PYTHONPATH": str(HERE),
                "TINY_SAY_FD": str(say),
                "TINY_HOLD_FD": str(held),
                "TAILGATE_FD": str(listener.fileno()),
                "TAILGATE_THREADS": "1",
                **{f"TAILGATE_{name.upper()}": str(value) for name, value in settings.items()},
            },
            pass_fds=(listener.fileno(), say, held),
        )
        os.close(say)
        os.close(held)
        running = Program(
            process, f"http://127.0.0.1:{listener.getsockname()[1]}", said, hold, read_log=read_log
        )
        stack.callback(running.close)
        yield running


@contextlib.contextmanager
def replacing(former, model):
    """Start the service in place of one that has become ready: before, there is nothing to take over."""
    former.wait_for("ready")
    with program(model, replace=former.process.pid) as later:
        yield later


def test_it_is_live_before_it_is_ready_and_ready_after_warm_up_and_ends_with_status_0():
    with program("tiny_models:held_in_build", max_batchsize=3) as service:
        service.wait_for_model()
        assert service.client.get("/health/live").status_code == 200
        assert service.client.get("/health/ready").json() == {"status": "starting"}
        assert service.client.post("/predict", json=ITEM).status_code == 503
        service.let_model_go()
        service.wait_for("ready")
        assert service.client.get("/health/ready").json() == {"status": "ready"}
        assert service.client.post("/predict", json=ITEM).json()["outputs"] == [2.0, 4.0, 6.0, 8.0]
        service.process.send_signal(signal.SIGTERM)
        assert service.exit_status() == 0
        assert any("did you mean TAILGATE_MAX_BATCH_SIZE?" in entry["event"] for entry in service.log)


def test_a_log_that_nobody_reads_keeps_neither_requests_nor_probes_nor_a_stop_waiting():
    with program("tiny_models:talker", read_log=False, max_batch_size=1) as service:
        while service.client.get("/health/ready").status_code != 200:
            pass
        dropped = ("tailgate_log_lines_dropped_total", ())
        said = 0
        while not service.samples()[dropped]:
            assert (
                service.client.post("/predict", json={"inputs": [POISON, 0.0, 0.0, 0.0]}).status_code == 200
            )
            said += 2
            assert said < 100  # of 100,000 characters each, of which a pipe and the queue take some 12
        assert service.client.get("/health/live").status_code == 200
        assert service.client.post("/predict", json=ITEM).json()["outputs"] == [2.0, 4.0, 6.0, 8.0]
        service.process.send_signal(signal.SIGTERM)
        assert service.exit_status() == 0


def test_a_stop_during_the_start_does_not_wait_for_the_model():
    with program("tiny_models:held_in_build") as service:
        service.wait_for_model()
        service.process.send_signal(signal.SIGTERM)
        assert service.exit_status() == 0


def test_a_client_that_leaves_costs_nobody_anything_and_a_stop_answers_all_that_was_accepted():
    with program("tiny_models:held_by_pipe", max_batch_size=4) as service, ThreadPoolExecutor(16) as clients:

        def send(body):
            return clients.submit(
                httpx.post, service.client.base_url.join("/predict"), json=body, timeout=PATIENCE_S
            )

        service.wait_for("ready")
        held = send(HELD)
        service.wait_for_model()
        leaving = socket.create_connection((service.client.base_url.host, service.client.base_url.port))
        body = json.dumps(ITEM).encode()
        leaving.sendall(
            b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        )
        service.until(queue_depth=1)
        leaving.close()
        service.until(queue_depth=0, cancelled=1, in_flight=1)

        waiting = [send({"inputs": [float(number)] * 4}) for number in range(100, 110)]
        service.until(queue_depth=10)
        service.process.send_signal(signal.SIGTERM)
        service.wait_for("draining")
        refused = service.client.post("/predict", json=ITEM)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert refused.headers["connection"] == "close"
        service.until(unavailable=1, ready=0)
        service.let_model_go()
        assert held.result().json()["outputs"] == [2 * HOLD, 4.0, 6.0, 8.0]
        assert [answer.result().json()["outputs"] for answer in waiting] == [
            [2.0 * number] * 4 for number in range(100, 110)
        ]
        assert service.exit_status() == 0


def raw(item, target=b"/predict"):
    body = json.dumps(item).encode()
    return (
        b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
        % (target, len(body), body)
    )


# A request that the hot path takes, and one that goes the usual way.
TAKEN, USUAL = raw(ITEM), raw(ITEM, b"http://x/predict")
# Whether a body that comes to its end in the drain is computed is of no interest here: it is answered.
EITHER = mock.ANY
HALF_HEAD = TAKEN[:20]
# What a connection has sent when the signal comes, what it sends afterwards, and the statuses of its answers.
AT_THE_SIGNAL = {
    "a request in a batch": (TAKEN, b"", [200]),
    "one that goes the usual way": (USUAL, b"", [200]),
    "two at once": (TAKEN * 2, b"", [200, 503]),
    "two that go the usual way": (USUAL * 2, b"", [200, 503]),
    "half a head behind a request": (TAKEN + TAKEN[:20], TAKEN[20:], [200, 503]),
    "half a head behind the usual way": (USUAL + TAKEN[:20], TAKEN[20:], [200, 503]),
    "another one afterwards": (TAKEN, TAKEN, [200, 503]),
    "another one afterwards, the usual way": (USUAL, USUAL, [200, 503]),
    "half a body": (TAKEN[:-1], TAKEN[-1:], [EITHER]),
    "half a body, the usual way": (USUAL[:-1], USUAL[-1:], [EITHER]),
    "half a head": (TAKEN[:20], TAKEN[20:], [503]),
    "an idle connection": (b"", TAKEN, [503]),
}


def test_at_the_signal_every_request_is_answered_the_last_answer_says_so_and_no_connection_is_reset():
    with program("tiny_models:held_by_pipe", max_batch_size=16) as service, contextlib.ExitStack() as stack:
        service.wait_for("ready")
        address = service.client.base_url.host, service.client.base_url.port
        held = stack.enter_context(Connection(address))
        held.send(raw(HELD))
        service.wait_for_model()
        connections = [stack.enter_context(Connection(address)) for _ in AT_THE_SIGNAL]
        for connection, (before, _, _) in zip(connections, AT_THE_SIGNAL.values(), strict=True):
            connection.send(before)
        service.until(queue_depth=8, in_flight=11)
        service.process.send_signal(signal.SIGTERM)
        service.wait_for("draining")
        for connection, (_, afterwards, _) in zip(connections, AT_THE_SIGNAL.values(), strict=True):
            connection.send(afterwards)
        idle = connections[-1].answer()  # it was the last to send: what the others have sent has been read
        service.let_model_go()
        answers = {
            what: connection.answers(len(statuses))
            for connection, (what, (_, _, statuses)) in zip(
                connections[:-1], list(AT_THE_SIGNAL.items())[:-1], strict=True
            )
        }
        answers["an idle connection"] = [idle]
        assert answers["half a body"][0][0] in (200, 503)
        assert answers["half a body, the usual way"][0][0] in (200, 503)
        last = [held.answer(), *(each[-1] for each in answers.values())]
        assert {what: [status for status, _, _ in each] for what, each in answers.items()} == {
            what: statuses for what, (_, _, statuses) in AT_THE_SIGNAL.items()
        }
        assert all(b"connection: close" in headers for _, headers, _ in last)
        assert all(connection.is_closed() for connection in (held, *connections))
        assert service.exit_status() == 0


def test_it_serves_on_after_the_signal_until_the_delay_or_a_second_signal_ends_that():
    with program("tiny_models:doubler", drain_delay_s=3600) as service:
        service.wait_for("ready")
        service.process.send_signal(signal.SIGTERM)
        service.wait_for("leaving")
        assert service.client.get("/health/ready").json() == {"status": "leaving"}
        served = service.client.post("/predict", json=ITEM)
        assert (served.json()["outputs"], served.headers["connection"]) == ([2.0, 4.0, 6.0, 8.0], "close")
        service.until(ready=0, ok=1)
        service.process.send_signal(signal.SIGTERM)
        service.wait_for("draining")
        assert service.exit_status() == 0


def test_a_service_is_replaced_under_load_and_every_request_is_answered():
    with (
        program("tiny_models:passing") as former,
        replacing(former, "tiny_models:held_in_build") as later,
        ThreadPoolExecutor(4) as clients,
    ):
        answers, stop, url = [], threading.Event(), former.client.base_url.join("/predict")

        def load():
            with httpx.Client(timeout=PATIENCE_S) as client:
                while not stop.is_set():
                    answers.append(client.post(url, json=ITEM))

        def more(count):
            """Let the clients go on until there are so many answers more."""
            wanted = len(answers) + count
            while len(answers) < wanted and not any(each.done() for each in loading):
                pass

        loading = [clients.submit(load) for _ in range(4)]
        try:
            later.wait_for_model()
            more(20)
            assert all(each.json()["outputs"] == ITEM["inputs"] for each in answers)
            later.let_model_go()
            later.wait_for("ready")
            assert former.exit_status() == 0
            before = len(answers)
            more(20)
        finally:
            stop.set()
        assert [each.result() for each in loading] == [None] * 4
        assert {each.status_code for each in answers} == {200}
        assert answers[-1].json()["outputs"] == [2.0, 4.0, 6.0, 8.0]
        assert len(answers) >= before + 20
        former.wait_for("replaced")


def test_a_replacement_that_fails_says_why_and_the_service_goes_on():
    with (
        program("tiny_models:doubler") as former,
        replacing(former, "tiny_models:no_such") as later,
    ):
        assert later.exit_status() == 1
        former.wait_for("the replacement ended before it was ready")
        assert former.client.post("/predict", json=ITEM).status_code == 200


def test_a_second_signal_ends_the_drain(monkeypatch, gate):
    async def visit(served, service, address):
        await until(lambda: service.phase is Phase.READY)
        gate.opened.clear()
        async with httpx.AsyncClient(timeout=PATIENCE_S) as client:
            url = "http://{}:{}/predict".format(*address)
            held = asyncio.create_task(client.post(url, json=ITEM))
            assert await asyncio.to_thread(gate.entered.acquire, timeout=PATIENCE_S)
            os.kill(os.getpid(), signal.SIGTERM)
            await until(lambda: service.phase is Phase.DRAINING)
            assert not held.done()
            os.kill(os.getpid(), signal.SIGTERM)
            await until(served.hurry.is_set)
            assert not held.done()
            held.cancel()

    assert serve_and(visit, monkeypatch, model="gated:factory") == 0


def test_a_second_signal_ends_the_process_although_the_model_never_returns():
    with program("tiny_models:held_by_pipe") as service, ThreadPoolExecutor(1) as clients:
        service.wait_for("ready")
        url = service.client.base_url.join("/predict")
        held = clients.submit(httpx.post, url, json=HELD, timeout=PATIENCE_S)
        service.wait_for_model()
        service.process.send_signal(signal.SIGTERM)
        service.wait_for("draining")
        service.process.send_signal(signal.SIGTERM)
        assert service.exit_status() == 0
        assert isinstance(held.exception(), httpx.TransportError)


def test_when_the_drain_time_is_over_who_still_waits_is_told_so_and_the_process_ends():
    """The model is never let go: whatever waits for it, or for anybody's connection, would wait for ever."""
    with (
        program("tiny_models:held_by_pipe", drain_timeout_s=0.1) as service,
        ThreadPoolExecutor(1) as clients,
    ):
        service.wait_for("ready")
        url = service.client.base_url.join("/predict")
        held = clients.submit(httpx.post, url, json=HELD, timeout=PATIENCE_S)
        service.wait_for_model()
        service.process.send_signal(signal.SIGTERM)
        assert service.exit_status() == 0
        answer = held.result()
        assert (answer.status_code, answer.headers["connection"]) == (503, "close")
        assert "could not end this request in time" in answer.json()["error"]


def test_a_killed_process_leaves_its_port_to_the_next():
    command = [sys.executable, "-m", "tailgate.service", "--model", "tiny_models:doubler", "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(HERE), "TAILGATE_LOG_FORMAT": "json"}
    with subprocess.Popen(
        command, env=environment, cwd=HERE.parents[1], stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            listening = json.loads(
                next(line for line in process.stderr if line.startswith("{") and '"listening"' in line)
            )
            url = httpx.URL(listening["url"])
            with socket.create_connection((url.host, url.port)) as client:
                client.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
                assert client.recv(12) == b"HTTP/1.1 200"
                process.kill()
                assert process.wait(PATIENCE_S) == -signal.SIGKILL
                server.listen(load_settings({}, port=url.port)).close()
        finally:
            process.kill()


def test_a_port_in_use_is_told_at_once_with_status_2():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = subprocess.run(
            [sys.executable, "-m", "tailgate.service", "--port", str(port)],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    assert ended.returncode == 2
    assert f"tailgate: TAILGATE_HOST, TAILGATE_PORT: cannot listen on 127.0.0.1:{port}: " in ended.stderr


@pytest.mark.parametrize(
    ("variable", "told"),
    [
        ("TAILGATE_TOKENS_FILE", "cannot read {path}: No such file or directory"),
        ("TAILGATE_TLS_CERTIFICATE", "cannot use {path}: No such file or directory"),
        ("TAILGATE_TLS_KEY", "TAILGATE_TLS_CERTIFICATE is not: set both or none"),
    ],
)
def test_a_file_that_strangers_are_kept_out_with_is_asked_for_before_anything_starts(
    monkeypatch, capsys, tmp_path, variable, told
):
    monkeypatch.setattr(sys, "argv", ["service"])
    monkeypatch.setenv(variable, str(tmp_path / "none"))
    monkeypatch.setattr(server, "listen", None)
    monkeypatch.setattr("tailgate.service.__main__.configure_logging", lambda _: None)
    assert main() == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"tailgate: {variable}")
    assert told.format(path=tmp_path / "none") in lines[0]


@pytest.mark.parametrize(
    ("soft", "hard", "raised", "possible"),
    [
        (20_000, 20_000, None, 1000),
        (1024, 20_000, 1000 + server.OTHER_FILES, 1000),
        (1024, 1024, None, 1024 - server.OTHER_FILES),
        (256, 512, 512, 512 - server.OTHER_FILES),
        (256, server.resource.RLIM_INFINITY, 1000 + server.OTHER_FILES, 1000),
        (server.resource.RLIM_INFINITY, server.resource.RLIM_INFINITY, None, 1000),
        (10, 10, None, 1),
    ],
)
def test_as_many_files_may_be_open_as_connections_where_the_machine_allows(
    monkeypatch, capsys, soft, hard, raised, possible
):
    limits = []
    monkeypatch.setattr("resource.getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr("resource.setrlimit", lambda _, limit: limits.append(limit))
    assert server.allow_connections(1000) == possible
    assert [limit for limit in limits if limit != (soft, hard)] == ([(raised, hard)] if raised else [])
    assert ("ulimit -n" in capsys.readouterr().out) == (possible < 1000)


@pytest.mark.parametrize(
    ("host", "settings", "warning"),
    [
        ("127.0.0.1", {}, None),
        ("::1", {}, None),
        ("192.0.2.1", {}, "OPEN TO THE NETWORK"),
        ("0.0.0.0", {}, "OPEN TO THE NETWORK"),
        ("::", {}, "OPEN TO THE NETWORK"),
        ("0.0.0.0", {"token": "open-sesame-open-sesame"}, "sent unencrypted"),
        ("0.0.0.0", {"token": "open-sesame-open-sesame", "tls_certificate": "x"}, None),
    ],
)
def test_who_opens_the_service_to_strangers_is_told_so(capsys, host, settings, warning):
    listener = types.SimpleNamespace(getsockname=lambda: (host, 1))
    server._announce(listener, load_settings({}, **settings))
    log = capsys.readouterr().out
    assert ("https://" in log) == ("tls_certificate" in settings)
    assert ("warning" in log) == (warning is not None)
    assert (warning or "") in log


needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Return a function that makes a certificate of 127.0.0.1 and its key."""

    def make(name, *key_options):
        folder = tmp_path_factory.mktemp(name)
        files = folder / "certificate.pem", folder / "key.pem"
        made = "-x509", "-days", "1", "-subj", "/CN=x", "-addext", "subjectAltName=IP:127.0.0.1"
        kind = "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", *(key_options or ("-nodes",))
        written = "-out", str(files[0]), "-keyout", str(files[1])
        subprocess.run(
            ["openssl", "req", *made, *kind, *written],
            check=True,
            capture_output=True,
        )
        return files

    return make


@needs_openssl
def test_it_serves_https_with_a_certificate(monkeypatch, certificate):
    path, key = certificate("plain")
    trust = ssl.create_default_context(cafile=path)

    async def visit(_, service, address):
        await until(lambda: service.phase is Phase.READY)
        async with httpx.AsyncClient(verify=trust, timeout=PATIENCE_S) as client:
            url = "https://{}:{}".format(*address)
            assert (await client.get(f"{url}/health/ready")).status_code == 200
            answer = await client.post(f"{url}/predict", json=ITEM)
        assert answer.json()["outputs"] == [2.0, 4.0, 6.0, 8.0]
        with socket.create_connection(address) as plain:
            plain.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
            with contextlib.suppress(ConnectionResetError):
                assert b"200" not in await asyncio.to_thread(plain.recv, 1000)
        os.kill(os.getpid(), signal.SIGTERM)

    settings = {"tls_certificate": path, "tls_key": key, "model": "tiny_models:doubler"}
    assert serve_and(visit, monkeypatch, **settings) == 0


@needs_openssl
def test_slow_cut_and_pipelined_clients_are_served_over_tls_as_over_tcp(monkeypatch, certificate):
    path, key = certificate("guarded")
    trust = ssl.create_default_context(cafile=path)
    statuses = {}

    async def visit(served, service, address):
        guard = served.guard
        await until(lambda: service.phase is Phase.READY)

        async def connect():
            others = set(guard._open)
            reader, writer = await asyncio.open_connection(*address, ssl=trust)
            await until(lambda: guard._open - others)
            (protocol,) = guard._open - others
            return reader, writer, protocol

        async def status(reader):
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(int(re.search(rb"content-length: (\d+)", head)[1]))
            return int(head.split()[1])

        async def slow(sent, limit_s):
            reader, writer, protocol = await connect()
            writer.write(sent)
            await until(
                lambda: protocol.requests == 1 and (protocol.state is State.HEAD) == (sent == HALF_HEAD)
            )
            now_s = asyncio.get_running_loop().time()
            guard._review(guard.connections(), now_s)
            guard._review(guard.connections(), now_s + limit_s + 1)
            answered = await status(reader)
            now_s = asyncio.get_running_loop().time()
            guard._review(guard.connections(), now_s)
            guard._review(guard.connections(), now_s + LINGER_S + 1)
            assert await reader.read() == b""
            writer.close()
            return answered

        statuses["slow head"] = await slow(HALF_HEAD, service.settings.header_timeout_s)
        statuses["slow body"] = await slow(TAKEN[:-1], service.settings.body_timeout_s)

        _, writer, _ = await connect()
        writer.write(TAKEN[:-1])
        await until(lambda: service.in_flight.requests == 1)
        writer.transport.abort()
        await until(lambda: service.in_flight.requests == 0)
        assert service.in_flight.bytes == 0
        assert service.metrics.requests["cancelled"] == 3

        reader, writer, _ = await connect()
        writer.write(TAKEN * 2 + USUAL + TAKEN[:20])
        statuses["pipelined"] = [await status(reader) for _ in range(3)]
        writer.write(TAKEN[20:])
        statuses["pipelined"].append(await status(reader))
        writer.close()
        os.kill(os.getpid(), signal.SIGTERM)

    settings = {"tls_certificate": path, "tls_key": key, "model": "tiny_models:doubler"}
    assert serve_and(visit, monkeypatch, **settings) == 0
    assert statuses == {"slow head": 408, "slow body": 408, "pipelined": [200] * 4}


@needs_openssl
def test_a_key_and_its_password_are_tried_before_anything_starts(certificate):
    path, key = certificate("locked", "-passout", "pass:open sesame")
    other, _ = certificate("other")
    good = load_settings({}, tls_certificate=path, tls_key=key, tls_key_password="open sesame")
    assert server.tls_context(good).minimum_version is ssl.TLSVersion.TLSv1_2
    for wrong in (
        {"tls_certificate": path, "tls_key": key},
        {"tls_certificate": path, "tls_key": key, "tls_key_password": "sesame"},
        {"tls_certificate": path},
        {"tls_certificate": other, "tls_key": key, "tls_key_password": "open sesame"},
    ):
        with pytest.raises(
            ConfigurationError, match=f"^TAILGATE_TLS.*: cannot use {wrong['tls_certificate']}"
        ) as told:
            server.tls_context(load_settings({}, **wrong))
        assert "sesame" not in str(told.value)


def test_a_descriptor_that_is_no_socket_is_told():
    read, write = os.pipe()
    try:
        with pytest.raises(ConfigurationError, match=f"TAILGATE_FD: cannot listen on descriptor {read}"):
            server.listen(load_settings({}, fd=read))
    finally:
        os.close(read)
        os.close(write)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"weights": "nowhere.safetensors"}, "takes a file, and there is none at 'nowhere.safetensors'"),
        ({"model": "tiny_models:no_such"}, "no attribute 'no_such'"),
        ({"precision": "bf16", "precision_max_error": 1e-9}, "at most 1e-09 is allowed"),
        ({"precision": "fp16"}, "use bf16 there"),
        ({"device": "cuda"}, "TAILGATE_DEVICE: cuda is asked for, but"),
    ],
)
def test_a_start_that_fails_says_why_and_ends_with_status_1(monkeypatch, capsys, settings, reason):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    settings = {"model": "tiny_models:perceptron", "port": 0, **settings}
    assert server.run(load_settings({}, **settings)) == 1
    log = capsys.readouterr().out
    assert "cannot start" in log
    assert reason in log
    assert "Traceback" not in log


def test_accepted_connections_send_small_answers_at_once(monkeypatch):
    without_delay = []

    async def visit(served, _, address):
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
        for connection in served.guard.connections():
            accepted = connection.transport.get_extra_info("socket")
            without_delay.append(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()
        os.kill(os.getpid(), signal.SIGTERM)

    assert serve_and(visit, monkeypatch, model="tiny_models:doubler") == 0
    assert len(without_delay) == 1
    assert all(without_delay)
