"""Interleaving: the requests of a pair, cut into short windows that the arms get in turn. Pure.

Neighbouring stretches of a machine's time differ nearly as much if they are short as if they are long:
measured on the compute times of one service, 0.25 s differed from the next by 9.7 %, 1 s by 7.7 % and 2 s by
6.9 %. So noise falls with the *number* of turns and hardly with their length, and a turn must not cost a
scrape.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tailgate.harness.compare.blocks.schedule import Arm
from tailgate.harness.scenario.arrivals import Constant, Gamma, Poisson
from tailgate.harness.scenario.plan import Plan, PlannedPhase
from tailgate.harness.scenario.scenario import Phase

# Of one arm. Shorter windows would be mostly gap and beginning, when the server is still idle; so would
# windows of few, slow requests.
WINDOW_S = 0.5
WINDOW_REQUESTS = 25
# The least time between two windows in which nothing is sent (harness.compare.blocks.bench), and the most, as
# a share of one.
GAP_S = 0.03
MAX_GAP_SHARE = 0.5
# Where no window of the other arm follows.
NEVER_NS = np.iinfo(np.int64).max


def can_interleave(phase: Phase) -> bool:
    """Tell whether a phase may be cut into windows: its rate is constant, and its clients leave nothing behind.

    Windows would break a burst or a ramp, and a client that stays on the line would load the server in the
    other arm's window.
    """
    return isinstance(phase.arrivals, Constant | Poisson | Gamma) and not phase.disturbers


def windows_in(planned: PlannedPhase) -> int:
    """Return how many equally long windows of each arm a phase is cut into.

    They last about :data:`WINDOW_S`, or longer if they would hold fewer than :data:`WINDOW_REQUESTS` on
    average.
    """
    return max(1, min(round(planned.length_s / WINDOW_S), planned.offsets_ns.size // WINDOW_REQUESTS))


def window_s(planned: PlannedPhase) -> float:
    """Return how long each window of a phase is."""
    return _window_ns(planned, windows_in(planned)) / 1e9


def interleave(planned: PlannedPhase, first: Sequence[Arm], arm: Arm, gap_s: float = GAP_S) -> PlannedPhase:
    """Return a phase as one arm sends it, its offsets counted from the common start.

    Args:
        planned: drawn in the arm's own time, which passes only in its windows.
        first: by pair of windows, the arm that goes first; as many as :func:`windows_in` says.
        arm: whose offsets are wanted.
        gap_s: between two windows.
    """
    window_ns = _window_ns(planned, len(first))
    window = planned.offsets_ns // window_ns
    turn_ns = _turns(first, arm)[window] * (window_ns + round(gap_s * 1e9))
    return dataclasses.replace(planned, offsets_ns=planned.offsets_ns - window * window_ns + turn_ns)


def room_ns(planned: PlannedPhase, first: Sequence[Arm], arm: Arm, gap_s: float = GAP_S) -> NDArray[np.int64]:
    """Return each request's time from its intended moment to the other arm's next window, shape (requests,).

    An answer that takes longer shares the processors with the other arm. :data:`NEVER_NS` if no window
    follows. Arguments are those of :func:`interleave`.
    """
    window_ns = _window_ns(planned, len(first))
    own, other = _turns(first, arm), _turns(first, arm.other)
    # The other's turn of the same pair, or where that was before, of the next.
    following = np.where(other > own, other, np.append(other[1:], -1))
    window = planned.offsets_ns // window_ns
    within_ns = planned.offsets_ns - window * window_ns
    turns = (following - own)[window]
    room = turns * (window_ns + round(gap_s * 1e9)) - within_ns
    return np.where(following[window] < 0, NEVER_NS, room)


def _window_ns(planned: PlannedPhase, windows: int) -> int:
    return -(-(int(planned.offsets_ns[-1]) + 1) // windows)


def _turns(first: Sequence[Arm], arm: Arm) -> NDArray[np.int64]:
    """Return an arm's turn by pair of windows: even ones come first."""
    second: NDArray[np.int64] = np.array([one is not arm for one in first], dtype=np.int64)
    return 2 * np.arange(len(first)) + second


def plan_of_arm(plan: Plan, first: Mapping[int, Sequence[Arm]], arm: Arm, gap_s: float = GAP_S) -> Plan:
    """Return what one arm sends: the common plan, with the phases of these indices interleaved."""
    phases = tuple(
        interleave(phase, first[index], arm, gap_s) if index in first else phase
        for index, phase in enumerate(plan.phases)
    )
    return dataclasses.replace(plan, phases=phases)
