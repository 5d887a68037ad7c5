"""How near the service comes to the bare model: cost of a request, saturated throughput, lone latency, tail.

    python -m benchmarks.limits [--rounds 5] [--seconds 2] [--json FILE]

t is the bare model's cost of an item at its best static batch. h is the service's cost of a request: the reciprocal of
its throughput with a model that does nothing. Service and bare model run the compiled executor where there is a C++
compiler, else the eager one. A server with one processor can at best reach 1/(t + h). The gain of batching is the
throughput at a batch cap of 32 over that at a cap of 1, beside the bare model's own ratio. Each round measures the bare
model and every server once, in a random order; ratios are taken within a round.

Two floors stand beside the lone request: the latency of the barest server, a uvloop protocol that parses and answers at
once, and the time of a direct call after a pause, since a lone request comes after a pause, too.
"""

import random
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import typer
from numpy.typing import NDArray
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from benchmarks import record, targets, workloads
from benchmarks.limits import metrics
from benchmarks.limits.bare import Batches, bare_model, fit
from benchmarks.limits.simulation import At, World
from benchmarks.load.rig import server as bare_server
from benchmarks.processors import both, client_processor, server_processor
from benchmarks.serving.client import ClientOption, Effort, Rounds, Seconds, default_client, drive
from benchmarks.serving.compiling import Executor, executor_of
from benchmarks.serving.fleet import Fleet, Slot
from benchmarks.serving.roster import TAILGATE, raw
from benchmarks.spread import Spread, ratio, spread
from benchmarks.targets import Sense, Target
from benchmarks.workloads import mobilenet
from tailgate import Payload, Phase, Poisson, Scenario, draw_plan
from tailgate.harness.load import Generator, LoadSettings
from tailgate.service.batching.policy import BatchPolicy, BatchQueue

CONNECTIONS = 64
SIZES = (1, 2, 4, 8, 16, 24, 32)
TAIL_SHARE = 0.7  # of the measured capacity
TAIL_S = 8.0
PAUSE_S = 0.0003  # about the time of a lone request's client and network
LONE = NOOP, ONE, TWO = ("noop, one processor", "one processor", "two processors")
CAPS = (workloads.CAP, 1)
UNBATCHED = {ONE: "cap 1, one processor", TWO: "cap 1, two processors"}
SERVERS = (*LONE, *UNBATCHED.values())


def slots(executor: Executor) -> list[Slot]:
    """Return the servers."""
    one = str(server_processor())
    batched, unbatched = (mobilenet(executor.value, cap) for cap in CAPS)
    return [
        Slot(NOOP, TAILGATE, workloads.noop(), one),
        Slot(ONE, TAILGATE, batched, one),
        Slot(TWO, TAILGATE, batched, both()),
        Slot(UNBATCHED[ONE], TAILGATE, unbatched, one),
        Slot(UNBATCHED[TWO], TAILGATE, unbatched, both()),
    ]


def one_round(fleet: Fleet, bare: Batches, order: Sequence[str], effort: Effort) -> dict[str, Any]:
    """Measure everything once."""
    batch_s = bare(SIZES, len(SIZES) * effort.seconds / 4)
    measured: dict[str, Any] = {
        "batch_s": batch_s,
        "direct_s": bare((1,), effort.seconds / 2)[1],
        "paused_s": bare((1,), effort.seconds / 2, PAUSE_S)[1],
    }
    with bare_server("echo_server") as port:
        request = raw(workloads.noop())
        echo = drive(port, "/", request, 1, effort.seconds / 2, effort.client, client_processor())
        measured["echo_s"] = echo.p50_s
    for name in order:
        before = batches(fleet, name)
        saturated = fleet.load(name, CONNECTIONS, effort.seconds, effort.client, client_processor())
        items, count = batches(fleet, name) - before
        measured[name] = {
            "per_s": saturated.requests_per_s,
            "failed": saturated.failed,
            "batch": items / count,
        }
        if name in LONE:
            lone = fleet.load(name, 1, effort.seconds, effort.client, client_processor())
            measured[name]["lone_s"] = lone.p50_s
    return measured


