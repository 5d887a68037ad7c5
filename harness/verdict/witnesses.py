"""The tails of both witnesses held against each other: what the client waited, and what the server's histogram says.

Both look at the time on the wire: from the first byte sent to the last byte received, so that the client's own lag and
its wait for a connection are left out exactly. Ranks count from the slowest, where the two sets agree even if one holds
a few requests more. For each share whose n(1 - share) is at least 10, with server bucket (a, b]::

    a - 1 ms  ≤  client                                no answer comes before the server has it
    client    ≤  b + max(20 ms, 10 % of b)             the rest is kernel, network and reading

The first holds for each single request, hence for each order statistic; for it a request that failed after sending
counts as infinite. The second is asked of good answers only, and of their first bytes. Beyond it, the server's histogram
hides a wait (a backlog before its clock starts), or the client reads late: neither can be believed alone. Where an answer
began in time and ended late, the server's record ends before its answer does (:func:`late_ends`).
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from tailgate.harness import statistics
from tailgate.harness.errors import MeasurementError
from tailgate.harness.observe.window import Window, failed
from tailgate.harness.results.fault import Cause, Fault
from tailgate.harness.scenario.scenario import quantile_name

SHARES = (0.95, 0.99)
# Clocks of both witnesses tick alike, but their readings are taken a few instructions apart from the events.
ROUNDING_S = 0.001
# Kernel, loopback or network, and the client's reading: allowed between the witnesses.
TRANSPORT_S = 0.020
TRANSPORT_SHARE = 0.10
# What Linux waits before it acknowledges a segment alone: 40 ms (TCP_DELACK_MIN), up to the tick of its timer.
DELAYED_ACK_S = (0.035, 0.060)


class Tail(NamedTuple):
    """One rank from the slowest, as both witnesses have it, in seconds.

    Attributes:
        seen: until the client had the last byte; infinite for what failed after sending.
        good: the same, of good answers only.
        began: until the first byte of good answers.
        low: lower end of the server's bucket.
        high: upper end; None in the last one.
    """

    share: float
    seen: float
    good: float
    began: float
    low: float | None
    high: float | None

    @property
    def allowed(self) -> float:
        """The longest time of the client that the server's record and transport explain."""
        return np.inf if self.high is None else self.high + max(TRANSPORT_S, TRANSPORT_SHARE * self.high)


def check_witnesses(window: Window) -> list[Fault]:
    """Check that the client's tail lies above the server's by no more than transport explains."""
    try:
        tails = list(_tails(window))
    except MeasurementError as error:
        return [Fault(Cause.INTEGRITY, str(error))]
    where = ", ".join(repr(record.phase.name) for record in window.phases)
    return [
        Fault(Cause.NOISE, f"phase {where}, {quantile_name(tail.share)}: {text}")
        for tail in tails
        if (text := _contradiction(tail))
    ]


def late_ends(window: Window) -> str:
    """Say by how much answers end later than the server's record explains, though they begin in time; or nothing."""
    try:
        tails = list(_tails(window))
    except MeasurementError:  # a fault, which the check above finds
        return ""
    late = next((tail for tail in tails if tail.began <= tail.allowed < tail.good), None)
    if late is None:
        return ""
    shortest, longest = DELAYED_ACK_S
    gap_s = late.good - late.began
    why = (
        "an answer that leaves in two pieces waits for the client's delayed ACK, about 40 ms, as any client's answer "
        "does: set TCP_NODELAY on the server's connections, or write head and body at once"
        if shortest <= gap_s <= longest
        else "the server's record ends before its answer has left"
    )
    assert late.high is not None
    return (
        f"{quantile_name(late.share)}: answers began after {late.began * 1e3:.4g} ms and ended after "
        f"{late.good * 1e3:.4g} ms, and the server's record says at most {late.high * 1e3:.4g} ms; {why}"
    )


def _tails(window: Window) -> Iterator[Tail]:
    """Yield both witnesses' tails at each share that enough requests speak of; none without a server's histogram."""
    if window.names.request_seconds is None or any(record.server is None for record in window.phases):
        return
    buckets = window.request_histogram()
    # Those of disturbers too: the server's histogram knows no difference.
    samples = np.concatenate([record.every_sample for record in window.phases])
    answered = ~failed(samples)
    wire = (samples["done_ns"] - samples["sent_ns"]) / 1e9
    good = np.sort(wire[answered])
    began = np.sort((samples["first_byte_ns"] - samples["sent_ns"])[answered] / 1e9)
    lost = (samples["status"] == 0) | (samples["done_ns"] == 0)
    seen = np.sort(np.where(lost, np.inf, wire)[samples["sent_ns"] > 0])
    n = len(good)
    for share in SHARES:
        beyond = n - statistics.point_rank(n, share) + 1 if n else 0
        if n >= statistics.least_samples(share) and beyond <= buckets.n:
            low, high = buckets.bucket(buckets.n - beyond + 1)
            yield Tail(share, float(seen[-beyond]), float(good[-beyond]), float(began[-beyond]), low, high)


def _contradiction(tail: Tail) -> str:
    if tail.low is not None and tail.seen < tail.low - ROUNDING_S:
        return (
            f"the client had the answer after {tail.seen * 1e3:.4g} ms, the server by its own record not before "
            f"{tail.low * 1e3:.4g} ms; is that histogram in seconds, and of these requests?"
        )
    if tail.began > tail.allowed:
        return (
            f"the client waited {tail.good * 1e3:.4g} ms after sending, the server's record says at most "
            f"{(tail.high or 0) * 1e3:.4g} ms, and transport explains up to {tail.allowed * 1e3:.4g} ms; a backlog "
            "before the server's clock starts, or a client that reads late"
        )
    return ""
