"""What ``tailgate plan`` foresees, beside what runs measure that it has not seen.

    python -m benchmarks.fleet.planning [--workload elsewhere] [--requests 10000] [--rounds 2]

A closed loop finds the capacity. Then the plan is fitted to a run whose rate swings between 5 and 85 % of it, and five runs at
steady rates measure. Each p50 and p99 should lie in the interval that was foreseen for it.

All these runs are cut into stretches that take turns, so that each has seen the same of a machine that changes its speed. The
batches of ``elsewhere`` take a device's time, and those of ``mobilenet`` the time of the processors, which the client shares.
"""

import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from benchmarks import record, targets
from benchmarks.environments import alone, cache
from benchmarks.fleet.replacing import capacity, generator
from benchmarks.serving.roster import TAILGATE
from benchmarks.targets import Sense, Target
from benchmarks.workloads import CAP, Workload, elsewhere, mobilenet
from tailgate import Phase, Poisson, Sine
from tailgate.harness.load.records.samples import Samples
from tailgate.harness.observe.window import latencies_s
from tailgate.harness.sizing.fitted import fitted
from tailgate.harness.sizing.sizing import foresee, gamma_shape
from tailgate.harness.target.launching.process import ServerProcess

WORKLOADS: Mapping[str, Callable[[], Workload]] = {"elsewhere": elsewhere, "mobilenet": mobilenet}
LOADS = (0.1, 0.3, 0.5, 0.65, 0.8)
SHARES = {"p50": 0.5, "p99": 0.99}
MEAN, SWING = 0.45, 0.89  # of the fitted run: from 5 to 85 % of the capacity, once in each stretch
FITTED = 4  # times the requests of another run
STRETCHES = 6
INSIDE, WIDEST = 0.95, {"p50": 0.10, "p99": 0.25}


def run(workload: Workload, requests: int, rounds: int) -> dict[str, Any]:
    """Measure, foresee and compare, in as many rounds."""
    directory = cache() / "planning" / workload.name
    directory.mkdir(parents=True, exist_ok=True)
    processors = ",".join(map(str, sorted(os.sched_getaffinity(0))))
    server = ServerProcess(TAILGATE.launch(workload, processors, {}), directory / "server.log")
    server.bring_up()
    try:
        rate = capacity(workload, server.port, directory / "pilot")
        print(f"{workload.name}: about {rate:,.0f} requests/s", flush=True)
        found = []
        for number in range(rounds):
            phases = tuple(_phases(rate, requests, random.Random(number)))
            with generator(workload, server.port, phases, directory / "run") as sending:
                for place in range(len(phases)):
                    sending.run_phase(place)
                samples = sending.samples()
            found += cases(samples, phases, rate, requests)
            print(
                f"round {number + 1}: {sum(one['inside'] for one in found)} of {len(found)} inside",
                flush=True,
            )
    finally:
        server.stop()
    return {"workload": workload.name, "capacity_per_s": rate, "cases": found}


def _phases(rate: float, requests: int, order: random.Random) -> Iterator[Phase]:
    """Yield the stretches: of the fitted run with the load None, of the others with theirs, in another order each time."""
    for stretch in range(STRETCHES):
        for load in order.sample((None, *LOADS), 1 + len(LOADS)):
            count = requests // STRETCHES
            if load is None:
                swing = Sine(MEAN * rate, SWING, FITTED * count / (MEAN * rate))
                yield Phase(_name(load, stretch), swing, requests=FITTED * count)
            else:
                yield Phase(_name(load, stretch), Poisson(load * rate), requests=count)


def _name(load: float | None, stretch: int) -> str:
    return f"{'fitted' if load is None else f'{load:.0%}'} {stretch + 1}"


def cases(samples: Samples, phases: Sequence[Phase], rate: float, requests: int) -> list[dict[str, Any]]:
    """Return each percentile of each run beside its interval."""
    places = {phase.name: place for place, phase in enumerate(phases)}

    def stretches(load: float | None) -> list[Samples]:
        return [samples[samples["phase"] == places[_name(load, one)]] for one in range(STRETCHES)]

    replica, found = fitted(stretches(None), CAP), []
    for load in LOADS:
        foreseen = foresee(replica, gamma_shape(1.0), load * rate, requests)
        seconds = np.concatenate([latencies_s(one) for one in stretches(load)])
        for name, share in SHARES.items():
            told = foreseen.p50_s if name == "p50" else foreseen.p99_s
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


def judge(runs: Sequence[Mapping[str, Any]]) -> list[Target]:
    """Return the targets."""
    judged = []
    for one in runs:
        found, name = one["cases"], one["workload"]
        inside = float(np.mean([case["inside"] for case in found]))
        judged.append(
            Target(f"{name}: share of {len(found)} percentiles inside", Sense.AT_LEAST, INSIDE, inside)
        )
        for share, limit in WIDEST.items():
            widest = max(case["width"] for case in found if case["percentile"] == share)
            what = f"{name}: half the widest interval of {share}, of its middle"
            judged.append(Target(what, Sense.AT_MOST, limit, widest))
    return judged


def main(
    *,
    workload: Annotated[list[str] | None, typer.Option(help=f"{', '.join(WORKLOADS)}; default: all")] = None,
    requests: Annotated[
        int, typer.Option(help="of each run; the fitted one has four times as many")
    ] = 10_000,
    rounds: Annotated[int, typer.Option(help="of a fitted run and the five loads")] = 2,
    json: record.Json = record.RESULTS / "planning.json",
) -> None:
    """Foresee, and measure."""
    settings = {"requests": requests, "rounds": rounds, "stretches": STRETCHES}
    document = record.Record("planning", settings, json)
    runs, judged = [], []
    with alone():
        for name in workload or WORKLOADS:
            runs.append(run(WORKLOADS[name](), requests, rounds))
            judged = judge(runs)
            document.write({"targets": targets.rows(judged), "runs": runs})
            for one in runs[-1]["cases"]:
                print(told(one))
    Console(width=120).print(targets.table(judged))


def told(case: Mapping[str, Any]) -> str:
    """Return a case in one line."""
    low, value, high, measured = (
        f"{case[name] * 1e3:.2f}" for name in ("low_s", "foreseen_s", "high_s", "measured_s")
    )
    where = "" if case["inside"] else "  OUTSIDE"
    return f"{case['load']:.0%} {case['percentile']}: foreseen {value} [{low}, {high}] ms, measured {measured} ms{where}"


if __name__ == "__main__":
    typer.run(main)
