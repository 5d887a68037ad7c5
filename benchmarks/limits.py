"""How near the service comes to the bare model: cost of a request, saturated throughput, lone latency, tail.

    python -m benchmarks.limits [--rounds 5] [--seconds 2] [--json FILE]

t is the bare model's cost of an item at its best static batch, h the service's cost of a request: the reciprocal of its
throughput with a model that does nothing. Both the service and the bare model run the compiled executor where there is a
C++ compiler, else the eager one. A server with one processor can at best reach 1/(t + h). Each round measures the
bare model and every server once, in an order that changes; ratios are taken within a round.

Two floors stand beside the lone request: what the barest server, a uvloop protocol that parses and answers at once, takes
with one client, and what a direct call takes that comes after a pause, as a lone request does, instead of in a tight loop.
"""

import random
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console

from benchmarks import metrics_cost, record, targets, workloads
from benchmarks.bare import Bare, fit
from benchmarks.client import Client, Effort, default_client, drive
from benchmarks.compiling import executor_of
from benchmarks.fleet import Fleet, Slot
from benchmarks.load_run import server as bare_server
from benchmarks.pinning import both, client_processor, server_processor
from benchmarks.roster import raw, roster
from benchmarks.simulation import latencies
from benchmarks.spread import Spread, spread
from benchmarks.targets import Sense, Target
from benchmarks.workloads import Workload
from tailgate.harness.load import Generator, LoadSettings
from tailgate.harness.scenario.arrivals import Poisson
from tailgate.harness.scenario.payload import Payload
from tailgate.harness.scenario.plan import draw_plan
from tailgate.harness.scenario.scenario import Phase, Scenario
from tailgate.service.batching.policy import BatchPolicy

CONNECTIONS = 64
SIZES = (1, 2, 4, 8, 16, 24, 32)
TAIL_SHARE = 0.7  # of the measured capacity
TAIL_S = 8.0
PAUSE_S = 0.0003  # about what a lone request's client and the network take
NOOP, ONE, TWO = "noop, one processor", "one processor", "two processors"


def slots(workload: Workload) -> list[Slot]:
    """Return the three servers."""
    tailgate, one = roster()[0], str(server_processor())
    return [
        Slot(NOOP, tailgate, workloads.noop(), one),
        Slot(ONE, tailgate, workload, one),
        Slot(TWO, tailgate, workload, both()),
    ]


def one_round(fleet: Fleet, bare: Bare, order: list[str], effort: Effort) -> dict[str, Any]:
    """Measure everything once."""
    batch_s = bare.batch_seconds(SIZES, len(SIZES) * effort.seconds / 4)
    measured: dict[str, Any] = {
        "batch_s": batch_s,
        "direct_s": bare.batch_seconds((1,), effort.seconds / 2)[1],
        "paused_s": bare.batch_seconds((1,), effort.seconds / 2, PAUSE_S)[1],
    }
    with bare_server("echo_server") as port:
        request = raw(workloads.noop())
        echo = drive(port, "/", request, 1, effort.seconds / 2, effort.client, client_processor())
        measured["echo_s"] = echo.p50_s
    for name in order:
        saturated = fleet.load(name, CONNECTIONS, effort.seconds, effort.client, client_processor())
        lone = fleet.load(name, 1, effort.seconds, effort.client, client_processor())
        measured[name] = {"per_s": saturated.requests_per_s, "lone_s": lone.p50_s, "failed": saturated.failed}
    return measured


def tail(fleet: Fleet, rounds: list[dict[str, Any]], seed: int) -> dict[str, Any]:
    """Send at 70 % of the capacity in open loop; return p99 as measured and as the simulated policy has it."""
    rate_per_s = TAIL_SHARE * float(np.median([one[ONE]["per_s"] for one in rounds]))
    workload = workloads.mobilenet()
    scenario = Scenario(
        "tail",
        "Poisson arrivals at a share of the capacity",
        (
            Phase("warm-up", Poisson(rate_per_s), duration_s=1.0, measured=False),
            Phase("steady", Poisson(rate_per_s), duration_s=TAIL_S),
        ),
        (),
    )
    plan = draw_plan(scenario, [Payload("pixels", workload.body, workload.content_type)], seed)
    with fleet.only(ONE) as server, tempfile.TemporaryDirectory() as directory:
        settings = LoadSettings("127.0.0.1", server.port, processor=client_processor())
        with Generator(plan, settings, Path(directory)) as generator:
            generator.run_phase(0)
            report = generator.run_phase(1)
            samples = generator.samples()
    of_phase = samples[samples["phase"] == 1]
    measured_s = (of_phase["done_ns"] - of_phase["intended_ns"]) / 1e9
    slope_s, offset_s = fit(medians(rounds))
    h_s = cost_s(rounds).median
    policy = BatchPolicy(workloads.CAP, queue_capacity=1)
    arrivals_s = (plan.phases[1].offsets_ns / 1e9).tolist()
    model_only = latencies(policy, arrivals_s, lambda n: slope_s * n + offset_s)
    with_cost = latencies(policy, arrivals_s, lambda n: (slope_s + h_s) * n + offset_s)
    return {
        "rate_per_s": rate_per_s,
        "failed": report.failed,
        "lag_p99_s": report.lag.p99_s,
        "p99_s": float(np.quantile(measured_s, 0.99)),
        "simulated_p99_s": float(np.quantile(with_cost, 0.99)),
        "simulated_model_only_p99_s": float(np.quantile(model_only, 0.99)),
    }


