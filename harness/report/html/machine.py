"""Pictures of the machine: processors, memory, and whether the load generator can be believed."""

from collections.abc import Sequence

import numpy as np

from tailgate.harness.observe.trace import Seconds, Trace
from tailgate.harness.report.drawing import scale
from tailgate.harness.report.drawing.chart import Level, Series
from tailgate.harness.report.drawing.markup import Element
from tailgate.harness.report.html.panel import mean_and_most, over_time, panel, there, timeline
from tailgate.harness.results.fault import Fault
from tailgate.harness.results.slot import PhaseResult
from tailgate.harness.results.yardstick import moved
from tailgate.harness.units import Unit, percent, quantity

# Beyond it the times of single requests are those of the generator as much as of the service.
_LATE_S = 0.01


def _speed(trace: Trace, name: str, title: str, style: str) -> Series:
    """Return the rate of a counter between its readings, at the later one; one that began anew is left out."""
    moments, values = trace.series(name)
    with np.errstate(divide="ignore", invalid="ignore"):
        rates = np.diff(values) / np.diff(moments)
    return Series(title, style, moments[1:], np.where(rates >= 0, rates, np.nan))


def _level(trace: Trace, name: str, title: str, style: str) -> Series:
    return Series(title, style, *trace.series(name))


def processors(trace: Trace) -> Element | None:
    """Draw what the processors did, second by second."""
    used = there(
        _speed(trace, "busy_s", "everything on this machine", "s0"),
        _speed(trace, "server_cpu_s", "server", "s1"),
        _speed(trace, "generator_cpu_s", "load generator", "s2 dashed"),
        _speed(trace, "stolen_s", "taken by the hypervisor", "s3 dotted"),
    )
    if not used:
        return None
    shares = there(
        _speed(trace, "stalled_s", "tasks waited for a processor (pressure)", "s4"),
        _level(trace, "gpu_share", "GPU busy", "s5 dashed"),
    )
    return panel(
        "Processors",
        "How many processors were busy, and for whom. A grey line far above the others is other work on this machine, "
        "which makes every number here doubtful.",
        over_time(trace, used, Unit.COUNT, "busy processors"),
        over_time(trace, shares, Unit.SHARE, "share of the time", "short") if shares else (),
        numbers=mean_and_most((used, Unit.COUNT), (shares, Unit.SHARE)),
    )


def memory(trace: Trace) -> Element | None:
    """Draw what the server's processes hold."""
    held = there(
        _level(trace, "rss_bytes", "resident memory", "s1"),
        _level(trace, "gpu_bytes", "memory of the GPU", "s5 dashed"),
    )
    if not held:
        return None
    counted = there(
        _level(trace, "fds", "open files and connections", "s1"),
        _level(trace, "threads", "threads", "s2 dashed"),
    )
    values = np.asarray(held[0].y)
    first, last, most = (quantity(float(one), Unit.BYTES) for one in (values[0], values[-1], values.max()))
    return panel(
        "Memory, files, threads",
        "What the server's processes hold. A line that climbs and does not level off is a leak.",
        over_time(trace, held, Unit.BYTES, "memory"),
        over_time(trace, counted, Unit.COUNT, "files and threads", "short") if counted else (),
        finding=f"From {first} to {last}; at most {most}.",
        numbers=mean_and_most((held, Unit.BYTES), (counted, Unit.COUNT)),
    )


def believable(trace: Trace, faults: Sequence[Fault]) -> Element | None:
    """Draw how late the generator was, and the yardstick between the phases, beside what voids the scenario."""
    taken = trace.samples["dispatched_ns"] > 0
    if not taken.any():
        return None
    lag = np.maximum((trace.samples["dispatched_ns"] - trace.samples["intended_ns"])[taken] / 1e9, 1e-6)
    axes = timeline(trace, scale.log([lag.min(), lag.max(), 2 * _LATE_S], Unit.SECONDS), "lag")
    lags = Series("", "s1 dot", trace.intended_s[taken], lag)
    levels = [Level(_LATE_S, f"{quantity(_LATE_S, Unit.SECONDS)}: late")]
    readings = _readings(trace)
    drawn = [Series("", "s0", *readings), Series("", "s0 big dot", *readings)]
    return panel(
        "Can this be believed?",
        "How late the load generator itself was, for each request. Latency counts from the intended moment, so this lag is "
        "part of it. The yardstick is a fixed piece of work, timed between the phases: it says whether the machine stayed as "
        "fast as it was.",
        axes.chart([lags], levels, trace.spans),
        over_time(trace, drawn, Unit.SECONDS, "yardstick", "short") if readings[0] else (),
        finding=f"No: {faults[0].text}." if faults else _doubt(trace, lag),
        numbers=(
            ("phase", "lag p50", "p99", "longest", "generator's processor", "yardstick before", "after"),
            [_lag_row(phase) for phase in trace.phases],
        ),
    )


def _readings(trace: Trace) -> tuple[list[float], list[float]]:
    """Return the readings of the yardstick, at the beginning and the end of the phases that they were taken around."""
    spans = {span.name: span for span in trace.spans}
    found: dict[float, float] = {}
    for phase in trace.phases:
        if phase.yardsticks and (span := spans.get(phase.name)) is not None:
            found |= {span.start: phase.yardsticks[0].seconds, span.end: phase.yardsticks[-1].seconds}
    return list(found), list(found.values())


def _doubt(trace: Trace, lag_s: Seconds) -> str:
    """Return whether the numbers can be believed, as a sentence."""
    p99_s, late = float(np.quantile(lag_s, 0.99)), float(np.mean(lag_s > _LATE_S))
    changed = [
        phase.name
        for phase in trace.phases
        if phase.yardsticks and moved(phase.yardsticks[0], phase.yardsticks[-1])
    ]
    if changed:
        return f"With doubt: the machine's speed changed in {', '.join(changed)}."
    if p99_s > _LATE_S:
        return f"With doubt: {percent(late)} of the requests left more than {quantity(_LATE_S, Unit.SECONDS)} late."
    return f"Yes: 99 % of the requests left within {quantity(p99_s, Unit.SECONDS)} of their intended moment."


def _lag_row(phase: PhaseResult) -> list[str]:
    lag, used = phase.lag, phase.machine
    times = (None, None, None) if lag is None else (lag.p50_s, lag.p99_s, lag.max_s)
    readings: list[float | None] = [one.seconds for one in phase.yardsticks] or [None]
    share = percent(None if used is None else used.generator_cpu_share)
    texts = [quantity(seconds, Unit.SECONDS) for seconds in (*times, readings[0], readings[-1])]
    return [phase.name, *texts[:3], share, *texts[3:]]
