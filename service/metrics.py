"""What the service tells Prometheus: the numbers of what :mod:`tailgate.service.families` declares.

prometheus_client renders the exposition. The histograms are our own: the library's scan 75 buckets one by one under a lock,
several microseconds per observation; a binary search takes a third of one. Only the event loop's thread writes them.
"""

import math
import re
import time
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    exposition,
)
from prometheus_client.core import Exemplar, Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from tailgate.service.errors import Cut, Outcome
from tailgate.service.families import FAMILIES

# The media types of both formats, what renders each, and what an answer says of itself.
TEXT, OPENMETRICS = "text/plain", "application/openmetrics-text"
_RENDERED: Mapping[str, Callable[[CollectorRegistry], bytes]] = {
    TEXT: exposition.generate_latest,
    OPENMETRICS: openmetrics.generate_latest,
}
CONTENT_TYPES: Mapping[str, str] = {
    TEXT: f"{TEXT}; version=0.0.4; charset=utf-8",
    OPENMETRICS: f"{OPENMETRICS}; version=1.0.0; charset=utf-8",
}
# OpenMetrics 1.0: names and values of an exemplar's labels have 128 characters together, at most. A client chooses its ids,
# and must not break a scrape: prometheus_client's parser refuses an escaped quote here.
_EXEMPLAR_ID = re.compile(rb"[\w.:/+=@-]{1,118}")
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
    """Counts by bucket, each with the last request that is known by an id; written by one thread, read by any."""

    def __init__(self, edges: Sequence[float]) -> None:
        self.edges = tuple(edges)
        self.counts = [0] * (len(edges) + 1)
        self.sum = 0.0
        # By bucket: the request's id, its value, and when it was observed, on the clock of time.perf_counter.
        self.examples: list[tuple[bytes, float, float] | None] = [None] * len(self.counts)

    def observe(
        self, value: float, times: int = 1, request_id: bytes | None = None, at_s: float = 0.0
    ) -> None:
        """Count a value in the first bucket whose edge is not below it; a request with an id becomes its example."""
        bucket = bisect_left(self.edges, value)
        self.counts[bucket] += times
        self.sum += value * times
        if request_id is not None:
            self.examples[bucket] = (request_id, value, at_s)

    def observe_all(self, values: Iterable[float]) -> None:
        """Count values; for each costs a third of :meth:`observe`."""
        edges, counts = self.edges, self.counts
        for value in values:
            counts[bisect_left(edges, value)] += 1
            self.sum += value

    def at_most(self, edge: float) -> int:
        """Return how many values were at most as large as an edge."""
        return sum(self.counts[: bisect_left(self.edges, edge) + 1])

    def buckets(self) -> list[tuple[str, float, Exemplar | None]]:
        """Return names of edges, cumulative counts, and examples."""
        total, rows = 0, []
        edges, epoch_s = (*self.edges, math.inf), time.time() - time.perf_counter()
        for edge, count, example in zip(edges, tuple(self.counts), tuple(self.examples), strict=True):
            total += count
            rows.append(
                ("+Inf" if edge == math.inf else repr(edge), float(total), _exemplar(example, epoch_s))
            )
        return rows


def _exemplar(example: tuple[bytes, float, float] | None, epoch_s: float) -> Exemplar | None:
    """Return what OpenMetrics says of a request, None of one with an id that is too long or has unusual characters.

    ``epoch_s`` is the time since the epoch at which time.perf_counter was 0.
    """
    if example is None or not _EXEMPLAR_ID.fullmatch(example[0]):
        return None
    request_id, value, at_s = example
    return Exemplar({"request_id": request_id.decode()}, value, epoch_s + at_s)


class Reading(NamedTuple):
    """The present value of a gauge or a counter that is declared under this name."""

    name: str
    value: float