def medians(rounds: list[dict[str, Any]]) -> Mapping[int, float]:
    """Return the median seconds of each batch size."""
    return {size: float(np.median([one["batch_s"][size] for one in rounds])) for size in SIZES}


def cost_s(rounds: list[dict[str, Any]]) -> Spread:
    """Return h."""
    return spread([1 / one[NOOP]["per_s"] for one in rounds])


def best_item_s(one: Mapping[str, Any]) -> float:
    """Return t: seconds an item at the best static batch of one round."""
    return float(min(seconds / size for size, seconds in one["batch_s"].items()))


def judge(rounds: list[dict[str, Any]], tails: list[dict[str, Any]]) -> list[Target]:
    """Return the targets."""
    at_least, at_most = Sense.AT_LEAST, Sense.AT_MOST
    limits = [best_item_s(one) + 1 / one[NOOP]["per_s"] for one in rounds]
    one_share = [one[ONE]["per_s"] * limit for one, limit in zip(rounds, limits, strict=True)]
    two_share = [one[TWO]["per_s"] * best_item_s(one) for one in rounds]
    lone = [(one[ONE]["lone_s"] - one["direct_s"]) * 1e6 for one in rounds]
    lone_paused = [(one[ONE]["lone_s"] - one["paused_s"]) * 1e6 for one in rounds]
    lone_noop = [one[NOOP]["lone_s"] * 1e6 for one in rounds]
    lone_own = [(one[NOOP]["lone_s"] - one["echo_s"]) * 1e6 for one in rounds]
    h_us = [1e6 / one[NOOP]["per_s"] for one in rounds]
    tail_ratio = [one["p99_s"] / one["simulated_p99_s"] for one in tails]
    return [
        Target("h: cost of a request", at_most, 60, spread(h_us), "µs"),
        Target("saturated, one processor, over 1/(t + h)", at_least, 0.95, spread(one_share)),
        Target("saturated, two processors, over the bare model", at_least, 0.85, spread(two_share)),
        Target("lone p50 less the direct call", at_most, 200, spread(lone), "µs"),
        Target("lone p50 less a direct call after a pause", at_most, 200, spread(lone_paused), "µs"),
        Target("lone p50 of the no-op model", at_most, 200, spread(lone_noop), "µs"),
        Target("lone p50 of the no-op model less the bare echo's", at_most, 200, spread(lone_own), "µs"),
        Target("p99 at 70 % of capacity over the simulated policy", at_most, 1.3, spread(tail_ratio)),
    ]


def measure(effort: Effort) -> tuple[list[Target], dict[str, Any]]:
    """Run all rounds; return the targets and the figures behind them."""
    executor, order = executor_of(workloads.mobilenet()), random.Random(0)
    workload = workloads.mobilenet(executor.value)
    done: list[dict[str, Any]] = []
    with (
        Fleet(slots(workload)) as fleet,
        Bare(workload.environment, workload.body, server_processor()) as bare,
    ):
        if fleet.absent:
            raise SystemExit(f"the service did not start: {fleet.absent}")
        for number in range(effort.rounds):
            done.append(one_round(fleet, bare, order.sample([NOOP, ONE, TWO], 3), effort))
            print(f"limits: round {number + 1} of {effort.rounds} done", flush=True)
        tails = [tail(fleet, done, seed) for seed in range(min(3, effort.rounds))]
    slope_s, offset_s = fit(medians(done))
    metrics, library_metrics = metrics_cost.measure()
    figures = {
        "executor": executor,
        "fit": {"a_s": slope_s, "b_s": offset_s},
        "bare_batch_s": medians(done),
        "bare_items_per_s": spread([1 / best_item_s(one) for one in done]),
        "served_per_s": {name: spread([one[name]["per_s"] for one in done]) for name in (NOOP, ONE, TWO)},
        "lone_p50_s": {name: spread([one[name]["lone_s"] for one in done]) for name in (NOOP, ONE, TWO)},
        "direct_call_s": spread([one["direct_s"] for one in done]),
        "direct_call_after_pause_s": spread([one["paused_s"] for one in done]),
        "lone_echo_p50_s": spread([one["echo_s"] for one in done]),
        "failed": sum(one[name]["failed"] for one in done for name in (NOOP, ONE, TWO)),
        "metrics_s": metrics,
        "metrics_by_prometheus_client_s": library_metrics,
        "tail": tails,
    }
    return [*judge(done, tails), metrics_share(metrics)], figures


def metrics_share(cost: Spread) -> Target:
    """Return the target of the metrics' own cost."""
    what = f"metrics, share of a processor at {metrics_cost.RATE_PER_S:,} requests/s"
    return Target(what, Sense.AT_MOST, 0.05, metrics_cost.share(cost))


def main(
    rounds: Annotated[int, typer.Option(help="interleaved rounds")] = 5,
    seconds: Annotated[float, typer.Option(help="length of each measurement")] = 2.0,
    client: Annotated[Client | None, typer.Option(help="default: wrk where it is installed")] = None,
    json: Annotated[Path, typer.Option(help="where the results go")] = record.RESULTS / "limits.json",
) -> None:
    """Measure the service beside the bare model."""
    effort = Effort(rounds, seconds, client or default_client())
    settings = {"effort": effort, "connections": CONNECTIONS}
    document = record.Record("limits", settings, json)
    judged, figures = measure(effort)
    document.write({"targets": targets.rows(judged), **figures})
    Console(width=120).print(targets.table(judged))
    print(f"written: {json}")


if __name__ == "__main__":
    typer.run(main)
