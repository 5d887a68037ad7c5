"""What a target is started with, and how it is asked; read from the options and budgets of a run."""

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tailgate.harness.errors import UsageError
from tailgate.harness.options.settings import GateSettings
from tailgate.harness.options.values import metrics_place, pairs
from tailgate.harness.scenario.budgets import Budgets
from tailgate.harness.target.asking.metric_names import MetricNames, metric_names
from tailgate.harness.target.asking.trust import Trust, chosen_trust
from tailgate.harness.units import Unit

# Further edges of the service's latency histograms.
EDGES_VARIABLE = "TAILGATE_HISTOGRAM_EDGES_MS"


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
    tell: Callable[[str], None] = field(default=lambda _: None, compare=False, repr=False)

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
