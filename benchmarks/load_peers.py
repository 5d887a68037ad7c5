"""The generator beside wrk and beside loops of aiohttp and httpx: the same server, the same processor, closed loops."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from rich.table import Table

from benchmarks.claims import Claim, Sense
from benchmarks.load_run import payload, send, server
from benchmarks.pinning import client_processor
from tailgate.harness.scenario.arrivals import ClosedLoop
from tailgate.harness.scenario.scenario import Phase

CONNECTIONS = 32
# Of the law server, whose constant law takes 5 ms: 4 connections make 800 requests/s of every client.
EQUAL_CONNECTIONS = 4
WARM_UP_REQUESTS = 2_000


@dataclass(frozen=True, slots=True)
class Figures:
    """What one client reached.

    Attributes:
        requests_per_s: answered.
        cpu_s: processor time of the client, for each request.
        p50_s: median latency, from its own send.
    """

    requests_per_s: float
    cpu_s: float
    p50_s: float

    @property
    def requests_per_cpu_s(self) -> float:
        """Requests for each second of the client's processor."""
        return 1 / self.cpu_s


def prove(seconds: float, aiohttp_python: str) -> tuple[list[Claim], dict[str, Any]]:
    """Run every client in turn; one that is not installed is left out, and its claim is not measured."""
    busy: dict[str, Figures | None] = {}
    with server("echo_server") as port:
        busy["tailgate"] = own(port, "/predict", CONNECTIONS, round(30_000 * seconds))
        busy["wrk"] = wrk(port, "/predict", CONNECTIONS, seconds)
        busy["aiohttp"] = python_loop(aiohttp_python, "aiohttp", port, seconds)
        busy["httpx"] = python_loop(sys.executable, "httpx", port, seconds)
    with server("law_server", os.devnull) as port:
        # Interleaved, so that a drift of the machine meets both.
        equal = [
            (
                own(port, "/constant", EQUAL_CONNECTIONS, round(800 * seconds / 2)),
                wrk(port, "/constant", EQUAL_CONNECTIONS, seconds / 2),
            )
            for _ in range(3)
        ]
    ratios = [ours.p50_s / theirs.p50_s for ours, theirs in equal if theirs is not None]
    ours = busy["tailgate"]
    assert ours is not None
    aiohttp = busy["aiohttp"]
    claims = [
        Claim(
            "requests/s on one core, small bodies",
            ours.requests_per_s,
            Sense.AT_LEAST,
            20_000,
            "/s",
            f"closed loop, {CONNECTIONS} connections",
        ),
        Claim(
            "requests per CPU second, against aiohttp's",
            None if aiohttp is None else ours.requests_per_cpu_s / aiohttp.requests_per_cpu_s,
            Sense.AT_LEAST,
            3,
            "×",
            "aiohttp is not installed" if aiohttp is None else f"closed loop, {CONNECTIONS} connections",
        ),
        Claim(
            "p50 against wrk's at equal load",
            abs(float(np.median(ratios)) - 1) * 100 if ratios else None,
            Sense.AT_MOST,
            5,
            "%",
            f"closed loop, {EQUAL_CONNECTIONS} connections, 5 ms of service, median of {len(ratios)} pairs"
            if ratios
            else "wrk is not installed",
        ),
    ]
    return claims, {"busy": busy, "equal": equal}


def table(busy: Mapping[str, Figures | None]) -> Table:
    """Return what the clients reached beside each other, for a terminal."""
    shown = Table(
        title=f"the same server, one processor for the client, closed loop over {CONNECTIONS} connections"
    )
    for heading in ("client", "requests/s", "CPU µs a request", "requests/CPU s", "p50 µs"):
        shown.add_column(heading, justify="left" if heading == "client" else "right")
    for name, figures in busy.items():
        if figures is None:
            shown.add_row(name, "not installed")
            continue
        cells = (figures.requests_per_s, figures.cpu_s * 1e6, figures.requests_per_cpu_s, figures.p50_s * 1e6)
        shown.add_row(name, *(f"{cell:,.0f}" if cell >= 100 else f"{cell:.1f}" for cell in cells))
    return shown


def own(port: int, path: str, connections: int, requests: int) -> Figures:
    """Run the load generator's closed loop."""
    loop = ClosedLoop(connections)
    phases = [
        Phase("warm-up", loop, requests=WARM_UP_REQUESTS, measured=False),
        Phase("loop", loop, requests=requests),
    ]
    reports, samples = send(port, phases, [payload(path)])
    rows = samples[samples["phase"] == 1]
    wall_s = float(rows["done_ns"].max() - rows["sent_ns"].min()) / 1e9
    p50_s = float(np.median(rows["done_ns"] - rows["sent_ns"])) / 1e9
    return Figures(reports[1].ok / wall_s, reports[1].cpu_s / reports[1].requests, p50_s)


def wrk(port: int, path: str, connections: int, seconds: float) -> Figures | None:
    """Run wrk with one thread; None where it is not installed."""
    if shutil.which("wrk") is None:
        return None
    script = str(Path(__file__).with_name("wrk_post.lua"))
    url = f"http://127.0.0.1:{port}{path}"
    with tempfile.NamedTemporaryFile() as body:
        body.write(b"x" * 100)
        body.flush()
        command = [
            "wrk",
            "-t1",
            f"-c{connections}",
            f"-d{max(1, round(seconds))}s",
            "-s",
            script,
            url,
            "--",
            body.name,
        ]
        before_s = _children_cpu_s()
        output = _pinned(command)
    told = orjson.loads(
        next(line for line in output.splitlines() if line.startswith("JSON ")).removeprefix("JSON ")
    )
    cpu_s = (_children_cpu_s() - before_s) / told["requests"]
    return Figures(told["requests"] / (told["duration_us"] / 1e6), cpu_s, told["p50_us"] / 1e6)


def python_loop(python: str, library: str, port: int, seconds: float) -> Figures | None:
    """Run a loop of a Python client; None where that interpreter does not have it."""
    if subprocess.run([python, "-c", f"import {library}"], capture_output=True, check=False).returncode:
        return None
    script = str(Path(__file__).with_name("load_client.py"))
    told = json.loads(_pinned([python, script, library, str(port), str(CONNECTIONS), str(seconds)]))
    return Figures(told["requests"] / told["seconds"], told["cpu_s"] / told["requests"], told["p50_s"])


def _pinned(command: list[str]) -> str:
    pinned = ["taskset", "--cpu-list", str(client_processor()), *command]
    return subprocess.run(pinned, capture_output=True, text=True, check=True, timeout=120).stdout


def _children_cpu_s() -> float:
    """Return the processor time of all children that have ended, wrk being the only one meanwhile."""
    times = os.times()
    return times.children_user + times.children_system
