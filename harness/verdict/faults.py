"""What makes a measurement go wrong, so that there is no result.

Checks between the saved records and the judge; none says anything about the service.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from tailgate.harness import statistics
from tailgate.harness.errors import MeasurementError
from tailgate.harness.load import PhaseReport
from tailgate.harness.load.clocks import ClockSpan
from tailgate.harness.observe.delta import SEVERAL_PROCESSES
from tailgate.harness.observe.slot_record import SlotRecord
from tailgate.harness.observe.window import PhaseRecord, Window, counted_requests, failed, reading_lags_s
from tailgate.harness.results import yardstick
from tailgate.harness.results.fault import Cause, Fault
from tailgate.harness.results.yardstick import Yardstick

# The generator's own lag may be this much of the smallest latency judged, and a millisecond is never a fault.
LAG_SHARE = 0.05
LAG_FLOOR_S = 0.001
# Of a limit on a stream, what the reading lag may be; it is held to microseconds, so that the floor is lower.
READING_FLOOR_S = 50e-6
# Above this share of its core the generator may itself be what the latencies show.
BUSY_SHARE = 0.90
# A time service slews a clock by half of this as a rule (500 ppm, adjtimex(2)).
CLOCK_SHARE = 0.001


def check_whole(record: SlotRecord) -> list[Fault]:
    """Check that a slot's records are whole, its warm-up's too; return what was not, and what the slot found itself."""
    everything = Window(record.phases, names=record.names)
    return [
        *record.faults,
        *check_records(everything, record.planned[: len(record.phases)]),
        *check_counts(everything, record.processes),
        *check_clocks(record.reports),
    ]


def check_records(window: Window, planned: Sequence[int]) -> list[Fault]:
    """Check that each planned request has exactly one record, and that its times can be true."""
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


def check_counts(window: Window, processes: int | None = None) -> list[Fault]:
    """Check that the server counted the requests that the client sent, by its counter and by its histogram.

    Phase by phase, with the phases in the order in which they ran::

        good answers ≤ counted - the harness's own ≤ answered + failed after sending, not yet counted

    A request that the client gave up on (timeout, reset, not HTTP, left as planned) may be counted in its own phase, in a
    later one, or never. Nothing is checked for a target without metrics; metrics that are there for some phases only, or
    lack the counter, are a fault. ``processes`` of the server: None where they cannot be seen.
    """
    if all(record.server is None for record in window.phases):
        return []
    faults: list[Fault] = []
    pending: Counter[str] = Counter()
    for record in window.phases:
        sent = record.sent
        try:
            counts = counted_requests(record, window.names)
        except MeasurementError as error:
            return [*faults, Fault(Cause.INTEGRITY, str(error))]
        told: list[str] = []
        for metric, counted in counts.items():
            pending[metric] += sent.lost
            own = record.own_counted(counted, sent.good, sent.answered + pending[metric])
            if own is None:
                told.append(_miscounted(record, counts, metric, pending[metric], processes))
            pending[metric] -= min(pending[metric], max(0, round(counted) - (own or 0) - sent.answered))
        # What one metric is wrong by, the other one often is, too.
        faults += [Fault(Cause.INTEGRITY, text) for text in told[:1]]
    return faults


def _miscounted(
    record: PhaseRecord, counts: Mapping[str, float], wrong: str, pending: int, processes: int | None
) -> str:
    sent, counted = record.sent, counts[wrong]
    most = sent.answered + pending
    text = (
        f"phase {record.phase.name!r}: the server counted {counted:g} requests, expected "
        f"{most if most == sent.good else f'{sent.good} to {most}'} ({wrong}): the client got {sent.answered} answers "
        f"and lost {pending} requests after sending them"
    )
    own = record.own_scrapes + len(record.probes)
    if own and counted > most:
        text += f"; the harness itself asked {own} times, and that does not explain it"
    text += "".join(f"; {metric} says {count:g}" for metric, count in counts.items() if metric != wrong)
    if counted < sent.good:
        text += "; are these the metrics of the server that was loaded (--perf-metrics-path)?"
        several = "several processes serve" if processes is None else f"{processes} processes serve"
        hint = f" If {several}, each with metrics of its own: {SEVERAL_PROCESSES}"
        return text + hint if processes is None or processes > 1 else text
    return (
        f"{text}; does it count a request more than once, does somebody else use this server, or are these the metrics of "
        "another one (--perf-metrics-path)?"
    )


def check_clocks(reports: Iterable[PhaseReport]) -> list[Fault]:
    """Check that the generator's clock ran as fast as other clocks, to 0.1 % and what their steps leave open."""
    return [
        Fault(Cause.INTEGRITY, f"phase {report.name!r}: {text}")
        for report in reports
        if (text := next(filter(None, map(_contradicted, report.clocks)), ""))
    ]


