"""What a target calls the metrics that the harness reads: by default as this project's service does."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tailgate.harness.errors import UsageError
from tailgate.harness.named import find
from tailgate.harness.target.asking.selector import read_selector


def _named(kind: str, name: str) -> Any:
    return field(default=name, metadata={"kind": kind})


@dataclass(frozen=True, slots=True)
class MetricNames:
    """What a target calls the metrics that the harness reads, each a selector of series; None where it has none."""

    # From a request's arrival at the server to its answer, then its stages.
    request_seconds: str | None = _named("histogram", "tailgate_request_seconds")
    queue_seconds: str | None = _named("histogram", "tailgate_queue_seconds")
    decode_seconds: str | None = _named("histogram", "tailgate_decode_seconds")
    compute_seconds: str | None = _named("histogram", "tailgate_compute_seconds")
    encode_seconds: str | None = _named("histogram", "tailgate_encode_seconds")
    # Requests per batch.
    batch_size: str | None = _named("histogram", "tailgate_batch_size")
    # Finished requests, by label ``outcome``; requests that wait; requests accepted and not yet answered.
    requests_total: str | None = _named("counter", "tailgate_requests_total")
    queue_depth: str | None = _named("gauge", "tailgate_queue_depth")
    in_flight: str | None = _named("gauge", "tailgate_in_flight")
    # Seconds in which the executor worked.
    executor_busy_seconds_total: str | None = _named("counter", "tailgate_executor_busy_seconds_total")


def metric_names(theirs: Mapping[str, str]) -> MetricNames:
    """Return what a target calls its metrics, an empty name for none.

    Raise UsageError for a metric that nobody reads, and for what is no selector.
    """
    known = {field.name: field for field in dataclasses.fields(MetricNames)}
    for name, their in theirs.items():
        kind = find("metric that the harness reads called", name, known, "--perf-metric: ").metadata["kind"]
        try:
            conditions = read_selector(their).conditions if their else ()
        except UsageError as error:
            raise UsageError(f"--perf-metric={name}: {error}") from None
        if kind == "histogram" and any(condition.label == "le" for condition in conditions):
            raise UsageError(
                f"--perf-metric={name}: {their!r} chooses among the buckets of a histogram by le, and all of them are read; "
                "leave le out"
            )
    return MetricNames(**{name: their or None for name, their in theirs.items()})
