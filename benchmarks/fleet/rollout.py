"""A fleet behind a gateway is replaced replica by replica under load: what is lost, and p99 meanwhile.

    python -m benchmarks.fleet.rollout [--gateway envoy] [--requests 100000] [--load 0.7] [--delay 5]

Two replicas serve, and a third place is free. A closed loop through the gateway finds the capacity, and a share of it comes in
open loop. Then each replica in turn gets SIGTERM, when one more has become ready. The gateway repeats no request. Lost is a
request without an answer, or with one of 5xx that is not the service's own refusal, which has Retry-After.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Self

import httpx
import numpy as np
import typer

from benchmarks import record
from benchmarks.environments import ROOT, alone, cache
from benchmarks.fleet import gateways
from benchmarks.fleet.replacing import capacity, generator
from benchmarks.workloads import WORKLOADS, Workload
from tailgate import Outcome, Phase, Poisson
from tailgate.harness.load.records.samples import Samples

REPLICAS = 2
READY_S, STOP_S = 120.0, 90.0
PHASES = ("before", "rollout")


class Fleet:
    """Replicas at fixed ports, of which one is free; a context manager that leaves none behind."""

    def __init__(self, workload: Workload, ports: Sequence[int], delay_s: float, directory: Path) -> None:
        self.ports = tuple(ports)
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._directory = directory
        own = {**workload.environment, **workload.tailgate_environment}
        self._environment = {**os.environ, **own, "TAILGATE_DRAIN_DELAY_S": str(delay_s)}

    def __enter__(self) -> Self:
        """Start all but one."""
        try:
            for port in self.ports[:-1]:
                self.start(port)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop all."""
        for process in self._running.values():
            process.kill()
            process.wait()

    def start(self, port: int) -> None:
        """Start a replica, and wait until it is ready."""
        command = [sys.executable, "-m", "tailgate.service", "--port", str(port)]
        with (self._directory / f"replica-{port}.log").open("ab") as log:
            process = subprocess.Popen(command, env=self._environment, cwd=ROOT, stderr=log)
        self._running[port] = process
        end_s = time.monotonic() + READY_S
        while time.monotonic() < end_s and process.poll() is None:
            with contextlib.suppress(httpx.TransportError):
                answer = httpx.get(f"http://127.0.0.1:{port}{gateways.READINESS}", trust_env=False)
                if answer.status_code == 200:
                    return
            time.sleep(0.1)
        raise SystemExit(f"a replica did not become ready; its log: {log.name}")

    def stop(self, port: int, number: int = signal.SIGTERM) -> None:
        """End a replica by a signal."""
        process = self._running.pop(port)
        process.send_signal(number)
        process.wait(STOP_S)

    def replace_all(self) -> None:
        """Start one in the free place, stop another one, and so on until all are new."""
        free = self.ports[-1]
        for port in self.ports[:-1]:
            self.start(free)
            time.sleep(gateways.PERIOD_S * 2)  # the gateway sees it
            self.stop(port)
            free = port


def run(workload: Workload, gateway: str, requests: int, load: float, delay_s: float) -> dict[str, Any]:
    """Roll a fleet out under load; return the figures."""
    directory = cache() / "rollout" / gateway
    directory.mkdir(parents=True, exist_ok=True)
    entrance, *ports = gateways.free_ports(2 + REPLICAS)
    with contextlib.ExitStack() as stack:
        fleet = stack.enter_context(Fleet(workload, ports, delay_s, directory))
        front = gateways.start(gateway, entrance, ports, directory)
        stack.callback(front.wait)
        stack.callback(front.terminate)
        time.sleep(gateways.PERIOD_S * 3)
        rate = load * capacity(workload, entrance, directory / "pilot")
        print(f"{gateway}: {rate:,.0f} requests/s, {load:g} of the capacity", flush=True)
        counts = (max(200, requests // 4), requests)
        phases = tuple(
            Phase(name, Poisson(rate), requests=count) for name, count in zip(PHASES, counts, strict=True)
        )
        with generator(workload, entrance, phases, directory / "run") as sending:
            sending.run_phase(0)
            rolling = threading.Thread(target=fleet.replace_all)
            rolling.start()
            sending.run_phase(1)
            in_time = not rolling.is_alive()
            rolling.join()
            samples = sending.samples()
    return {
        "gateway": gateway,
        "delay_s": delay_s,
        "load": load,
        "rolled_out_in_time": in_time,
        "phases": {name: row(samples[samples["phase"] == index]) for index, name in enumerate(PHASES)},
    }


def row(samples: Samples) -> dict[str, Any]:
    """Return the ledger and the latencies of a phase."""
    outcomes, status = samples["outcome"], samples["status"]
    good = outcomes == Outcome.OK
    refused = (outcomes == Outcome.SHED) & ~np.isnan(samples["retry_after_s"])
    lost = ~good & ~refused
    latencies_s = (samples["done_ns"] - samples["intended_ns"])[good] / 1e9
    return {
        "requests": len(samples),
        "ok": int(good.sum()),
        "refused_by_the_service": int(refused.sum()),
        "lost": int(lost.sum()),
        "lost_by_status": {str(each): int((status[lost] == each).sum()) for each in np.unique(status[lost])},
        "p50_s": float(np.quantile(latencies_s, 0.5)),
        "p99_s": float(np.quantile(latencies_s, 0.99)),
    }


def main(
    *,
    gateway: Annotated[list[str] | None, typer.Option(help="envoy, haproxy; default: both")] = None,
    requests: Annotated[int, typer.Option(help="while the fleet is replaced")] = 100_000,
    load: Annotated[float, typer.Option(help="share of the capacity")] = 0.7,
    delay: Annotated[float, typer.Option(help="TAILGATE_DRAIN_DELAY_S of the replicas")] = 5.0,
    workload: Annotated[str, typer.Option(help=", ".join(WORKLOADS))] = "mobilenet",
    json: Annotated[Path | None, typer.Option(help="where the results go")] = None,
) -> None:
    """Replace a fleet under load."""
    document = record.Record("rollout", {"requests": requests}, json or record.RESULTS / "rollout.json")
    rows = []
    with alone():
        for name in gateway or ("envoy", "haproxy"):
            rows.append(run(WORKLOADS[workload](), name, requests, load, delay))
            document.write({"runs": rows})
            for phase, each in rows[-1]["phases"].items():
                print(
                    f"{name}, {phase}: {each['ok']} of {each['requests']} answered, {each['refused_by_the_service']} "
                    f"refused, {each['lost']} lost, p99 {each['p99_s'] * 1e3:.1f} ms"
                )


if __name__ == "__main__":
    typer.run(main)