def batches(fleet: Fleet, name: str) -> NDArray[np.float64]:
    """Return how many items and batches a server has run so far."""
    with fleet.only(name) as server:
        answer = httpx.get(f"{server.base_url}/metrics", timeout=10, trust_env=False).raise_for_status()
    families = text_string_to_metric_families(answer.text)
    found = {sample.name: sample.value for family in families for sample in family.samples}
    return np.array([found[f"tailgate_batch_size_{what}"] for what in ("sum", "count")])


def tail(fleet: Fleet, rounds: list[dict[str, Any]], seed: int) -> dict[str, Any]:
    """Send at 70 % of the capacity in open loop; return p99 as measured and of the simulated policy."""
    rate_per_s = TAIL_SHARE * float(np.median([one[ONE]["per_s"] for one in rounds]))
    workload, arrivals = mobilenet(), Poisson(rate_per_s)
    phases = (
        Phase("warm-up", arrivals, duration_s=1.0, measured=False),
        Phase("steady", arrivals, duration_s=TAIL_S),
    )
    scenario = Scenario("tail", "Poisson arrivals at a share of the capacity", phases, ())
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

    def simulated_p99_s(cost_s: float) -> float:
        def batch_s(size: int) -> float:
            return (slope_s + cost_s) * size + offset_s

        arrivals = At((plan.phases[1].offsets_ns / 1e9).tolist())
        policy = BatchPolicy(workloads.CAP, plan.phases[1].offsets_ns.size, max_wait_s=None)
        world = World(BatchQueue(policy, batch_s), batch_s, arrivals)
        world.run()
        return float(np.quantile(world.latencies_s, 0.99))

    return {
        "rate_per_s": rate_per_s,
        "failed": report.failed,
        "lag_p99_s": report.lag.p99_s,
        "p99_s": float(np.quantile(measured_s, 0.99)),
        "simulated_p99_s": simulated_p99_s(h_s),
        "simulated_model_only_p99_s": simulated_p99_s(0.0),
    }


def medians(rounds: list[dict[str, Any]]) -> Mapping[int, float]:
    """Return the median seconds of each batch size."""
    return {size: float(np.median([one["batch_s"][size] for one in rounds])) for size in SIZES}


def cost_s(rounds: list[dict[str, Any]]) -> Spread:
    """Return h."""
    return spread([1 / one[NOOP]["per_s"] for one in rounds])


def best_item_s(one: Mapping[str, Any]) -> float:
    """Return t: seconds per item at the best static batch of one round."""
    return float(min(seconds / size for size, seconds in one["batch_s"].items()))


def judge(rounds: list[dict[str, Any]], tails: list[dict[str, Any]]) -> list[Target]:
    """Return the targets."""
    at_least, at_most = Sense.AT_LEAST, Sense.AT_MOST

    def over_rounds(of: Callable[[dict[str, Any]], float]) -> Spread:
        return spread([of(one) for one in rounds])

    def lone_us(name: str, floor: str = "") -> Spread:
        return over_rounds(lambda one: (one[name]["lone_s"] - one.get(floor, 0.0)) * 1e6)

    one_share = over_rounds(lambda one: one[ONE]["per_s"] * (best_item_s(one) + 1 / one[NOOP]["per_s"]))
    two_share = over_rounds(lambda one: one[TWO]["per_s"] * best_item_s(one))
    h_us = over_rounds(lambda one: 1e6 / one[NOOP]["per_s"])
    tail_ratio = spread([one["p99_s"] / one["simulated_p99_s"] for one in tails])
    return [
        Target("h: cost of a request", at_most, 60, h_us, "µs"),
        Target("saturated, one processor, over 1/(t + h)", at_least, 0.95, one_share),
        Target("saturated, two processors, over the bare model", at_least, 0.85, two_share),
        Target("lone p50 less the direct call", at_most, 200, lone_us(ONE, "direct_s"), "µs"),
        Target("lone p50 less a direct call after a pause", at_most, 200, lone_us(ONE, "paused_s"), "µs"),
        Target("lone p50 of the no-op model", at_most, 200, lone_us(NOOP), "µs"),
        Target("lone p50 of the no-op model less the echo's", at_most, 200, lone_us(NOOP, "echo_s"), "µs"),
        Target("p99 at 70 % of capacity over the simulated policy", at_most, 1.3, tail_ratio),
    ]


