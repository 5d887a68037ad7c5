"""Pictures of the flow: rates, requests under way, stages, batches, an operator's probes."""

import numpy as np
from numpy.typing import NDArray

from tailgate.harness.compare.blocks.observation import stages_s
from tailgate.harness.observe.trace import Seconds, Trace
from tailgate.harness.report.drawing import scale
from tailgate.harness.report.drawing.chart import Series, legend, levels_at
from tailgate.harness.report.drawing.markup import Element
from tailgate.harness.report.html.latency import judged
from tailgate.harness.report.html.panel import bars, mean_and_most, over_time, panel, there, timeline
from tailgate.harness.results.run import ScenarioResult
from tailgate.harness.statistics import quantile
from tailgate.harness.units import Unit, percent, quantity

# Stretches of time in which requests are counted: lengths that a reader can reckon with.
_WIDTHS_S = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0)
_MOST_STRETCHES = 240
_GROUPS = {"all": 0.0, "slower half": 0.5, "slowest 10 %": 0.9, "slowest 1 %": 0.99}
_STAGES = {"queue": "s1", "decode": "s5", "compute": "s2", "encode": "s4", "transport": "s0"}


def _edges(trace: Trace) -> Seconds:
    fits = (one for one in _WIDTHS_S if trace.end_s / one <= (60 if one < 1 else _MOST_STRETCHES))
    width = next(fits, trace.end_s / _MOST_STRETCHES)
    return np.arange(0.0, trace.end_s + width, width)


def rates(trace: Trace, scenario: ScenarioResult) -> Element:
    """Draw what was offered and what came of it; under overload against what the service can do, in time."""
    by_measure = {one.measure: one for one in scenario.criteria}
    overload = "goodput_share" in by_measure
    objective = next((one.limit for one in scenario.criteria if one.measure.startswith("accepted_p")), None)
    late = (
        trace.good & (trace.latency_s > objective)
        if overload and objective is not None
        else np.zeros_like(trace.good)
    )
    edges = _edges(trace)
    kinds = (
        ("offered", "s0", trace.intended_s),
        ("good answers", "s1", trace.done_s[trace.good & ~late]),
        ("good answers, too late", "s4 dashed", trace.done_s[late]),
        ("refused (429, 503)", "s2 dashed", trace.done_s[trace.refused]),
        ("failed", "s3 dotted", trace.done_s[trace.failed]),
    )
    width = float(edges[1] - edges[0])
    series = there(
        *(
            Series(name, style, edges[:-1] + width / 2, np.histogram(at_s, edges)[0] / width)
            for name, style, at_s in kinds
        )
    )
    capacity = by_measure["throughput"].value if overload and "throughput" in by_measure else None
    levels = levels_at(capacity, "capacity", Unit.PER_SECOND, "aside")
    refusals, finding = trace.latency_s[trace.refused], ""
    if len(refusals):
        half, most = (quantity(quantile(refusals, share), Unit.SECONDS) for share in (0.5, 0.99))
        finding = f"{len(refusals):,} requests were refused, in {half} at the median and {most} at p99."
    how = (
        "A good service goes on with what it can do, in time, and refuses the rest at once: the blue line stays near the "
        "capacity, however much is offered."
        if overload
        else "Good answers that stay below what is offered mean that the service cannot keep up, or refuses."
    )
    return panel(
        "Under overload" if overload else "Offered and achieved",
        f"Requests per second, counted every {width:g} s. {how}",
        over_time(trace, series, Unit.PER_SECOND, "requests", levels=levels),
        finding=finding,
        numbers=mean_and_most((series, Unit.PER_SECOND)),
    )


def most_under_way(starts_s: Seconds, ends_s: Seconds, edges: Seconds) -> NDArray[np.int64]:
    """Return the most requests that were under way at once, in each stretch of time."""
    starts, ends = np.sort(starts_s), np.sort(ends_s)
    # A maximum is reached when a request starts; a stretch without a start has those that were there at its beginning.
    most = np.searchsorted(starts, edges[:-1], "right") - np.searchsorted(ends, edges[:-1], "right")
    after = np.arange(1, len(starts) + 1) - np.searchsorted(ends, starts, "right")
    np.maximum.at(most, np.clip(np.searchsorted(edges, starts, "right") - 1, 0, len(most) - 1), after)
    return most


def under_way(trace: Trace) -> Element:
    """Draw requests under way by the client, and by the server's gauges where these were read."""
    edges, sent = _edges(trace), trace.samples["sent_ns"]
    begun_s = np.where(sent > 0, trace.at_s(sent), trace.intended_s)
    client = most_under_way(begun_s, trace.done_s, edges).astype(float)
    series = [Series("in flight, by the client", "s1", edges[:-1] + np.diff(edges) / 2, client)]
    for name, style, meaning in (
        ("in_flight", "s2 dashed", "in the server"),
        ("queued", "s3 dotted", "in its queue"),
    ):
        moments, values = trace.series(name, trace.probes)
        if len(values):
            series.append(Series(meaning, style, moments, values))
    return panel(
        "Requests in flight",
        "How many requests wait for their answer. A line that climbs and does not come back is a queue that grows.",
        over_time(trace, series, Unit.COUNT, "requests"),
        numbers=mean_and_most((series, Unit.COUNT)),
    )


