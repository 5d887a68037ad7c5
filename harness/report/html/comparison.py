"""Pictures of a comparison: each block's change, quantile by quantile, the order of turns, and the stages that moved."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from tailgate.harness.compare.blocks.row import BlockRow, arm_value, ln_ratio, read_rows
from tailgate.harness.errors import MeasurementError
from tailgate.harness.observe.trace import Trace, read_trace
from tailgate.harness.report import comparison
from tailgate.harness.report.drawing import scale
from tailgate.harness.report.drawing.chart import Axes, Series, legend
from tailgate.harness.report.drawing.markup import Element, tag
from tailgate.harness.report.html.latency import SHARES, Curve
from tailgate.harness.report.html.overview import badge, remarks
from tailgate.harness.report.html.panel import bars, panel
from tailgate.harness.report.why import without_keyword
from tailgate.harness.results.comparison import ComparisonResult, Lens, LensResult, Scale
from tailgate.harness.results.run import RunResult, ScenarioResult
from tailgate.harness.results.verdict import Better
from tailgate.harness.units import Unit, percent, quantity


def panels(
    result: RunResult, scenario: ScenarioResult, compared: ComparisonResult, directory: Path
) -> list[Element | None]:
    """Return the panels of one comparison."""
    try:
        rows = read_rows(directory / compared.rows)
    except MeasurementError:
        rows = ()
    told = [one for one in comparison.remarks(compared) if not one.startswith("void: ")]
    said = [tag("li", without_keyword(one)) for one in (*remarks(scenario), *told)]
    return [
        _lenses(compared, rows),
        _quantiles(result, scenario, compared, directory),
        _stages(compared),
        _turns(compared),
        panel("In words", "What the numbers do not say by themselves.", tag("ul", said, class_="reasons")),
    ]


def change_of(lens: Lens, row: BlockRow) -> float | None:
    """Return one block's change, head against base: a share of base, or a difference of shares; None if unseen."""
    if lens.scale is Scale.DIFFERENCE:
        base, head = arm_value(lens, row.base), arm_value(lens, row.head)
        return None if base is None or head is None else head - base
    ratio = ln_ratio(lens, row)
    return None if ratio is None or math.isinf(ratio) else math.expm1(ratio)


def _lenses(compared: ComparisonResult, rows: Sequence[BlockRow]) -> Element:
    keys = (
        ("s1 dot", "block"),
        ("s0 dot", "void block"),
        ("s1 thick", "confidence interval"),
        ("limit", "tolerated"),
    )
    return panel(
        "What changed",
        "A dot is a block, which starts both sides anew and loads them in turn; the first block is at the bottom. Where the "
        "confidence interval ends before the tolerated change, head passes; where it begins behind zero, head fails.",
        *(part for one in compared.decision.results for part in _lens(one, rows)),
        legend(keys),
        numbers=(comparison.COLUMNS, [comparison.row(one) for one in compared.decision.results]),
        wide=True,
    )


def _lens(one: LensResult, rows: Sequence[BlockRow]) -> Iterator[Element]:
    """Yield one lens in a line, and its picture where it was seen."""
    lens, (name, base, head, change, interval, *_) = one.lens, comparison.row(one)
    sound = one.base is not None or one.head is not None
    told = f"{base} → {head}, {change} {interval}" if sound else "not seen in any sound block"
    verdict = badge(one.verdict) if lens.gates else tag("span", "reported only", class_="how")
    yield tag("div", tag("b", lens.title or name), tag("span", told), verdict, class_="lens")
    known = [lens.as_share(end) for end in (one.change, one.low, one.high)]
    seen = [
        (value, row.index + 1, row.void is None)
        for row in rows
        if (value := change_of(lens, row)) is not None
    ]
    if not seen and known[0] is None:
        return
    spread = float(np.quantile([abs(value) for value, *_ in seen], 0.9)) if seen else 0.0
    reach = max([1.5 * lens.tolerance, spread, 0.001, *(abs(end) for end in known if end is not None)])
    last = max((row.index + 1 for row in rows), default=1)
    y = scale.Scale(0.4, last + 0.6, tuple((float(place), f"{place}") for place in sorted({1, last})))
    axes = Axes(scale.linear(-reach, reach, Unit.SHARE, 4), y, f"change of {name}")
    ends, (middle, low, high) = [y.low, y.high], known
    series = [Series("", "zero", [0.0, 0.0], ends)]
    if low is not None or high is not None:
        edges = [axes.x.low if low is None else low, axes.x.high if high is None else high]
        series.append(Series("", "area s1 faint", edges, np.array([ends[:1] * 2, ends[1:] * 2])))
    for style, sound in (("s0 big dot", False), ("s1 big dot", True)):
        dots = [(value, place) for value, place, good in seen if good is sound]
        series += [Series("", style, *np.array(dots).T)] if dots else []
    tolerated = lens.tolerance if lens.better is Better.LOWER else -lens.tolerance
    series += [Series("", "s1", [middle, middle], ends)] if middle is not None else []
    yield from axes.chart([*series, Series("", "limit", [tolerated, tolerated], ends)], size="row")


