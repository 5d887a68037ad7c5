"""Who is refused because of the others: decided by what is to be expected of the queue, without it and without a clock.

There is no time for a request whose deadline would pass if its batch became as large as the one that runs; nor, where there is a
latency objective, for one that would miss it if its batch became full.
"""

import math

from service.forecast import Outlook


def why_late(
    outlook: Outlook, timeout_s: float | None, spent_s: float, objective_s: float | None
) -> str | None:
    """Say why a request would be done too late; None where it would not.

    Args:
        outlook: of a request that comes now.
        timeout_s: its client's own patience, None for no end.
        spent_s: how much of it has gone.
        objective_s: the latency that is to be kept, None for no such aim.
    """
    likely_s = spent_s + outlook.likely_s
    if timeout_s is not None and likely_s > timeout_s:
        return f"it would take {likely_s * 1e3:.0f} ms, and X-Request-Timeout-Ms allows {timeout_s * 1e3:g}"
    if objective_s is not None and outlook.latest_s > objective_s:
        latest_ms, objective_ms = outlook.latest_s * 1e3, objective_s * 1e3
        return f"it may take {latest_ms:.0f} ms, and TAILGATE_LATENCY_OBJECTIVE_MS is {objective_ms:g}"
    return None


def whole_seconds(seconds: float) -> int:
    """Return what Retry-After can say: whole seconds, 1 at least."""
    return max(1, math.ceil(seconds))
