"""One server under one overload: the phases that are sent, and the figures that are taken from the record."""

import dataclasses
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.processors import client_processor, server_processor
from benchmarks.serving.roster import TAILGATE, Entry
from benchmarks.workloads import Workload
from tailgate import (
    ClosedLoop,
    Criterion,
    HarnessError,
    Outcome,
    Payload,
    Phase,
    Poisson,
    RunningTarget,
    Scenario,
    TargetSettings,
    Window,
    draw_plan,
)
from tailgate.harness.errors import MeasurementError
from tailgate.harness.load import LoadSettings
from tailgate.harness.measures import built_in_measures
from tailgate.harness.observe.slot import measure_slot
from tailgate.harness.observe.slot_record import Slot, SlotRecord
from tailgate.harness.target.spec import CommandTarget
from tailgate.harness.verdict.judge import find_measure
from tailgate.scenarios import overload as gate

PILOT_REQUESTS = 200
SEED = 1
TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Case:
    """One row: a server, a model, the offered multiple of the capacity, and the latency objective."""

    entry: Entry
    workload: Workload
    times: float
    objective_s: float

    @property
    def name(self) -> str:
        """``tailgate-mobilenet-2x``."""
        return f"{self.entry.name}-{self.workload.name}-{self.times:g}x"


def measure(case: Case, seconds: float, directory: Path) -> dict[str, Any]:
    """Start the server, find its capacity, overload it, and return the figures.

    Raises:
        AbsentError: it cannot be installed.
        HarnessError: it did not start, died, or could not be measured.
    """
    shutil.rmtree(directory, ignore_errors=True)
    print(f"{case.name}: starting", flush=True)
    launch = case.entry.launch(case.workload, str(server_processor()), {})
    settings = TargetSettings(
        readiness_path=case.entry.readiness_path,
        metrics_path="/metrics" if case.entry is TAILGATE else None,
    )
    with CommandTarget(case.name, launch, settings).start(directory) as running:
        pilot = _slot(case, running, (_saturated(PILOT_REQUESTS),), directory / "pilot")
        capacity = _estimate(case, pilot, "saturated_per_s")
        assert capacity is not None
        rate = capacity["value"]
        print(f"{case.name}: about {rate:,.0f} requests/s, loading", flush=True)
        return figures(case, _slot(case, running, _phases(case, rate * seconds), directory / "run"))


def _saturated(requests: int) -> Phase:
    return Phase("saturated", ClosedLoop(gate.CONNECTIONS), requests=requests)


def _phases(case: Case, requests: float) -> tuple[Phase, ...]:
    overload = Phase(
        "overload",
        Poisson(case.times),
        requests=round(requests * case.times),
        relative_to="saturated",
        deadline_s=case.objective_s * gate.DEADLINE,
        probes=gate.PROBES,
    )
    half = Poisson(gate.TIMES_CAPACITY_AFTERWARDS)
    after = Phase("afterwards", half, requests=round(requests / 4), relative_to="saturated")
    return (_saturated(max(round(requests), gate.LEAST_SATURATED)), overload, after)


def _slot(case: Case, running: RunningTarget, phases: tuple[Phase, ...], directory: Path) -> SlotRecord:
    request = case.entry.encode(case.workload)
    headers = dict(request.headers)
    payload = Payload(
        case.workload.name,
        request.body,
        headers.pop("Content-Type"),
        path=case.entry.path,
        headers=tuple(headers.items()),
    )
    # A scenario needs a criterion for its capacity.
    capacity = Criterion("throughput", 1.0, ("saturated",))
    scenario = Scenario("overload", "a benchmark", phases, (capacity,))
    slot = Slot(scenario, "head", block=0, start=1, seed=SEED)
    load = LoadSettings(
        running.host,
        running.port,
        connections_warm=gate.CONNECTIONS,
        timeout_s=TIMEOUT_S,
        processor=client_processor() if client_processor() != server_processor() else None,
    )
    found = measure_slot(slot, draw_plan(scenario, [payload], SEED), running, load, directory)
    if len(found.phases) < len(phases):
        raise HarnessError("; ".join(fault.text.splitlines()[0] for fault in found.faults))
    return found


