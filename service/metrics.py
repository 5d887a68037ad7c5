"""What the service tells Prometheus.

prometheus_client renders the exposition. The histograms are our own: the library's scan 75 buckets one by one under a lock,
several microseconds per observation; a binary search takes a third of one. Only the event loop's thread writes them.
"""

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from tailgate.service.errors import Cut, Outcome

FIRST_EDGE_S, LAST_EDGE_S, EDGE_RATIO = 100e-6, 60.0, 1.2


def latency_edges(edges_s: Iterable[float] = ()) -> tuple[float, ...]:
    """Return bucket edges in seconds: each 1.2 times the last, and one exactly on each of ``edges_s``.

    Interpolating a smooth tail inside a bucket is off by about 2.5 % at most; at an edge the share is exact.
    """
    steps = math.ceil(math.log(LAST_EDGE_S / FIRST_EDGE_S, EDGE_RATIO))
    grid = {float(f"{FIRST_EDGE_S * EDGE_RATIO**step:.3g}") for step in range(steps)} | {LAST_EDGE_S}
    return tuple(sorted(grid | set(edges_s)))


def batch_edges(max_batch_size: int) -> tuple[float, ...]:
    """Return 1, 2, 4, … up to the cap, which is always an edge itself."""
    powers = {float(2**power) for power in range(max_batch_size.bit_length())}
    return tuple(sorted(powers | {float(max_batch_size)}))


class Histogram:
    """Counts by bucket; written by one thread, read by any."""

    def __init__(self, edges: Sequence[float]) -> None:
        self.edges = tuple(edges)
        self.counts = [0] * (len(edges) + 1)
        self.sum = 0.0

    def observe(self, value: float, times: int = 1) -> None:
        """Count a value in the first bucket whose edge is not below it."""
        self.counts[bisect_left(self.edges, value)] += times
        self.sum += value * times

    def observe_all(self, values: Iterable[float]) -> None:
        """Count values; for each costs a third of :meth:`observe`."""
        edges, counts = self.edges, self.counts
        for value in values:
            counts[bisect_left(edges, value)] += 1
            self.sum += value

    def buckets(self) -> list[tuple[str, float]]:
        """Return cumulative counts by the name of the edge."""
        total, rows = 0, []
        for edge, count in zip((*self.edges, math.inf), tuple(self.counts), strict=True):
            total += count
            rows.append(("+Inf" if edge == math.inf else repr(edge), float(total)))
        return rows


@dataclass(frozen=True, slots=True)
class Gauge:
    """A value of the moment: name without prefix, help, value."""

    name: str
    help: str
    value: float


class Counter(Gauge):
    """A number that only grows; name without ``_total``."""


@dataclass(slots=True)
class Batches:
    """Batches of one size: how many, and how long all of them took."""

    count: int = 0
    seconds: float = 0.0


class Metrics(Collector):
    """All of the service's metrics, whose meaning :meth:`collect` tells, and the registry that renders them."""

    def __init__(
        self, edges_s: Iterable[float], max_batch_size: int, gauges: Callable[[], Iterable[Gauge | Counter]]
    ) -> None:
        edges = latency_edges(edges_s)
        self.request = {outcome: Histogram(edges) for outcome in Outcome}
        self.queue = Histogram(edges)
        self.decode = Histogram(edges)
        self.compute = Histogram(edges)
        self.encode = Histogram(edges)
        self.batch_size = Histogram(batch_edges(max_batch_size))
        self.requests = dict.fromkeys(Outcome, 0)
        self.executor_busy_s = 0.0
        # For the statistics of the Open Inference Protocol, by size; and when the last one ended, since the epoch.
        self.batches: defaultdict[int, Batches] = defaultdict(Batches)
        self.last_batch_s = 0.0
        self.connections = 0
        self.cuts = dict.fromkeys(Cut, 0)
        self.info: Mapping[str, str] = {}
        self._gauges = gauges
        self._registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)
        self._registry.register(self)

    def render(self) -> bytes:
        """Return the exposition in Prometheus's text format."""
        return generate_latest(self._registry)

    def count(self, outcome: Outcome, elapsed_s: float | None = None) -> None:
        """Count a request that is about to end; None for one that never reached the endpoint."""
        self.requests[outcome] += 1
        if elapsed_s is not None:
            self.request[outcome].observe(elapsed_s)

    def note_batch(self, size: int, seconds: float, now_s: float) -> None:
        """Count a batch that has been computed, at ``now_s`` since the epoch."""
        self.batch_size.observe(size)
        self.compute.observe(seconds, times=size)
        self.executor_busy_s += seconds
        self.last_batch_s = now_s
        batches = self.batches[size]
        batches.count += 1
        batches.seconds += seconds

    def collect(self) -> Iterator[Metric]:
        """Yield every metric; called by the registry at each scrape."""
        yield InfoMetricFamily("tailgate", "What is served, and how.", dict(self.info))
        requests = CounterMetricFamily("tailgate_requests", "Ended requests.", labels=["outcome"])
        latency = HistogramMetricFamily(
            "tailgate_request_seconds",
            "From the end of a request's head until its answer is given to the connection.",
            labels=["outcome"],
        )
        for outcome in Outcome:
            requests.add_metric([outcome.value], self.requests[outcome])
            if self.requests[outcome]:
                histogram = self.request[outcome]
                latency.add_metric([outcome.value], histogram.buckets(), histogram.sum)
        yield requests
        yield latency
        for name, text, histogram in (
            ("queue_seconds", "Waiting for a decoding thread and for a batch.", self.queue),
            ("decode_seconds", "Making a model input of a body, without waiting for a thread.", self.decode),
            ("compute_seconds", "The batch of a request: copy, model, copy back.", self.compute),
            ("encode_seconds", "From a model output to the bytes of the answer.", self.encode),
            ("batch_size", "Requests in a batch, an observation a batch.", self.batch_size),
        ):
            family = HistogramMetricFamily(f"tailgate_{name}", text)
            family.add_metric([], histogram.buckets(), histogram.sum)
            yield family
        yield CounterMetricFamily(
            "tailgate_executor_busy_seconds", "Seconds in which a batch ran.", value=self.executor_busy_s
        )
        yield GaugeMetricFamily("tailgate_connections", "Open connections.", value=self.connections)
        cuts = CounterMetricFamily(
            "tailgate_connections_cut", "Connections that the service ended.", labels=["reason"]
        )
        for reason, count in self.cuts.items():
            cuts.add_metric([reason.value], count)
        yield cuts
        for reading in self._gauges():
            kind = CounterMetricFamily if isinstance(reading, Counter) else GaugeMetricFamily
            yield kind(f"tailgate_{reading.name}", reading.help, value=reading.value)
