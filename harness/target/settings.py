"""What a target is started with, and what it calls its metrics; read from the options and budgets of a run."""

import dataclasses
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tailgate.harness.errors import UsageError
from tailgate.harness.named import find
from tailgate.harness.options.settings import GateSettings, pairs
from tailgate.harness.options.values import metrics_place
from tailgate.harness.scenario.budgets import Budgets
from tailgate.harness.target.asking.selector import read_selector
from tailgate.harness.target.asking.trust import Trust, chosen_trust
from tailgate.harness.units import Unit

# Further edges of the service's latency histograms.
EDGES_VARIABLE = "TAILGATE_HISTOGRAM_EDGES_MS"


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


def _silent(_: str) -> None:
    pass


@dataclass(frozen=True, slots=True)
class TargetSettings:
    """What a specification leaves open."""

    # Variables for a target that is started, added to those of this process.
    environment: Mapping[str, str] = field(default_factory=dict)
    # Answers 2xx once the target takes load; None: it does once it accepts a connection.
    readiness_path: str | None = "/health/ready"
    readiness_guessed: bool = False  # nobody has named that path
    ready_log: str | None = None  # a line of its log must match as well
    # Its Prometheus metrics: a path, ":PORT/PATH" or a whole address. None where it has none: the server's criteria are
    # then left out.
    metrics_path: str | None = "/metrics"
    metric_names: MetricNames = field(default_factory=MetricNames)  # what it calls its metrics
    ready_timeout_s: float = 120.0  # how long it may take to become ready
    stop_timeout_s: float = 30.0  # from TERM to KILL
    directory: Path | None = None  # where a command runs; None for the current directory
    python: str = sys.executable  # the interpreter that runs the service
    service: str = "tailgate.service"  # the module that it runs
    headers: tuple[tuple[str, str], ...] = ()  # sent with every request to it, whoever sends it
    trust: Trust = field(default_factory=Trust)  # for an https address
    # Takes what a user should know while it is waited for.
    tell: Callable[[str], None] = field(default=_silent, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse a path that is not one."""
        if self.readiness_path is not None and not self.readiness_path.startswith("/"):
            raise UsageError(f"the target's readiness_path must start with '/', got {self.readiness_path!r}")
        try:
            place = metrics_place(self.metrics_path or "")
        except ValueError as error:
            raise UsageError(f"the target's metrics_path: got {self.metrics_path!r}, {error}") from None
        if self.metrics_path is not None and not place:
            raise UsageError("the target's metrics_path is empty; None says that it has no metrics")


def target_settings(
    settings: GateSettings, budgets: Budgets, scenarios: Iterable[str], yardstick_s: float
) -> TargetSettings:
    """Return the target's settings; its histograms get edges at the budgets' latencies, so that shares there are exact.

    Raise UsageError for a metric that the harness does not read, a path that is none, a header that cannot be sent, or a
    certificate that cannot be read.
    """
    device = settings.variable("TAILGATE_DEVICE") or "cpu"
    precision = settings.variable("TAILGATE_PRECISION") or "fp32"
    latencies_s = {
        quantity.resolve(yardstick_s)
        for name in scenarios
        for quantity in budgets.quantities(name, device, precision).values()
        if quantity.unit is Unit.SECONDS
    }
    chosen = "readiness-path" in settings.given | settings.said_in_ini
    edges = ",".join(repr(seconds * 1000) for seconds in sorted(latencies_s))
    return TargetSettings(
        environment={EDGES_VARIABLE: edges, **settings.environment},
        readiness_path=(settings.readiness_path or None) if chosen or settings.ready_log is None else None,
        readiness_guessed=not chosen,
        ready_log=settings.ready_log,
        metrics_path=settings.metrics_path or None,
        metric_names=metric_names(pairs(settings.metric)),
        ready_timeout_s=settings.ready_timeout,
        directory=settings.launch_folder("target"),
        headers=settings.headers,
        trust=chosen_trust(settings),
    )


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
