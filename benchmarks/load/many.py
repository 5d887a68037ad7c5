"""Many generators beside one: the same latencies for the same processor time; and how long the merge of their records takes.

    python -m benchmarks.load.many compare [--seconds 20] [--rounds 3] [--json FILE]
    python -m benchmarks.load.many merge [--streams 1000] [--records 100000000] [--folder FOLDER]

The generators of ``compare`` have clocks of their own: time namespaces, which need root. It takes about
rounds × 8 × (seconds + 5 s), and wants two processors to itself. ``merge`` writes 111 bytes per record, and as much again
with ``--keep``.
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
from benchmarks.targets import Sense, Target
from tailgate import CommandEngine, Phase, Poisson, latencies_s
from tailgate.harness.load.many.engine import WORKER
from tailgate.harness.load.many.generators import Generators
from tailgate.harness.load.records.merging import merged
from tailgate.harness.load.records.record_file import WrittenFile
from tailgate.harness.load.records.samples import SAMPLE, SAMPLE_FILE

COUNTS = (1, 2, 4, 8)
QUANTILES = (0.5, 0.95)
# What one generator sends with ease; at lower rates what each does between requests counts more than the requests.
COST_PER_S = 4_000.0
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


def run(count: int, seconds: float) -> dict[str, Any]:
    """Send the laws' requests by so many generators; return what clients saw beyond the server's own record."""
    phases = [
        Phase("warm-up", Poisson(RATE_PER_S), duration_s=1.0, measured=False),
        Phase("laws", Poisson(RATE_PER_S), duration_s=seconds),
    ]
    with tempfile.TemporaryDirectory() as directory:
        truth_file = Path(directory) / "truth.json"
        generate = functools.partial(Generators, engine(count))
        with server("law_server", str(truth_file)) as port:
            payloads = [payload(f"/{law}") for law in LAWS]
            (_, report), samples = send(port, phases, payloads, pinned=False, generate=generate)
        truth = orjson.loads(truth_file.read_bytes())
    samples = samples[samples["phase"] == 1]
    beyond = {}
    for index, law in enumerate(LAWS):
        seen = latencies_s(samples[samples["payload"] == index])
        true = np.array(truth[f"/{law}"][-len(seen) :])
        for share in QUANTILES:
            of_true = float(np.quantile(true, share))
            beyond[f"{law} p{share * 100:g}"] = (of_true, float(np.quantile(seen, share)) - of_true)
    return {
        "beyond": beyond,
        "failed": report.failed,
        "cpu_s_per_request": cost(count, seconds),
        "lag": report.lag,
        "parts": report.parts,
    }


def cost(count: int, seconds: float) -> float:
    """Return the processor seconds of so many generators per request, against a server that costs next to nothing."""
    phases = [
        Phase("warm-up", Poisson(COST_PER_S), duration_s=1.0, measured=False),
        Phase("cost", Poisson(COST_PER_S), duration_s=seconds),
    ]
    generate = functools.partial(Generators, engine(count))
    with server("echo_server") as port:
        (_, report), _ = send(port, phases, [payload("/predict")], pinned=False, generate=generate)
    return report.cpu_s / report.requests


@app.command()
def compare(
    seconds: Annotated[float, typer.Option(help="of load per run")] = 20.0,
    rounds: Annotated[int, typer.Option(help="of one run with each number of generators")] = 3,
    json: record.Json = record.RESULTS / "many-generators.json",
) -> None:
    """Compare 2, 4 and 8 generators with one, by turns."""
    document = record.Record("many-generators", {"seconds": seconds, "rounds": rounds}, json)
    runs = [{count: run(count, seconds) for count in COUNTS} for _ in range(rounds)]
    judged = []
    for count in COUNTS[1:]:
        worst, said = 0.0, ""
        for name in runs[0][1]["beyond"]:
            change_s = float(
                np.median([one[count]["beyond"][name][1] - one[1]["beyond"][name][1] for one in runs])
            )
            allowed_s = max(100e-6, 0.01 * float(np.median([one[1]["beyond"][name][0] for one in runs])))
            if abs(change_s) / allowed_s >= worst:
                worst, said = abs(change_s) / allowed_s, f"the worst is {name}: {change_s * 1e6:.1f} µs"
        what = f"p50 and p95 of {count} generators beside those of one, against the server's own record"
        judged.append(Target(what, Sense.AT_MOST, 1.0, worst, "× (1 % or 100 µs)", said))
        cpu = [one[count]["cpu_s_per_request"] / one[1]["cpu_s_per_request"] for one in runs]
        what = f"processor time per request of {count} generators, of one's"
        judged.append(Target(what, Sense.AT_MOST, 1.05, float(np.median(cpu)), "×", f"of {rounds} rounds"))
    document.write({"claims": targets.rows(judged), "runs": runs})
    Console(width=140).print(targets.table(judged))
    print(f"written: {json}")


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
