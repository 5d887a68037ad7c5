"""What ``tailgate plan`` foresees, beside what runs measure that it has not seen.

    python -m benchmarks.fleet.planning [--requests 5000] [--rounds 2] [--workload mobilenet]

A closed loop finds the capacity. One run, whose rate swings between 5 and 85 % of it, is what the plan is fitted to. Then come
runs at five steady rates, in another order each round. Each p50 and p99 should lie in the interval that was foreseen for it.
"""

import os
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from benchmarks import record, targets
from benchmarks.environments import alone, cache
from benchmarks.fleet.replacing import capacity, generator
from benchmarks.serving.roster import TAILGATE
from benchmarks.targets import Sense, Target
from benchmarks.workloads import CAP, WORKLOADS, Workload
from tailgate import Phase, Poisson, Sine
from tailgate.harness.load.records.samples import Samples
from tailgate.harness.observe.window import latencies_s
from tailgate.harness.sizing.fitted import fitted
from tailgate.harness.sizing.sizing import foresee, gamma_shape
from tailgate.harness.target.launching.process import ServerProcess

LOADS = (0.1, 0.3, 0.5, 0.65, 0.8)
SHARES = {"p50": 0.5, "p99": 0.99}
MEAN, SWING, SWINGS = 0.45, 0.89, 8  # of the fitted run: from 5 to 85 % of the capacity, so often
FITTED = 4  # times the requests of another run
INSIDE, WIDEST = 0.95, {"p50": 0.10, "p99": 0.25}


def run(workload: Workload, requests: int, rounds: int) -> dict[str, Any]:
    """Fit to one run, foresee the others, and measure them."""
    directory = cache() / "planning" / workload.name
    directory.mkdir(parents=True, exist_ok=True)
    processors = ",".join(map(str, sorted(os.sched_getaffinity(0))))
    server = ServerProcess(TAILGATE.launch(workload, processors, {}), directory / "server.log")
    server.bring_up()
    try:
        rate = capacity(workload, server.port, directory / "pilot")
        print(f"{workload.name}: about {rate:,.0f} requests/s", flush=True)
        order = [load for seed in range(rounds) for load in random.Random(seed).sample(LOADS, len(LOADS))]
        phases = tuple(_phases(rate, order, requests))
        with generator(workload, server.port, phases, directory / "run") as sending:
            for number, phase in enumerate(phases):
                report = sending.run_phase(number)
                print(f"{phase.name}: {report.ok} answered in {report.wall_s:.0f} s", flush=True)
            samples = sending.samples()
    finally:
        server.stop()
    return {"capacity_per_s": rate, "cases": cases(samples, order, rate, requests)}


def _phases(rate: float, order: Sequence[float], requests: int) -> Iterator[Phase]:
    swing = Sine(MEAN * rate, SWING, FITTED * requests / (MEAN * rate) / SWINGS)
    yield Phase("fitted", swing, requests=FITTED * requests)
    for number, load in enumerate(order):
        yield Phase(f"{number + 1}: {load:.0%}", Poisson(load * rate), requests=requests)


def cases(samples: Samples, order: Sequence[float], rate: float, requests: int) -> list[dict[str, Any]]:
    """Return each percentile of each run beside its interval."""
    replica = fitted([samples[samples["phase"] == 0]], CAP)
    foreseen = {load: foresee(replica, gamma_shape(1.0), load * rate, requests) for load in LOADS}
    found = []
    for number, load in enumerate(order, start=1):
        seconds = latencies_s(samples[samples["phase"] == number])
        for name, share in SHARES.items():
            told = foreseen[load].p50_s if name == "p50" else foreseen[load].p99_s
            measured_s = float(np.quantile(seconds, share, method="inverted_cdf"))
            found.append(
                {
                    "load": load,
                    "percentile": name,
                    "measured_s": measured_s,
                    "foreseen_s": told.value,
                    "low_s": told.low,
                    "high_s": told.high,
                    "width": told.width,
                    "inside": told.low <= measured_s <= told.high,
                }
            )
    return found


def judge(found: Sequence[Mapping[str, Any]]) -> list[Target]:
    """Return the targets."""
    inside = float(np.mean([one["inside"] for one in found]))
    judged = [Target(f"share of {len(found)} percentiles inside", Sense.AT_LEAST, INSIDE, inside)]
    for name, limit in WIDEST.items():
        widest = max(one["width"] for one in found if one["percentile"] == name)
        judged.append(
            Target(f"half the widest interval of {name}, of its middle", Sense.AT_MOST, limit, widest)
        )
    return judged


def main(
    *,
    requests: Annotated[int, typer.Option(help="of each run; the fitted one has four times as many")] = 5_000,
    rounds: Annotated[int, typer.Option(help="of the five loads")] = 2,
    workload: Annotated[str, typer.Option(help=", ".join(WORKLOADS))] = "mobilenet",
    json: record.Json = record.RESULTS / "planning.json",
) -> None:
    """Foresee, and measure."""
    document = record.Record("planning", {"requests": requests, "rounds": rounds}, json)
    with alone():
        found = run(WORKLOADS[workload](), requests, rounds)
    judged = judge(found["cases"])
    document.write({"workload": workload, "targets": targets.rows(judged), **found})
    for one in found["cases"]:
        low, value, high, measured = (
            f"{one[name] * 1e3:.2f}" for name in ("low_s", "foreseen_s", "high_s", "measured_s")
        )
        print(
            f"{one['load']:.0%} {one['percentile']}: foreseen {value} [{low}, {high}] ms, measured {measured} ms"
            + ("" if one["inside"] else "  OUTSIDE")
        )
    Console(width=120).print(targets.table(judged))


if __name__ == "__main__":
    typer.run(main)
