"""What makes a measurement unable to carry a verdict.

Checks between the saved records and the judge. Each returns the faults that it finds, none being the good case, and
never an opinion about the service. A fault has a cause:

* INTEGRITY: the record is broken. Requests are missing, the witnesses counted differently, the server restarted. No
  noise does that, so even a run on a busy machine can enforce it.
* NOISE: the record is whole, but the machine or the generator disturbed what it tells.

Either makes the verdict INVALID, never a pass and never a failure of the service.
"""

import enum
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness import statistics, yardstick
from harness.errors import MeasurementError
from harness.samples import Outcome, Samples
from harness.scenario import quantile_name
from harness.scrape import MetricNames
from harness.window import PhaseRecord, Seconds, Window, failed
from harness.yardstick import Yardstick

# What a criterion says that is INVALID for no reason of its own.
VOID = "void, as the whole scenario is"
# Clocks of both witnesses tick alike, but their readings are taken a few instructions apart from the events.
ROUNDING_S = 0.001
# The generator's own lag may be this much of the smallest latency judged, and a millisecond is never a fault.
LAG_SHARE = 0.05
LAG_FLOOR_S = 0.001
# Kernel, loopback or network, and the client's reading: allowed between the witnesses.
TRANSPORT_S = 0.020
TRANSPORT_SHARE = 0.10
# Above this share of its core the generator may itself be what the latencies show.
BUSY_SHARE = 0.90

_AFTER_SENDING = (Outcome.RESET, Outcome.TIMEOUT, Outcome.MALFORMED, Outcome.LEFT)


class Cause(enum.Enum):
    """Why a measurement cannot carry a verdict."""

    INTEGRITY = "integrity"
    NOISE = "noise"


@dataclass(frozen=True, slots=True)
class Fault:
    """One reason, as a sentence that names what was found and what was expected."""

    cause: Cause
    text: str


def check_records(window: Window, planned: Sequence[int]) -> list[Fault]:
    """Check that each planned request has exactly one record, and that its times can be true.

    Args:
        window: all phases of the run, warm-up included.
        planned: requests planned for each of them.
    """
    faults = []
    for record, expected in zip(window.phases, planned, strict=True):
        samples, name = record.every_sample, record.phase.name
        if len(samples) != expected or len(np.unique(samples["request"])) != expected:
            faults.append(
                f"phase {name!r}: {expected} requests were planned, {len(samples)} records "
                f"of {len(np.unique(samples['request']))} requests were saved: did the generator end early?"
            )
        good = samples[~failed(samples)]
        times = [good[field] for field in ("dispatched_ns", "sent_ns", "first_byte_ns", "done_ns")]
        backwards = sum(int(np.sum(later < earlier)) for earlier, later in itertools.pairwise(times))
        if backwards or (good["sent_ns"] == 0).any():
            faults.append(f"phase {name!r}: answered requests have times that run backwards or are missing")
    return [Fault(Cause.INTEGRITY, text) for text in faults]


def check_counts(window: Window) -> list[Fault]:
    """Check that the server counted the requests that the client sent.

    Phase by phase, with the phases in the order in which they ran::

        answered ≤ counted by the server ≤ answered + failed after sending, not yet counted

    A request that the client gave up on (timeout, reset, not HTTP, left as planned) may be counted in its own phase, in a
    later one, or never. Everything that was answered was counted before its last byte left. Nothing is checked for a
    target without metrics; metrics that are there for some phases only, or lack the counter, are a fault.
    """
    if all(record.server is None for record in window.phases):
        return []
    faults: list[Fault] = []
    pending = 0
    for record in window.phases:
        name, samples = record.phase.name, record.every_sample
        try:
            counted = counted_requests(record, window.names)
        except MeasurementError as error:
            return [*faults, Fault(Cause.INTEGRITY, str(error))]
        lost = gave_up(samples)
        answered = int(np.sum((samples["status"] > 0) & ~lost))
        pending += int(lost.sum())
        if not answered <= counted <= answered + pending:
            expected = f"{answered}" if pending == 0 else f"{answered} to {answered + pending}"
            faults.append(
                Fault(
                    Cause.INTEGRITY,
                    f"phase {name!r}: the server counted {counted:g} requests, expected {expected}: the client got "
                    f"{answered} answers and lost {pending} requests after sending them",
                )
            )
        pending = max(0, pending - max(0, round(counted) - answered))
    return faults


