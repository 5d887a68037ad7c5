"""One server, first come first served, in virtual time."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def in_system(gaps: Array, services: Array) -> Array:
    """Return waiting and service of each request along the last axis (Lindley's recursion).

    ``gaps`` are the times from each request's predecessor; the first gap counts for nothing.
    """
    steps = np.zeros_like(services)
    steps[..., 1:] = np.cumsum(services[..., :-1] - gaps[..., 1:], axis=-1)
    waits: Array = steps - np.minimum.accumulate(steps, axis=-1)
    return waits + services
