"""What the service makes of a GPU: served throughput beside the bare model's, ResNet-50 in FP16 and FP32.

    python -m benchmarks.cuda [--rounds 3] [--seconds 5] [--json FILE]

The bare model is the folded network alone: its kernels recorded as a CUDA graph, its normalised inputs on the device already,
nothing copied. The service takes the same pictures as raw pixels over HTTP, 150,528 bytes a request, from 256 connections
of several client processes. A third server, whose model does nothing, shows what one event loop can pass on of bodies of that
size. Each round measures all of them once; ratios are taken within a round. It needs a CUDA device and 8 processors.
"""

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import orjson
import torch
import typer
from rich.console import Console
from rich.table import Table

from benchmarks import record
from benchmarks.environments import ROOT
from benchmarks.models import LARGE_SIDE
from benchmarks.spread import Spread, ratio, spread
from tailgate.service.execution.build import prepare
from tailgate.service.execution.cuda import Cuda
from tailgate.service.execution.graph import GraphOutput
from tailgate.service.logs import configure_logging
from tailgate.service.settings import load_settings

CAP = 64
SIZES = (16, 32, CAP, 128, 256)
CONNECTIONS, CLIENTS = 256, 4
READY_TIMEOUT_S, MARGIN_S = 120.0, 60.0
TARGET_SHARE, TARGET_FP16 = 0.8, 2.0
_COMMON = {"TAILGATE_DEVICE": "cuda", "TAILGATE_MAX_BATCH_SIZE": str(CAP), "TAILGATE_QUEUE_CAPACITY": "1024"}
_RESNET = _COMMON | {"TAILGATE_MODEL": "torchvision:resnet50", "TAILGATE_WEIGHTS": "random"}
PRECISIONS = ("fp16", "fp32")
NOOP = "noop"
SERVERS = {
    NOOP: _COMMON | {"TAILGATE_MODEL": "benchmarks.models:large_noop"},
    **{precision: _RESNET | {"TAILGATE_PRECISION": precision} for precision in PRECISIONS},
}


class Bare:
    """The network alone, in one precision: a CUDA graph for each batch size."""

    def __init__(self, precision: str) -> None:
        ready = prepare(load_settings(SERVERS[precision]))
        body = ready.graph.body.eval().to(ready.device).to(memory_format=torch.channels_last)
        convert = ready.graph.prepare.to(ready.device)
        recorder = Cuda(ready.device)
        self._replays = {}
        self._kept: list[object] = [body]  # a recording reads weights and inputs where they lie
        for size in reversed(SIZES):
            pixels = torch.randint(
                0, 256, (size, LARGE_SIDE, LARGE_SIDE, 3), dtype=torch.uint8, device="cuda"
            )
            with torch.inference_mode():
                inputs = convert(pixels)
                recording = recorder.record(lambda inputs=inputs: GraphOutput(*[body(inputs)] * 3))  # type: ignore[misc]
            self._kept.append(inputs)
            self._replays[size] = recording.replay

    def images_per_s(self, seconds: float) -> dict[int, float]:
        """Return the throughput by batch size, each replayed for its share of ``seconds``."""
        found = {}
        for size, replay in self._replays.items():
            replay()
            torch.cuda.synchronize()
            start_s, runs = time.perf_counter(), 0
            while time.perf_counter() < start_s + seconds / len(SIZES):
                replay()
                torch.cuda.synchronize()
                runs += 1
            found[size] = size * runs / (time.perf_counter() - start_s)
        return found


@contextmanager
def server(environment: Mapping[str, str]) -> Iterator[int]:
    """Run tailgate; yield its port once it is ready."""
    with socket.create_server(("127.0.0.1", 0)) as listener, tempfile.TemporaryFile() as log:
        port = listener.getsockname()[1]
        process = subprocess.Popen(
            [sys.executable, "-m", "tailgate.service", "--fd", str(listener.fileno())],
            env={**os.environ, **environment},
            cwd=ROOT,
            pass_fds=[listener.fileno()],
            stdout=log,
            stderr=log,
        )
        try:
            end_s = time.monotonic() + READY_TIMEOUT_S
            while not _is_ready(port):
                if process.poll() is not None or time.monotonic() > end_s:
                    log.seek(0)
                    raise RuntimeError(f"the server is not ready: {log.read()[-2000:].decode()}")
                time.sleep(0.2)
            yield port
        finally:
            process.terminate()
            process.wait(MARGIN_S)


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=2):
            return True
    except OSError:  # of which a refusal, 503, is one
        return False


