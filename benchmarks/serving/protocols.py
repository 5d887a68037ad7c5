"""The Open Inference Protocol beside ``/predict`` and beside Triton, with the bytes that NVIDIA's client sends.

    python -m benchmarks.serving.protocols [--rounds 5] [--seconds 2] [--json FILE]

The model does nothing, so that the servers' own cost shows. Triton runs its Python backend with dynamic batching. Rounds are
interleaved as in :mod:`benchmarks.serving.comparison`. It takes about 3 minutes.
"""

import dataclasses
from pathlib import Path

import numpy as np
import orjson
import typer
from rich.console import Console

from benchmarks import record, targets
from benchmarks.environments import alone
from benchmarks.serving import comparison
from benchmarks.serving.client import ClientOption, Effort, Rounds, Seconds, default_client
from benchmarks.serving.roster import TAILGATE, TRITON, Entry, Request, number_v2
from benchmarks.spread import ratio
from benchmarks.targets import Sense, Target
from benchmarks.workloads import SIDE, Workload

WORKLOAD = "noop"
PATH = f"/v2/models/{WORKLOAD}/infer"


def client_request(name: str, workload: Workload, shape: list[int], *, binary: bool) -> Request:
    """Return what ``tritonclient.http`` sends for one item, and asks for by default: all outputs as binary data."""
    import tritonclient.http as triton  # noqa: PLC0415 - a second to import, and of no use to other benchmarks

    given = triton.InferInput(name, shape, "UINT8")
    given.set_data_from_numpy(np.frombuffer(workload.body, np.uint8).reshape(shape), binary_data=binary)
    outputs = None if binary else [triton.InferRequestedOutput("output", binary_data=False)]
    body, length = triton.InferenceServerClient.generate_request_body([given], outputs)
    return Request(body, {} if length is None else {"Inference-Header-Content-Length": str(length)})


def number_json(answer: bytes) -> float:
    """Return the first number of an answer in JSON."""
    return float(orjson.loads(answer)["outputs"][0]["data"][0])


def _infer(name: str, *, binary: bool) -> Entry:
    return dataclasses.replace(
        TAILGATE,
        name=name,
        path=PATH,
        encode=lambda workload: client_request("input", workload, [1, SIDE, SIDE, 3], binary=binary),
        read=number_v2 if binary else number_json,
    )


BINARY, IN_JSON = _infer("infer", binary=True), _infer("infer-json", binary=False)
OTHER = dataclasses.replace(
    TRITON, encode=lambda workload: client_request("BODY", workload, [1, len(workload.body)], binary=True)
)
# connections, which, over which, at least.
WANTED = (
    *((count, BINARY.name, TRITON.name, 1.3) for count in comparison.CONNECTIONS),
    (64, BINARY.name, TAILGATE.name, 0.9),
    (64, BINARY.name, IN_JSON.name, 5.0),
)


def judge(cells: comparison.Cells) -> list[Target]:
    """Return the targets, ratios of requests per second within a round."""
    judged = []
    for count, one, other, times in WANTED:
        found = [cells.get((WORKLOAD, count, name)) for name in (one, other)]
        rates = [cell.rates for cell in found if cell is not None]
        value = ratio(*rates) if len(rates) == 2 else None
        judged.append(Target(f"{one} over {other}, {count} connections", Sense.AT_LEAST, times, value))
    return judged


def main(
    rounds: Rounds = 5,
    seconds: Seconds = 2.0,
    client: ClientOption = None,
    json: record.Json = record.RESULTS / "protocols.json",
) -> None:
    """Measure, print, and write the results."""
    effort = Effort(rounds, seconds, client or default_client())
    servers = (TAILGATE, BINARY, IN_JSON, OTHER)
    document = record.Record("protocols", {"effort": effort}, Path(json))
    with alone():
        cells, absent = comparison.measure_workload(WORKLOAD, servers, comparison.CONNECTIONS, effort)
    judged = judge(cells)
    console = Console(width=140)
    console.print(comparison.table(WORKLOAD, cells, absent))
    console.print(targets.table(judged))
    document.write({"targets": targets.rows(judged), "cells": comparison.rows(cells), "absent": absent})


if __name__ == "__main__":
    typer.run(main)
