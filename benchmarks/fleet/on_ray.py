"""What a request costs on Ray: by replicas as ``deploy/ray`` has them, and by Ray Serve behind its own HAProxy.

    python -m benchmarks.fleet.on_ray [--workload noop] [--rounds 5] [--requests 5000]

One replica each, the same model and executor, on all processors. Both are up all the time, and take their load by turns. A cost is
the processor time of all processes of a side in a closed loop, Ray's own among them, divided by the requests.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import httpx
import psutil
import typer

from benchmarks import record
from benchmarks.environments import ROOT, alone, cache, python_for
from benchmarks.serving.roster import RAY, TAILGATE, Entry
from benchmarks.spread import ratio, spread
from benchmarks.workloads import WORKLOADS, Workload
from tailgate import ClosedLoop, Payload, Phase, Scenario, draw_plan
from tailgate.harness.load import LoadSettings
from tailgate.harness.load.generator import Generator
from tailgate.harness.observe.machine import cpu_seconds
from tailgate.harness.target.launching.launch import Launch
from tailgate.harness.target.launching.process import HOST, ServerProcess

DEPLOY = ROOT / "deploy" / "ray"
CONNECTIONS, WARM_UP = 32, 500
PATIENCE_S = 120.0


@contextlib.contextmanager
def ours(workload: Workload, folder: Path) -> Iterator[tuple[int, list[int]]]:
    """Run one replica as ``deploy/ray`` does; yield the port of its HAProxy, and the roots of all its processes."""
    own = {**workload.environment, **workload.tailgate_environment}
    # Ray's own start has 30 s else, which a busy machine may not have.
    service = {**os.environ, **own, "RAY_raylet_start_wait_time_s": f"{PATIENCE_S:.0f}"}
    with contextlib.ExitStack() as stack:
        path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "s"
        environment = {"TAILGATE_BIND": f"{HOST}:{{port}}", "TAILGATE_SOCKET": str(path)}
        gateway = Launch(
            ("haproxy", "-db", "-f", str(DEPLOY / "haproxy.cfg")), environment, readiness_path=None
        )
        entrance = stack.enter_context(ServerProcess(gateway, folder / "haproxy.log"))
        log = stack.enter_context((folder / "replicas.log").open("wb"))
        script = [str(python_for(RAY.name, RAY.requirements)), str(DEPLOY / "replicas.py")]
        options = ["--replicas=1", "--address=local", f"--socket={path}", "--"]
        command = [*script, *options, sys.executable, "-m", "tailgate.service"]
        replicas = subprocess.Popen(command, env=service, cwd=ROOT, stdout=log, stderr=log)
        stack.callback(replicas.wait, PATIENCE_S)
        stack.callback(replicas.send_signal, signal.SIGTERM)
        _wait(f"{entrance.base_url}{TAILGATE.readiness_path}")
        assert entrance.pid is not None
        yield entrance.port, [entrance.pid, replicas.pid]


@contextlib.contextmanager
def theirs(workload: Workload, folder: Path) -> Iterator[tuple[int, list[int]]]:
    """Run Ray Serve; yield likewise."""
    processors = ",".join(map(str, sorted(os.sched_getaffinity(0))))
    with ServerProcess(RAY.launch(workload, processors, {}), folder / "serve.log") as server:
        # Its HAProxy belongs to the guardian, once it has left its own parent.
        yield server.port, [psutil.Process(server.pid).ppid()]


def _wait(url: str) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < end_s:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url, trust_env=False).is_success:
                return
        time.sleep(0.1)
    raise SystemExit(f"{url} did not become ready")


def spent_s(roots: list[int]) -> float:
    """Return the processor seconds of these processes and all beneath them, so far."""
    every = {child.pid for root in roots for child in psutil.Process(root).children(recursive=True)} | set(
        roots
    )
    return sum(cpu_seconds(pid) or 0.0 for pid in every)


def drive(entry: Entry, workload: Workload, port: int, requests: int, folder: Path) -> tuple[int, float]:
    """Send requests in a closed loop; return how many were answered, and in which time."""
    sent = entry.encode(workload)
    payload = Payload("body", sent.body, sent.headers["Content-Type"], path=entry.path)
    phase = Phase("load", ClosedLoop(CONNECTIONS), requests=requests, measured=False)
    plan = draw_plan(Scenario("on-ray", "a benchmark", (phase,), ()), [payload], 1)
    with Generator(plan, LoadSettings(HOST, port, connections_warm=CONNECTIONS), folder) as generator:
        report = generator.run_phase(0)
    return report.ok, report.wall_s


def answer(entry: Entry, workload: Workload, port: int) -> float:
    """Return the number in an answer."""
    sent = entry.encode(workload)
    url = f"http://{HOST}:{port}{entry.path}"
    reply = httpx.post(url, content=sent.body, headers=sent.headers, timeout=20, trust_env=False)
    return entry.read(reply.raise_for_status().content)


def run(workload: Workload, rounds: int, requests: int) -> dict[str, Any]:
    """Return the cost and the rate of both sides."""
    folder = cache() / "on-ray"
    folder.mkdir(parents=True, exist_ok=True)
    costs: dict[str, list[float]] = {"deploy/ray": [], "ray serve": []}
    rates: dict[str, list[float]] = {"deploy/ray": [], "ray serve": []}
    with ours(workload, folder) as own, theirs(workload, folder) as their:
        sides = {"deploy/ray": (TAILGATE, *own), "ray serve": (RAY, *their)}
        answers = {answer(entry, workload, port) for entry, port, _ in sides.values()}
        for entry, port, _ in sides.values():
            drive(entry, workload, port, WARM_UP, folder / "load")
        for _ in range(rounds):
            for name, (entry, port, roots) in sides.items():
                before_s = spent_s(roots)
                answered, seconds = drive(entry, workload, port, requests, folder / "load")
                costs[name].append((spent_s(roots) - before_s) / answered)
                rates[name].append(answered / seconds)
    return {
        "answers_equal": len(answers) == 1,
        "cpu_s_per_request": {name: spread(values) for name, values in costs.items()},
        "requests_per_s": {name: spread(values) for name, values in rates.items()},
        "serve_cost_over_ours": ratio(costs["ray serve"], costs["deploy/ray"]),
    }


def main(
    *,
    workload: Annotated[str, typer.Option(help=", ".join(WORKLOADS))] = "noop",
    rounds: Annotated[int, typer.Option(help="of each side")] = 5,
    requests: Annotated[int, typer.Option(help="in a round")] = 5_000,
    json: record.Json = record.RESULTS / "on-ray.json",
) -> None:
    """Measure what a request costs on Ray."""
    document = record.Record(
        "on-ray", {"rounds": rounds, "requests": requests, "connections": CONNECTIONS}, json
    )
    with alone():
        found = run(WORKLOADS[workload](), rounds, requests)
    document.write({"workload": workload, **found})
    for name, cost in found["cpu_s_per_request"].items():
        print(
            f"{name}: {cost.median * 1e6:,.0f} µs of processor time per request, {found['requests_per_s'][name]} requests/s"
        )
    print(f"Ray Serve's cost over ours: {found['serve_cost_over_ours']}")


if __name__ == "__main__":
    typer.run(main)