def _contradicted(span: ClockSpan) -> str:
    """Say how far the generator's clock is from another one; nothing where they can agree."""
    if span.least_s <= span.seconds * (1 + CLOCK_SHARE) and span.most_s >= span.seconds * (1 - CLOCK_SHARE):
        return ""
    own_s = (span.least_s + span.most_s) / 2
    return (
        f"the clock that times the requests is wrong: {own_s:.5g} s passed by it and {span.seconds:.5g} s by {span.clock}, "
        f"allowed is a difference of {CLOCK_SHARE:.1%}; did the machine sleep, or is a time service correcting its clock? "
        "Let it settle, then run again"
    )


def check_send_lag(window: Window, limits_s: Sequence[float]) -> list[Fault]:
    """Check that the generator took up its requests in time: p99 of dispatched - intended.

    It may be 5 % of the smallest latency that is judged, or 1 ms if that is more. Without a judged latency there is
    nothing to disturb.
    """
    samples = np.concatenate([record.every_sample for record in window.phases] or [window.samples])
    if not limits_s or not len(samples):
        return []
    allowed_s = allowed_lag_s(limits_s)
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


def check_reading_lag(window: Window, limits_s: Sequence[float]) -> list[Fault]:
    """Check that the generator read the events of streams soon after they came: p99 of the time that the kernel held them.

    It may be 5 % of the smallest limit on a stream, or 50 µs if that is more. Where the kernel does not tell when bytes came
    (over TLS), nothing is checked.
    """
    lags_s = reading_lags_s(window.phases)
    if not limits_s or not len(lags_s):
        return []
    allowed_s = max(READING_FLOOR_S, LAG_SHARE * min(limits_s))
    p99_s = statistics.quantile(lags_s, 0.99)
    if p99_s <= allowed_s:
        return []
    text = (
        f"the generator read streams late: p99 of its reading lag is {p99_s * 1e3:.3g} ms, allowed are "
        f"{allowed_s * 1e3:.3g} ms by the least limit on a stream; give it a core of its own, lower the rate or raise that limit"
    )
    return [Fault(Cause.NOISE, text)]


def check_generator(
    busy_share: float | None, run_delay_s: float | None = None, limits_s: Sequence[float] = ()
) -> list[Fault]:
    """Check that the generator had time to spare, and a processor when it needed one.

    Args:
        busy_share: of its core, spent on requests rather than waiting (or spinning) for the next one.
        run_delay_s: mean per request, that it was ready to run and another program had its processor. It goes into
            sending and reading alike, so it may be as long as the send lag may.
        limits_s: the latencies that are judged; without any, a delay disturbs nothing.
    """
    faults = []
    if busy_share is not None and busy_share > BUSY_SHARE:
        text = (
            f"the generator was the bottleneck: busy for {busy_share:.0%} of its core, "
            f"allowed are {BUSY_SHARE:.0%}; lower the rate"
        )
        faults.append(Fault(Cause.NOISE, text))
    if run_delay_s is not None and limits_s and run_delay_s > allowed_lag_s(limits_s):
        text = (
            f"the generator was starved: for each request it waited {run_delay_s * 1e3:.3g} ms, on the average, for "
            f"a processor that another program had, allowed are {allowed_lag_s(limits_s) * 1e3:.3g} ms; give it a "
            "core of its own"
        )
        faults.append(Fault(Cause.NOISE, text))
    return faults


def check_yardsticks(window: Window) -> list[Fault]:
    """Check by the yardstick that the machine was about the same before and after each phase.

    A load was drawn by the reading before. On a machine that has changed since, it is another load: too light for a
    PASS, or too heavy for a FAIL. Phases that follow each other without a pause share their readings, and have one fault.
    """
    faults: dict[tuple[Yardstick, ...], Fault] = {}
    for record in window.phases:
        if record.yardsticks is None or not yardstick.moved(*record.yardsticks):
            continue
        before, after = record.yardsticks
        change = after.seconds / before.seconds
        text = (
            f"phase {record.phase.name!r}: the machine changed: its yardstick took {before.seconds * 1e3:.3g} ms before "
            f"and {after.seconds * 1e3:.3g} ms after, {max(change, 1 / change):.3g} times apart, allowed is "
            f"{1 + yardstick.TOLERANCE:g} times; end other work, then run again"
        )
        faults.setdefault(record.yardsticks, Fault(Cause.NOISE, text))
    return list(faults.values())


def allowed_lag_s(limits_s: Sequence[float]) -> float:
    """Return how late requests may be taken up, by the latencies that are judged."""
    return max(LAG_FLOOR_S, LAG_SHARE * min(limits_s))
