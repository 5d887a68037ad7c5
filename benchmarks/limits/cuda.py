"""The service on a GPU: served throughput beside the bare model's, ResNet-50 in FP16 and FP32.

    python -m benchmarks.limits.cuda [--rounds 3] [--seconds 5] [--json FILE]

The bare model is the folded network alone: its kernels recorded as a CUDA graph, its normalised inputs on the device
already, nothing copied. The service takes the same pictures as raw pixels over HTTP, 150,528 bytes per request, from
256 connections of several client processes. Another server, whose model does nothing, shows what one event loop can pass
on of bodies of that size in the small batches that it makes. Each round measures all of them once; ratios are taken within a
round. ``loop_share`` is the share of one processor that the event loop's thread takes while a server is loaded: near 1, it is
the event loop that bounds the throughput, and below that the device. It needs a CUDA device and 8 processors.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import psutil
import torch
import typer
from rich.console import Console

from benchmarks import record, targets
from benchmarks.environments import ROOT, cache
from benchmarks.limits.bare import mean_s
from benchmarks.models import LARGE_SIDE
from benchmarks.serving.client import MARGIN_S, Rounds, Seconds
from benchmarks.spread import Spread, ratio, spread
from benchmarks.targets import Sense, Target
from tailgate.harness.target.launching.launch import Launch
from tailgate.harness.target.launching.process import ServerProcess
from tailgate.service.execution.build import prepare
from tailgate.service.execution.cuda import Cuda
from tailgate.service.execution.graph import GraphOutput
from tailgate.service.logs import configure_logging
from tailgate.service.settings import load_settings

CAP = 64
SIZES = (16, 32, CAP, 128, 256)
CONNECTIONS, CLIENTS = 256, 4
_COMMON = {"TAILGATE_DEVICE": "cuda", "TAILGATE_MAX_BATCH_SIZE": str(CAP), "TAILGATE_QUEUE_CAPACITY": "1024"}
_RESNET = _COMMON | {"TAILGATE_MODEL": "torchvision:resnet50", "TAILGATE_WEIGHTS": "random"}
PRECISIONS = ("fp16", "fp32")
NOOP, EAGER = "noop", "fp16 eager"
SERVERS = {
    NOOP: _COMMON | {"TAILGATE_MODEL": "benchmarks.models:large_noop"},
    **{precision: _RESNET | {"TAILGATE_PRECISION": precision} for precision in PRECISIONS},
    EAGER: _RESNET | {"TAILGATE_PRECISION": "fp16", "TAILGATE_EXECUTOR": "eager"},
}
TARGETS = {f"fp16 served over bare, batch {CAP}": 0.95, "fp16 over fp32, served": 2.0}


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
            shape = (size, LARGE_SIDE, LARGE_SIDE, 3)
            pixels = torch.randint(0, 256, shape, dtype=torch.uint8, device="cuda")
            with torch.inference_mode():
                inputs = convert(pixels)
                recording = recorder.record(lambda inputs=inputs: GraphOutput(*[body(inputs)] * 3))  # type: ignore[misc]
            self._kept.append(inputs)
            self._replays[size] = recording.replay

    def images_per_s(self, seconds: float) -> dict[int, float]:
        """Return the throughput by batch size, each replayed for its share of ``seconds``."""
        found = {}
        for size, replay in self._replays.items():
            run = partial(_finish, replay)
            run()
            found[size] = size / mean_s(run, seconds / len(SIZES))
        return found


def _finish(replay: Callable[[], object]) -> None:
    replay()
    torch.cuda.synchronize()


def server(name: str) -> ServerProcess:
    """Return tailgate with the settings of a name, not yet started."""
    command = (sys.executable, "-m", "tailgate.service", "--fd", "{fd}")
    return ServerProcess(Launch(command, SERVERS[name], ROOT), cache() / "logs" / f"cuda-{name}.log")


def served(target: ServerProcess, body: Path, seconds: float) -> dict[str, Any]:
    """Load one server; return the requests per second and the failures of all clients together."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.serving.closed_loop",
        str(target.port),
        "/predict",
        str(body),
    ]
    command += [str(CONNECTIONS // CLIENTS), str(seconds), "Content-Type", "application/octet-stream"]
    before_s = loop_s(target)
    clients = [subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) for _ in range(CLIENTS)]
    told = [orjson.loads(client.communicate(timeout=seconds + MARGIN_S)[0]) for client in clients]
    return {
        "loop_share": (loop_s(target) - before_s) / max(one["seconds"] for one in told),
        "per_s": sum(one["requests"] / one["seconds"] for one in told),
        "p50_s": float(np.median([one["p50_s"] for one in told])),
        "failed": sum(one["failed"] for one in told),
    }


def loop_s(target: ServerProcess) -> float:
    """Return the processor time so far of a server's first thread, which runs its event loop."""
    threads = {thread.id: thread for thread in psutil.Process(target.pid).threads()}
    assert target.pid is not None
    first = threads[target.pid]
    return float(first.user_time + first.system_time)


def measure(rounds: int, seconds: float) -> list[dict[str, Any]]:
    """Measure everything once per round; the servers that are not measured stay idle on the device."""
    with ExitStack() as stack, tempfile.NamedTemporaryFile() as body:
        body.write(np.random.default_rng(0).bytes(LARGE_SIDE * LARGE_SIDE * 3))
        body.flush()
        # One after the other: each measures its batch times as it starts.
        running = {name: stack.enter_context(server(name)) for name in SERVERS}
        bare = {precision: Bare(precision) for precision in PRECISIONS}
        for target in running.values():
            served(target, Path(body.name), 1.0)
        return [
            {
                "bare_per_s": {name: one.images_per_s(seconds / 2) for name, one in bare.items()},
                "served": {name: served(each, Path(body.name), seconds) for name, each in running.items()},
            }
            for _ in range(rounds)
        ]


def summary(measured: list[dict[str, Any]]) -> dict[str, Spread]:
    """Return the figures and ratios over the rounds."""
    found: dict[str, Spread] = {}
    per_s = {name: [one["served"][name]["per_s"] for one in measured] for name in SERVERS}
    for name in SERVERS:
        shares = [one["served"][name]["loop_share"] for one in measured]
        found[f"{name} served, share of a processor that the event loop takes"] = spread(shares)
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
    found["fp16 recorded over fp16 eager, served"] = ratio(per_s["fp16"], per_s[EAGER])
    return found


def main(
    rounds: Rounds = 3, seconds: Seconds = 5.0, json: record.Json = record.RESULTS / "cuda.json"
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
    judged = [Target(what, Sense.AT_LEAST, wanted, figures[what]) for what, wanted in TARGETS.items()]
    document.write({"rounds": measured, "figures": figures, "targets": targets.rows(judged)})
    console = Console(width=100)
    for name, figure in figures.items():
        console.print(f"{name}: {figure}")
    console.print(targets.table(judged))
    print(f"written: {json}")


if __name__ == "__main__":
    typer.run(main)
