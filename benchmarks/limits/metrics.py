"""The cost of a request's metrics: all observations of the service, beside those by prometheus_client.

    python -m benchmarks.limits.metrics

One thread, in batches of eight: seconds per request, and the share of a processor at 10,000 requests per second.
"""

import time
from collections.abc import Callable

import prometheus_client
import typer

from benchmarks.serving.client import Rounds
from benchmarks.spread import Spread, spread
from tailgate.service.errors import Outcome
from tailgate.service.metrics import Metrics, latency_edges

BATCH = 8
BATCHES = 20_000
RATE_PER_S = 10_000
# Spread over all buckets, so that the search for a bucket has no favourite.
TIMES_S = tuple(0.0005 * 1.09**step for step in range(60))


def own() -> Callable[[float], None]:
    """Return the observations that the service makes for a batch."""
    metrics = Metrics((), 32, tuple)

    def batch(seconds: float) -> None:
        metrics.batch_size.observe(BATCH)
        metrics.compute.observe(seconds, times=BATCH)
        metrics.executor_busy_s += seconds
        for _ in range(BATCH):
            metrics.decode.observe(seconds)
            metrics.queue.observe(seconds)
            metrics.encode.observe(seconds)
            metrics.count(Outcome.OK, seconds)

    return batch


def library() -> Callable[[float], None]:
    """Return the same by prometheus_client's histograms, with the same buckets."""
    registry = prometheus_client.CollectorRegistry()

    def histogram(name: str) -> prometheus_client.Histogram:
        return prometheus_client.Histogram(name, name, buckets=latency_edges(), registry=registry)

    size, *stages = map(histogram, ("size", "compute", "decode", "queue", "encode", "total"))
    busy = prometheus_client.Counter("busy", "busy", registry=registry)
    requests = prometheus_client.Counter("requests", "requests", ["outcome"], registry=registry).labels("ok")

    def batch(seconds: float) -> None:
        size.observe(BATCH)
        busy.inc(seconds)
        for _ in range(BATCH):
            for stage in stages:
                stage.observe(seconds)
            requests.inc()

    return batch


def measure(rounds: int = 5) -> tuple[Spread, Spread]:
    """Return the seconds per request, ours and the library's, in interleaved rounds."""

    def request_s(batch: Callable[[float], None], batches: int) -> float:
        start_s = time.perf_counter()
        for number in range(batches):
            batch(TIMES_S[number % len(TIMES_S)])
        return (time.perf_counter() - start_s) / (batches * BATCH)

    ours, theirs = own(), library()
    found = [(request_s(ours, BATCHES), request_s(theirs, BATCHES // 10)) for _ in range(rounds)]
    return spread([one for one, _ in found]), spread([other for _, other in found])


def share(cost: Spread) -> Spread:
    """Return the share of a processor at 10,000 requests per second."""
    return spread([seconds * RATE_PER_S for seconds in cost.values])


def main(rounds: Rounds = 5) -> None:
    """Print what a request's metrics cost, ours and prometheus_client's."""
    for name, cost in zip(("tailgate", "prometheus_client"), measure(rounds), strict=True):
        of_processor = f"{share(cost)} of a processor at {RATE_PER_S:,}/s"
        print(f"{name}: {cost.median * 1e6:.2f} µs per request, {of_processor}")


if __name__ == "__main__":
    typer.run(main)
