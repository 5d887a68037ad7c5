"""What is judged: some phases of one run, each with the records of both witnesses.

Says what latency, failure and offered rate mean. The harness asks the server questions of its own between two scrapes: for
its metrics, and in a probed phase for its readiness. Middleware that counts all requests counts these too, all of a path or
none of it. They are allowed for to the request, and nothing else is.
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tailgate.harness.errors import MeasurementError
from tailgate.harness.load.records.events import EVENT, Events, gaps_ns
from tailgate.harness.load.records.samples import SAMPLE, Outcome, Samples
from tailgate.harness.load.wire.stream import UNKNOWN_LAG
from tailgate.harness.observe import histogram
from tailgate.harness.observe.beside.probes import Asked, ProbeRecord
from tailgate.harness.observe.beside.resources import ResourceReading
from tailgate.harness.observe.checked import Checked
from tailgate.harness.observe.delta import ServerDelta
from tailgate.harness.observe.histogram import Histogram
from tailgate.harness.results.yardstick import Yardstick
from tailgate.harness.scenario.scenario import Phase
from tailgate.harness.target.asking.metric_names import MetricNames
from tailgate.harness.target.asking.selector import read_selector
from tailgate.harness.target.asking.well_known import as_options, suggest_metrics

_AFTER_SENDING = (Outcome.RESET, Outcome.TIMEOUT, Outcome.MALFORMED, Outcome.LEFT)
Seconds = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Sent:
    """What the client knows of the requests of a phase."""

    good: int  # with a good answer: each was counted
    # With a whole answer of any kind. One that is no good answer may have been counted or not: a proxy may have given
    # it, or a part of the service that stands before the one that counts.
    answered: int
    lost: int  # ended after sending without a whole answer: each may be counted now, later or never


@dataclass(frozen=True, slots=True, eq=False)
class PhaseRecord:
    """What both witnesses saw of one phase.

    Attributes:
        phase: as the scenario has it, resolved.
        samples: one SAMPLE record per planned request whose client waits for its answer, in any order.
        server: differenced scrapes around the phase; None where the target has no metrics.
        disturbers: the same as samples, of the clients that do not simply wait (:mod:`tailgate.harness.scenario.behaviour`).
        resources: what the server's processes held, in order of time; none where they cannot be seen.
        probes: questions that were asked beside the load.
        own_scrapes: how often the harness asked for the metrics between the two readings, the first of them included.
        yardsticks: the readings before and after it, the server idle; None where it was not timed around.
        events: one EVENT record per event of a streamed answer, by request; none where no answer was a stream.
        checked: what the expectations of its payloads came to; the samples' outcomes are by them.
        folder: where all that was recorded of its slot lies, what an act of the target left among it; None where nothing does.
    """

    phase: Phase
    samples: Samples
    server: ServerDelta | None = None
    disturbers: Samples = field(default_factory=lambda: np.zeros(0, SAMPLE))
    resources: tuple[ResourceReading, ...] = ()
    probes: tuple[ProbeRecord, ...] = ()
    own_scrapes: int = 0
    yardsticks: tuple[Yardstick, Yardstick] | None = None
    events: Events = field(default_factory=lambda: np.zeros(0, EVENT))
    checked: Checked = field(default_factory=Checked)
    folder: Path | None = None

    @property
    def every_sample(self) -> Samples:
        """The records of all requests: what the server must have counted."""
        return np.concatenate([self.samples, self.disturbers])

    @property
    def sent(self) -> Sent:
        """What the client knows of its requests, by what the server can know of them."""
        samples = self.every_sample
        lost = np.isin(samples["outcome"], _AFTER_SENDING) & (samples["sent_ns"] > 0)
        answered = int(np.sum((samples["status"] > 0) & ~lost))
        return Sent(int(np.sum(~failed(samples))), answered, int(lost.sum()))

    def own_counted(self, counted: float, least: int, most: int) -> int | None:
        """Return how many of the harness's own requests are among those that the server counted; None if none fits.

        The server must have counted at least ``least`` of the client's requests, and can have counted ``most`` of them.
        """
        of_path = {
            asked: (
                sum(probe.asked is asked and probe.status is not None for probe in self.probes),
                sum(probe.asked is asked for probe in self.probes),
            )
            for asked in Asked
        }
        answered, asked = of_path[Asked.METRICS]
        of_path[Asked.METRICS] = (answered + self.own_scrapes, asked + self.own_scrapes)
        fits = []
        for paths in itertools.product(*[((0, 0), some) for some in of_path.values()]):
            low = max(sum(low for low, _ in paths), round(counted) - most)
            if low <= min(sum(high for _, high in paths), round(counted) - least):
                fits.append(low)
        return min(fits, default=None)

    def request_histogram(self, names: MetricNames) -> Histogram:
        """Return the server's own latency histogram."""
        if names.request_seconds is None:
            raise MeasurementError("this target names no histogram of request seconds")
        if self.server is None:
            raise MeasurementError(f"phase {self.phase.name!r} has no metrics of the server")
        found = histogram.from_delta(self.server, names.request_seconds)
        sent = self.sent
        own = self.own_counted(found.n, sent.good, sent.answered + sent.lost)
        # None is a fault of the count, and said by the check of it.
        return replace(found, own=own or 0)


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """The phases that one criterion judges, or that one check looks at, in the order in which they ran.

    ``confidence`` is one-sided, for each end of every interval. ``names`` is what the target calls its metrics.
    """

    phases: tuple[PhaseRecord, ...]
    confidence: float = 0.99
    names: MetricNames = field(default_factory=MetricNames)

    @property
    def samples(self) -> Samples:
        """The records of all clients that wait, pooled."""
        if not self.phases:
            return np.zeros(0, SAMPLE)
        return np.concatenate([record.samples for record in self.phases])

    def request_histogram(self) -> Histogram:
        """Return the server's own latency histogram over all phases."""
        return histogram.merge([record.request_histogram(self.names) for record in self.phases])


