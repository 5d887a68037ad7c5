"""How many requests of a phase a server may have counted, by what the client knows of them.

The harness asks the server questions of its own between two scrapes: for its metrics, the first of the two scrapes
among them, and in a probed phase for its readiness. Middleware that counts whatever comes in counts these too, all of
a path or none of it. They are allowed for to the request, and nothing else is.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tailgate.harness.probes import Asked, ProbeRecord
from tailgate.harness.samples import Outcome, Samples

_AFTER_SENDING = (Outcome.RESET, Outcome.TIMEOUT, Outcome.MALFORMED, Outcome.LEFT)


@dataclass(frozen=True, slots=True)
class Sent:
    """What the client knows of the requests of a phase.

    Attributes:
        good: with a good answer: each was counted.
        answered: with a whole answer of any kind. One that is no good answer may have been counted or not: a proxy may
            have given it, or a part of the service that stands before the one that counts.
        lost: ended after sending without a whole answer: each may be counted now, later or never.
    """

    good: int
    answered: int
    lost: int


def gave_up(samples: Samples) -> NDArray[np.bool_]:
    """Return for each request whether it was sent and ended without a whole answer."""
    lost: NDArray[np.bool_] = np.isin(samples["outcome"], _AFTER_SENDING) & (samples["sent_ns"] > 0)
    return lost


def own_counted(
    counted: float, least: int, most: int, scrapes: int, probes: Sequence[ProbeRecord]
) -> int | None:
    """Return how many of the harness's own requests are among those that the server counted; None if no number fits.

    Args:
        counted: by the server, between two scrapes.
        least: of the client's requests that it must have counted.
        most: of them that it can have counted.
        scrapes: of the metrics between the two readings, the first of them included.
        probes: that were sent meanwhile.
    """
    of_path = {
        asked: (
            sum(probe.asked is asked and probe.status is not None for probe in probes),
            sum(probe.asked is asked for probe in probes),
        )
        for asked in Asked
    }
    answered, asked = of_path[Asked.METRICS]
    of_path[Asked.METRICS] = (answered + scrapes, asked + scrapes)
    fits = []
    for paths in itertools.product(*[((0, 0), some) for some in of_path.values()]):
        low = max(sum(low for low, _ in paths), round(counted) - most)
        if low <= min(sum(high for _, high in paths), round(counted) - least):
            fits.append(low)
    return min(fits, default=None)
