"""The service as a process: its start, its stop, its signals and its exit status. Nothing here depends on how long it takes."""

import asyncio
import contextlib
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from serving import metric_samples, until
from tiny_models import HOLD

from service import server
from service.errors import ConfigurationError
from service.lifecycle import Phase
from service.settings import load_settings

HERE = Path(__file__).parent
PATIENCE_S = 60
ITEM = {"inputs": [1.0, 2.0, 3.0, 4.0]}
HELD = {"inputs": [HOLD, 2.0, 3.0, 4.0]}


class Program:
    """``python -m service`` on a socket of ours, and a pipe to and from its model."""

    def __init__(self, process, url, said, hold):
        self.process = process
        self.client = httpx.Client(base_url=url, timeout=PATIENCE_S)
        self.log = []
        self._said, self._hold = said, hold
        self._lines = queue.Queue()
        self._reader = threading.Thread(target=self._read)
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
        self.process.wait()
        self._reader.join()
        self.process.stderr.close()


@contextlib.contextmanager
def program(model, **settings):
    """Start the service as a process; it is gone at the end, whatever happens."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        said, say = os.pipe()
        held, hold = os.pipe()
        for descriptor in (said, hold):
            stack.callback(os.close, descriptor)
        process = subprocess.Popen(
            [sys.executable, "-m", "service", "--model", model, "--log-format", "json"],
            env={
                **os.environ,
                "PYTHONPATH": str(HERE),
                "TINY_SAY_FD": str(say),
                "TINY_HOLD_FD": str(held),
                "TAILGATE_FD": str(listener.fileno()),
                "TAILGATE_THREADS": "1",
                **{f"TAILGATE_{name.upper()}": str(value) for name, value in settings.items()},
            },
            cwd=HERE.parents[1],
            pass_fds=(listener.fileno(), say, held),
            stderr=subprocess.PIPE,
            text=True,
        )
        os.close(say)
        os.close(held)
        running = Program(process, f"http://127.0.0.1:{listener.getsockname()[1]}", said, hold)
        stack.callback(running.close)
        yield running


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
        service.until(unavailable=1, ready=0)
        service.let_model_go()
        assert held.result().json()["outputs"] == [2 * HOLD, 4.0, 6.0, 8.0]
        assert [answer.result().json()["outputs"] for answer in waiting] == [
            [2.0 * number] * 4 for number in range(100, 110)
        ]
        assert service.exit_status() == 0


def test_a_second_signal_ends_the_drain(monkeypatch, gate):
    async def visit(uvicorn_server, service, address):
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
            await until(lambda: uvicorn_server.should_exit)
            assert not held.done()
            held.cancel()

    assert serve_and(visit, monkeypatch, model="gated:factory") == 0


def serve_and(visit, monkeypatch, **settings):
    """Run the server in this process, beside a coroutine that visits it and ends it by a signal."""
    serve = server.serve

    async def both(uvicorn_server, service, listener):
        serving = asyncio.create_task(serve(uvicorn_server, service, listener))
        await visit(uvicorn_server, service, listener.getsockname())
        return await serving

    monkeypatch.setattr(server, "serve", both)
    return server.run(load_settings({}, port=0, **settings))


def test_a_port_in_use_is_told_at_once_with_status_2():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = subprocess.run(
            [sys.executable, "-m", "service", "--port", str(port)],
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
    assert ended.returncode == 2
    assert f"tailgate: TAILGATE_HOST, TAILGATE_PORT: cannot listen on 127.0.0.1:{port}: " in ended.stderr


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
        ({"device": "cuda"}, "PyTorch finds no CUDA device"),
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

    async def visit(uvicorn_server, _, address):
        reader, writer = await asyncio.open_connection(*address)
        writer.write(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
        for connection in uvicorn_server.server_state.connections:
            accepted = connection.transport.get_extra_info("socket")
            without_delay.append(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()
        os.kill(os.getpid(), signal.SIGTERM)

    assert serve_and(visit, monkeypatch, model="tiny_models:doubler") == 0
    assert len(without_delay) == 1
    assert all(without_delay)
