"""What a slot measured, kept so that it can be judged again: ``slot.json`` beside the files that were written as it ran.

Samples, scrapes, resources and probes lie in files of their own, as they came. A law of arrival that a plugin brought is
kept as a name alone, since a results folder may come from anywhere, and reading it runs nothing.
"""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from msgspec import convert

from tailgate.harness.errors import MeasurementError, UsageError
from tailgate.harness.load.records.events import read_events
from tailgate.harness.load.records.samples import SAMPLE, SAMPLES, read_samples
from tailgate.harness.load.report import decode_report, encode_report
from tailgate.harness.observe.beside.probes import ProbeRecord
from tailgate.harness.observe.beside.resources import ResourceReading
from tailgate.harness.observe.checked import check
from tailgate.harness.observe.delta import ServerDelta, difference
from tailgate.harness.observe.machine import MachineDelta
from tailgate.harness.observe.scrapes import SCRAPES
from tailgate.harness.observe.slot import PROBES, RESOURCES
from tailgate.harness.observe.slot_record import Slot, SlotRecord, clients
from tailgate.harness.observe.window import PhaseRecord
from tailgate.harness.results import file as results_file
from tailgate.harness.results.fault import Fault
from tailgate.harness.results.slot import Loop
from tailgate.harness.results.yardstick import Yardstick
from tailgate.harness.scenario import arrivals, changing_rates, trace
from tailgate.harness.scenario.plan import read_payloads
from tailgate.harness.scenario.scenario import Arrivals, Phase, Scenario
from tailgate.harness.target.asking.exposition import parse
from tailgate.harness.target.asking.metric_names import MetricNames
from tailgate.harness.units import parse_quantity

SLOT = "slot.json"
FORMAT = 1
# The built-in laws of arrival, by the names of their classes.
_LAWS: Mapping[str, type[Any]] = {
    name: law
    for module in (arrivals, changing_rates, trace)
    for name, law in vars(module).items()
    if dataclasses.is_dataclass(law) and isinstance(law, type) and hasattr(law, "draw")
}


@dataclasses.dataclass(frozen=True, slots=True)
class ForeignLaw:
    """A law of arrival that a plugin brought: the name of its class, and whether its loop is open."""

    law: str
    loop: Loop

    def draw(self, rng: object, *, requests: int | None, duration_s: float | None) -> Any:  # noqa: ARG002 - the protocol's signature
        """Refuse: what was sent is in the plan."""
        raise UsageError(f"the law {self.law!r} belongs to a plugin, and is not drawn from a kept slot")


def write(record: SlotRecord, directory: Path) -> None:
    """Keep a record."""
    slot = record.slot
    document = {
        "format": FORMAT,
        "scenario": {
            "name": slot.scenario.name,
            "description": slot.scenario.description,
            "phases": [_phase_document(phase) for phase in slot.scenario.phases],
            "criteria": results_file.to_json(slot.scenario.criteria),
        },
        "budgets": {key: quantity.text for key, quantity in slot.quantities.items()},
        "arm": slot.arm,
        "block": slot.block,
        "start": slot.start,
        # As text: a seed may be wider than the 64 bits of a JSON integer.
        "seed": str(slot.seed),
        "scenarios": slot.scenarios,
        "yardstick": results_file.to_json(slot.yardstick),
        "metric_names": results_file.to_json(record.names),
        "planned": record.planned,
        "processes": record.processes,
        "reports": [encode_report(report) for report in record.reports],
        "machines": results_file.to_json(record.machines),
        "yardsticks": results_file.to_json([phase.yardsticks for phase in record.phases]),
        "faults": results_file.to_json(record.faults),
    }
    path = directory / SLOT
    try:
        path.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY))
    except OSError as error:
        raise MeasurementError(f"cannot write {path}: {error.strerror}") from error