def check_witnesses(window: Window, shares: Sequence[float] = (0.95, 0.99)) -> list[Fault]:
    """Check that the client's tail lies above the server's by no more than transport explains.

    Both look at the time on the wire: from the first byte sent to the last byte received, so that the client's own lag
    and its wait for a connection are left out exactly. Ranks count from the slowest, where the two sets agree even if
    one holds a few requests more. For each share whose n(1 - share) is at least 10, with server bucket (a, b]::

        a - 1 ms  ≤  client                                no answer comes before the server has it
        client    ≤  b + max(20 ms, 10 % of b)             the rest is kernel, network and reading

    The first holds for each single request, hence for each order statistic; for it a request that failed after sending
    counts as infinite. The second is asked of good answers only. Beyond it, the server's histogram hides a wait (a
    backlog before its clock starts), or the client reads late: neither witness can be believed alone.
    """
    if window.names.request_seconds is None or any(record.server is None for record in window.phases):
        return []
    try:
        buckets = window.request_histogram()
    except MeasurementError as error:
        return [Fault(Cause.INTEGRITY, str(error))]
    # Those of disturbers too: the server's histogram knows no difference.
    samples = np.concatenate([record.every_sample for record in window.phases])
    wire = (samples["done_ns"] - samples["sent_ns"]) / 1e9
    good = np.sort(wire[~failed(samples)])
    lost = (samples["status"] == 0) | (samples["done_ns"] == 0)
    seen = np.sort(np.where(lost, np.inf, wire)[samples["sent_ns"] > 0])
    faults = []
    for share in shares:
        n = len(good)
        beyond = n - statistics.point_rank(n, share) + 1 if n else 0
        if n < statistics.least_samples(share) or not beyond <= buckets.n:
            continue
        low, high = buckets.bucket(buckets.n - beyond + 1)
        if text := _contradiction(seen, good, beyond, statistics.Interval(low, high)):
            where = ", ".join(repr(record.phase.name) for record in window.phases)
            faults.append(Fault(Cause.NOISE, f"phase {where}, {quantile_name(share)}: {text}"))
    return faults


def check_send_lag(window: Window, limits_s: Sequence[float]) -> list[Fault]:
    """Check that the generator took up its requests in time: p99 of dispatched - intended.

    It may be 5 % of the smallest latency that is judged, or 1 ms if that is more. Without a judged latency there is
    nothing to disturb.
    """
    samples = np.concatenate([record.every_sample for record in window.phases] or [window.samples])
    if not limits_s or not len(samples):
        return []
    allowed_s = _allowed_lag_s(limits_s)
    dispatched = samples["dispatched_ns"] > 0
    lag_s = (samples["dispatched_ns"] - samples["intended_ns"])[dispatched] / 1e9
    if not len(lag_s):
        return [Fault(Cause.INTEGRITY, f"none of {len(samples)} requests was taken up by the generator")]
    p99_s = statistics.quantile(lag_s, 0.99)
    if p99_s <= allowed_s:
        return []
    text = (
        f"the generator was late: p99 of its send lag is {p99_s * 1e3:.3g} ms, allowed are {allowed_s * 1e3:.3g} ms; "
        "give it a core of its own or lower the rate"
    )
    return [Fault(Cause.NOISE, text)]


