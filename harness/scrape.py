"""What a server's ``/metrics`` said at one moment, and what changed between two such moments.

Stands between the target and the measures: a text exposition becomes a :class:`Scrape`, two of them become a
:class:`ServerDelta`. Nothing here knows a scenario or a limit.

Counters are differenced per series first and summed over labels afterwards: a sum would hide one series that fell
behind another that rose. A counter that falls, a series that vanishes or a changed start time of the process means
that the server that answered is not the server that was asked, and its numbers are refused.
"""

import math
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

import httpx
from prometheus_client.parser import text_string_to_metric_families

from harness.errors import MeasurementError

START_TIME = "process_start_time_seconds"
# Far more than any server has to say, and longer than any should take to say it.
LARGEST_BYTES = 16 * 2**20
LONGEST_S = 30.0
_CUMULATIVE = ("counter", "histogram", "summary")


class Series(NamedTuple):
    """A metric's name with its labels, in the labels' order of name."""

    name: str
    labels: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        """Write it as an exposition does."""
        inside = ",".join(f'{name}="{value}"' for name, value in self.labels)
        return f"{self.name}{{{inside}}}" if inside else self.name


@dataclass(frozen=True, slots=True)
class MetricNames:
    """What a target calls the metrics that the harness reads; None where it has none.

    Attributes:
        request_seconds: histogram, from a request's arrival at the server to its answer.
        queue_seconds: histogram, waiting for the executor.
        decode_seconds: histogram, bytes to model input.
        compute_seconds: histogram, in the model.
        encode_seconds: histogram, model output to bytes.
        batch_size: histogram, requests per batch.
        requests_total: counter of finished requests, by label ``outcome``.
        queue_depth: gauge, requests waiting.
        in_flight: gauge, requests accepted and not yet answered.
        executor_busy_seconds_total: counter, seconds in which the executor worked.
    """

    request_seconds: str | None = "tailgate_request_seconds"
    queue_seconds: str | None = "tailgate_queue_seconds"
    decode_seconds: str | None = "tailgate_decode_seconds"
    compute_seconds: str | None = "tailgate_compute_seconds"
    encode_seconds: str | None = "tailgate_encode_seconds"
    batch_size: str | None = "tailgate_batch_size"
    requests_total: str | None = "tailgate_requests_total"
    queue_depth: str | None = "tailgate_queue_depth"
    in_flight: str | None = "tailgate_in_flight"
    executor_busy_seconds_total: str | None = "tailgate_executor_busy_seconds_total"


@dataclass(frozen=True, slots=True)
class Scrape:
    """One reading of a server's metrics.

    Attributes:
        time_ns: CLOCK_MONOTONIC when the answer was there.
        values: every series.
        cumulative: the series that may only rise while the server lives.
    """

    time_ns: int
    values: Mapping[Series, float]
    cumulative: frozenset[Series]

    @property
    def start_time_s(self) -> float | None:
        """When the server process started, in seconds since the epoch; None where it does not tell."""
        return self.values.get(Series(START_TIME))

    def gauge(self, name: str) -> float | None:
        """Return a gauge summed over its labels, None where there is no such series."""
        return _total(self.values, name, {})


@dataclass(frozen=True, slots=True)
class ServerDelta:
    """What a server counted between two scrapes.

    Attributes:
        seconds: between the scrapes.
        increases: of every cumulative series, never negative.
    """

    seconds: float
    increases: Mapping[Series, float]

    def total(self, name: str, **labels: str) -> float | None:
        """Return a counter's increase, summed over all series that carry these labels; None without any.

        The parser names every counter ``…_total``; a counter that its server calls otherwise is found by both names.
        """
        total = _total(self.increases, name, labels)
        return _total(self.increases, f"{name}_total", labels) if total is None else total

    def by_label(self, name: str, label: str) -> Mapping[str, float]:
        """Return a counter's increase for each value of one label, summed over the others."""
        sums: dict[str, float] = {}
        for series, increase in self.increases.items():
            value = dict(series.labels).get(label)
            if series.name == name and value is not None:
                sums[value] = sums.get(value, 0.0) + increase
        return sums


