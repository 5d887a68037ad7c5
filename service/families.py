"""Every metric of the service, declared once: name, type, unit, help and labels.

The exposition and the table in the documentation derive from it. Names are of Prometheus's form: the base unit is the last
word, before what the type appends (``_total``, ``_info``, ``_bucket``).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)

Kind = Literal["counter", "gauge", "histogram", "info"]
_OF_KIND: Mapping[Kind, Any] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "histogram": HistogramMetricFamily,
    "info": InfoMetricFamily,
}
_UNITS = frozenset({"seconds", "bytes", "ratio"})


@dataclass(frozen=True, slots=True)
class Family:
    """One metric, with as many series as its labels have values."""

    name: str  # without what its type appends
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()  # their names; those of an info are its content

    @property
    def unit(self) -> str | None:
        """The last word of the name; None where the number has no unit."""
        word = self.name.rpartition("_")[2]
        return word if word in _UNITS else None

    def empty(self) -> Any:
        """Return the metric without any series yet, as prometheus_client has it."""
        unit = {} if self.unit is None else {"unit": self.unit}
        return _OF_KIND[self.kind](self.name, self.help, labels=self.labels, **unit)

    def of(self, *values: object) -> Any:
        """Return the metric with its one series."""
        metric = self.empty()
        metric.add_metric((), *values)
        return metric


_ALL = (
    Family("tailgate", "info", "What is served, and how."),
    Family("tailgate_requests", "counter", "Ended requests.", ("outcome",)),
    Family(
        "tailgate_good_requests",
        "counter",
        "Requests answered with a result, within TAILGATE_LATENCY_OBJECTIVE_MS where it is set.",
    ),
    Family(
        "tailgate_request_seconds",
        "histogram",
        "From the end of a request's head until its answer is given to the connection.",
        ("outcome",),
    ),
    Family("tailgate_queue_seconds", "histogram", "Waiting for a decoding thread and for a batch."),
    Family(
        "tailgate_decode_seconds",
        "histogram",
        "Making the model's input from a body, without waiting for a thread.",
    ),
    Family("tailgate_compute_seconds", "histogram", "The batch of a request: copy, model, copy back."),
    Family("tailgate_encode_seconds", "histogram", "From the model's output to the bytes of the answer."),
    Family("tailgate_batch_size", "histogram", "Requests in a batch, one observation per batch."),
    Family("tailgate_max_batch_size", "gauge", "The most requests in a batch."),
    Family("tailgate_executor_busy_seconds", "counter", "Seconds in which a batch ran."),
    Family("tailgate_connections", "gauge", "Open connections."),
    Family("tailgate_connections_cut", "counter", "Connections that the service ended.", ("reason",)),
    Family("tailgate_ready", "gauge", "1 while the service wants requests."),
    Family("tailgate_decode_queue_depth", "gauge", "Requests waiting for a decoding thread."),
    Family("tailgate_queue_depth", "gauge", "Requests whose input is ready, waiting for a batch."),
    Family("tailgate_in_flight", "gauge", "Requests being read, waiting, computed or answered."),
    Family("tailgate_in_flight_bytes", "gauge", "Bytes of the bodies of these requests."),
    Family(
        "tailgate_log_lines_dropped",
        "counter",
        "Lines of the log that could not be written; only if the service has its own log.",
    ),
    Family(
        "tailgate_traces_dropped",
        "counter",
        "Requests that were not traced because too many were waiting; only with TAILGATE_TRACES.",
    ),
    Family(
        "tailgate_precision_largest_error",
        "gauge",
        "Largest error against FP32, as a share of the largest output.",
    ),
    Family("tailgate_batch_item_seconds", "gauge", "a of t(n) = a n + b, the fitted seconds of a batch."),
    Family("tailgate_batch_fixed_seconds", "gauge", "b of t(n) = a n + b, the fitted seconds of a batch."),
    Family(
        "tailgate_precision_top1_agreement",
        "gauge",
        "Share of start-up inputs with FP32's most likely class.",
    ),
    Family(
        "tailgate_failed_runs",
        "counter",
        "Runs in which the model raised, or returned no output of its batch.",
    ),
    Family("tailgate_out_of_memory", "counter", "Runs for which the device's memory was too small."),
    Family("tailgate_non_finite_outputs", "counter", "Items whose output held NaN or infinity."),
    Family(
        "tailgate_gpu_utilization_ratio",
        "gauge",
        "Share of time in which a kernel ran, as the driver samples it; only with a GPU and the extra gpu.",
    ),
    Family(
        "tailgate_gpu_memory_used_bytes",
        "gauge",
        "Device memory in use, by any process; only with a GPU and the extra gpu.",
    ),
    Family("tailgate_predicted_wait_seconds", "gauge", "Time until all requests that wait now are done."),
    Family(
        "tailgate_spare_requests_per_second",
        "gauge",
        "Requests per second that could come in addition to the recent ones; negative if too many come.",
    ),
    Family(
        "tailgate_desired_replicas",
        "gauge",
        "Replicas like this one that its recent requests need; the sum over all replicas is how many there should be.",
    ),
)
FAMILIES: Mapping[str, Family] = {family.name: family for family in _ALL}
