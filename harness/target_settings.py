"""From the options and budgets of a run to what its target is started with."""

import dataclasses
import difflib
from collections.abc import Iterable, Mapping

from tailgate.harness.budgets import Budgets
from tailgate.harness.errors import UsageError
from tailgate.harness.gate_settings import GateSettings, pairs
from tailgate.harness.scrape import MetricNames
from tailgate.harness.target import TargetSettings
from tailgate.harness.verdict import Unit

# Further edges of the service's latency histograms.
EDGES_VARIABLE = "TAILGATE_HISTOGRAM_EDGES_MS"


def target_settings(
    settings: GateSettings, budgets: Budgets, scenarios: Iterable[str], yardstick_s: float
) -> TargetSettings:
    """Return the target's settings; at the budgets' latencies its histograms get edges, so that shares there are exact.

    Args:
        settings: options of the run.
        budgets: of every scenario.
        scenarios: names of those that may be run.
        yardstick_s: what 1 yd is here, in seconds.

    Raises:
        UsageError: the options name a metric that the harness does not read, or a path that is none.
    """
    device = settings.variable("TAILGATE_DEVICE") or "cpu"
    precision = settings.variable("TAILGATE_PRECISION") or "fp32"
    latencies_s = {
        quantity.resolve(yardstick_s)
        for name in scenarios
        for quantity in budgets.quantities(name, device, precision).values()
        if quantity.unit is Unit.SECONDS
    }
    edges = ",".join(repr(seconds * 1000) for seconds in sorted(latencies_s))
    return TargetSettings(
        environment={EDGES_VARIABLE: edges, **settings.environment},
        readiness_path=settings.readiness_path,
        metrics_path=settings.metrics_path or None,
        metric_names=metric_names(pairs(settings.metric)),
        ready_timeout_s=settings.ready_timeout,
        directory=settings.launch_folder("target"),
    )


def metric_names(theirs: Mapping[str, str]) -> MetricNames:
    """Return what a target calls its metrics; an empty name says that it has none of that kind.

    Raises:
        UsageError: the harness reads no metric of that name.
    """
    known = {field.name for field in dataclasses.fields(MetricNames)}
    if unknown := sorted(set(theirs) - known):
        near = difflib.get_close_matches(unknown[0], known, n=1)
        hint = f"did you mean {near[0]!r}? There are" if near else "there are"
        raise UsageError(f"--perf-metric: the harness reads no metric {unknown[0]!r}; {hint} {sorted(known)}")
    return MetricNames(**{name: their or None for name, their in theirs.items()})
