"""A plan cut into slices, one per generator. Each request is in exactly one slice, and keeps its number."""

import dataclasses

from tailgate.harness.scenario.plan import Plan, PlannedPhase


def slice_of(plan: Plan, worker: int, workers: int) -> Plan:
    """Return what one of so many generators sends; a phase may have no request for it."""
    phases = tuple(_slice(phase, worker, workers) for phase in plan.phases)
    return dataclasses.replace(plan, phases=phases)


def _slice(phase: PlannedPhase, worker: int, workers: int) -> PlannedPhase:
    """Cut an open loop by turns, so that each slice has the same law; a closed loop in pieces, with its connections."""
    loop, count = phase.closed_loop, phase.offsets_ns.size
    if loop is None:
        rows = slice(worker, count, workers)
    else:
        before, end = _share(loop.connections, worker, workers), _share(loop.connections, worker + 1, workers)
        rows = slice(count * before // loop.connections, count * end // loop.connections)
        loop = dataclasses.replace(loop, connections=end - before)
    numbers = phase.numbers[rows]
    return dataclasses.replace(
        phase,
        offsets_ns=phase.offsets_ns[rows].copy(),
        payloads=phase.payloads[rows].copy(),
        behaviours=None if phase.behaviours is None else phase.behaviours[rows].copy(),
        closed_loop=loop,
        first=numbers.start,
        step=numbers.step,
    )


def _share(whole: int, worker: int, workers: int) -> int:
    """Return how much of a whole the generators before this one have."""
    return whole * worker // workers
