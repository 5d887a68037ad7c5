"""What a server's ``/metrics`` said at one moment, and what changed between two such moments.

Stands between the target and the measures: a text exposition becomes a :class:`Scrape`, two of them become a
:class:`ServerDelta`. Nothing here knows a scenario or a limit.

Counters are differenced per series first and summed over labels afterwards: a sum would hide one series that fell
behind another that rose. A counter that falls, a series that vanishes or a changed start time of the process means
that the server that answered is not the server that was asked, and its numbers are refused. A series is held to this
where it is read, and nowhere else: what other metrics of the server do is nobody's business here.
"""

import dataclasses
import difflib
import math
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tailgate.harness.errors import MeasurementError
from tailgate.harness.redirect import path_of

START_TIME = "process_start_time_seconds"
# Far more than any server has to say, and longer than any should take to say it.
LARGEST_BYTES = 16 * 2**20
LONGEST_S = 30.0
# The first hash outside of quotes: an exemplar (OpenMetrics) stands behind the value.
_QUOTED_OR_HASH = re.compile(r'"(?:\\.|[^"\\])*"|(#)')
_TYPE = re.compile(r'^[ \t]*#[ \t]+TYPE[ \t]+"?([^\s"]+)"?[ \t]+(\w+)[ \t]*\r?$', re.MULTILINE)
# A metric of these types is no counter, whatever its name.
_NO_COUNTERS = frozenset({"gauge", "gaugehistogram", "histogram", "info", "stateset", "summary"})
SEVERAL_PROCESSES = (
    "set PROMETHEUS_MULTIPROC_DIR, run one worker, or leave the metrics out with --perf-metrics-path="
)
_ANOTHER_SERVER = (
    f"did the server restart? If several processes serve, each with metrics of its own: {SEVERAL_PROCESSES}"
)


class MovedError(MeasurementError):
    """The metrics are at another path of the same server, which the message names."""


class Series(NamedTuple):
    """A metric's name with its labels, in the labels' order of name."""

    name: str
    labels: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        """Write it as an exposition does."""
        inside = ",".join(f'{name}="{value}"' for name, value in self.labels)
        return f"{self.name}{{{inside}}}" if inside else self.name


def _named(kind: str, name: str) -> Any:
    return field(default=name, metadata={"kind": kind})


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

    request_seconds: str | None = _named("histogram", "tailgate_request_seconds")
    queue_seconds: str | None = _named("histogram", "tailgate_queue_seconds")
    decode_seconds: str | None = _named("histogram", "tailgate_decode_seconds")
    compute_seconds: str | None = _named("histogram", "tailgate_compute_seconds")
    encode_seconds: str | None = _named("histogram", "tailgate_encode_seconds")
    batch_size: str | None = _named("histogram", "tailgate_batch_size")
    requests_total: str | None = _named("counter", "tailgate_requests_total")
    queue_depth: str | None = _named("gauge", "tailgate_queue_depth")
    in_flight: str | None = _named("gauge", "tailgate_in_flight")
    executor_busy_seconds_total: str | None = _named("counter", "tailgate_executor_busy_seconds_total")


@dataclass(frozen=True, slots=True)
class Scrape:
    """One reading of a server's metrics.

    Attributes:
        time_ns: CLOCK_MONOTONIC when the answer was there.
        values: every series; of one that is given twice, the last value.
        kinds: each metric's type, as the exposition gives it.
        twice: the series that are given more than once.
    """

    time_ns: int
    values: Mapping[Series, float]
    kinds: Mapping[str, str] = field(default_factory=dict)
    twice: frozenset[Series] = frozenset()

    @property
    def start_time_s(self) -> float | None:
        """When the server process started, in seconds since the epoch; None where it does not tell."""
        told = self.values.get(Series(START_TIME), math.nan)
        return told if math.isfinite(told) else None

    def gauge(self, name: str) -> float | None:
        """Return a gauge summed over its labels, None where there is no such series."""
        return _sum({series: value for series, value in self.values.items() if series.name == name})