def parse(text: str, time_ns: int) -> Scrape:
    """Read a Prometheus text exposition (format 0.0.4).

    Args:
        text: the body of ``/metrics``.
        time_ns: CLOCK_MONOTONIC of its arrival.

    Raises:
        MeasurementError: it is not an exposition, holds nothing, or gives a series twice.
    """
    values: dict[Series, float] = {}
    cumulative: set[Series] = set()
    try:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                series = Series(sample.name, tuple(sorted(sample.labels.items())))
                if series in values:
                    raise MeasurementError(f"the metrics give {series} twice")
                values[series] = float(sample.value)
                if family.type in _CUMULATIVE and not _is_summary_quantile(family.type, series):
                    cumulative.add(series)
    except (ValueError, IndexError) as error:
        raise MeasurementError(f"the metrics are not a Prometheus text exposition: {error}") from error
    if not values:
        raise MeasurementError("the metrics hold no series; is this the path of a Prometheus exposition?")
    return Scrape(time_ns, MappingProxyType(values), frozenset(cumulative))


def difference(before: Scrape, after: Scrape) -> ServerDelta:
    """Subtract two scrapes of one server, series by series; a series that is new in ``after`` counts from 0.

    Raises:
        MeasurementError: the server restarted in between, or a counter fell or vanished.
    """
    if after.time_ns <= before.time_ns:
        raise MeasurementError(
            f"the second scrape was not taken after the first: {after.time_ns} <= {before.time_ns} ns"
        )
    if before.start_time_s != after.start_time_s:
        raise MeasurementError(
            f"the server restarted during the measurement: {START_TIME} was {before.start_time_s}, "
            f"is {after.start_time_s}"
        )
    if vanished := sorted(before.cumulative - after.cumulative):
        raise MeasurementError(f"{_listed(vanished)} vanished from the metrics: did the server restart?")
    increases = {series: after.values[series] - before.values.get(series, 0.0) for series in after.cumulative}
    # Written so that a NaN is refused, too.
    if fallen := sorted(series for series, increase in increases.items() if not increase >= 0):
        raise MeasurementError(
            f"{_listed(fallen)} fell, from {before.values.get(fallen[0], 0.0):g} to {after.values[fallen[0]]:g}: "
            "a counter only rises while its server lives; did it restart?"
        )
    return ServerDelta((after.time_ns - before.time_ns) / 1e9, MappingProxyType(increases))


def fetch(client: httpx.Client, url: str) -> Scrape:
    """Get and parse a server's metrics.

    Raises:
        MeasurementError: no answer, an answer other than 200, or no exposition in it.
    """
    text = get(client, url)
    return parse(text, time.monotonic_ns())


def get(client: httpx.Client, url: str) -> str:
    """Get a server's metrics, word for word.

    Raises:
        MeasurementError: no answer, an answer other than 200, or one that does not end.
    """
    deadline_s, content = time.monotonic() + LONGEST_S, bytearray()
    try:
        with client.stream("GET", url, headers={"Accept": "text/plain; version=0.0.4"}) as response:
            if response.status_code != httpx.codes.OK:
                raise MeasurementError(f"no metrics from {url}: status {response.status_code}, expected 200")
            # A client's own timeout is for each piece.
            for piece in response.iter_bytes():
                content += piece
                if len(content) > LARGEST_BYTES or time.monotonic() > deadline_s:
                    raise MeasurementError(
                        f"no metrics from {url}: its answer does not end; {len(content):,} bytes so far"
                    )
    except httpx.HTTPError as error:
        raise MeasurementError(f"no metrics from {url}: {error!r}") from error
    return content.decode(errors="replace")


def _is_summary_quantile(kind: str, series: Series) -> bool:
    # A summary's own quantiles move both ways; its _count and _sum do not.
    return kind == "summary" and any(name == "quantile" for name, _ in series.labels)


def _total(values: Mapping[Series, float], name: str, labels: Mapping[str, str]) -> float | None:
    matching = [
        value
        for series, value in values.items()
        if series.name == name and labels.items() <= dict(series.labels).items()
    ]
    return math.fsum(matching) if matching else None


def _listed(series: Iterable[Series]) -> str:
    names = [str(one) for one in series]
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more series"
