"""Many generators beside one: the same latencies for the same processor time; and how long the merge of their records takes.

    python -m benchmarks.load.many compare [--seconds 15] [--rounds 3] [--json FILE]
    python -m benchmarks.load.many cost [--seconds 6] [--rounds 10] [--json FILE]
    python -m benchmarks.load.many merge [--streams 1000] [--records 100000000] [--folder FOLDER]

In ``compare`` each of many generators sends what the one sends, and then all together send that. They have clocks of their own:
time namespaces, which need root. It takes about rounds × 14 × (seconds + 5 s), and wants two processors to itself. ``merge``
writes 111 bytes per record, and as much again with ``--keep``.
"""

import functools
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import orjson
import typer
from rich.console import Console

from benchmarks import record, targets
from benchmarks.load.rig import payload, send, server
from benchmarks.load.truth import LAWS, RATE_PER_S
from benchmarks.processors import client_processor
from benchmarks.spread import ratio, spread
from benchmarks.targets import Sense, Target
from tailgate import CommandEngine, Payload, Phase, Poisson, latencies_s
from tailgate.harness.load import PhaseReport
from tailgate.harness.load.many.engine import WORKER, GeneratorEngine
from tailgate.harness.load.many.generators import Generators
from tailgate.harness.load.records.merging import merged
from tailgate.harness.load.records.record_file import WrittenFile
from tailgate.harness.load.records.samples import SAMPLE, SAMPLE_FILE, Samples

COUNTS = (2, 4, 8)
QUANTILES = (0.5, 0.95)
# What one generator sends with ease, and one processor eight times.
COST_PER_S = 2_000.0
# What many generators send beside one.
MORE = {"each what one sends": True, "together what one sends": False}
# Of the clocks of two successive generators.
APART_S = 100_000

app = typer.Typer(add_completion=False)


def engine(count: int) -> CommandEngine:
    """Return so many generators, all on the client's processor, each in a time of its own."""
    worker = [sys.executable, "-P", *WORKER]
    commands = {
        f"shifted-{number}": [
            *("taskset", "--cpu-list", str(client_processor())),
            *("unshare", "-T", "--monotonic", str(APART_S * number), *worker),
        ]
        for number in range(1, count + 1)
    }
    return CommandEngine(f"shifted:{count}", commands, here=True)


def run(count: int, seconds: float, times: int) -> dict[str, Any]:
    """Send so many times the load of one by so many generators; return what they saw beyond the truth, and their cost."""
    return {"cpu_s_per_request": cost_of(engine(count), seconds, times), **laws(count, seconds, times)}


def laws(count: int, seconds: float, times: int) -> dict[str, Any]:
    """Return by law and quantile what the server recorded, and what the generators saw beyond that, in seconds."""
    with tempfile.TemporaryDirectory() as directory:
        truth_file = Path(directory) / "truth.json"
        with server("law_server", str(truth_file)) as port:
            payloads = [payload(f"/{law}") for law in LAWS]
            report, samples = _sent(engine(count), port, times * RATE_PER_S, seconds, payloads)
        truth = orjson.loads(truth_file.read_bytes())
    beyond = {}
    for index, law in enumerate(LAWS):
        seen = latencies_s(samples[samples["payload"] == index])
        true = np.array(truth[f"/{law}"][-len(seen) :])
        for share in QUANTILES:
            of_true = float(np.quantile(true, share))
            beyond[f"{law} p{share * 100:g}"] = (of_true, float(np.quantile(seen, share)) - of_true)
    return {"beyond": beyond, "failed": report.failed, "lag": report.lag, "parts": report.parts}


def cost_of(chosen: GeneratorEngine, seconds: float, times: int) -> float:
    """Return the processor seconds of the generators per request, against a server that costs next to nothing."""
    with server("echo_server") as port:
        report, _ = _sent(chosen, port, times * COST_PER_S, seconds, [payload("/predict")])
    return report.cpu_s / report.requests


def _sent(
    chosen: GeneratorEngine, port: int, rate_per_s: float, seconds: float, payloads: list[Payload]
) -> tuple[PhaseReport, Samples]:
    """Send at a rate, after one second as a warm-up; return the report and the records without it."""
    phases = [
        Phase("warm-up", Poisson(rate_per_s), duration_s=1.0, measured=False),
        Phase("load", Poisson(rate_per_s), duration_s=seconds),
    ]
    generate = functools.partial(Generators, chosen)
    (_, report), samples = send(port, phases, payloads, pinned=False, generate=generate)
    return report, samples[samples["phase"] == 1]


