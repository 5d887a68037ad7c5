"""Was a block disturbed? Told by signals that do not know which arm was slow, so that a void never favours one.

What may void a block: processor time that the hypervisor stole, that other programs used, and the generator's own
lateness in both arms. An arm that uses more processor time than the other makes its generator late, too: where only one arm's
is, that may be the outcome, and voids nothing. What may not either: anything that grows when the server gets slower, such as latency, the server's own processor time,
or pressure, in which the server's own threads have their part; pressure is told and voids nothing. A block is void as a
whole, both arms together.
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

# Shares of all processors' time, over the block's measured pairs. Noise of a few per cent is what alternation and the
# exact test are for; beyond these the block was another machine's.
STEAL_MAX = 0.10
FOREIGN_MAX = 0.50
# p99 of the generator's lag, of the less late arm. It is in both arms' latencies; beyond it the load was not the one that was
# planned.
LAG_MAX_S = 0.010


@dataclass(frozen=True, slots=True)
class Disturbance:
    """What the machine said of a block's measured pairs.

    Attributes:
        load_s: their length; time in which both arms had a phase, as in interleaved pairs, counts once.
        steal_share: of all processors' time, stolen by the hypervisor; None if unseen.
        foreign_share: of it, used by what is neither server nor generator; None if unseen.
        cpu_pressure_share: of the time some work waited for a processor; None if unseen.
        lags_p99_s: of the generator's lag, in the order of the arms that were given; None without a request.
        void: why the block must not count; None for a good one.
    """

    load_s: float
    steal_share: float | None
    foreign_share: float | None
    cpu_pressure_share: float | None
    lags_p99_s: tuple[float | None, ...]
    void: str | None

    @property
    def late(self) -> tuple[bool, ...]:
        """Of each arm, whether its generator was late."""
        return tuple(lag_s is not None and lag_s > LAG_MAX_S for lag_s in self.lags_p99_s)


def disturbance_of(slots: Iterable[SlotRecord], processors: int | None = None) -> Disturbance:
    """Return what the machine said.

    Args:
        slots: one of each arm.
        processors: that /proc/stat counts; None for this machine's.
    """
    slots = tuple(slots)
    measured = [
        _Stretch(phase, report, used)
        for slot in slots
        for phase, report, used in zip(slot.phases, slot.reports, slot.machines, strict=True)
        if phase.phase.measured
    ]
    count = processors or os.cpu_count() or 1
    together = _by_time(measured)
    steal = _mean((one.used.steal_share, one.used.seconds) for one in measured)
    foreign = _mean((_foreign_share(group, count), _seconds(group)) for group in together)
    pressure = _mean(
        (None if one.used.stalled_share is None else one.used.stalled_share.get("cpu"), one.used.seconds)
        for one in measured
    )
    lags_s = tuple(_lag_p99_s([phase for phase in slot.phases if phase.phase.measured]) for slot in slots)
    known_s = [lag_s for lag_s in lags_s if lag_s is not None]
    return Disturbance(
        load_s=sum(_end_ns(group) - group[0].report.start_ns for group in together) / 1e9,
        steal_share=steal,
        foreign_share=foreign,
        cpu_pressure_share=pressure,
        lags_p99_s=lags_s,
        void=_void(steal, foreign, min(known_s, default=None)),
    )


def one_arm_late(blocks: Iterable[Mapping[str, bool]]) -> str:
    """Return the note that one arm's generator alone was late in most of the blocks in which any was; empty if not.

    Args:
        blocks: whether the generator was late, by name of the arm.
    """
    late = [[arm for arm, was in block.items() if was] for block in blocks]
    late = [arms for arms in late if arms]
    for arm in dict.fromkeys(arms[0] for arms in late):
        alone = late.count([arm])
        if 2 * alone > len(late):
            return (
                f"the generator was late for {arm} alone (p99 beyond {LAG_MAX_S * 1e3:.0f} ms) in {alone} of the "
                f"{len(late)} blocks in which it was late at all: its server leaves the generator too little of the processors, "
                "which is in its latencies and voids nothing"
            )
    return ""


@dataclass(frozen=True, slots=True, eq=False)
class _Stretch:
    """One measured phase of one arm."""

    phase: PhaseRecord
    report: PhaseReport
    used: MachineDelta


def _by_time(measured: list[_Stretch]) -> list[list[_Stretch]]:
    """Return what ran at the same time together, as both arms of an interleaved pair do; each in order of its start."""
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
    """Return how long the machine was watched: those that ran together watched it at the same time."""
    return sum(one.used.seconds for one in group) / len(group)


def _void(steal: float | None, foreign: float | None, lag_s: float | None) -> str | None:
    if steal is not None and steal > STEAL_MAX:
        return f"the hypervisor took {steal:.0%} of the processors' time, allowed are {STEAL_MAX:.0%}"
    if foreign is not None and foreign > FOREIGN_MAX:
        return f"other programs used {foreign:.0%} of the processors' time, allowed are {FOREIGN_MAX:.0%}"
    if lag_s is not None and lag_s > LAG_MAX_S:
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
        ours += (used.process_cpu_s + one.report.cpu_s) / (used.seconds * processors)
    return max(0.0, busy - ours)


def _mean(values: Iterable[tuple[float | None, float]]) -> float | None:
    """Return the mean of (value, seconds) by time over those that have a value; None when none has."""
    seen = [(value, seconds) for value, seconds in values if value is not None]
    total = sum(seconds for _, seconds in seen)
    return sum(value * seconds for value, seconds in seen) / total if total else None


def _lag_p99_s(phases: list[PhaseRecord]) -> float | None:
    lags = [
        (phase.samples["dispatched_ns"] - phase.samples["intended_ns"])[phase.samples["dispatched_ns"] > 0]
        for phase in phases
    ]
    lag_s = np.concatenate(lags) / 1e9 if lags else np.zeros(0)
    return statistics.quantile(lag_s, 0.99) if len(lag_s) else None
