"""The generator beside wrk, aiohttp and httpx: the same server, the same processor, closed loops."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from benchmarks.load.rig import payload, send, server
from benchmarks.processors import client_processor
from benchmarks.serving.client import Client, Figures, drive, loop
from benchmarks.serving.roster import Request
from benchmarks.targets import Sense, Target
from tailgate import ClosedLoop, Phase

CONNECTIONS = 32
# Of the law server, whose constant law takes 5 ms: 4 connections make 800 requests/s with every client.
EQUAL_CONNECTIONS = 4
WARM_UP_REQUESTS = 2_000


def prove(seconds: float, aiohttp_python: str) -> tuple[list[Target], dict[str, Any]]:
    """Run every client in turn. One that is not installed is left out, and its target is not measured."""
    busy: dict[str, Figures | None] = {}
    with server("echo_server") as port:
        ours = own(port, "/predict", CONNECTIONS, round(30_000 * seconds))
        busy["tailgate"] = ours
        busy["bare Python loop"] = bare_loop(port, seconds)
        busy["wrk"] = wrk(port, "/predict", CONNECTIONS, seconds)
        busy["aiohttp"] = aiohttp = python_loop(aiohttp_python, "aiohttp", port, seconds)
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
    how = f"closed loop, {CONNECTIONS} connections"
    times = None if aiohttp is None else aiohttp.cpu_s / ours.cpu_s
    beside_aiohttp = "aiohttp is not installed" if aiohttp is None else how
    apart = abs(float(np.median(ratios)) - 1) * 100 if ratios else None
    at_equal_load = f"closed loop, {EQUAL_CONNECTIONS} connections, 5 ms of service, {len(ratios)} pairs"
    beside_wrk = at_equal_load if ratios else "wrk is not installed"
    found = [
        Target(
            "requests/s on one core, small bodies", Sense.AT_LEAST, 60_000, ours.requests_per_s, "/s", how
        ),
        Target("requests per CPU second, against aiohttp's", Sense.AT_LEAST, 3, times, "×", beside_aiohttp),
        Target("p50 against wrk's at equal load", Sense.AT_MOST, 5, apart, "%", beside_wrk),
    ]
    return found, {"busy": busy, "equal": equal}


def table(busy: Mapping[str, Figures | None]) -> Table:
    """Return the figures of the clients for a terminal."""
    title = f"the same server, one processor for the client, closed loop over {CONNECTIONS} connections"
    shown = Table(title=title)
    for heading in ("client", "requests/s", "CPU µs per request", "requests/CPU s", "p50 µs"):
        shown.add_column(heading, justify="left" if heading == "client" else "right")
    for name, figures in busy.items():
        if figures is None:
            shown.add_row(name, "not installed")
            continue
        cells = (figures.requests_per_s, figures.cpu_s * 1e6, 1 / figures.cpu_s, figures.p50_s * 1e6)
        shown.add_row(name, *(f"{cell:,.0f}" if cell >= 100 else f"{cell:.1f}" for cell in cells))
    return shown


def own(port: int, path: str, connections: int, requests: int) -> Figures:
    """Run the load generator's closed loop."""
    arrivals = ClosedLoop(connections)
    warm_up = Phase("warm-up", arrivals, requests=WARM_UP_REQUESTS, measured=False)
    (_, report), samples = send(port, [warm_up, Phase("loop", arrivals, requests=requests)], [payload(path)])
    rows = samples[samples["phase"] == 1]
    wall_s = float(rows["done_ns"].max() - rows["sent_ns"].min()) / 1e9
    p50_s, p99_s = (float(one) / 1e9 for one in np.quantile(rows["done_ns"] - rows["sent_ns"], (0.5, 0.99)))
    return Figures(report.ok / wall_s, report.failed, p50_s, p99_s, report.cpu_s / report.requests)


def wrk(port: int, path: str, connections: int, seconds: float) -> Figures | None:
    """Run wrk with one thread; None where it is not installed."""
    if shutil.which("wrk") is None:
        return None
    request = Request(payload(path).body, {})
    return drive(port, path, request, connections, seconds, Client.WRK, client_processor())


def bare_loop(port: int, seconds: float) -> Figures:
    """Run the barest loop of Python, which is the limit of what this generator can reach."""
    script = str(Path(__file__).with_name("bare_loop.py"))
    return loop(
        [sys.executable, script, str(port), str(CONNECTIONS), str(seconds)], client_processor(), 2 * seconds
    )


def python_loop(python: str, library: str, port: int, seconds: float) -> Figures | None:
    """Run a loop of a Python client; None where that interpreter does not have it."""
    if subprocess.run([python, "-c", f"import {library}"], capture_output=True, check=False).returncode:
        return None
    script = str(Path(__file__).with_name("python_loop.py"))
    command = [python, script, library, str(port), str(CONNECTIONS), str(seconds)]
    return loop(command, client_processor(), 2 * seconds)
