"""A first run, before any budgets are written: the probe that finds its rate, and metrics that it does without."""

from collections.abc import Mapping

from tailgate.harness.compare.ground import Ground
from tailgate.harness.errors import MeasurementError, TargetError
from tailgate.harness.load import LoadSettings
from tailgate.harness.options.sent import payload_source
from tailgate.harness.scenario.plan import draw_plan
from tailgate.harness.scenario.ref import refs
from tailgate.harness.scenario.scenario import Scenario
from tailgate.harness.scenario.unbudgeted import (
    HIGHEST_PER_S,
    PROBE_S,
    found_load,
    probe_scenario,
    runs_without,
)
from tailgate.harness.target.asking.exposition import find
from tailgate.harness.target.launching.readiness import PROBE_TIMEOUT_S
from tailgate.harness.target.target import RunningTarget
from tailgate.harness.units import Quantity, significant


def is_first(scenario: Scenario, ground: Ground) -> bool:
    """Tell whether a scenario asks for budgets, and none are written."""
    return bool(refs(scenario)) and runs_without(scenario, ground.budgets)


def needs_no_metrics(scenario: Scenario, ground: Ground) -> bool:
    """Tell whether a first run, which judges nothing, may leave out metrics that nobody has named."""
    settings = ground.settings
    return (
        is_first(scenario, ground)
        and settings.target.partition(":")[0] != "service"
        and not {"metrics-path", "metric"} & (settings.given | settings.said_in_ini)
    )


def has_our_metrics(running: RunningTarget) -> bool:
    """Tell whether a target's metrics have the names that the harness reads unless others are said."""
    if running.metrics_url is None:
        return False
    try:
        with running.client(PROBE_TIMEOUT_S) as client:
            kinds = find(client, running.metrics_url).scrape.kinds
    except MeasurementError:
        return False
    return running.settings.metric_names.request_seconds in kinds


def lone_rate(ground: Ground, settings: LoadSettings, slowest_s: float) -> float:
    """Return how many requests per second one connection gets answered; raise TargetError for none.

    ``slowest_s`` is the longest time of a first answer.
    """
    ground.tell(f"no budgets are written: one connection for {PROBE_S:g} s, to find a rate")
    probed = probe_scenario(slowest_s)
    plan = draw_plan(probed, ground.payloads(payload_source(ground.settings)), ground.seed)
    with ground.generate(plan, settings, ground.directory / probed.name) as generator:
        report = generator.run_phase(0)
    if not report.ok:
        raise TargetError(f"one connection got no good answer in {report.wall_s:.3g} s: no rate is known")
    return report.ok / report.wall_s


def load_of(scenario: Scenario, lone_per_s: float) -> tuple[Mapping[str, Quantity], str]:
    """Return the rates of a scenario's load, and how they came about."""
    found = found_load(scenario, lone_per_s)
    told = ", ".join(f"{key} = {quantity.text}" for key, quantity in found.items())
    return found, (
        f"no budgets are written, so nothing is judged; {told} is half of the {significant(lone_per_s)}/s that one "
        f"connection reached, or {HIGHEST_PER_S:g}/s where that is less"
    )
