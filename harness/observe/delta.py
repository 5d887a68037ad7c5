"""What a server counted between two scrapes.

Counters are differenced per series first and summed over labels afterwards: a sum would hide one series that fell
behind another that rose. A counter that falls, a series that vanishes or a changed start time of the process means
that another server answered, and its numbers are refused. A series is held to this only where it is read.
"""

import dataclasses
import difflib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from tailgate.harness.errors import MeasurementError
from tailgate.harness.target.asking.exposition import START_TIME, Scrape, summed
from tailgate.harness.target.asking.metric_names import MetricNames
from tailgate.harness.target.asking.selector import Selector, Series, read_selector

# A metric of these types is no counter, whatever its name.
_NO_COUNTERS = frozenset({"gauge", "gaugehistogram", "histogram", "info", "stateset", "summary"})
SEVERAL_PROCESSES = (
    "set PROMETHEUS_MULTIPROC_DIR, run one worker, or leave the metrics out with --perf-metrics-path="
)
_ANOTHER_SERVER = (
    f"did the server restart? If several processes serve, each with metrics of its own: {SEVERAL_PROCESSES}"
)


@dataclass(frozen=True, slots=True)
class ServerDelta:
    """What a server counted between two scrapes.

    A metric is named by a selector of its series (:mod:`tailgate.harness.target.asking.selector`). The methods raise
    MeasurementError where a series that they read fell, vanished, is no number or stands there twice.
    """

    before: Scrape
    after: Scrape

    @property
    def seconds(self) -> float:
        """The time between the scrapes."""
        return (self.after.time_ns - self.before.time_ns) / 1e9

    def total(self, name: str, **labels: str) -> float | None:
        """Return a counter's increase, summed over all series that carry these labels; None without any.

        A counter ``x`` has series ``x_total`` in OpenMetrics, and with many clients in the older format too.
        """
        found = self._counter(name)
        return summed(
            {series: one for series, one in found.items() if labels.items() <= dict(series.labels).items()}
        )

    def by_label(self, name: str, label: str) -> Mapping[str, float]:
        """Return a counter's increase for each value of one label, summed over the others."""
        sums: dict[str, float] = {}
        for series, increase in self._counter(name).items():
            value = dict(series.labels).get(label)
            if value is not None:
                sums[value] = sums.get(value, 0.0) + increase
        return sums

    def increases(self, selector: Selector) -> Mapping[Series, float]:
        """Return by how much each series that a selector means rose; one that is new counts from 0."""
        before, after = (scrape.chosen(selector) for scrape in (self.before, self.after))
        if vanished := sorted(before.keys() - after.keys()):
            raise MeasurementError(f"{_listed(vanished)} vanished from the metrics: {_ANOTHER_SERVER}")
        if twice := sorted(after.keys() & (self.before.twice | self.after.twice)):
            raise MeasurementError(f"the metrics give {_listed(twice)} twice")
        if uncounted := sorted(series for series, value in after.items() if not math.isfinite(value)):
            raise MeasurementError(f"{_listed(uncounted)} is {after[uncounted[0]]:g}, which counts nothing")
        rises = {series: value - before.get(series, 0.0) for series, value in after.items()}
        # Written so that a NaN is refused, too.
        if fallen := sorted(series for series, rise in rises.items() if not rise >= 0):
            raise MeasurementError(
                f"{_listed(fallen)} fell, from {before.get(fallen[0], 0.0):g} to {after[fallen[0]]:g}: a counter only "
                f"rises while its server lives: {_ANOTHER_SERVER}"
            )
        return rises

    def refuse_missing(self, names: MetricNames) -> None:
        """Refuse a metric that the target was told to have and has not, or not as what it is read as."""
        for one in dataclasses.fields(names):
            name, kind = getattr(names, one.name), one.metadata["kind"]
            # The names of this project's service are nobody's wish.
            if name is None or name == one.default or self._has(kind, name):
                continue
            hint = self._nearest(kind, name)
            raise MeasurementError(
                f"the metrics hold no {kind} {name!r}, which --perf-metric={one.name}={name} names{hint}"
            )

    def _nearest(self, kind: str, name: str) -> str:
        """Say what stands in the metrics in place of what a selector means."""
        selector, there = read_selector(name), self.after.kinds
        found = there.get(selector.name, there.get(selector.name.removesuffix("_total"), kind))
        if found != kind:
            return f"; {selector.name} is a {found}"
        if selector.conditions and (labels := selector.unmatched(self.after.values)):
            return f"; {labels}"
        known = {series.name for series in self.after.values} | there.keys()
        nearest = difflib.get_close_matches(selector.name, known, n=1)
        return f"; the nearest is {nearest[0]}" if nearest else ""

    def _has(self, kind: str, name: str) -> bool:
        match kind:
            case "histogram":
                return bool(self.after.chosen(read_selector(name).suffixed("_bucket")))
            case "counter":
                return any(self._counters(name))
            case _:
                return self.after.gauge(name) is not None

    def _counter(self, name: str) -> Mapping[Series, float]:
        return next((self.increases(one) for one in self._counters(name)), {})

    def _counters(self, name: str) -> Iterator[Selector]:
        selector = read_selector(name)
        for one in (selector, selector.suffixed("_total")):
            kind = self.after.kinds.get(one.name) or self.after.kinds.get(one.name.removesuffix("_total"))
            there = any(
                one.matches(series) for scrape in (self.before, self.after) for series in scrape.values
            )
            if there and kind not in _NO_COUNTERS:
                yield one


def difference(before: Scrape, after: Scrape) -> ServerDelta:
    """Put two scrapes of one server together, and refuse those of two."""
    if after.time_ns <= before.time_ns:
        raise MeasurementError(
            f"the second scrape was not taken after the first: {after.time_ns} <= {before.time_ns} ns"
        )
    if before.start_time_s != after.start_time_s:
        raise MeasurementError(
            f"another server answered: {START_TIME} was {before.start_time_s}, is {after.start_time_s}: "
            f"{_ANOTHER_SERVER}"
        )
    return ServerDelta(before, after)


def _listed(series: Iterable[Series]) -> str:
    names = [str(one) for one in series]
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more series"