def judge_batching(rounds: list[dict[str, Any]]) -> list[Target]:
    """Return the targets of the gain of batching."""
    cap, found = workloads.CAP, list[Target]()
    bare = [cap * one["batch_s"][1] / one["batch_s"][cap] for one in rounds]
    for name, unbatched in UNBATCHED.items():
        gain = ratio([one[name]["per_s"] for one in rounds], [one[unbatched]["per_s"] for one in rounds])
        of_bare = f"the same over the bare model's gain, {name}"
        found += [
            Target(f"cap {cap} over cap 1, {name}", Sense.AT_LEAST, 3.0, gain),
            Target(of_bare, Sense.AT_LEAST, 0.8, ratio(gain.values, bare)),
        ]
    return found


def measure(effort: Effort) -> tuple[list[Target], dict[str, Any]]:
    """Run all rounds; return the targets and the figures behind them."""
    # A compiled model is one for its cap.
    executors = {executor_of(mobilenet(cap=cap)) for cap in CAPS}
    executor = Executor.COMPILED if executors == {Executor.COMPILED} else Executor.EAGER
    workload, order = mobilenet(executor.value), random.Random(0)
    done: list[dict[str, Any]] = []
    with (
        Fleet(slots(executor)) as fleet,
        bare_model(workload.environment, workload.body, server_processor()) as bare,
    ):
        if fleet.absent:
            raise SystemExit(f"the service did not start: {fleet.absent}")
        for number in range(effort.rounds):
            done.append(one_round(fleet, bare, order.sample(SERVERS, len(SERVERS)), effort))
            print(f"limits: round {number + 1} of {effort.rounds} done", flush=True)
        tails = [tail(fleet, done, seed) for seed in range(min(3, effort.rounds))]
    ours, library = metrics.measure()
    figures = {"executor": executor, **figures_of(done), "tail": tails}
    figures |= {"metrics_s": ours, "metrics_by_prometheus_client_s": library}
    what = f"metrics, share of a processor at {metrics.RATE_PER_S:,} requests/s"
    of_metrics = Target(what, Sense.AT_MOST, 0.05, metrics.share(ours))
    return [*judge(done, tails), *judge_batching(done), of_metrics], figures


def figures_of(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the figures behind the targets, for JSON."""
    slope_s, offset_s = fit(medians(rounds))
    return {
        "fit": {"a_s": slope_s, "b_s": offset_s},
        "bare_batch_s": medians(rounds),
        "bare_items_per_s": spread([1 / best_item_s(one) for one in rounds]),
        "served_per_s": {name: spread([one[name]["per_s"] for one in rounds]) for name in SERVERS},
        "batch": {name: spread([one[name]["batch"] for one in rounds]) for name in SERVERS},
        "lone_p50_s": {name: spread([one[name]["lone_s"] for one in rounds]) for name in LONE},
        "direct_call_s": spread([one["direct_s"] for one in rounds]),
        "direct_call_after_pause_s": spread([one["paused_s"] for one in rounds]),
        "lone_echo_p50_s": spread([one["echo_s"] for one in rounds]),
        "failed": sum(one[name]["failed"] for one in rounds for name in SERVERS),
    }


def main(
    rounds: Rounds = 5,
    seconds: Seconds = 2.0,
    client: ClientOption = None,
    json: record.Json = record.RESULTS / "limits.json",
) -> None:
    """Measure the service beside the bare model."""
    effort = Effort(rounds, seconds, client or default_client())
    document = record.Record("limits", {"effort": effort, "connections": CONNECTIONS}, json)
    judged, figures = measure(effort)
    document.write({"targets": targets.rows(judged), **figures})
    Console(width=120).print(targets.table(judged))
    print(f"written: {json}")


if __name__ == "__main__":
    typer.run(main)
