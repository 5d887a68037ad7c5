"""Pictures of a load and of what is judged by it, from simulations with a fixed seed."""

import math

import numpy as np
from numpy.typing import NDArray

from benchmarks.gate.queue import in_system
from benchmarks.pictures.canvas import Picture
from tailgate.harness import statistics
from tailgate.harness.measures.measure import Estimate
from tailgate.harness.results.verdict import Better
from tailgate.harness.verdict.judge import decide

Array = NDArray[np.float64]


def open_loop() -> Picture:
    """Show one stall of 2 s as an open and as a closed loop see it."""
    rate, work_s, begins_s, stall_s, length_s = 25.0, 0.02, 4.0, 2.0, 10.0
    rng = np.random.default_rng(1)
    sent = np.cumsum(rng.exponential(1 / rate, int(rate * length_s)))
    open_, closed = sent[sent < length_s], []
    latencies = _stalled(open_, work_s, begins_s, stall_s)
    free_s = 0.0
    for at_s in open_:
        # The same schedule, but each request waits until the one before has been answered.
        leaves_s = max(at_s, free_s)
        took_s = work_s + (
            begins_s + stall_s - leaves_s if begins_s <= leaves_s < begins_s + stall_s else 0.0
        )
        free_s = leaves_s + took_s
        closed.append((leaves_s, took_s))
    picture = Picture(424, "The same stall of two seconds, seen by an open and by a closed loop")
    picture.text(
        16,
        26,
        f"A server stops for {stall_s:g} s. {rate:g} requests per second are meant to be sent.",
        "bold",
    )
    panels = (
        ("open loop: every request leaves at its time", "base", list(zip(open_, latencies, strict=True))),
        ("closed loop: the client waits for each answer", "head", closed),
    )
    for number, (name, style, points) in enumerate(panels):
        top, bottom = 70 + 180 * number, 190 + 180 * number
        seen = np.array([took for _, took in points])
        picture.box(60 + 640 * begins_s / length_s, top, 640 * stall_s / length_s, bottom - top, "link")
        for tick in (0.0, 1.0, 2.0):
            y = bottom - (bottom - top) * tick / 2
            picture.line((60, y, 700, y), "grid")
            picture.text(52, y + 4, f"{tick:g} s", "soft end")
        for at_s, took in points:
            if at_s < length_s:
                picture.dot(60 + 640 * at_s / length_s, bottom - (bottom - top) * min(took, 2) / 2, style)
        p99 = statistics.quantile(seen, 0.99)
        late = int((seen > 0.5).sum())
        told = f"p99 {p99 * 1000:,.0f} ms; {late} request{'s' * (late != 1)} took more than 0.5 s"
        picture.text(60, top - 12, name)
        picture.text(700, top - 12, told, "bold end")
    picture.text(700, 412, "seconds since the start", "soft end")
    for tick in range(0, 11, 2):
        picture.text(60 + 64 * tick, 388, str(tick), "soft mid")
    return picture


def _stalled(sent: Array, work_s: float, begins_s: float, stall_s: float) -> Array:
    """Return latencies of a server that takes one request after the other, and does nothing during the stall."""
    gaps = np.diff(sent, prepend=sent[0])
    works = np.full(len(sent), work_s)
    # The first request that the stall meets carries it.
    works[int(np.searchsorted(sent, begins_s))] += stall_s
    return in_system(gaps, works)


def intervals() -> Picture:
    """Show how an interval narrows with the number of requests, and what the verdict is."""
    limit, confidence = 0.080, 0.99
    services = ((0.071, "a service whose true p95 is 71 ms"), (0.090, "a service whose true p95 is 90 ms"))
    picture = Picture(400, "Confidence intervals of p95 beside a limit")

    def x(seconds: float) -> float:
        return 150 + 460 * (min(max(seconds, 0.04), 0.16) - 0.04) / 0.12

    picture.text(16, 26, "p95, its confidence interval, and the verdict", "bold")
    rng, y = np.random.default_rng(3), 66
    for true_p95, name in services:
        picture.text(16, y, name)
        y += 30
        for n in (100, 400, 2000, 5000):
            sample = true_p95 * np.exp(0.35 * (rng.standard_normal(n) - 1.6449))
            low, high = statistics.quantile_interval(sample, 0.95, confidence)
            value = statistics.quantile(sample, 0.95)
            verdict = decide(Estimate(value, low, high, n, confidence), limit, Better.LOWER)
            assert low is not None
            picture.text(140, y + 5, f"{n:,} requests", "soft end")
            picture.range(x(low), x(math.inf if high is None else high), x(value), y, verdict.value.lower())
            picture.text(744, y + 5, verdict.value, f"bold end {verdict.value.lower()}")
            y += 30
        y += 26
    picture.line((x(limit), 50, x(limit), y - 40), "limit")
    picture.text(x(limit) + 6, 60, "limit 80 ms", "limit-text")
    for tick in (0.04, 0.06, 0.08, 0.1, 0.12, 0.14, 0.16):
        picture.text(x(tick), y - 24, f"{tick * 1000:g} ms", "soft mid")
    return picture