# By the name of the figure: the gate's measure, its phases, and whether the objective counts.
OF_OVERLOAD, OF_BOTH = ("overload",), ("saturated", "overload")
FIGURES: dict[str, tuple[str, tuple[str, ...], bool]] = {
    "saturated_per_s": ("throughput", ("saturated",), False),
    "goodput_share": ("goodput_share", OF_BOTH, True),
    "accepted_p50_s": ("accepted_p50", OF_OVERLOAD, False),
    "accepted_p99_s": ("accepted_p99", OF_OVERLOAD, False),
    "refusal_p50_s": ("refusal_p50", OF_OVERLOAD, False),
    "unhinted_refusals": ("unhinted_refusals", OF_OVERLOAD, False),
    "lost_rate": ("lost_rate", OF_OVERLOAD, False),
    "health_p90_s": ("health_p90", OF_OVERLOAD, False),
    "metrics_p90_s": ("metrics_p90", OF_OVERLOAD, False),
    "rss_rise": ("rss_rise", OF_BOTH, False),
    "settle_s": ("settle", ("overload", "afterwards"), True),
}


def figures(case: Case, slot: SlotRecord) -> dict[str, Any]:
    """Return the row of a case; what could not be measured is None."""
    (overload,) = (phase for phase in slot.phases if phase.phase.name == "overload")
    outcomes = overload.samples["outcome"]
    return {
        "server": case.entry.name,
        "workload": case.workload.name,
        "times": case.times,
        "objective_s": case.objective_s,
        **{name: _estimate(case, slot, name) for name in FIGURES},
        "outcomes": {outcome.name.lower(): int(np.sum(outcomes == outcome)) for outcome in Outcome},
        "refusal_cpu_s": refusal_cpu_s(slot),
        "rss_bytes": _memory(slot),
        "generator": [
            {"utilisation": report.utilisation, "lag_p99_s": report.lag.p99_s} for report in slot.reports
        ],
        "faults": [fault.text for fault in slot.faults],
    }


def _estimate(case: Case, slot: SlotRecord, name: str) -> dict[str, Any] | None:
    measured, phases, with_objective = FIGURES[name]
    measure = find_measure(measured, built_in_measures())
    objective_s = case.objective_s if with_objective else None
    window = Window(tuple(phase for phase in slot.phases if phase.phase.name in phases))
    try:
        estimate = measure.estimate(window, Criterion(measure.name, 1.0, phases, objective_s=objective_s))
    except MeasurementError:
        return None
    return dataclasses.asdict(estimate)


def _memory(slot: SlotRecord) -> dict[str, int] | None:
    """Return resident memory before the overload and after everything."""
    before, after = slot.phases[0].resources, slot.phases[-1].resources
    if not before or not after:
        return None
    return {"before": before[0].rss_bytes, "after": after[-1].rss_bytes}


def refusal_cpu_s(slot: SlotRecord) -> float | None:
    """Return the server's processor seconds per refusal: what the good answers do not explain.

    (processor seconds under overload - good answers × those of one when saturated) / refusals. So every other cost of
    the overload counts as one of refusals. None where nothing was refused, or the processes could not be seen.
    """
    saturated, overload = (record.samples["outcome"] for record in slot.phases[:2])
    used = [delta.process_cpu_s for delta in slot.machines[:2]]
    refused, good = int(np.sum(overload == Outcome.SHED)), int(np.sum(overload == Outcome.OK))
    answered = int(np.sum(saturated == Outcome.OK))
    if used[0] is None or used[1] is None or not refused or not answered:
        return None
    return (used[1] - good * used[0] / answered) / refused
