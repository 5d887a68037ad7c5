"""What a comparison sends: a scenario, cut into pairs of slots, one for each arm.

A scenario can be compared if it has one measured phase, in open loop and of one kind from its beginning to its end: a
slot is then a piece of it. A :class:`ComparisonLoad` is a scenario that is made for this and for nothing else; it also
says what the target is asked to be, since cheap and fast requests are what a comparison gets its power from.
"""

import dataclasses
from dataclasses import dataclass

from tailgate.harness.errors import UsageError
from tailgate.harness.results.slot import Loop
from tailgate.harness.scenario.arrivals import ClosedLoop
from tailgate.harness.scenario.ref import Ref
from tailgate.harness.scenario.scenario import Phase, Scenario
from tailgate.harness.scenario.trace import Trace

# About 2.5 s at the rate of the scenario ``compare``; two pairs are above the 500 requests an arm and block that the ratio of a
# p99 needs (harness.compare.blocks.row.least_requests). No more of them: the variance for a given time is least at about two
# pairs to a start (docs/error-rates.md, "Two pairs to a start").
SLOT_REQUESTS = 260
PAIRS = 2
# A probe of capacity, for those who ask for it: enough at once that batches fill, and so many that it takes a second or
# more of a quick service, and no longer than its limit of a slow one.
CAPACITY = "capacity"
PROBE = ClosedLoop(connections=32, limit_s=20.0)
PROBE_REQUESTS = 600


@dataclass(frozen=True, slots=True)
class ComparisonLoad(Scenario):
    """A scenario without criteria of its own, for comparisons only.

    Attributes:
        environment: variables of a target that is launched, as (name, value); one that the user sets is left alone.
        source: payloads, where the user names none.
        processors: how many this project's service gets with these payloads, where it computes on no more; None for all.
    """

    environment: tuple[tuple[str, str], ...] = ()
    source: str | None = None
    processors: int | None = None


def block_scenario(scenario: Scenario, pairs: int = PAIRS, *, capacity: bool = False) -> Scenario:
    """Return what one arm gets in one block: the warm-up, then a phase for each pair of slots.

    Args:
        scenario: resolved.
        pairs: of slots in a block.
        capacity: a closed loop follows, whose throughput is the arm's capacity.

    Raises:
        UsageError: the scenario cannot be cut into slots; the message says why.
    """
    measured = comparable_phase(scenario)
    own = isinstance(scenario, ComparisonLoad)
    slots = tuple(_slot(measured, pair, pairs, own=own) for pair in range(pairs))
    warm_ups = tuple(phase for phase in scenario.phases if not phase.measured)
    probes = (Phase(CAPACITY, PROBE, requests=PROBE_REQUESTS, measured=False),) if capacity else ()
    phases = (*warm_ups, *slots, *probes)
    return Scenario(scenario.name, scenario.description, phases, (), scenario.payloads)


def comparable_phase(scenario: Scenario) -> Phase:
    """Return the phase that slots are cut from.

    Raises:
        UsageError: there is none such.
    """
    measured = [phase for phase in scenario.phases if phase.measured]
    why = None
    if len(measured) != 1:
        names = ", ".join(repr(phase.name) for phase in measured)
        why = f"it has {len(measured)} measured phases ({names}), and slots are cut from one"
    elif measured[0].loop is Loop.CLOSED:
        why = f"its phase {measured[0].name!r} is a closed loop, whose latencies mean little"
    elif any(phase.relative_to is not None for phase in scenario.phases):
        why = "its rate follows from what another phase measured, and both sides must get the same"
    elif isinstance(measured[0].arrivals, Trace):
        why = f"its phase {measured[0].name!r} replays a trace, whose pieces are not alike"
    if why is not None:
        raise UsageError(
            f"scenario {scenario.name!r} cannot be compared: {why}; choose another with --perf-scenario"
        )
    return measured[0]


def _slot(phase: Phase, pair: int, pairs: int, *, own: bool) -> Phase:
    name = f"slot {pair + 1}"
    if phase.requests is not None:
        # A load of our own says how long its slots are; how much another gathers for its budgets has no say here.
        return dataclasses.replace(phase, name=name, requests=phase.requests if own else SLOT_REQUESTS)
    # A phase of a length, such as bursts, is what its length makes it: all pairs together are the phase.
    assert not isinstance(phase.duration_s, Ref)
    assert phase.duration_s is not None
    return dataclasses.replace(phase, name=name, duration_s=phase.duration_s / pairs)