def check_generator(
    busy_share: float | None, run_delay_s: float | None = None, limits_s: Sequence[float] = ()
) -> list[Fault]:
    """Check that the generator had time to spare, and a processor when it needed one.

    Args:
        busy_share: of its core, spent on requests rather than waiting (or spinning) for the next one; None: not told.
        run_delay_s: mean for each request, that it was ready to run and another program had its processor; None: not
            told. It goes into sending and reading alike, so it may be as long as the send lag may.
        limits_s: the latencies that are judged; without any, a delay disturbs nothing.
    """
    faults = []
    if busy_share is not None and busy_share > BUSY_SHARE:
        text = (
            f"the generator was the bottleneck: busy for {busy_share:.0%} of its core, "
            f"allowed are {BUSY_SHARE:.0%}; lower the rate"
        )
        faults.append(Fault(Cause.NOISE, text))
    if run_delay_s is not None and limits_s and run_delay_s > _allowed_lag_s(limits_s):
        text = (
            f"the generator was starved: for each request it waited {run_delay_s * 1e3:.3g} ms, on the average, for "
            f"a processor that another program had, allowed are {_allowed_lag_s(limits_s) * 1e3:.3g} ms; give it a "
            "core of its own"
        )
        faults.append(Fault(Cause.NOISE, text))
    return faults


def check_yardstick(before: Yardstick | None, after: Yardstick | None) -> list[Fault]:
    """Check that the machine was the same before and after, by the yardstick; None: not timed."""
    if before is None or after is None or not yardstick.moved(before, after):
        return []
    change = yardstick.agreement(before, after)
    text = (
        f"the machine changed: its yardstick took {before.seconds * 1e3:.3g} ms before and "
        f"{after.seconds * 1e3:.3g} ms after, {max(change, 1 / change):.3g} times apart, allowed is "
        f"{1 + yardstick.TOLERANCE:g} times; end other work, then run again"
    )
    return [Fault(Cause.NOISE, text)]


def _allowed_lag_s(limits_s: Sequence[float]) -> float:
    return max(LAG_FLOOR_S, LAG_SHARE * min(limits_s))


def gave_up(samples: Samples) -> NDArray[np.bool_]:
    """Return for each request whether it was sent and ended without a whole answer."""
    lost: NDArray[np.bool_] = np.isin(samples["outcome"], _AFTER_SENDING) & (samples["sent_ns"] > 0)
    return lost


def counted_requests(record: PhaseRecord, names: MetricNames) -> float:
    """Return how many requests of a phase the server counted.

    Raises:
        MeasurementError: it has no metrics, or none that counts requests.
    """
    if record.server is None:
        raise MeasurementError(f"phase {record.phase.name!r} has no metrics of the server; other phases have")
    for counter in (names.requests_total, names.request_seconds and f"{names.request_seconds}_count"):
        if counter is not None and (total := record.server.total(counter)) is not None:
            return total
    if not len(record.every_sample):
        return 0.0
    raise MeasurementError(
        f"phase {record.phase.name!r}: the metrics hold neither {names.requests_total!r} nor "
        f"{names.request_seconds!r}; does the target's mapping of names fit?"
    )


def _contradiction(seen: Seconds, good: Seconds, beyond: int, bucket: statistics.Interval) -> str:
    """Return how the witnesses contradict each other at the ``beyond``-th slowest request, or nothing."""
    if bucket.low is not None and len(seen) >= beyond and seen[-beyond] < bucket.low - ROUNDING_S:
        return (
            f"the client had the answer after {seen[-beyond] * 1e3:.4g} ms, the server by its own record not before "
            f"{bucket.low * 1e3:.4g} ms; is that histogram in seconds, and of these requests?"
        )
    if bucket.high is None:
        return ""
    allowed_s = bucket.high + max(TRANSPORT_S, TRANSPORT_SHARE * bucket.high)
    if good[-beyond] > allowed_s:
        return (
            f"the client waited {good[-beyond] * 1e3:.4g} ms after sending, the server's record says at most "
            f"{bucket.high * 1e3:.4g} ms, and transport explains up to {allowed_s * 1e3:.4g} ms; a backlog before the "
            "server's clock starts, or a client that reads late"
        )
    return ""
