"""Was a block disturbed? The signals do not know which arm was slow, so that a void favours none.

Stolen processor time, other programs, and a generator late in both arms void a whole block. Nothing that
grows with a slower server may void: latency, its processor time, pressure (in which its threads have their
part), or a generator late in one arm, which a busier server causes.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from tailgate.harness import statistics
from tailgate.harness.load import PhaseReport
from tailgate.harness.observe.machine import MachineDelta
from tailgate.harness.observe.slot_record import SlotRecord
from tailgate.harness.observe.window import PhaseRecord

# Shares of all processors' time, over the measured pairs. Alternation and the exact test absorb noise of a
# few per cent; beyond these the block was another machine's.
STEAL_MAX = 0.10
FOREIGN_MAX = 0.50
# p99 of the generator's lag, of the less late arm; beyond it the load was not the planned one.
LAG_MAX_S = 0.010


@dataclass(frozen=True, slots=True)
class Disturbance:
    """What the machine said of a block's measured pairs; None is unseen."""

    load_s: float  # their length; time of both arms at once, as in interleaved pairs, counts once
    steal_share: float | None
    foreign_share: float | None  # of all processors' time, used by neither server nor generator
    cpu_pressure_share: float | None
    late: tuple[bool, ...]  # whether the generator was, by arm in the order given
    void: str | None  # why the block must not count; None for a good one


def disturbance_of(slots: Iterable[SlotRecord]) -> Disturbance:
    """Return what the machine said during these courses, one per arm."""
    slots = tuple(slots)
    measured = [
        _Stretch(report, used)
        for slot in slots
        for phase, report, used in zip(slot.phases, slot.reports, slot.machines, strict=True)
        if phase.phase.measured
    ]
    # As many as /proc/stat counts.
    count = os.cpu_count() or 1
    together = _by_time(measured)
    steal = statistics.mean_of_known((one.used.steal_share, one.used.seconds) for one in measured)
    foreign = statistics.mean_of_known((_foreign_share(group, count), _seconds(group)) for group in together)
    pressure = statistics.mean_of_known(
        (None if one.used.stalled_share is None else one.used.stalled_share.get("cpu"), one.used.seconds)
        for one in measured
    )
    lags_s = [_lag_p99_s([phase for phase in slot.phases if phase.phase.measured]) for slot in slots]
    return Disturbance(
        load_s=sum(_end_ns(group) - group[0].report.start_ns for group in together) / 1e9,
        steal_share=steal,
        foreign_share=foreign,
        cpu_pressure_share=pressure,
        late=tuple(lag_s > LAG_MAX_S for lag_s in lags_s),
        void=_void(steal, foreign, min(lags_s, default=0.0)),
    )


def one_arm_late(blocks: Iterable[Mapping[str, bool]]) -> str:
    """Return a note if one arm's generator alone was late in most of the blocks in which any was."""
    late = [[arm for arm, was in block.items() if was] for block in blocks]
    late = [arms for arms in late if arms]
    for arm in dict.fromkeys(arms[0] for arms in late):
        alone = late.count([arm])
        if 2 * alone > len(late):
            return (
                f"the generator was late for {arm} alone (p99 beyond {LAG_MAX_S * 1e3:.0f} ms) in {alone} of the "
                f"{len(late)} blocks in which it was late at all: its server leaves the generator too little CPU time, "
                "which makes its latencies longer; no block is void for that"
            )
    return ""


@dataclass(frozen=True, slots=True, eq=False)
class _Stretch:
    report: PhaseReport
    used: MachineDelta


def _by_time(measured: list[_Stretch]) -> list[list[_Stretch]]:
    """Group what ran at the same time, as both arms of an interleaved pair do, in order of start."""
    groups: list[list[_Stretch]] = []
    for one in sorted(measured, key=lambda one: one.report.start_ns):
        if groups and one.report.start_ns < _end_ns(groups[-1]):
            groups[-1].append(one)
        else:
            groups.append([one])
    return groups


def _end_ns(group: list[_Stretch]) -> int:
    return max(one.report.end_ns for one in group)


def _seconds(group: list[_Stretch]) -> float:
    return sum(one.used.seconds for one in group) / len(group)


def _void(steal: float | None, foreign: float | None, lag_s: float) -> str | None:
    if steal is not None and steal > STEAL_MAX:
        return f"the hypervisor took {steal:.0%} of the processors' time, allowed are {STEAL_MAX:.0%}"
    if foreign is not None and foreign > FOREIGN_MAX:
        return f"other programs used {foreign:.0%} of the processors' time, allowed are {FOREIGN_MAX:.0%}"
    if lag_s > LAG_MAX_S:
        return (
            f"the generator was late in both arms: p99 of its lag is {lag_s * 1e3:.1f} ms or more, allowed are "
            f"{LAG_MAX_S * 1e3:.0f} ms"
        )
    return None


def _foreign_share(group: list[_Stretch], processors: int) -> float | None:
    """Return what was neither idle, nor stolen, nor any arm's server or generator, as a share of all time."""
    busy, ours = 0.0, 0.0
    for one in group:
        used = one.used
        if used.idle_share is None or used.process_cpu_s is None or used.seconds <= 0:
            return None
        # Each says the same of the machine, and of the processes its own arm's.
        busy += (1.0 - used.idle_share - (used.steal_share or 0.0)) / len(group)
        ours += (used.process_cpu_s + one.report.cpu_here_s) / (used.seconds * processors)
    return max(0.0, busy - ours)


def _lag_p99_s(phases: list[PhaseRecord]) -> float:
    """Return p99 of the generator's lag; 0 without a request."""
    lags = [
        (phase.samples["dispatched_ns"] - phase.samples["intended_ns"])[phase.samples["dispatched_ns"] > 0]
        for phase in phases
    ]
    lag_s = np.concatenate(lags) / 1e9 if lags else np.zeros(0)
    return statistics.quantile(lag_s, 0.99) if len(lag_s) else 0.0