def stages(trace: Trace, scenario: ScenarioResult) -> Element | None:
    """Draw where the time of the slow requests went."""
    mask, phases = judged(trace, scenario)
    chosen = trace.samples[mask & trace.good]
    told = {name: spent for name, spent in stages_s(chosen).items() if np.isfinite(spent).any()}
    if not told:
        return None
    whole = (chosen["done_ns"] - chosen["intended_ns"]) / 1e9
    means: dict[str, dict[str, float]] = {}
    for group, share in _GROUPS.items():
        slow = whole >= np.quantile(whole, share)
        means[group] = {name: max(0.0, float(np.nanmean(spent[slow]))) for name, spent in told.items()}
    longest = max(sum(parts.values()) for parts in means.values()) or 1.0
    rows, cells = [], []
    for group, parts in means.items():
        pieces = [(_STAGES[name], f"width:{spent / longest * 100:.2f}%") for name, spent in parts.items()]
        rows.append((group, pieces, quantity(sum(parts.values()), Unit.SECONDS)))
        cells.append([group, *(quantity(spent, Unit.SECONDS) for spent in parts.values())])
    slowest = means["slowest 1 %"]
    name, spent = max(slowest.items(), key=lambda one: one[1])
    return panel(
        "Where the time goes",
        "Mean time per stage, of all requests and of the slow ones. The colour that grows downwards is what makes requests "
        f"slow.{phases}",
        bars(rows, "stack"),
        legend((f"{_STAGES[name]} block", name) for name in told),
        finding=f"Of the slowest 1 %, {percent(spent / (sum(slowest.values()) or 1.0))} of the time is {name}.",
        numbers=(("requests", *told), cells),
    )


def batches(trace: Trace, scenario: ScenarioResult) -> Element | None:
    """Draw the sizes of batches: of requests, of batches, and over time."""
    mask, phases = judged(trace, scenario)
    chosen = mask & trace.good & (trace.samples["batch_size"] > 0)
    if not chosen.any():
        return None
    sizes = trace.samples["batch_size"][chosen].astype(float)
    # 1, 2, 3-4, 5-8, …: as many rows as a reader takes in. A batch of n stands in n records.
    group = np.ceil(np.log2(sizes)).astype(int)
    requests, alone = np.bincount(group) / len(sizes), np.bincount(group, weights=1 / sizes)
    shares = np.stack([requests, alone / alone.sum()])
    there_are = np.flatnonzero(requests).tolist()
    names = [str(2**power) if power < 2 else f"{2 ** (power - 1) + 1}–{2**power}" for power in there_are]
    rows, cells = [], []
    for name, pair in zip(names, shares[:, there_are].T.tolist(), strict=True):
        widths = [f"width:{share / shares.max() * 100:.2f}%" for share in pair]
        rows.append((name, list(zip(("s1", "s0"), widths, strict=True)), percent(pair[0])))
        cells.append([name, *map(percent, pair)])
    edges, moments = _edges(trace), trace.done_s[chosen]
    with np.errstate(invalid="ignore"):
        mean = np.histogram(moments, edges)[0] / np.histogram(moments, edges, weights=1 / sizes)[0]
    line = Series("", "s1", edges[:-1] + np.diff(edges) / 2, mean)
    return panel(
        "Batch sizes",
        "How many requests the model computes at once. Large batches are good for throughput; many lone requests under load "
        f"mean that batching does not come about.{phases}",
        bars(rows, "pair"),
        legend((("s1 block", "share of requests"), ("s0 block", "share of batches"))),
        over_time(trace, [line], Unit.COUNT, "mean batch size", "short"),
        finding=f"The mean batch has {len(sizes) / float((1 / sizes).sum()):.3g} requests, the largest {sizes.max():.0f}.",
        numbers=(("batch size", "share of requests", "share of batches"), cells),
    )


def probes(trace: Trace, scenario: ScenarioResult) -> Element | None:
    """Draw how fast readiness and metrics were answered beside the load, where that is judged."""
    asked = [one for one in scenario.criteria if one.measure.startswith(("health_", "metrics_"))]
    limit = next((one.limit for one in asked if one.limit is not None), None)
    if limit is None or not trace.probes:
        return None
    known = [one["seconds"] for one in trace.probes if one["seconds"] is not None]
    axes = timeline(trace, scale.log([*known, 1.2 * limit], Unit.SECONDS), "time to answer")
    series, rows = [], []
    for name, style in (("health", "s1 big dot"), ("metrics", "s2 square big dot")):
        # What was never answered lies at the upper edge.
        lines = [
            {**one, "seconds": one["seconds"] or axes.y.high} for one in trace.probes if one["asked"] == name
        ]
        moments, seconds = trace.series("seconds", lines)
        if len(seconds):
            series.append(Series(f"{name}: {len(seconds):,}", style, moments, seconds))
            texts = [quantity(float(of(seconds)), Unit.SECONDS) for of in (np.median, np.max)]
            rows.append(
                [name, f"{len(seconds):,}", f"{sum(one['status'] is not None for one in lines):,}", *texts]
            )
    return panel(
        "Is it still there for its operators?",
        "An operator's questions beside the load. A service whose readiness is answered late is taken out of service when "
        "it is needed most. Dots at the upper edge were never answered.",
        axes.chart(series, levels_at(limit, "limit", Unit.SECONDS), trace.spans),
        numbers=(("asked for", "questions", "answered", "median", "longest"), rows),
    )
