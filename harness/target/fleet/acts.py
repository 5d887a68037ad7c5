"""What a fleet does while load is sent. Each act leaves as many replicas as it found."""

from collections.abc import Callable, Mapping
from typing import Protocol

from tailgate.harness.target.fleet.gateways import SEEN_S, UNSEEN_S


class Fleet(Protocol):
    """What acts do with a fleet."""

    @property
    def places(self) -> tuple[int, ...]: ...  # noqa: D102 - see the running fleet

    @property
    def free_place(self) -> int: ...  # noqa: D102 - as above

    def add(self, place: int) -> None: ...  # noqa: D102 - as above

    def retire(self, place: int) -> None: ...  # noqa: D102 - as above

    def kill(self, place: int) -> None: ...  # noqa: D102 - as above


# Waits for some seconds, or until the load ends; returns whether it has ended.
Wait = Callable[[float], bool]


def replace(fleet: Fleet, wait: Wait) -> None:
    """Replace each replica in turn: start one more, wait until the gateway has seen it, and end an old one."""
    for place in fleet.places:
        if wait(0.0):
            return
        fleet.add(fleet.free_place)
        wait(SEEN_S)
        fleet.retire(place)


def kill(fleet: Fleet, wait: Wait) -> None:
    """Kill the first replica, wait until the gateway has seen that, and start another in its place."""
    wait(SEEN_S)
    place = fleet.places[0]
    fleet.kill(place)
    wait(UNSEEN_S)
    fleet.add(place)
    wait(SEEN_S)


def watch(fleet: Fleet, wait: Wait) -> None:
    """Do nothing: the books of a phase without an act are what others are compared with."""


ACTS: Mapping[str, Callable[[Fleet, Wait], None]] = {"watch": watch, "replace": replace, "kill": kill}
