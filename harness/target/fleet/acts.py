"""What a fleet does while load is sent. Each act leaves as many replicas as it found."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from tailgate.harness.target.fleet.gateways import SEEN_S, UNSEEN_S

if TYPE_CHECKING:
    from tailgate.harness.target.fleet.target import RunningFleet

# Waits for some seconds, or until the load ends; returns whether it has ended.
Wait = Callable[[float], bool]


def replace(fleet: "RunningFleet", wait: Wait) -> None:
    """Replace each replica in turn: start one more, wait until the gateway has seen it, and end an old one."""
    for place in fleet.places:
        if wait(0.0):
            return
        fleet.add(fleet.free_place)
        wait(SEEN_S)
        fleet.retire(place)


def kill(fleet: "RunningFleet", wait: Wait) -> None:
    """Kill the first replica, wait until the gateway has seen that, and start another in its place."""
    wait(SEEN_S)
    place = fleet.places[0]
    fleet.kill(place)
    wait(UNSEEN_S)
    fleet.add(place)
    wait(SEEN_S)


def watch(fleet: "RunningFleet", wait: Wait) -> None:
    """Do nothing: the books of a phase without an act are what others are compared with."""


ACTS: Mapping[str, Callable[["RunningFleet", Wait], None]] = {
    "watch": watch,
    "replace": replace,
    "kill": kill,
}
