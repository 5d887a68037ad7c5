"""Load one server from a processor of its own, by wrk or by the closed loop beside this file."""

import enum
import math
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import orjson

from benchmarks.environments import ROOT
from benchmarks.roster import Request

MARGIN_S = 30.0


class Client(enum.Enum):
    """Which program sends."""

    WRK = "wrk"
    OWN = "closed_loop"


def default_client() -> Client:
    """Return wrk where it is installed, else our own."""
    return Client.WRK if shutil.which("wrk") else Client.OWN


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured.

    Attributes:
        rounds: interleaved.
        seconds: of each measurement.
        client: what sends.
    """

    rounds: int
    seconds: float
    client: Client

    def stretched(self, factor: float) -> "Effort":
        """Return longer measurements in fewer rounds, but no fewer than three of those that there were."""
        rounds = max(min(self.rounds, 3), round(self.rounds / factor))
        return Effort(rounds, self.seconds * factor, self.client)


@dataclass(frozen=True, slots=True)
class Figures:
    """What one stretch of load measured.

    Attributes:
        requests_per_s: answered with 200.
        failed: requests with another status, and errors of connections.
        p50_s: median latency of a request in the closed loop.
        p99_s: its 99th percentile.
    """

    requests_per_s: float
    failed: int
    p50_s: float
    p99_s: float


class ClientError(Exception):
    """The client could not measure; the text says why."""


def drive(
    port: int, path: str, request: Request, connections: int, seconds: float, client: Client, processor: int
) -> Figures:
    """Keep ``connections`` requests in flight for ``seconds`` (wrk: rounded up to whole ones).

    Raises:
        ClientError: the client failed or did not end, or nothing was answered.
    """
    with tempfile.NamedTemporaryFile(prefix="bench-body-") as body:
        body.write(request.body)
        body.flush()
        headers = [part for pair in request.headers.items() for part in pair]
        if client is Client.WRK:
            whole = str(math.ceil(seconds))
            url = f"http://127.0.0.1:{port}{path}"
            script = str(Path(__file__).with_name("wrk_post.lua"))
            command = [
                "wrk",
                "-t1",
                f"-c{connections}",
                f"-d{whole}s",
                "--timeout",
                "10s",
                "-s",
                script,
                url,
                "--",
            ]
            command += [body.name, *headers]
        else:
            command = [sys.executable, "-m", "benchmarks.closed_loop", str(port), path, body.name]
            command += [str(connections), str(seconds), *headers]
        output = _run(["taskset", "--cpu-list", str(processor), *command], seconds + MARGIN_S)
    figures = _from_wrk(output) if client is Client.WRK else _from_own(output)
    if not figures.requests_per_s:
        raise ClientError(f"no request was answered with 200, and {figures.failed} failed")
    return figures


def _run(command: list[str], timeout_s: float) -> str:
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ClientError(str(error)) from None
    if done.returncode:
        raise ClientError(f"{command[3]} ended with {done.returncode}: {done.stderr[-500:]}")
    return done.stdout


def _from_wrk(output: str) -> Figures:
    line = next((line for line in output.splitlines() if line.startswith("JSON ")), None)
    if line is None:
        raise ClientError(f"wrk said nothing of what it measured: {output[-500:]}")
    told = orjson.loads(line.removeprefix("JSON "))
    failed = sum(told[name] for name in ("status", "connect", "read", "write", "timeout"))
    good = told["requests"] - told["status"]
    return Figures(good / (told["duration_us"] / 1e6), failed, told["p50_us"] / 1e6, told["p99_us"] / 1e6)


def _from_own(output: str) -> Figures:
    told = orjson.loads(output)
    return Figures(told["requests"] / told["seconds"], told["failed"], told["p50_s"], told["p99_s"])
