"""Pictures of latency: by percentile, request by request over time, and by rate."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tailgate.harness.observe.trace import Mask, Seconds, Trace
from tailgate.harness.report.drawing import scale
from tailgate.harness.report.drawing.chart import Axes, Level, Series, levels_at
from tailgate.harness.report.drawing.markup import Element
from tailgate.harness.report.html.panel import panel, timeline
from tailgate.harness.results.criterion import CriterionResult, Witness
from tailgate.harness.results.run import ScenarioResult
from tailgate.harness.results.slot import PhaseResult
from tailgate.harness.units import Unit, quantity

SHARES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99.9": 0.999, "longest": 1.0}
_POINTS = 160
_QUANTILES = {"p50_s": "s0", "p95_s": "s1", "p99_s": "s2 dashed"}


def finite(value: float | None) -> float:
    """Return a number, or NaN for None, where a line is broken."""
    return math.nan if value is None else value


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """Latencies in ascending order, and of how many requests they are: those that failed never ended."""

    seconds: Seconds
    n: int

    @classmethod
    def of(cls, latencies_s: Seconds, failed: int = 0) -> "Curve":
        """Return the curve of good answers, with as many requests beyond it that failed."""
        return cls(np.sort(latencies_s), len(latencies_s) + failed)

    def at(self, share: float) -> float | None:
        """Return the sample quantile; None where it lies among the failed."""
        rank = max(1, math.ceil(share * self.n - 1e-9))
        return float(self.seconds[rank - 1]) if rank <= len(self.seconds) else None

    def texts(self) -> list[str]:
        """Return the quantiles that are shown, as text."""
        return [quantity(self.at(share), Unit.SECONDS) for share in SHARES.values()]

    def series(self, name: str, style: str) -> Series:
        """Return the line, with points evenly on the axis of percentiles, the longest latency last."""
        wanted = np.ceil(self.n - self.n * np.logspace(0, -math.log10(2 * self.n), _POINTS)).clip(1)
        ranks = np.unique(np.minimum(wanted, len(self.seconds)).astype(int))
        return Series(name, style, (ranks - 0.5) / self.n, self.seconds[ranks - 1])


def _on_latency(scenario: ScenarioResult) -> list[CriterionResult]:
    return [one for one in scenario.criteria if one.measure.removeprefix("accepted_") in SHARES]


def limits(scenario: ScenarioResult) -> list[Level]:
    """Return the limits on latency as lines."""
    found = {(one.measure.replace("_", " "), one.limit): None for one in _on_latency(scenario)}
    return [level for name, limit in found for level in levels_at(limit, f"{name} limit", Unit.SECONDS)]


def judged(trace: Trace, scenario: ScenarioResult) -> tuple[Mask, str]:
    """Return which requests belong to the phases whose latency is judged, and a sentence where others were measured, too."""
    measured = [phase.name for phase in trace.phases if phase.measured]
    names = list(dict.fromkeys(phase for one in _on_latency(scenario) for phase in one.phases)) or measured
    told = "" if set(names) >= set(measured) else f" Only of the judged phases: {', '.join(names)}."
    return trace.judged & trace.of_phases(names), told


def _curve(trace: Trace, scenario: ScenarioResult) -> Curve:
    chosen = judged(trace, scenario)[0] & ~trace.refused
    return Curve.of(trace.latency_s[chosen & trace.good], int((chosen & ~trace.good).sum()))


def percentiles(trace: Trace, scenario: ScenarioResult, earlier: tuple[str, Trace] | None) -> Element | None:
    """Draw latency by percentile: client, server, limits, and the run before."""
    client, (chosen, phases) = _curve(trace, scenario), judged(trace, scenario)
    told = trace.samples["server_s"][chosen & trace.good].astype(float)
    curves = {
        ("client", "s1"): client,
        ("server, by its own account", "s2 dashed"): Curve.of(told[np.isfinite(told)]),
    }
    if earlier is not None:
        curves[f"run before, {earlier[0]}", "s0"] = _curve(earlier[1], scenario)
    curves = {key: curve for key, curve in curves.items() if len(curve.seconds)}
    if not len(client.seconds):
        return None
    levels = limits(scenario)
    y = _axis([one.seconds for one in curves.values()], levels)
    axes = Axes(scale.tail(client.n), y, "percentile", "latency")
    # The client's line lies on top.
    series = [curve.series(name, style) for (name, style), curve in reversed(curves.items())]
    name = "confidence interval"
    for one in _on_latency(scenario):
        if one.witness is Witness.CLIENT and one.low is not None:
            share = SHARES[one.measure.removeprefix("accepted_")]
            high = axes.y.high if one.high is None else one.high
            series.append(Series(name, "s1 thick", [share, share], [one.low, high]))
            name = ""
    kind = "accepted requests" if trace.refused.any() else "requests"
    finding = ", ".join(
        f"{name} {text}" for name, text in zip(SHARES, client.texts(), strict=True) if text != "–"
    )
    if lost := client.n - len(client.seconds):
        finding += f"; {lost:,} of {client.n:,} {kind} failed and count as never answered"
    columns = [[*curve.texts(), f"{curve.n:,}"] for curve in curves.values()]
    return panel(
        "Latency by percentile",
        "Choose a percentile on the axis, and read its latency on the line. The axis gives the slow requests more room: "
        f"p99 is as far from p90 as p90 is from p0. A line below its dashed limit is good.{phases}",
        axes.chart(series, levels),
        finding=finding,
        numbers=(
            ("percentile", *(name for name, _ in curves)),
            list(zip([*SHARES, kind], *columns, strict=True)),
        ),
    )


def _axis(parts: Sequence[Seconds], levels: Sequence[Level]) -> scale.Scale:
    ends = [
        float(end) for part in parts for end in (part[part > 0].min(initial=math.inf), part.max(initial=0.0))
    ]
    # Above a limit there is room for its name.
    return scale.log([*ends, *(1.2 * one.value for one in levels)], Unit.SECONDS)


def over_time(trace: Trace, scenario: ScenarioResult) -> Element:
    """Draw every request at its intended moment."""
    kinds = (
        ("good answer", "s1", trace.good),
        ("left or damaged, as planned", "s0", trace.planned),
        ("refused (429, 503)", "s2 square", trace.refused),
        ("failed", "s3 square big", trace.failed),
    )
    series = [
        Series(f"{name}: {int(mask.sum()):,}", f"{style} dot", trace.intended_s[mask], trace.latency_s[mask])
        for name, style, mask in kinds
        if mask.any()
    ]
    levels = limits(scenario)
    axes = timeline(trace, _axis([np.asarray(one.y) for one in series], levels), "latency")
    finding = f"{len(trace.samples):,} requests"
    if trace.good.any():
        place = int(np.where(trace.good, trace.latency_s, -1.0).argmax())
        longest = quantity(float(trace.latency_s[place]), Unit.SECONDS)
        finding += (
            f"; the slowest good answer took {longest}, {trace.intended_s[place]:,.1f} s after the start"
        )
    return panel(
        "Every request over time",
        "A dot is a request: further right was sent later, further up took longer. Darker dots are many requests.",
        axes.chart(series, levels, trace.spans, "tall"),
        finding=finding,
        numbers=(
            ("phase", "offered", "achieved", "requests", "good", "refused", "failed", *SHARES),
            [_phase_row(trace, index) for index in np.unique(trace.samples["phase"]).tolist()],
        ),
        wide=True,
    )


def _phase_row(trace: Trace, index: int) -> list[str]:
    here, phase = trace.samples["phase"] == index, trace.phase(index)
    rates = (None, None) if phase is None else (phase.offered_per_s, phase.achieved_per_s)
    counts = [int((here & mask).sum()) for mask in (here, trace.good, trace.refused, trace.failed)]
    texts = [*(quantity(rate, Unit.PER_SECOND) for rate in rates), *(f"{count:,}" for count in counts)]
    return [trace.name(index), *texts, *Curve.of(trace.latency_s[here & trace.good]).texts()]


def ramp(trace: Trace, scenario: ScenarioResult) -> Element | None:
    """Draw latency against the offered rate, with the knee."""
    asked = next((one for one in scenario.criteria if one.measure == "knee"), None)
    steps = [
        one
        for one in trace.phases
        if asked is not None and one.name in asked.phases and one.offered_per_s and one.client
    ]
    if asked is None or not steps:
        return None
    steps.sort(key=lambda phase: phase.offered_per_s or 0.0)
    offered = [finite(phase.offered_per_s) for phase in steps]
    limit = next(
        (one.limit for one in scenario.criteria if one.measure == "p95" and one.limit is not None), None
    )
    levels = levels_at(limit, "p95 limit", Unit.SECONDS)
    lines = {name: [finite(getattr(phase.client, name)) for phase in steps] for name in _QUANTILES}
    known = [value for values in lines.values() for value in values] + [one.value for one in levels]
    x, y = scale.linear(0.0, max(offered), Unit.PER_SECOND), scale.log(known, Unit.SECONDS)
    axes = Axes(x, y, "offered requests", "latency")
    series = [
        Series(name.removesuffix("_s"), _QUANTILES[name], offered, values) for name, values in lines.items()
    ]
    series += [Series("", f"{_QUANTILES[name]} big dot", offered, values) for name, values in lines.items()]
    for value, style, name in ((asked.value, "s3", "knee"), (asked.limit, "limit", "knee that is asked for")):
        if value is not None:
            meaning = f"{name} {quantity(value, Unit.PER_SECOND)}"
            series.append(Series(meaning, style, [value, value], [axes.y.low, axes.y.high]))
    return panel(
        "How much load it takes",
        "Each dot is a step of the ramp. The knee is the highest rate whose p95 stays within its limit with no request lost; "
        "to the right of it, latency climbs.",
        axes.chart(series, levels),
        finding="Even the slowest step was beyond the limit."
        if asked.value is None
        else f"The service kept its latency up to {quantity(asked.value, Unit.PER_SECOND)}.",
        numbers=(("step", "offered", "achieved", "p50", "p95", "p99"), [_step(phase) for phase in steps]),
        wide=True,
    )


def _step(phase: PhaseResult) -> list[str]:
    rates = [quantity(rate, Unit.PER_SECOND) for rate in (phase.offered_per_s, phase.achieved_per_s)]
    return [phase.name, *rates, *(quantity(getattr(phase.client, name), Unit.SECONDS) for name in _QUANTILES)]