class Metrics(Collector):
    """All of the service's metrics, and the registry that renders them.

    Args:
        edges_s: on which latency histograms have an edge.
        max_batch_size: requests in a batch, at most.
        readings: returns everything that is known only when somebody asks.
        objective_s: within which an answer is good; None where any is.
    """

    def __init__(
        self,
        edges_s: Iterable[float],
        max_batch_size: int,
        readings: Callable[[], Iterable[Reading]],
        objective_s: float | None = None,
    ) -> None:
        self._objective_s = math.inf if objective_s is None else objective_s
        edges = latency_edges({*edges_s} if objective_s is None else {*edges_s, objective_s})
        self.request = {outcome: Histogram(edges) for outcome in Outcome}
        self.queue = Histogram(edges)
        self.decode = Histogram(edges)
        self.compute = Histogram(edges)
        self.encode = Histogram(edges)
        self.batch_size = Histogram(batch_edges(max_batch_size))
        self.requests = dict.fromkeys(Outcome, 0)
        self.executor_busy_s = 0.0
        # For the statistics of the Open Inference Protocol: batches by size, and how long all of a size took; and when the
        # last one ended, since the epoch.
        self.batches: Counter[int] = Counter()
        self.batches_s: defaultdict[int, float] = defaultdict(float)
        self.last_batch_s = 0.0
        self.connections = 0
        self.cuts = dict.fromkeys(Cut, 0)
        self.info: Mapping[str, str] = {}
        self._readings = readings
        self._registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)
        self._registry.register(self)

    def render(self, media_type: str = TEXT) -> bytes:
        """Return the exposition in one of the two formats; only OpenMetrics has exemplars."""
        return _RENDERED[media_type](self._registry)

    def count(
        self,
        outcome: Outcome,
        elapsed_s: float | None = None,
        request_id: bytes | None = None,
        at_s: float = 0.0,
    ) -> None:
        """Count a request that is about to end, at ``at_s``; None for one that never reached the endpoint."""
        self.requests[outcome] += 1
        if elapsed_s is not None:
            self.request[outcome].observe(elapsed_s, 1, request_id, at_s)

    def note_batch(self, size: int, seconds: float, now_s: float, request_id: bytes | None = None) -> None:
        """Count a batch that has just been computed, now, since the epoch; ``request_id`` is of its first request."""
        self.batch_size.observe(size)
        self.compute.observe(seconds, size, request_id, time.perf_counter())
        self.executor_busy_s += seconds
        self.last_batch_s = now_s
        self.batches[size] += 1
        self.batches_s[size] += seconds

    def collect(self) -> Iterator[Metric]:
        """Yield every metric; called by the registry at each scrape."""
        yield FAMILIES["tailgate"].of(dict(self.info))
        requests = FAMILIES["tailgate_requests"].empty()
        latency = FAMILIES["tailgate_request_seconds"].empty()
        for outcome in Outcome:
            requests.add_metric([outcome.value], self.requests[outcome])
            if self.requests[outcome]:
                histogram = self.request[outcome]
                latency.add_metric([outcome.value], histogram.buckets(), histogram.sum)
        yield requests
        yield FAMILIES["tailgate_good_requests"].of(self.request[Outcome.OK].at_most(self._objective_s))
        yield latency
        for name, histogram in (
            ("tailgate_queue_seconds", self.queue),
            ("tailgate_decode_seconds", self.decode),
            ("tailgate_compute_seconds", self.compute),
            ("tailgate_encode_seconds", self.encode),
            ("tailgate_batch_size", self.batch_size),
        ):
            yield FAMILIES[name].of(histogram.buckets(), histogram.sum)
        yield FAMILIES["tailgate_executor_busy_seconds"].of(self.executor_busy_s)
        yield FAMILIES["tailgate_connections"].of(self.connections)
        cuts = FAMILIES["tailgate_connections_cut"].empty()
        for reason, count in self.cuts.items():
            cuts.add_metric([reason.value], count)
        yield cuts
        for name, value in self._readings():
            yield FAMILIES[name].of(value)
