"""What the client of a request does: wait for its answer, as most do, or disturb.

A scenario mixes disturbers into a phase, the plan says which request is whose, and the load generator plays each on a
connection of its own. Their requests are recorded like any others, and their latency is judged by nobody.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass

from tailgate.harness.errors import UsageError

# The client that leaves does so within this time of having sent its request: before, while or after it is computed.
LEAVES_WITHIN_S = 0.1
# The client that drips sends its body in so many pieces, so far apart.
DRIPS_PIECES = 5
DRIPS_PAUSE_S = 0.1
# The fractional parts of its multiples fill an interval evenly (Weyl's sequence).
_GOLDEN = 0.6180339887498949


class Behaviour(enum.IntEnum):
    """What a client does; the value is what samples and plans hold."""

    WAITS = 0  # sends its request and waits for the answer
    LEAVES = 1  # sends all of it, and closes the connection a little later
    BREAKS_OFF = 2  # closes the connection in the middle of the body
    CORRUPT = 3  # sends half of the body as if it were all: a picture cut short
    DRIPS = 4  # sends the body piece by piece, with pauses


class Due(enum.Enum):
    """What the client of a disturbing request must get."""

    ANSWER = "2xx"
    REFUSAL = "4xx"


# Those that leave have nothing coming.
DUE: Mapping[Behaviour, Due] = {
    Behaviour.WAITS: Due.ANSWER,
    Behaviour.CORRUPT: Due.REFUSAL,
    Behaviour.DRIPS: Due.ANSWER,
}


@dataclass(frozen=True, slots=True)
class Disturbers:
    """Clients of one kind, a share of a phase's requests, mixed at random among those that wait."""

    behaviour: Behaviour
    share: float

    def __post_init__(self) -> None:
        """Refuse what is no disturbance, or no share."""
        if self.behaviour is Behaviour.WAITS or not 0 < self.share < 1:
            raise UsageError(
                f"disturbers: expected a behaviour other than WAITS and a share between 0 and 1, got "
                f"{self.behaviour.name} and {self.share}"
            )


def patience_s(request: int) -> float:
    """Return how long after sending the client of a request leaves; evenly spread, and the same in each run."""
    return LEAVES_WITHIN_S * (request * _GOLDEN % 1)