def failed(samples: Samples) -> NDArray[np.bool_]:
    """Return for each request whether it ended without a good answer."""
    without_answer: NDArray[np.bool_] = (samples["outcome"] != Outcome.OK) | (samples["done_ns"] == 0)
    return without_answer


def latencies_s(samples: Samples, until: str = "done_ns") -> Seconds:
    """Return for each request the seconds from its intended time to its last byte, +inf where it failed.

    ``until`` is another time of its record, such as ``first_byte_ns``; +inf too where that never came.
    """
    seconds = (samples[until] - samples["intended_ns"]) / 1e9
    return np.where(failed(samples) | (samples[until] == 0), np.inf, seconds)


def streamed(samples: Samples) -> Samples:
    """Return the requests that ask for streams: those of payloads whose good answers had events, or that had none good."""
    streams = np.unique(samples["payload"][samples["events"] > 0])
    answered = np.unique(samples["payload"][~failed(samples)])
    chosen: Samples = samples[~np.isin(samples["payload"], np.setdiff1d(answered, streams))]
    return chosen


def gaps_s(record: PhaseRecord) -> Seconds:
    """Return the seconds between the events of each streamed answer, by request; a request that failed has one more, +inf."""
    asked = streamed(record.samples)
    events = record.events[np.isin(record.events["request"], asked["request"])]
    again = np.diff(events["request"]) == 0
    lost = asked["request"][failed(asked)]
    requests = np.concatenate([events["request"][1:][again], lost])
    seconds = np.concatenate([gaps_ns(events) / 1e9, np.full(len(lost), np.inf)])
    by_request: Seconds = seconds[np.argsort(requests, kind="stable")]
    return by_request


def reading_lags_s(records: Iterable[PhaseRecord]) -> Seconds:
    """Return for each event how long the kernel had held it when the generator read it, where the kernel told."""
    lags_ns = np.concatenate([np.zeros(0, np.uint32), *(record.events["lag_ns"] for record in records)])
    known_s: Seconds = lags_ns[lags_ns != UNKNOWN_LAG] / 1e9
    return known_s


