"""The rule of waiting in virtual time, beside fixed windows: no threads, no machine.

    python -m benchmarks.limits.waiting [--requests 6000] [--json FILE]

The service's own queue decides. The event loop reads and answers one request at a time, the executor takes t(n) for a batch
of n, and clients are a closed loop (with or without a time to think), an open one, or both.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import typer

from benchmarks import record
from benchmarks.limits.simulation import BatchTime, Both, Clients, Closed, Open, World
from tailgate.service.batching.policy import BatchPolicy, BatchQueue

CAP = 32
EVENT_LOOP_S = 20e-6  # of reading a request, and again of answering it
SPREAD = 0.03  # of t(n), lognormal, in closed loops: nothing is as regular as a formula
WARM_SHARE = 0.2
WINDOWS_MS = (0, 1, 2, 4)
RATE_WANTED, P99_WANTED = 0.97, 1.03


def _affine(item_ms: float, fixed_ms: float) -> BatchTime:
    return lambda size: (fixed_ms + item_ms * size) / 1000


BATCH_TIMES: dict[str, BatchTime] = {
    "4.4 + 0.55 n (MobileNetV3, 64 px)": _affine(0.55, 4.4),
    "20 + 3 n": _affine(3, 20),
    "0.1 + 0.02 n": _affine(0.02, 0.1),
    "steep: 0.2 + 5 n": _affine(5, 0.2),
    "flat: 5 + 0.02 n": _affine(0.02, 5),
    "stepped: 2 + 3 ⌈n/8⌉": lambda size: (2 + 3 * math.ceil(size / 8)) / 1000,
    "bent: 1 + 4 √n": lambda size: (1 + 4 * math.sqrt(size)) / 1000,
}


@dataclass(frozen=True, slots=True)
class Figures:
    """What a course of one world came to."""

    rate_per_s: float
    p99_s: float


def simulate(
    batch_s: BatchTime, clients: Clients, window_ms: float | None, requests: int, spread: float = 0.0
) -> Figures:
    """Run one world; ``window_ms`` is None for the rule."""
    policy = BatchPolicy(CAP, 1_000_000, None if window_ms is None else window_ms / 1000)
    world = World(BatchQueue(policy, batch_s), batch_s, clients, EVENT_LOOP_S, spread)
    world.run(requests)
    warm = world.latencies_s[int(WARM_SHARE * len(world.latencies_s)) :]
    return Figures(len(world.latencies_s) / world.ended_s, float(np.quantile(warm, 0.99)))


@dataclass(frozen=True, slots=True)
class Cell:
    """One load on one model: the rule beside each window, of throughput (closed) or p99 (open)."""

    model: str
    load: str
    closed: bool
    windows: tuple[float, ...]
    rule: float

    @property
    def over_best(self) -> float:
        """The rule over the best window."""
        return self.rule / (max(self.windows) if self.closed else min(self.windows))

    @property
    def met(self) -> bool:
        """Whether that is near enough to 1."""
        return self.over_best >= RATE_WANTED if self.closed else self.over_best <= P99_WANTED


def cell(model: str, load: str, clients: Clients, requests: int) -> Cell:
    """Simulate one cell."""
    closed = not isinstance(clients, Open)

    def figure(window_ms: float | None) -> float:
        found = simulate(BATCH_TIMES[model], clients, window_ms, requests, SPREAD if closed else 0.0)
        return found.rate_per_s if closed else found.p99_s * 1000

    return Cell(model, load, closed, tuple(map(figure, WINDOWS_MS)), figure(None))


def loads(model: str, requests: int) -> Iterator[tuple[str, Clients, bool]]:
    """Yield every load, with whether it is held against the targets."""
    capacity_per_s = CAP / BATCH_TIMES[model](CAP)
    for count in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64):
        yield f"{count} clients", Closed(count), True
    for count in (128, 256):
        yield f"{count} clients", Closed(count), False
    for percent in (10, 20, 30, 50, 70, 80, 90, 95):
        yield f"open, {percent} %", Open(percent / 100 * capacity_per_s, requests + 1), True
    for count in (2, 8, 32):
        yield f"{count} clients, 1 ms away", Closed(count, round_trip_s=0.001), False
        yield f"{count} clients that think 2 ms", Closed(count, 0.002), False
        yield f"{count} clients that think 20 ms", Closed(count, 0.02), False
    yield "8 clients, and open, 10 %", Both(Closed(8), Open(0.1 * capacity_per_s, requests)), False
    for percent in (10, 30, 60):
        of_eight = Open(percent / 100 * capacity_per_s, requests + 8, burst=8, apart_s=0.0001)
        yield f"open, {percent} %, bursts of 8", of_eight, False


def table(cells: Sequence[tuple[Cell, bool]]) -> str:
    """Return the cells as Markdown."""
    heads = " | ".join(f"{ms} ms" for ms in WINDOWS_MS)
    lines = [f"| t(n) in ms | load | {heads} | rule | over the best |", "|---|---|" + "---|" * 6]
    for one, wanted in cells:
        shown = " | ".join(f"{value:,.4g}" for value in (*one.windows, one.rule))
        mark = "" if one.met else (" **missed**" if wanted else " *")
        lines.append(f"| {one.model} | {one.load} | {shown} | {one.over_best:.3f}{mark} |")
    return "\n".join(lines)


def main(
    requests: Annotated[int, typer.Option(help="of each cell")] = 6_000,
    json: record.Json = record.RESULTS / "waiting-simulated.json",
) -> None:
    """Simulate the rule of waiting beside fixed windows."""
    document = record.Record("waiting-simulated", {"requests": requests, "cap": CAP}, json)
    cells = [
        (cell(model, load, clients, requests), wanted)
        for model in BATCH_TIMES
        for load, clients, wanted in loads(model, requests)
    ]
    held = [one for one, wanted in cells if wanted]
    print("requests/s of closed loops, p99 in ms of open ones\n\n" + table(cells))
    print(f"\n{sum(one.met for one in held)} of {len(held)} cells meet their target")
    rows = [
        {"model": one.model, "load": one.load, "closed": one.closed, "windows": one.windows}
        | {"rule": one.rule, "over_best": one.over_best, "target": wanted, "met": one.met}
        for one, wanted in cells
    ]
    document.write({"cells": rows})
    print(f"written: {json}")


if __name__ == "__main__":
    typer.run(main)
