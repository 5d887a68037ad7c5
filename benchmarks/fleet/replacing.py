"""A model is replaced under load: what is lost, and p99 meanwhile beside p99 before.

    python -m benchmarks.fleet.replacing [--load 0.4] [--seconds 20] [--workload mobilenet]

A closed loop finds the capacity. Then a share of it comes in open loop, first in peace. Later a second service replaces the
first one on its listening socket: it imports PyTorch, loads, warms up and takes over. Servers and client share all processors.
"""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import psutil
import typer

from benchmarks import record
from benchmarks.environments import ROOT, alone, cache
from benchmarks.serving.roster import TAILGATE
from benchmarks.workloads import WORKLOADS, Workload
from tailgate import ClosedLoop, Criterion, Outcome, Payload, Phase, Poisson, Scenario, draw_plan
from tailgate.harness.load import LoadSettings
from tailgate.harness.load.generator import Generator
from tailgate.harness.load.records.samples import Samples
from tailgate.harness.target.launching.process import ServerProcess

SEED, CONNECTIONS, LEAST_SATURATED = 1, 64, 2_000
LONGER = 3  # times the other phases: the successor's start has to end within it
WAIT_S = 120.0


def run(workload: Workload, load: float, seconds: float) -> dict[str, Any]:
    """Replace a service under load; return the figures of each phase."""
    directory = cache() / "replacing" / workload.name
    processors = ",".join(map(str, sorted(os.sched_getaffinity(0))))
    launch = TAILGATE.launch(workload, processors, {})
    former = ServerProcess(launch, directory / "former.log")
    directory.mkdir(parents=True, exist_ok=True)
    former.bring_up()
    successor: subprocess.Popen[bytes] | None = None
    try:
        rate = capacity(workload, former.port, directory / "pilot")
        print(f"{workload.name}: about {rate:,.0f} requests/s; {load:.0%} of it", flush=True)
        names = ("before", "meanwhile", "after")
        requests = max(200, round(load * rate * seconds))
        phases = tuple(
            Phase(name, Poisson(load * rate), requests=requests * times)
            for name, times in zip(names, (1, LONGER, 1), strict=True)
        )
        with generator(workload, former.port, phases, directory / "run") as sending:
            sending.run_phase(0)
            started_ns = time.monotonic_ns()
            with (directory / "successor.log").open("wb") as log:
                successor = subprocess.Popen(
                    [sys.executable, "-m", "tailgate.service", "--replace", str(former.pid)],
                    env={**os.environ, **launch.environment},
                    cwd=ROOT,
                    stderr=log,
                )
            ended: list[int] = []
            watching = threading.Thread(target=note_end, args=(former.pid, ended))
            watching.start()
            sending.run_phase(1)
            watching.join(WAIT_S)
            sending.run_phase(2)
            samples = sending.samples()
    finally:
        if successor is not None:
            successor.terminate()
            successor.wait(WAIT_S)
        former.stop()
    until_ns = ended[0] if ended else None
    return figures(samples, names, started_ns, until_ns) | {"capacity_per_s": rate, "load": load}


def note_end(pid: int | None, ended: list[int]) -> None:
    """Note when a process ends."""
    try:
        psutil.Process(pid).wait(WAIT_S)
    except psutil.NoSuchProcess:
        pass
    except psutil.TimeoutExpired:
        return
    ended.append(time.monotonic_ns())


def generator(workload: Workload, port: int, phases: tuple[Phase, ...], directory: Path) -> Generator:
    """Return a generator of these phases."""
    payload = Payload(workload.name, workload.body, workload.content_type, path=TAILGATE.path)
    criterion = Criterion("throughput", 1.0, (phases[0].name,))  # a scenario needs one
    scenario = Scenario("replacing", "a benchmark", phases, (criterion,))
    settings = LoadSettings("127.0.0.1", port, connections_warm=CONNECTIONS)
    return Generator(draw_plan(scenario, [payload], SEED), settings, directory)


def capacity(workload: Workload, port: int, directory: Path) -> float:
    """Return the good answers per second of a closed loop."""
    phase = Phase("saturated", ClosedLoop(CONNECTIONS), requests=LEAST_SATURATED)
    with generator(workload, port, (phase,), directory) as sending:
        report = sending.run_phase(0)
    return report.ok / report.wall_s


def figures(
    samples: Samples, names: tuple[str, ...], started_ns: int, until_ns: int | None
) -> dict[str, Any]:
    """Return outcomes and latencies by phase; those of the replacement itself are from its start to the former's end."""
    rows: dict[str, Any] = {}
    for index, name in enumerate(names):
        rows[name] = row(samples[samples["phase"] == index])
    intended_ns = samples["intended_ns"]
    if until_ns is None:
        return {"phases": rows, "ended": False}
    rows["of these, from its start to the former's end"] = row(
        samples[(intended_ns >= started_ns) & (intended_ns <= until_ns)]
    )
    ratio = rows[list(rows)[-1]]["p99_s"] / rows["before"]["p99_s"]
    return {
        "phases": rows,
        "ended": True,
        "took_s": (until_ns - started_ns) / 1e9,
        "p99_ratio": ratio,
        "lost": sum(each["requests"] - each["ok"] for each in list(rows.values())[:-1]),
    }


def row(samples: Samples) -> dict[str, Any]:
    """Return the figures of some requests."""
    latencies_s = (samples["done_ns"] - samples["intended_ns"]) / 1e9
    p50, p99 = np.quantile(latencies_s, (0.5, 0.99))
    good = int(np.sum(samples["outcome"] == Outcome.OK))
    return {"requests": len(samples), "ok": good, "p50_s": float(p50), "p99_s": float(p99)}


def main(
    *,
    load: Annotated[float, typer.Option(help="share of the capacity")] = 0.4,
    seconds: Annotated[float, typer.Option(help="length of each phase")] = 30.0,
    workload: Annotated[str, typer.Option(help=", ".join(WORKLOADS))] = "mobilenet",
    json: Annotated[Path | None, typer.Option(help="where the results go")] = None,
) -> None:
    """Replace a model under load."""
    document = record.Record("replacing", {"seconds": seconds}, json or record.RESULTS / "replacing.json")
    with alone():
        found = run(WORKLOADS[workload](), load, seconds)
    document.write({"workload": workload, **found})
    for name, each in found["phases"].items():
        print(
            f"{name}: {each['ok']} of {each['requests']} answered, p50 {each['p50_s'] * 1e3:.2f} ms, "
            f"p99 {each['p99_s'] * 1e3:.2f} ms"
        )
    if found["ended"]:
        print(
            f"took {found['took_s']:.1f} s; p99 {found['p99_ratio']:.2f} times that before; lost: {found['lost']}"
        )
    else:
        print("the former service did not end in time")


if __name__ == "__main__":
    typer.run(main)
