"""Tables of single requests: the slowest, and those that failed."""

import numpy as np

from tailgate.harness.load.wire.request_id import request_id
from tailgate.harness.observe.trace import Trace
from tailgate.harness.report.drawing.markup import Child, Element, table, tag
from tailgate.harness.report.html.panel import panel
from tailgate.harness.results.failure import kind
from tailgate.harness.results.run import ScenarioResult
from tailgate.harness.units import Unit, quantity

_SLOWEST = 20
_STAGES = ("queue", "decode", "compute", "encode")


def slowest(trace: Trace) -> Element | None:
    """Return the slowest good answers, each by its request."""
    good = np.flatnonzero(trace.good)
    most = min(_SLOWEST, len(good))
    if not most:
        return None
    chosen = good[np.argpartition(-trace.latency_s[good], most - 1)[:most]]
    rows = [_row(trace, int(place)) for place in chosen[np.argsort(-trace.latency_s[chosen])]]
    return panel(
        f"The slowest {most} requests",
        "Look the request id up in the service's log: it was sent as X-Request-ID. The largest stage says where the time went.",
        table(("latency", "sent after", "phase", "payload", *_STAGES, "batch", "request id"), rows),
        wide=True,
    )


def _row(trace: Trace, place: int) -> list[Child]:
    one, payload = trace.samples[place], int(trace.samples["payload"][place])
    phase = int(one["phase"])
    stages = [float(one[f"{stage}_s"]) for stage in _STAGES]
    return [
        tag("b", quantity(float(trace.latency_s[place]), Unit.SECONDS)),
        f"{trace.intended_s[place]:,.2f} s",
        trace.name(phase),
        trace.payloads[payload] if payload < len(trace.payloads) else f"{payload + 1}",
        *(quantity(seconds if np.isfinite(seconds) else None, Unit.SECONDS) for seconds in stages),
        f"{one['batch_size']}" if one["batch_size"] else "–",
        tag("code", request_id(trace.id_prefix, phase, int(one["request"])) or "–"),
    ]


def failures(scenario: ScenarioResult) -> Element | None:
    """Return what failed, by kind, with the words of the first answer."""
    found = [(arm, one) for arm, every in scenario.failures.items() for one in every]
    most = max((one.count for _, one in found), default=0)
    rows: list[list[Child]] = []
    for arm, one in found:
        style = "s2" if one.outcome == "shed" else "s3"
        bar = tag("i", class_=f"fill {style}", style=f"width:{one.count / most * 100:.1f}%")
        whose = f"{arm}: " if len(scenario.failures) > 1 else ""
        name = whose + kind(one.outcome, one.status)
        said = tag("code", one.said) if one.said else "–"
        rows.append([f"{one.count:,}", tag("span", bar, class_="meter"), name, said])
    if not rows:
        return None
    how = "By kind, the most frequent first, with the words of the first such answer."
    content = table(("requests", "", "kind", "the first one said"), rows, class_="failures")
    return panel("Requests without a good answer", how, content, wide=True)
