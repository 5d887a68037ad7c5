"""Load one server from a processor of its own, by wrk or by the closed loop beside this file."""

import enum
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import orjson
import typer

from benchmarks.environments import ROOT
from benchmarks.serving.roster import Request

MARGIN_S = 30.0
WRK_SCRIPT = str(Path(__file__).with_name("wrk_post.lua"))


class Client(enum.Enum):
    """Which program sends."""

    WRK = "wrk"
    OWN = "closed_loop"


Rounds = Annotated[int, typer.Option(min=1, help="interleaved rounds")]
Seconds = Annotated[float, typer.Option(help="length of each measurement")]
ClientOption = Annotated[Client | None, typer.Option("--client", help="default: wrk where it is installed")]


def default_client() -> Client:
    """Return wrk where it is installed, else the closed loop."""
    return Client.WRK if shutil.which("wrk") else Client.OWN


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured: interleaved rounds, the length of each measurement, and the client."""

    rounds: int
    seconds: float
    client: Client

    def stretched(self, factor: float) -> "Effort":
        """Return longer measurements in fewer rounds, but at least three where there were three."""
        rounds = max(min(self.rounds, 3), round(self.rounds / factor))
        return Effort(rounds, self.seconds * factor, self.client)


@dataclass(frozen=True, slots=True)
class Figures:
    """What one stretch of closed-loop load measured."""

    requests_per_s: float  # answered with 200
    failed: int  # requests with another status, and errors of connections
    p50_s: float  # median latency
    p99_s: float  # its 99th percentile
    cpu_s: float  # processor time of the client per request


class ClientError(Exception):
    """The client could not measure; the text says why."""


def drive(
    port: int, path: str, request: Request, connections: int, seconds: float, client: Client, processor: int
) -> Figures:
    """Keep ``connections`` requests in flight for ``seconds`` (wrk: rounded up to whole seconds).

    Raises:
        ClientError: the client failed or did not end, or nothing was answered.
    """
    headers = [part for pair in request.headers.items() for part in pair]
    with tempfile.NamedTemporaryFile(prefix="bench-body-") as body:
        body.write(request.body)
        body.flush()
        if client is Client.WRK:
            options = ["-t1", f"-c{connections}", f"-d{math.ceil(seconds)}s", "--timeout", "10s"]
            url = f"http://127.0.0.1:{port}{path}"
            figures = _wrk([*options, "-s", WRK_SCRIPT, url, "--", body.name, *headers], processor, seconds)
        else:
            program = [sys.executable, "-m", "benchmarks.serving.closed_loop"]
            options = [str(port), path, body.name, str(connections), str(seconds)]
            figures = loop([*program, *options, *headers], processor, seconds)
    if not figures.requests_per_s:
        raise ClientError(f"no request was answered with 200, and {figures.failed} failed")
    return figures


def loop(command: Sequence[str], processor: int, seconds: float) -> Figures:
    """Run a program that prints its figures as one line of JSON.

    Raises:
        ClientError: it failed or did not end.
    """
    told = orjson.loads(_run(command, processor, seconds))
    cpu_s = told["cpu_s"] / max(1, told["requests"])
    return Figures(told["requests"] / told["seconds"], told["failed"], told["p50_s"], told["p99_s"], cpu_s)


def _wrk(arguments: Sequence[str], processor: int, seconds: float) -> Figures:
    before_s = _children_cpu_s()
    output = _run(["wrk", *arguments], processor, seconds)
    cpu_s = _children_cpu_s() - before_s
    line = next((line for line in output.splitlines() if line.startswith("JSON ")), None)
    if line is None:
        raise ClientError(f"wrk printed no figures: {output[-500:]}")
    told = orjson.loads(line.removeprefix("JSON "))
    failed = sum(told[name] for name in ("status", "connect", "read", "write", "timeout"))
    good = told["requests"] - told["status"]
    per_s = good / (told["duration_us"] / 1e6)
    return Figures(
        per_s, failed, told["p50_us"] / 1e6, told["p99_us"] / 1e6, cpu_s / max(1, told["requests"])
    )


def _run(command: Sequence[str], processor: int, seconds: float) -> str:
    pinned = ["taskset", "--cpu-list", str(processor), *command]
    try:
        done = subprocess.run(
            pinned, capture_output=True, text=True, timeout=seconds + MARGIN_S, cwd=ROOT, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ClientError(str(error)) from None
    if done.returncode:
        raise ClientError(f"{command[0]} ended with {done.returncode}: {done.stderr[-500:]}")
    return done.stdout


def _children_cpu_s() -> float:
    """Return the processor time of all children that have ended."""
    times = os.times()
    return times.children_user + times.children_system