def served(port: int, body: Path, seconds: float) -> dict[str, Any]:
    """Load one server; return the requests a second and the failures of all clients together."""
    command = [sys.executable, "-m", "benchmarks.closed_loop", str(port), "/predict", str(body)]
    command += [str(CONNECTIONS // CLIENTS), str(seconds), "Content-Type", "application/octet-stream"]
    clients = [subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) for _ in range(CLIENTS)]
    told = [orjson.loads(client.communicate(timeout=seconds + MARGIN_S)[0]) for client in clients]
    return {
        "per_s": sum(one["requests"] / one["seconds"] for one in told),
        "p50_s": float(np.median([one["p50_s"] for one in told])),
        "failed": sum(one["failed"] for one in told),
    }


def measure(rounds: int, seconds: float) -> list[dict[str, Any]]:
    """Measure everything once a round; what does not run has only an idle process on the device."""
    with ExitStack() as stack, tempfile.NamedTemporaryFile() as body:
        body.write(np.random.default_rng(0).bytes(LARGE_SIDE * LARGE_SIDE * 3))
        body.flush()
        # One after the other: each measures its batch times as it starts.
        ports = {name: stack.enter_context(server(environment)) for name, environment in SERVERS.items()}
        bare = {precision: Bare(precision) for precision in PRECISIONS}
        for port in ports.values():
            served(port, Path(body.name), 1.0)
        return [
            {
                "bare_per_s": {name: one.images_per_s(seconds / 2) for name, one in bare.items()},
                "served": {name: served(port, Path(body.name), seconds) for name, port in ports.items()},
            }
            for _ in range(rounds)
        ]


def summary(measured: list[dict[str, Any]]) -> dict[str, Spread]:
    """Return the figures and ratios over the rounds."""
    found: dict[str, Spread] = {}
    per_s = {name: [one["served"][name]["per_s"] for one in measured] for name in SERVERS}
    for name in PRECISIONS:
        at_cap = [one["bare_per_s"][name][CAP] for one in measured]
        best = [max(one["bare_per_s"][name].values()) for one in measured]
        found |= {
            f"{name} bare, batch {CAP}, images/s": spread(at_cap),
            f"{name} bare, best batch, images/s": spread(best),
            f"{name} served, images/s": spread(per_s[name]),
            f"{name} served over bare, batch {CAP}": ratio(per_s[name], at_cap),
            f"{name} served over bare, best batch": ratio(per_s[name], best),
        }
    found["no-op model served, requests/s"] = spread(per_s[NOOP])
    found["fp16 over fp32, served"] = ratio(per_s["fp16"], per_s["fp32"])
    return found


def main(
    rounds: Annotated[int, typer.Option(help="how often everything is measured")] = 3,
    seconds: Annotated[float, typer.Option(help="length of each measurement")] = 5.0,
    json: Annotated[Path, typer.Option(help="where the results go")] = record.RESULTS / "cuda.json",
) -> None:
    """Measure the service and the bare model on a CUDA device."""
    if not torch.cuda.is_available():
        raise typer.BadParameter("there is no CUDA device to measure")
    configure_logging("console")
    settings = {
        "rounds": rounds,
        "seconds": seconds,
        "connections": CONNECTIONS,
        "clients": CLIENTS,
        "cap": CAP,
    }
    document = record.Record("cuda", {**settings, "device": torch.cuda.get_device_name()}, json)
    measured = measure(rounds, seconds)
    figures = summary(measured)
    targets = {
        f"fp16 served over bare, batch {CAP}": TARGET_SHARE,
        "fp16 over fp32, served": TARGET_FP16,
    }
    met = {
        name: {"target": least, "reached": figures[name].median, "met": figures[name].median >= least}
        for name, least in targets.items()
    }
    document.write({"rounds": measured, "figures": figures, "targets": met})
    table = Table(title=torch.cuda.get_device_name())
    for heading in ("", "median (least to most)", "target"):
        table.add_column(heading)
    for name, figure in figures.items():
        table.add_row(name, str(figure), f"≥ {targets[name]:g}" if name in targets else "")
    Console(width=100).print(table)
    print(f"written: {json}")


if __name__ == "__main__":
    typer.run(main)
