"""The raw data of one course of a scenario, on one axis of time: seconds since its first intended moment."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from tailgate.harness.errors import HarnessError
from tailgate.harness.load.records.samples import SAMPLE_FILE, SAMPLES, Outcome, Samples
from tailgate.harness.load.settings import read_id_prefix
from tailgate.harness.observe.beside.moments import MOMENTS
from tailgate.harness.observe.checked import check
from tailgate.harness.observe.slot import PROBES, RESOURCES
from tailgate.harness.results.slot import PhaseResult, SlotResult
from tailgate.harness.scenario.behaviour import Behaviour
from tailgate.harness.scenario.plan import HEADER, read_payloads

Seconds = NDArray[np.float64]
Mask = NDArray[np.bool_]
Lines = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Span:
    """A phase on the axis of time, from its first intended moment to that of the next."""

    name: str
    start: float
    end: float
    measured: bool = True


@dataclass(frozen=True, eq=False)
class Trace:
    """What was recorded of one course, request by request and second by second."""

    samples: Samples
    phases: Sequence[PhaseResult]  # fewer than ran, where the course was cut short
    names: Sequence[str]  # of all phases
    payloads: Sequence[str]
    id_prefix: str
    readings: Lines = ()  # of the server's processes and the machine
    probes: Lines = ()

    @cached_property
    def start_ns(self) -> int:
        """The first intended moment, of CLOCK_MONOTONIC."""
        return int(self.samples["intended_ns"].min())

    @cached_property
    def intended_s(self) -> Seconds:
        """When each request was to be sent."""
        return self.at_s(self.samples["intended_ns"])

    @cached_property
    def done_s(self) -> Seconds:
        """When each request ended."""
        return self.at_s(np.maximum(self.samples["done_ns"], self.samples["intended_ns"]))

    @cached_property
    def latency_s(self) -> Seconds:
        """From the intended moment to the end, whatever the end was."""
        return self.done_s - self.intended_s

    @cached_property
    def end_s(self) -> float:
        """When the last request ended."""
        return float(self.done_s.max())

    @cached_property
    def good(self) -> Mask:
        """Which requests got a good answer."""
        return _both(self.samples["outcome"] == Outcome.OK, self.samples["done_ns"] > 0)

    @cached_property
    def planned(self) -> Mask:
        """Which clients did as planned what is no good answer, such as leaving early."""
        return _both(self.samples["behaviour"] != Behaviour.WAITS, ~self.good)

    @cached_property
    def refused(self) -> Mask:
        """Which were refused under load, 429 or 503."""
        return _both(self.samples["outcome"] == Outcome.SHED, ~self.planned)

    @cached_property
    def failed(self) -> Mask:
        """Which failed in any other way."""
        return ~(self.good | self.planned | self.refused)

    @cached_property
    def judged(self) -> Mask:
        """Which belong to a measured phase, and to a client that waits for its answer."""
        measured = self.of_phases([phase.name for phase in self.phases if phase.measured])
        return _both(measured, self.samples["behaviour"] == Behaviour.WAITS)

    @cached_property
    def spans(self) -> tuple[Span, ...]:
        """The phases in order of time."""
        indices = np.unique(self.samples["phase"]).tolist()
        first = {index: float(self.intended_s[self.samples["phase"] == index].min()) for index in indices}
        order = sorted(first, key=first.__getitem__)
        ends = [*(first[index] for index in order[1:]), self.end_s]
        phases = [self.phase(index) for index in order]
        return tuple(
            Span(self.name(index), first[index], end, phase is None or phase.measured)
            for index, end, phase in zip(order, ends, phases, strict=True)
        )

    def name(self, index: int) -> str:
        """Return a phase's name."""
        return self.names[index] if index < len(self.names) else f"phase {index + 1}"

    def phase(self, index: int) -> PhaseResult | None:
        """Return what a phase came to; None where it was cut short."""
        return next((phase for phase in self.phases if phase.name == self.name(index)), None)

    def of_phases(self, names: Sequence[str]) -> Mask:
        """Return which requests belong to phases of these names."""
        return np.isin(
            self.samples["phase"], [index for index, name in enumerate(self.names) if name in names]
        )

    def at_s(self, moments_ns: NDArray[np.int64]) -> Seconds:
        """Return moments of CLOCK_MONOTONIC on the axis of time."""
        seconds: Seconds = (moments_ns - self.start_ns) / 1e9
        return seconds

    def series(self, name: str, lines: Lines | None = None) -> tuple[Seconds, Seconds]:
        """Return the moments and values of one reading where it was taken, on the axis of time."""
        taken = [one for one in (self.readings if lines is None else lines) if one.get(name) is not None]
        moments_s = [one["time_s"] if "time_s" in one else one["time_ns"] / 1e9 for one in taken]
        return np.array(moments_s, dtype=float) - self.start_ns / 1e9, np.array(
            [one[name] for one in taken], dtype=float
        )


def _both(first: Mask, second: Mask) -> Mask:
    return first & second


def read_trace(slot: SlotResult | None, folder: Path) -> Trace | str:
    """Read a course from its folder; return why it cannot be shown where there is nothing, or nothing that can be read."""
    if not (folder / SAMPLES).is_file():
        return "No raw records of this scenario are kept, so there are no pictures of it."
    try:
        samples = SAMPLE_FILE.read(folder / SAMPLES)
        payloads = read_payloads(folder)
        samples, _ = check(samples, payloads, folder)
        id_prefix = read_id_prefix(folder)
    except (HarnessError, OSError, KeyError, TypeError, ValueError) as error:
        return f"The raw records of this scenario cannot be read, so there are no pictures of it: {error}"
    if not len(samples):
        return "No request was sent, so there are no pictures."
    phases = () if slot is None else slot.phases
    names = _phase_names(folder) or [phase.name for phase in phases]
    readings = (*_lines(folder / RESOURCES), *_lines(folder / MOMENTS))
    return Trace(
        samples, phases, names, [one.name for one in payloads], id_prefix, readings, _lines(folder / PROBES)
    )


def folder_of(scenario: str, slot: SlotResult | None, directory: Path) -> Path:
    """Return where the raw data of a scenario lie, also of one that was cut short before it had a result."""
    if slot is not None and slot.samples is not None:
        return (directory / slot.samples).parent
    return directory / f"{scenario}-head-0"


def _phase_names(folder: Path) -> list[str]:
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return [str(phase["name"]) for phase in orjson.loads((folder / HEADER).read_bytes())["phases"]]
    return []


def _lines(path: Path) -> Lines:
    """Return the lines of a file of JSON, without one that was cut off; none where there is no such file."""
    found = []
    for line in path.read_bytes().splitlines() if path.is_file() else ():
        with contextlib.suppress(orjson.JSONDecodeError):
            found.append(orjson.loads(line))
    return found
