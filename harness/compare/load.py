"""What a comparison sends: a scenario, cut into pairs of slots, one per arm.

A scenario can be compared if it has one measured phase, in open loop and of one kind throughout. A
:class:`ComparisonLoad` is made for comparisons only; it also says what the target is asked to be, since cheap
and fast requests give a comparison its power.
"""

import dataclasses
from dataclasses import dataclass

from tailgate.harness.errors import UsageError
from tailgate.harness.results.slot import Loop
from tailgate.harness.scenario.arrivals import ClosedLoop
from tailgate.harness.scenario.ref import Ref
from tailgate.harness.scenario.scenario import Phase, Scenario
from tailgate.harness.scenario.trace import Trace

# About 2.5 s at the rate of the scenario ``compare``; two pairs exceed the 500 requests per arm and block
# that the ratio of a p99 needs (harness.compare.blocks.row.least_requests). The variance for a given time is
# least at about two pairs to a start (docs/explanation/error-rates.md, "Two pairs to a start").
SLOT_REQUESTS = 260
PAIRS = 2
# A probe of capacity fills batches, and takes a second or more of a quick service and at most its limit of a
# slow one.
CAPACITY = "capacity"
PROBE = ClosedLoop(connections=32, limit_s=20.0)
PROBE_REQUESTS = 600


@dataclass(frozen=True, slots=True)
class ComparisonLoad(Scenario):
    """A scenario without criteria of its own, for comparisons only.

    Attributes:
        environment: variables of a target that is launched, as (name, value); one that the user sets is left
            alone.
        source: payloads, where the user names none.
        processors: how many this project's service gets with these payloads, where it computes on no more;
            None for all.
    """

    environment: tuple[tuple[str, str], ...] = ()
    source: str | None = None
    processors: int | None = None


def block_scenario(scenario: Scenario, pairs: int = PAIRS, *, capacity: bool = False) -> Scenario:
    """Return what one arm gets in a block: the warm-up, a phase per pair of slots, a probe of capacity.

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
    """Return the phase that slots are cut from, or raise a UsageError that says why there is none."""
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
        # A comparison's own load says how long its slots are; another's length is meant for its budgets.
        return dataclasses.replace(phase, name=name, requests=phase.requests if own else SLOT_REQUESTS)
    # All pairs together are a phase that has a length, such as bursts.
    assert not isinstance(phase.duration_s, Ref)
    assert phase.duration_s is not None
    return dataclasses.replace(phase, name=name, duration_s=phase.duration_s / pairs)