def _pooled(result: RunResult, scenario: ScenarioResult, arm: str, void: set[str], directory: Path) -> Curve:
    """Return the latencies of one side over all sound blocks."""
    seconds, failed = [np.zeros(0)], 0
    for slot in result.slots:
        named = (slot.scenario, slot.arm) == (scenario.name, arm) and f"block {slot.block + 1}" not in void
        trace = read_trace(slot, (directory / slot.samples).parent) if named and slot.samples else ""
        if isinstance(trace, Trace):
            seconds.append(trace.latency_s[trace.judged & trace.good])
            failed += int((trace.judged & ~trace.good).sum())
    return Curve.of(np.concatenate(seconds), failed)


def _quantiles(
    result: RunResult, scenario: ScenarioResult, compared: ComparisonResult, directory: Path
) -> Element | None:
    void = {text.partition(":")[0] for text in compared.voids}
    base, head = (_pooled(result, scenario, arm, void, directory) for arm in ("base", "head"))
    if not len(base.seconds) or not len(head.seconds):
        return None
    n, series = min(base.n, head.n), [base.series("base", "s0"), head.series("head", "s1")]
    across = scale.tail(n)
    seconds = scale.log([*base.seconds[[0, -1]], *head.seconds[[0, -1]]], Unit.SECONDS)
    axes = Axes(across, seconds, "percentile", "latency")
    # Beyond ten requests on each side a ratio is luck.
    shares = (1.0 - np.logspace(0, math.log10(10 / max(20, n)), 80)[1:]).tolist()
    told = [(share, head.at(share), base.at(share)) for share in shares]
    changes = [math.nan if not after or not before else after / before - 1.0 for _, after, before in told]
    reach = max(0.02, float(np.nanmax(np.abs(changes), initial=0.0)))
    below = Axes(across, scale.linear(-reach, reach, Unit.SHARE, 4), "percentile", "head against base")
    lines = [Series("", "zero", [0.0, across.high], [0.0, 0.0]), Series("", "s1", shares, changes)]
    return panel(
        "Quantile by quantile",
        "All sound blocks pooled. Where the lines part, head differs: at the left for every request, at the right for the "
        "slow ones only. The lower picture is the distance of the two.",
        axes.chart(series),
        below.chart(lines, size="short"),
        numbers=(("percentile", "base", "head"), list(zip(SHARES, base.texts(), head.texts(), strict=True))),
    )


def _stages(compared: ComparisonResult) -> Element | None:
    rows, cells = [], []
    for one in compared.attributions:
        longest = max((abs(stage.change_s) for stage in one.stages), default=0.0) or 1.0
        for stage in one.stages:
            share, text = stage.change_s / longest * 50, quantity(stage.change_s, Unit.SECONDS)
            place = f"left:{50 + min(share, 0.0):.2f}%;width:{abs(share):.2f}%"
            pieces = [("s2" if stage.stage == one.moved else "s0", place)]
            rows.append((f"{one.lens.name}: {stage.stage}", pieces, text))
            ends = [quantity(end, Unit.SECONDS) for end in (stage.low_s, stage.high_s)]
            cells.append([one.lens.name, stage.stage, text, *ends, percent(stage.share)])
    if not rows:
        return None
    return panel(
        "Which stage moved",
        "How much longer each stage takes in head, per request. Right of the middle is longer.",
        bars(rows, "middle"),
        finding=comparison.stages(compared.attributions[0], compared),
        numbers=(("lens", "stage", "change", "low", "high", "share of the change"), cells),
    )


def _turns(compared: ComparisonResult) -> Element | None:
    orders = [order.replace(" ", "") for order in compared.order]
    why = dict(text.partition(": ")[::2] for text in compared.voids)
    names = [f"block {number}" for number in range(1, len(orders) + 1)]
    if not any(orders):
        return None
    turns, rows = {"b": "s0", "h": "s1"}, []
    for name, order in zip(names, orders, strict=True):
        letters = [tag("i", class_=f"fill {turns.get(letter, 's5')}") for letter in order]
        label, drawn = tag("span", name, class_="how"), tag("span", letters, class_="turns")
        style = "void" if name in why else None
        rows.append(tag("li", label, drawn, class_=style, title=why.get(name)))
    return panel(
        "Order of turns",
        "Each row is a block; its sides take turns in a random order, so that a machine that becomes slower hits both alike.",
        tag("ol", rows, class_="order"),
        legend((("s0 block", "base"), ("s1 block", "head"))),
        tag("ul", [tag("li", f"void: {one}") for one in compared.voids], class_="reasons") if why else (),
        finding=f"{len(orders)} blocks, {len(why)} of them void.",
        numbers=(
            ("block", "order", "void"),
            [[name, order, why.get(name, "")] for name, order in zip(names, compared.order, strict=True)],
        ),
    )
