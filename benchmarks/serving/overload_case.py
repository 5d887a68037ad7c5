"""One server under one overload: the phases that are sent, and the figures that are taken from the record."""

import dataclasses
import shutil
from dataclasses import dataclass
from functools import partial
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
    Measure,
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
from tailgate.harness import measures
from tailgate.harness.errors import MeasurementError
from tailgate.harness.load import LoadSettings
from tailgate.harness.observe.probes import Asked
from tailgate.harness.observe.slot import measure_slot
from tailgate.harness.observe.slot_record import Slot, SlotRecord
from tailgate.harness.target.command import CommandTarget
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
        capacity = _estimate(pilot, measures.Throughput(), "saturated")
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
    capacity = _criterion(measures.Throughput(), "saturated")
    scenario = Scenario("overload", "a benchmark", phases, (capacity,))
    slot = Slot(scenario, "head", block=0, start=1, seed=SEED)
    load = LoadSettings(
        running.host,
        running.port,
        connections_warm=gate.CONNECTIONS,
        timeout_s=TIMEOUT_S,
        grace_s=TIMEOUT_S,
        processor=client_processor() if client_processor() != server_processor() else None,
    )
    found = measure_slot(slot, draw_plan(scenario, [payload], SEED), running, load, directory)
    if len(found.phases) < len(phases):
        raise HarnessError("; ".join(fault.text.splitlines()[0] for fault in found.faults))
    return found


def _criterion(measure: Measure, *phases: str, late_s: float | None = None) -> Criterion:
    return Criterion(measure.name, 1.0, phases, objective_s=late_s)


def _window(slot: SlotRecord, *names: str) -> Window:
    return Window(tuple(phase for phase in slot.phases if phase.phase.name in names))


def _estimate(
    slot: SlotRecord, measure: Measure, *names: str, late_s: float | None = None
) -> dict[str, Any] | None:
    """Return a measure's estimate over these phases; None where the record does not carry it."""
    try:
        return dataclasses.asdict(
            measure.estimate(_window(slot, *names), _criterion(measure, *names, late_s=late_s))
        )
    except MeasurementError:
        return None


def figures(case: Case, slot: SlotRecord) -> dict[str, Any]:
    """Return the row of a case; what could not be measured is None."""
    both = ("saturated", "overload")
    estimated = partial(_estimate, slot)
    (overload,) = _window(slot, "overload").phases
    outcomes = overload.samples["outcome"]
    return {
        "server": case.entry.name,
        "workload": case.workload.name,
        "times": case.times,
        "objective_s": case.objective_s,
        "saturated_per_s": estimated(measures.Throughput(), "saturated"),
        "goodput_share": estimated(measures.GoodputShare(), *both, late_s=case.objective_s),
        "outcomes": {outcome.name.lower(): int(np.sum(outcomes == outcome)) for outcome in Outcome},
        "accepted_p50_s": estimated(measures.Accepted(0.5), "overload"),
        "accepted_p99_s": estimated(measures.Accepted(0.99), "overload"),
        "refusal_p50_s": estimated(measures.RefusalLatency(), "overload"),
        "refusal_cpu_s": refusal_cpu_s(slot),
        "unhinted_refusals": estimated(measures.UnhintedRefusals(), "overload"),
        "lost_rate": estimated(measures.LostRate(), "overload"),
        "health_p90_s": estimated(measures.ProbeLatency(Asked.HEALTH, 0.9), "overload"),
        "metrics_p90_s": estimated(measures.ProbeLatency(Asked.METRICS, 0.9), "overload"),
        "rss_rise": estimated(measures.MemoryRise(), *both),
        "rss_bytes": _memory(slot),
        "settle_s": estimated(measures.Settle(), "overload", "afterwards", late_s=case.objective_s),
        "generator": [
            {"utilisation": report.utilisation, "lag_p99_s": report.lag.p99_s} for report in slot.reports
        ],
        "faults": [fault.text for fault in slot.faults],
    }


def _memory(slot: SlotRecord) -> dict[str, int] | None:
    """Return resident memory before the overload and after everything."""
    before, after = slot.phases[0].resources, slot.phases[-1].resources
    if before is None or after is None:
        return None
    return {"before": int(before.rss_bytes[0]), "after": int(after.rss_bytes[-1])}


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