@dataclass(frozen=True, slots=True)
class ServerDelta:
    """What a server counted between two scrapes.

    Its methods raise MeasurementError where a series that they read fell, vanished, is no number or stands there twice.
    """

    before: Scrape
    after: Scrape

    @property
    def seconds(self) -> float:
        """The time between the scrapes."""
        return (self.after.time_ns - self.before.time_ns) / 1e9

    def total(self, name: str, **labels: str) -> float | None:
        """Return a counter's increase, summed over all series that carry these labels; None without any.

        A counter ``x`` has series ``x_total`` in OpenMetrics, and with many clients in the older format too: it is found
        by both names.
        """
        found = self._counter(name)
        return _sum(
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

    def increases(self, name: str) -> Mapping[Series, float]:
        """Return by how much each series of exactly this name rose; one that is new counts from 0."""
        before, after = (
            {series: value for series, value in scrape.values.items() if series.name == name}
            for scrape in (self.before, self.after)
        )
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
        """Refuse a metric that the target was told to have and has not, or not as what it is read as.

        Raises:
            MeasurementError: it names the metric, its kind, and the nearest that there is.
        """
        for one in dataclasses.fields(names):
            name, kind = getattr(names, one.name), one.metadata["kind"]
            # The names of this project's service are nobody's wish.
            if name is None or name == one.default or self._has(kind, name):
                continue
            known = {series.name for series in self.after.values} | self.after.kinds.keys()
            there = self.after.kinds.get(name)
            nearest = difflib.get_close_matches(name, known, n=1)
            hint = f"; {name} is a {there}" if there else f"; the nearest is {nearest[0]}" if nearest else ""
            raise MeasurementError(
                f"the metrics hold no {kind} {name!r}, which --perf-metric={one.name}={name} names{hint}"
            )

    def _has(self, kind: str, name: str) -> bool:
        match kind:
            case "histogram":
                return any(series.name == f"{name}_bucket" for series in self.after.values)
            case "counter":
                return any(self._names_of_counter(name))
            case _:
                return self.after.gauge(name) is not None

    def _counter(self, name: str) -> Mapping[Series, float]:
        """Return the increases of the counter that goes by this name; none where there is no such counter."""
        return next((self.increases(one) for one in self._names_of_counter(name)), {})

    def _names_of_counter(self, name: str) -> Iterator[str]:
        known = {series.name for scrape in (self.before, self.after) for series in scrape.values}
        for one in (name, f"{name}_total"):
            kind = self.after.kinds.get(one) or self.after.kinds.get(one.removesuffix("_total"))
            if one in known and kind not in _NO_COUNTERS:
                yield one


def parse(text: str, time_ns: int) -> Scrape:
    """Read a Prometheus text exposition (format 0.0.4), or an OpenMetrics one.

    Args:
        text: the body of ``/metrics``.
        time_ns: CLOCK_MONOTONIC of its arrival.

    Raises:
        MeasurementError: it is not an exposition, or holds nothing.
    """
    values: dict[Series, float] = {}
    twice: set[Series] = set()
    try:
        # The parser of the older format reads OpenMetrics but for its exemplars; its own parser refuses what many
        # servers write.
        for family in text_string_to_metric_families("\n".join(map(_without_exemplar, text.split("\n")))):
            for sample in family.samples:
                series = Series(sample.name, tuple(sorted(sample.labels.items())))
                if series in values:
                    twice.add(series)
                values[series] = float(sample.value)
    except (ValueError, IndexError) as error:
        raise MeasurementError(f"the metrics are not a Prometheus text exposition: {error}") from error
    if not values:
        raise MeasurementError("the metrics hold no series; is this the path of a Prometheus exposition?")
    return Scrape(time_ns, MappingProxyType(values), dict(_TYPE.findall(text)), frozenset(twice))


def difference(before: Scrape, after: Scrape) -> ServerDelta:
    """Put two scrapes of one server together.

    Raises:
        MeasurementError: the server restarted in between.
    """
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


def fetch(client: httpx.Client, url: str, prefix: str = "") -> Scrape:
    """Get and parse a server's metrics, for the first time.

    Args:
        client: to ask with.
        url: of the metrics.
        prefix: path of the target's address, for the hint where a redirect leads.

    Raises:
        MeasurementError: no answer, an answer other than 200, or no exposition in it; it says what to do.
    """
    try:
        return parse(get(client, url, prefix), time.monotonic_ns())
    except MovedError:
        raise
    except MeasurementError as error:
        raise MeasurementError(
            f"{error}; --perf-metrics-path=PATH names another path, and a target without metrics is measured with "
            "--perf-metrics-path= (empty)"
        ) from error


def get(client: httpx.Client, url: str, prefix: str = "") -> str:
    """Get a server's metrics, word for word.

    Raises:
        MovedError: they are at another path.
        MeasurementError: no answer, an answer other than 200, or one that does not end.
    """
    deadline_s, content = time.monotonic() + LONGEST_S, bytearray()
    try:
        with client.stream("GET", url, headers={"Accept": "text/plain; version=0.0.4"}) as response:
            if response.status_code != httpx.codes.OK:
                raise _no_metrics(url, response, prefix)
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


def _no_metrics(url: str, response: httpx.Response, prefix: str) -> MeasurementError:
    location = response.headers.get("location", "")
    path = path_of(url, location, prefix)
    if path is not None:
        return MovedError(
            f"no metrics from {url}: {response.status_code} to {location}: --perf-metrics-path={path}"
        )
    told = f"status {response.status_code}" + (f" to {location}" if location else "")
    return MeasurementError(f"no metrics from {url}: {told}, expected 200")


def _without_exemplar(line: str) -> str:
    if "#" not in line or line.lstrip().startswith("#"):
        return line
    mark = next((found for found in _QUOTED_OR_HASH.finditer(line) if found[1]), None)
    return line if mark is None else line[: mark.start()]


def _sum(values: Mapping[Series, float]) -> float | None:
    return math.fsum(values.values()) if values else None


def _listed(series: Iterable[Series]) -> str:
    names = [str(one) for one in series]
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more series"
