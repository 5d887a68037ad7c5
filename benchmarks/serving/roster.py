"""Every server that is compared: how it is installed, started, and asked for one prediction."""

import base64
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import orjson
import typer

from benchmarks.environments import CACHE, ROOT, python_for
from benchmarks.workloads import JPEG, Workload
from tailgate.harness.target.launching.launch import Launch

READY_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 8.0


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request."""

    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Entry:
    """One server."""

    name: str  # for tables and JSON
    command: tuple[
        str, ...
    ]  # program and arguments after the interpreter; ``{port}`` and ``{fd}`` as in a Launch
    path: str  # of predictions
    readiness_path: str  # answers 200 once the model is loaded
    encode: Callable[[Workload], Request]  # turns a workload's body into a request of this server
    read: Callable[[bytes], float]  # finds the number in an answer that must be equal for all servers
    requirements: tuple[str, ...] = ()  # of its environment; empty for tailgate's own
    environment: Mapping[str, str] = field(default_factory=dict)  # further variables
    pausable: bool = True  # whether it survives SIGSTOP while others are measured
    note: str = ""  # what is particular about it

    def launch(self, workload: Workload, processors: str, further: Mapping[str, str]) -> Launch:
        """Return how to start it; install its environment first.

        Args:
            workload: the model.
            processors: those that it may run on, as taskset lists them.
            further: environment variables that override all others.

        Raises:
            AbsentError: it cannot be installed.
        """
        python = python_for(self.name, self.requirements) if self.requirements else Path(sys.executable)
        own = workload.peer_environment if self.requirements else workload.tailgate_environment
        length = "BYTES" if workload.content_type == JPEG else str(len(workload.body))
        environment = {**workload.environment, "TRITON_INPUT": length, **own, **self.environment, **further}
        return Launch(
            command=("taskset", "--cpu-list", processors, str(python), *self.command),
            environment=environment,
            directory=ROOT,
            readiness_path=self.readiness_path,
            ready_timeout_s=READY_TIMEOUT_S,
            stop_timeout_s=STOP_TIMEOUT_S,
        )


def raw(workload: Workload) -> Request:
    """Return the body as it is."""
    return Request(workload.body, {"Content-Type": workload.content_type})


def base64_document(workload: Workload) -> Request:
    """Return JSON with one item, for a server that takes nothing else."""
    return _json({"data": base64.b64encode(workload.body).decode()})


def base64_list(workload: Workload) -> Request:
    """Return JSON with a list of one item, for a server that takes nothing else."""
    return _json({"items": [base64.b64encode(workload.body).decode()]})


def _json(document: object) -> Request:
    return Request(orjson.dumps(document), {"Content-Type": "application/json"})


def inference_v2(workload: Workload) -> Request:
    """Return the Open Inference Protocol's binary tensors, for input and output."""
    body, kind, shape = workload.body, "UINT8", [1, len(workload.body)]
    if workload.content_type == JPEG:  # BYTES elements carry their length in 4 bytes
        body, kind, shape = len(body).to_bytes(4, "little") + body, "BYTES", [1, 1]
    tensor = {"name": "BODY", "datatype": kind, "shape": shape, "parameters": {"binary_data_size": len(body)}}
    wanted = {"name": "ANSWER", "parameters": {"binary_data": True}}
    document = orjson.dumps({"inputs": [tensor], "outputs": [wanted]})
    length = {"Inference-Header-Content-Length": str(len(document))}
    return Request(document + body, {"Content-Type": "application/octet-stream", **length})


def number(answer: bytes) -> float:
    """Return the most likely class of an answer in JSON, or its only output."""
    document = orjson.loads(answer)
    document = document[0] if isinstance(document, list) else document
    found = document["predictions"][0]["class"] if "predictions" in document else document["outputs"][0]
    return float(found)


def number_v2(answer: bytes) -> float:
    """Return the same of an answer whose tensor follows the JSON: its first number."""
    tensor = answer[answer.index(b"}]}") + 3 :]
    return float(np.frombuffer(tensor, "<f4")[0])


TAILGATE = Entry(
    "tailgate", ("-m", "tailgate.service", "--fd", "{fd}"), "/predict", "/health/ready", raw, number
)
MOSEC = Entry(
    "mosec",
    ("-m", "benchmarks.peers.mosec_app", "--address", "127.0.0.1", "--port", "{port}"),
    "/inference",
    "/",
    raw,
    number,
    ("mosec==0.9.8",),
    note="one worker, window 1 ms (the shortest)",
)
TRITON = Entry(
    "triton",
    ("-m", "benchmarks.peers.triton_app", "{port}"),
    "/v2/models/classifier/infer",
    "/v2/models/classifier/ready",
    inference_v2,
    number_v2,
    ("nvidia-pytriton==0.7.0",),
    # Its server gives its Python process time limits that go on while both are stopped, and ends when they pass.
    pausable=False,
    note="Python backend, dynamic batching, binary tensors both ways; answers numbers without labels",
)
LITSERVE = Entry(
    "litserve",
    ("-m", "benchmarks.peers.litserve_app", "{port}"),
    "/predict",
    "/health",
    base64_document,
    number,
    ("litserve==0.2.19",),
    note="one worker, fast_queue, window 1 ms; JSON with base64",
)
BENTOML = Entry(
    "bentoml",
    (
        "-m",
        "bentoml",
        "serve",
        "benchmarks.peers.bentoml_app:Classifier",
        "--host=127.0.0.1",
        "--port={port}",
    ),
    "/predict",
    "/readyz",
    base64_list,
    number,
    ("bentoml==1.4.40",),
    {"BENTOML_DO_NOT_TRACK": "True", "BENTOML_HOME": str(CACHE / "bentoml")},
    note="one worker, adaptive batching; JSON with base64",
)
RAY = Entry(
    "ray",
    ("-m", "benchmarks.peers.ray_app", "{port}"),
    "/predict",
    "/-/healthz",
    raw,
    number,
    ("ray[serve]==2.60.0",),
    {"RAY_USAGE_STATS_ENABLED": "0", "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1", "RAY_SERVE_ENABLE_HA_PROXY": "1"},
    note="one replica behind its HAProxy, throughput-optimised, window 0",
)
ROSTER = (TAILGATE, MOSEC, TRITON, LITSERVE, BENTOML, RAY)


def entries(names: Sequence[str]) -> tuple[Entry, ...]:
    """Return the servers of these names.

    Raises:
        typer.BadParameter: there is no such server.
    """
    known = {entry.name: entry for entry in ROSTER}
    if unknown := [name for name in names if name not in known]:
        raise typer.BadParameter(f"there is no server {unknown[0]!r}; there are {', '.join(known)}")
    return tuple(known[name] for name in names)