@app.command()
def compare(
    seconds: Annotated[float, typer.Option(help="of load per run")] = 15.0,
    rounds: Annotated[int, typer.Option(help="of one run with each number of generators")] = 3,
    json: record.Json = record.RESULTS / "many-generators.json",
) -> None:
    """Compare 2, 4 and 8 generators with one, by turns."""
    document = record.Record("many-generators", {"seconds": seconds, "rounds": rounds}, json)
    ones: list[dict[str, Any]] = []
    many: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for _ in range(rounds):
        ones.append(run(1, seconds, 1))
        for count in COUNTS:
            for name, more in MORE.items():
                many.setdefault((name, count), []).append(run(count, seconds, count if more else 1))
    judged = [
        target
        for (name, count), runs in many.items()
        for target in judge(f"{count} generators, {name}", runs, ones)
    ]
    rows = [{"load": name, "generators": count, "runs": runs} for (name, count), runs in many.items()]
    document.write({"targets": targets.rows(judged), "one": ones, "many": rows})
    Console(width=140).print(targets.table(judged))
    print(f"written: {json}")


def judge(name: str, runs: list[dict[str, Any]], ones: list[dict[str, Any]]) -> tuple[Target, Target]:
    """Return the targets of many generators beside one, round by round."""
    worst, said = 0.0, ""
    for quantile, (true_s, _) in ones[0]["beyond"].items():
        pairs = zip(runs, ones, strict=True)
        change_s = float(
            np.median([run["beyond"][quantile][1] - one["beyond"][quantile][1] for run, one in pairs])
        )
        allowed_s = max(100e-6, 0.01 * true_s)
        if abs(change_s) / allowed_s >= worst:
            worst, said = abs(change_s) / allowed_s, f"the worst is {quantile}: {change_s * 1e6:.1f} µs"
    ratios = [
        run["cpu_s_per_request"] / one["cpu_s_per_request"] for run, one in zip(runs, ones, strict=True)
    ]
    return (
        Target(f"{name}: p50 and p95 beside one's", Sense.AT_MOST, 1.0, worst, "× (1 % or 100 µs)", said),
        Target(
            f"{name}: processor time per request", Sense.AT_MOST, 1.05, float(np.median(ratios)), "× one's"
        ),
    )


@app.command()
def cost(
    seconds: Annotated[float, typer.Option(help="of load per run")] = 6.0,
    rounds: Annotated[int, typer.Option(help="of one generator and of many")] = 10,
    json: record.Json = record.RESULTS / "many-generators-cost.json",
) -> None:
    """Compare as many generators as there are processors with one, each at the same rate."""
    document = record.Record("many-generators-cost", {"seconds": seconds, "rounds": rounds}, json)
    worker, many = [sys.executable, "-P", *WORKER], len(os.sched_getaffinity(0))
    costs_s: dict[int, list[float]] = {1: [], many: []}
    for _ in range(rounds):
        for count, found in costs_s.items():
            names = [f"generator-{number + 1}" for number in range(count)]
            found.append(
                cost_of(CommandEngine("here", dict.fromkeys(names, worker), here=True), seconds, count)
            )
    ratios = ratio(costs_s[many], costs_s[1])
    document.write(
        {
            "generators": many,
            "cpu_s_per_request": {str(count): spread(found) for count, found in costs_s.items()},
            "ratio": ratios,
        }
    )
    print(f"processor time per request of {many} generators, of one's: {ratios}")


@app.command()
def merge(
    streams: Annotated[int, typer.Option(help="files that are merged")] = 1_000,
    records: Annotated[int, typer.Option(help="in all files")] = 100_000_000,
    folder: Annotated[Path | None, typer.Option(help="for the files; default: a temporary one")] = None,
    *,
    keep: Annotated[
        bool, typer.Option("--keep", help="write what is merged, rather than only reading")
    ] = False,
) -> None:
    """Merge generated streams, and state the time and the memory."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        paths = [Path(name) / f"{stream}.bin" for stream in range(streams)]
        for stream, path in enumerate(paths):
            rows = np.zeros(len(range(stream, records, streams)), SAMPLE)
            rows["request"] = np.arange(stream, records, streams)
            part = WrittenFile(path, SAMPLE_FILE)
            part.write(memoryview(rows.tobytes()))
            part.close()
        before_mib = _peak_mib()
        target = WrittenFile(Path(name) / "merged.bin" if keep else Path(os.devnull), SAMPLE_FILE)
        began_s, cpu_s, expected = time.perf_counter(), time.process_time(), 0
        for block in merged(paths, SAMPLE_FILE):
            assert (block["request"] == np.arange(expected, expected + len(block))).all()
            expected += len(block)
            target.write(memoryview(block.tobytes()))
        took_s, cpu_s = time.perf_counter() - began_s, time.process_time() - cpu_s
        target.close()
    assert expected == records
    print(
        f"{records:,} records of {streams:,} streams ({records * SAMPLE.itemsize / 1e9:.1f} GB) merged in {took_s:.1f} s, "
        f"{cpu_s:.1f} s of processor time; peak of resident memory {_peak_mib():.0f} MiB, {before_mib:.0f} MiB before the merge"
    )


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    app()
