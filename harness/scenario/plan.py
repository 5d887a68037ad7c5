"""What will be sent, and when: a scenario's arrivals and payloads, drawn from one seed before the run.

The load generator reads it from disk. The same seed gives the same plan, byte for byte. Each phase draws from a stream
of its own, so that changing one phase moves no other. Nothing here sends, or knows where to.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from tailgate.harness.errors import LoadError, UsageError
from tailgate.harness.scenario.arrivals import ClosedLoop
from tailgate.harness.scenario.behaviour import Behaviour
from tailgate.harness.scenario.payloads.payload import Payload
from tailgate.harness.scenario.ref import Number, Ref, refs
from tailgate.harness.scenario.scenario import Phase, Scenario
from tailgate.harness.scenario.trace import Trace

HEADER = "plan.json"
SCHEDULE = "schedule.bin"
BODIES = "bodies.bin"
FORMAT = 3
# What the service reads a request's deadline from.
DEADLINE_HEADER = "X-Request-Timeout-Ms"

# One intended request on disk.
_INTENT = np.dtype([("offset_ns", "<i8"), ("payload", "<u2"), ("behaviour", "u1")])
# What the header keeps of a payload; its body stands apart.
_HEADED = tuple(field.name for field in dataclasses.fields(Payload) if field.name != "body")


@dataclass(frozen=True, slots=True, eq=False)
class PlannedPhase:
    """The requests of one phase."""

    name: str
    # Shape (requests,), int64, ascending: intended send times from the phase's start; all 0 in a closed loop.
    offsets_ns: NDArray[np.int64]
    payloads: NDArray[np.uint16]  # shape (requests,), uint16: index into the plan's payloads
    closed_loop: ClosedLoop | None = None  # None for an open loop
    # Shape (requests,), uint8: what each client does; None where all wait.
    behaviours: NDArray[np.uint8] | None = None
    # Index of the phase whose throughput the offsets count in: they are then nanoseconds at 1/s.
    relative_to: int | None = None
    # Of a slice of a phase, the numbers of its requests in the whole: from the first on, so many apart.
    first: int = 0
    step: int = 1

    @property
    def numbers(self) -> range:
        """The number of each request in the whole phase."""
        return range(self.first, self.first + self.step * self.offsets_ns.size, self.step)

    @property
    def length_s(self) -> float:
        """Seconds from its start to its last request at the latest; at 1/s where it is relative to a throughput."""
        if self.closed_loop is not None:
            return float(self.closed_loop.limit_s)  # type: ignore[arg-type] # draw_plan has refused what is open
        return float(self.offsets_ns[-1]) / 1e9


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What one run of a scenario sends.

    The payloads are those of the source, then their variants: with a deadline, or cut short.
    """

    scenario: str
    seed: int
    phases: tuple[PlannedPhase, ...]
    payloads: tuple[Payload, ...]


def draw_plan(scenario: Scenario, payloads: Sequence[Payload], seed: int) -> Plan:
    """Draw the plan of a resolved scenario; raise UsageError where a number is open or nothing can be drawn."""
    if still_open := refs(scenario.phases):
        raise UsageError(f"scenario {scenario.name!r}: resolve {sorted(still_open)} before planning")
    chosen = choose_payloads(scenario, payloads)
    streams = np.random.SeedSequence(seed).spawn(len(scenario.phases))
    names = [phase.name for phase in scenario.phases]
    phases, variants = [], list(chosen)
    for phase, stream in zip(scenario.phases, streams, strict=True):
        drawn = _draw_phase(phase, chosen, stream)
        relative_to = None if phase.relative_to is None else names.index(phase.relative_to)
        indices = _varied(phase, drawn, chosen, variants)
        phases.append(dataclasses.replace(drawn, payloads=indices, relative_to=relative_to))
    if len(variants) > np.iinfo(np.uint16).max:
        raise UsageError(f"scenario {scenario.name!r}: {len(variants)} payloads with all their variants")
    return Plan(scenario.name, seed, tuple(phases), tuple(variants))