def read(directory: Path) -> SlotRecord:
    """Return the record that :func:`write` kept."""
    path = directory / SLOT
    try:
        document = orjson.loads(path.read_bytes())
    except OSError as error:
        raise MeasurementError(
            f"cannot read {path}: {error.strerror}; a run can be judged again from its whole folder only"
        ) from error
    except orjson.JSONDecodeError as error:
        raise MeasurementError(f"{path} is not JSON: {error}") from error
    found = document.get("format") if isinstance(document, dict) else None
    if found != FORMAT:
        raise MeasurementError(f"{path} has format {found!r}, and this tailgate reads {FORMAT}")
    try:
        return _record(document, directory)
    except (KeyError, TypeError, ValueError) as error:
        raise MeasurementError(
            f"{path} does not hold what its format says: {type(error).__name__}: {error}"
        ) from error


def _record(document: Mapping[str, Any], directory: Path) -> SlotRecord:
    scenario = convert(document["scenario"], Scenario, dec_hook=_law)
    slot = Slot(
        scenario,
        document["arm"],
        document["block"],
        document["start"],
        int(document["seed"]),
        {key: parse_quantity(text) for key, text in document["budgets"].items()},
        convert(document["yardstick"], Yardstick | None),
        document["scenarios"],
    )
    kept, payloads = directory / SAMPLES, read_payloads(directory)
    samples = read_samples(kept) if kept.is_file() else np.zeros(0, SAMPLE)
    events = read_events(directory)
    reports = tuple(decode_report(one) for one in document["reports"])
    yardsticks = convert(document["yardsticks"], tuple[tuple[Yardstick, Yardstick] | None, ...])
    scrapes, resources = _by_phase(directory / SCRAPES), _by_phase(directory / RESOURCES)
    probes = _by_phase(directory / PROBES)
    phases = [
        PhaseRecord(
            phase,
            waiting,
            _delta(scrapes.get(index, [])),
            disturbers,
            convert(resources.get(index, []), tuple[ResourceReading, ...]),
            tuple(_probe(one) for one in probes.get(index, [])),
            max(0, len(scrapes.get(index, [])) - 1),
            around,
            events[events["phase"] == index],
            checked=checked,
            folder=directory,
        )
        for index, (phase, around) in enumerate(zip(scenario.phases, yardsticks, strict=False))
        for found, checked in [check(samples[samples["phase"] == index], payloads, directory)]
        for waiting, disturbers in [clients(found)]
    ]
    return SlotRecord(
        slot=slot,
        planned=tuple(document["planned"]),
        phases=tuple(phases),
        reports=reports,
        machines=convert(document["machines"], tuple[MachineDelta, ...]),
        samples=kept,
        faults=convert(document["faults"], tuple[Fault, ...]),
        names=convert(document["metric_names"], MetricNames),
        processes=document["processes"],
    )


def _phase_document(phase: Phase) -> dict[str, Any]:
    law = phase.arrivals
    name = type(law).__name__
    kept: dict[str, Any] = {"law": name}
    if type(law) is _LAWS.get(name):
        kept |= results_file.to_json(law)
    else:
        kept |= {"foreign": True, "loop": phase.loop.value}
    return {**results_file.to_json(phase), "arrivals": kept}


def _law(_: type, document: dict[str, Any]) -> Arrivals:
    name = document.pop("law")
    if "foreign" in document:
        return ForeignLaw(name, Loop(document["loop"]))
    law: Arrivals = convert(document, _LAWS[name])
    return law


def _delta(scrapes: list[dict[str, Any]]) -> ServerDelta | None:
    if not scrapes:
        return None
    first, last = (parse(one["text"], one["time_ns"]) for one in (scrapes[0], scrapes[-1]))
    return difference(first, last)


def _probe(document: dict[str, Any]) -> ProbeRecord:
    # JSON has no infinity: what was never answered has no time.
    seconds = math.inf if document["seconds"] is None else document["seconds"]
    return convert({**document, "seconds": seconds}, ProbeRecord)


def _by_phase(path: Path) -> dict[int, list[dict[str, Any]]]:
    """Return the lines of a file by the phase that each names; none where there is no such file."""
    found: dict[int, list[dict[str, Any]]] = {}
    if path.is_file():
        for line in path.read_bytes().splitlines():
            document = orjson.loads(line)
            found.setdefault(document.pop("phase"), []).append(document)
    return found