def in_order(samples: Samples) -> list[Samples]:
    """Return the samples of each phase, in order of their intended times: slow ones come in runs there."""
    ordered = samples[np.lexsort((samples["intended_ns"], samples["phase"]))]
    starts = np.flatnonzero(np.diff(ordered["phase"])) + 1
    return np.split(ordered, starts)


def duration_s(samples: Samples) -> float:
    """Return the seconds from the first intended time to the last end; 0 for none."""
    if not len(samples):
        return 0.0
    end_ns = max(int(samples["done_ns"].max()), int(samples["intended_ns"].max()))
    return (end_ns - int(samples["intended_ns"].min())) / 1e9


def throughput_per_s(samples: Samples) -> float:
    """Return good answers per second, from the first intended time to the last end."""
    answered, seconds = int(np.sum(~failed(samples))), duration_s(samples)
    if not answered or seconds <= 0:
        raise MeasurementError(f"{answered} good answers in {seconds} s give no throughput")
    return answered / seconds


def offered_rate_per_s(samples: Samples) -> float | None:
    """Return the rate of the intended times, (n - 1) / (last - first); None for fewer than two of them."""
    intended = samples["intended_ns"]
    if len(intended) < 2 or intended.max() == intended.min():
        return None
    return float((len(intended) - 1) / ((intended.max() - intended.min()) / 1e9))


def counted_requests(record: PhaseRecord, names: MetricNames) -> Mapping[str, float]:
    """Return how many requests of a phase the server counted, by each of its metrics that counts them, a counter first.

    Nothing where the user says that the target has no such histogram, and it has no counter of requests either.
    """
    if record.server is None:
        raise MeasurementError(f"phase {record.phase.name!r} has no metrics of the server; other phases have")
    histogram = names.request_seconds and str(read_selector(names.request_seconds).suffixed("_count"))
    totals = {name: record.server.total(name) for name in (names.requests_total, histogram) if name}
    found = {name: total for name, total in totals.items() if total is not None}
    if not found and len(record.every_sample) and names.request_seconds is not None:
        suggested = as_options(suggest_metrics(record.server.after, _busiest_path(record.server)))
        seem = f"; they seem to be called so here: {suggested}" if suggested else ""
        raise MeasurementError(
            f"phase {record.phase.name!r}: the metrics hold neither {names.requests_total!r} nor "
            f"{names.request_seconds!r}; say what this target calls its histogram of request seconds, "
            f"--perf-metric=request_seconds=NAME, where its metrics are, if these are another server's, "
            f"--perf-metrics-path=PLACE, or leave them out, --perf-metrics-path={seem}"
        )
    return found


def _busiest_path(server: ServerDelta) -> str:
    """Return the path that most was counted of, by the values of labels that look like one; empty for none."""
    counted: Counter[str] = Counter()
    for series, value in server.after.values.items():
        rise = value - server.before.values.get(series, 0.0)
        paths = [text for _, text in series.labels if text.startswith("/")]
        if series.name.endswith(("_count", "_total")) and rise > 0:
            counted.update(dict.fromkeys(paths, rise))
    return max(counted, key=counted.__getitem__, default="")


def summed_labels(window: Window) -> Mapping[str, Mapping[str, float]]:
    """Return the labels over which the histogram of request seconds was summed: the count of each value, by label.

    A label is there where requests were counted under several of its values.
    """
    name = window.names.request_seconds
    counts: dict[str, dict[str, float]] = {}
    for record in window.phases:
        if record.server is None or name is None:
            continue
        for series, rise in record.server.increases(read_selector(name).suffixed("_count")).items():
            for label, value in series.labels if rise else ():
                values = counts.setdefault(label, {})
                values[value] = values.get(value, 0.0) + rise
    return {label: values for label, values in counts.items() if len(values) > 1}