def _varied(
    phase: Phase, drawn: PlannedPhase, chosen: tuple[Payload, ...], variants: list[Payload]
) -> NDArray[np.uint16]:
    """Return the indices of the payloads with the phase's deadline, and cut short where they are corrupt."""
    indices = drawn.payloads.astype(np.int64)
    if phase.deadline_s is not None:
        indices += len(variants)
        variants += [_with_deadline(payload, phase.deadline_s) for payload in chosen]
    if drawn.behaviours is not None and (corrupt := drawn.behaviours == Behaviour.CORRUPT).any():
        indices[corrupt] += len(variants)
        variants += [_cut_short(payload) for payload in variants]
    return indices.astype(np.uint16)


def _with_deadline(payload: Payload, deadline_s: Number) -> Payload:
    milliseconds = f"{float(deadline_s) * 1e3:.3f}"  # type: ignore[arg-type] # draw_plan has refused what is open
    return dataclasses.replace(
        payload,
        name=f"{payload.name}, within {milliseconds} ms",
        headers=(*payload.headers, (DEADLINE_HEADER, milliseconds)),
    )


def _cut_short(payload: Payload) -> Payload:
    # What is expected is the answer to the whole body.
    return dataclasses.replace(
        payload, name=f"{payload.name}, cut short", body=payload.body[: len(payload.body) // 2], expect=()
    )


def choose_payloads(scenario: Scenario, payloads: Sequence[Payload]) -> tuple[Payload, ...]:
    """Return the payloads that the scenario names, in its order, or all; raise UsageError where one is not there."""
    by_name = {payload.name: payload for payload in payloads}
    if len(by_name) < len(payloads):
        raise UsageError(f"payload names must be unique, got {[payload.name for payload in payloads]}")
    names = scenario.payloads if scenario.payloads is not None else tuple(by_name)
    if missing := [name for name in names if name not in by_name]:
        raise UsageError(
            f"scenario {scenario.name!r}: there is no payload {missing[0]!r}; there are {sorted(by_name)}"
        )
    chosen = tuple(by_name[name] for name in names)
    if not 1 <= len(chosen) <= np.iinfo(np.uint16).max:
        raise UsageError(f"scenario {scenario.name!r}: needs 1 to 65535 payloads, got {len(chosen)}")
    for payload in chosen:
        if not (np.isfinite(payload.weight) and payload.weight >= 0):
            raise UsageError(f"payload {payload.name!r}: its weight must be 0 or more, got {payload.weight}")
    if not any(payload.weight for payload in chosen):
        raise UsageError(f"scenario {scenario.name!r}: all its payloads have weight 0")
    return chosen


def _draw_phase(phase: Phase, payloads: tuple[Payload, ...], stream: np.random.SeedSequence) -> PlannedPhase:
    """Draw times, payloads and behaviours from streams of their own, so that a change of one leaves the others."""
    assert not isinstance(phase.duration_s, Ref)  # draw_plan has refused what is still open
    for_times, for_payloads, for_behaviours = stream.spawn(3)
    rng = np.random.default_rng(for_times)
    drawn = phase.arrivals.draw(rng, requests=phase.requests, duration_s=phase.duration_s)
    times_s = np.asarray(drawn, dtype=np.float64)
    if times_s.size == 0:
        raise UsageError(
            f"phase {phase.name!r}: {phase.arrivals} gives no request within {phase.duration_s} s"
        )
    if (np.diff(times_s) < 0).any() or not np.isfinite(times_s).all() or times_s[0] < 0:
        raise UsageError(f"phase {phase.name!r}: {phase.arrivals} gives times that do not ascend from 0")
    if isinstance(phase.arrivals, Trace) and phase.arrivals.payloads:
        chosen = _replayed(phase, phase.arrivals.payloads[: times_s.size], payloads)
    else:
        weights = np.array([payload.weight for payload in payloads])
        rng = np.random.default_rng(for_payloads)
        chosen = rng.choice(len(payloads), size=times_s.size, p=weights / weights.sum()).astype(np.uint16)
    closed = phase.arrivals if isinstance(phase.arrivals, ClosedLoop) else None
    behaviours = None
    if phase.disturbers:
        shares = [one.share for one in phase.disturbers]
        kinds = [Behaviour.WAITS, *(one.behaviour for one in phase.disturbers)]
        rng = np.random.default_rng(for_behaviours)
        behaviours = rng.choice(kinds, size=times_s.size, p=[1 - sum(shares), *shares]).astype(np.uint8)
    return PlannedPhase(phase.name, np.rint(times_s * 1e9).astype(np.int64), chosen, closed, behaviours)


def _replayed(phase: Phase, names: tuple[str, ...], payloads: tuple[Payload, ...]) -> NDArray[np.uint16]:
    indices = {payload.name: index for index, payload in enumerate(payloads)}
    if unknown := sorted(set(names) - set(indices)):
        raise UsageError(
            f"phase {phase.name!r}: its trace names payloads {unknown}; there are {sorted(indices)}"
        )
    return np.array([indices[name] for name in names], dtype=np.uint16)


def write_plan(plan: Plan, directory: Path) -> None:
    """Write a plan as three files: a JSON header, the schedule of all phases, and the bodies end to end."""
    schedule = [np.zeros(phase.offsets_ns.size, _INTENT) for phase in plan.phases]
    for rows, phase in zip(schedule, plan.phases, strict=True):
        rows["offset_ns"], rows["payload"] = phase.offsets_ns, phase.payloads
        rows["behaviour"] = Behaviour.WAITS if phase.behaviours is None else phase.behaviours
    (directory / SCHEDULE).write_bytes(b"".join(rows.tobytes() for rows in schedule))
    (directory / BODIES).write_bytes(b"".join(payload.body for payload in plan.payloads))
    header = {
        "format": FORMAT,
        "scenario": plan.scenario,
        # As text: a seed may be wider than the 64 bits of a JSON integer.
        "seed": str(plan.seed),
        "phases": [
            {
                "name": phase.name,
                "requests": phase.offsets_ns.size,
                "closed_loop": phase.closed_loop,
                "relative_to": phase.relative_to,
                "first": phase.first,
                "step": phase.step,
            }
            for phase in plan.phases
        ],
        "payloads": [
            {name: getattr(payload, name) for name in _HEADED} | {"body_bytes": len(payload.body)}
            for payload in plan.payloads
        ],
    }
    options = orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY
    (directory / HEADER).write_bytes(orjson.dumps(header, option=options))


def read_plan(directory: Path) -> Plan:
    """Read what :func:`write_plan` wrote; raise LoadError where its files do not fit together."""
    header = _read_header(directory)
    schedule = np.fromfile(directory / SCHEDULE, _INTENT)
    bodies = (directory / BODIES).read_bytes()
    phase_ends = np.cumsum([phase["requests"] for phase in header["phases"]])
    body_ends = np.cumsum([payload["body_bytes"] for payload in header["payloads"]])
    if phase_ends[-1] != schedule.size or body_ends[-1] != len(bodies):
        raise LoadError(
            f"{directory}: the plan's header does not fit its schedule and bodies; was it cut short?"
        )
    phases = tuple(
        PlannedPhase(
            phase["name"],
            np.ascontiguousarray(rows["offset_ns"], np.int64),
            np.ascontiguousarray(rows["payload"], np.uint16),
            None if phase["closed_loop"] is None else ClosedLoop(**phase["closed_loop"]),
            np.ascontiguousarray(rows["behaviour"]) if rows["behaviour"].any() else None,
            phase["relative_to"],
            phase["first"],
            phase["step"],
        )
        for phase, rows in zip(header["phases"], np.split(schedule, phase_ends[:-1]), strict=True)
    )
    payloads = tuple(
        Payload(body=bodies[end - payload.pop("body_bytes") : end], **payload)
        for payload, end in zip(header["payloads"], body_ends, strict=True)
    )
    return Plan(header["scenario"], int(header["seed"]), phases, payloads)


def read_payloads(directory: Path) -> tuple[Payload, ...]:
    """Return a plan's payloads without their bodies; none where no plan was written."""
    if not (directory / HEADER).is_file():
        return ()
    headed = _read_header(directory)["payloads"]
    return tuple(Payload(body=b"", **{name: one[name] for name in _HEADED}) for one in headed)


def _read_header(directory: Path) -> dict[str, Any]:
    header: dict[str, Any] = orjson.loads((directory / HEADER).read_bytes())
    if header["format"] != FORMAT:
        raise LoadError(f"{directory / HEADER}: plan format {header['format']}, this harness reads {FORMAT}")
    return header
