"""What a server's ``/metrics`` said at one moment: a text exposition becomes a :class:`Scrape`."""

import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

import httpx
from prometheus_client.parser import text_string_to_metric_families

from tailgate.harness.errors import MeasurementError
from tailgate.harness.target.asking.selector import Selector, Series, read_selector

START_TIME = "process_start_time_seconds"
# Far more than any server has to say, and longer than any should take to say it.
LARGEST_BYTES = 16 * 2**20
LONGEST_S = 30.0
MOST_REDIRECTS = 5
# The first hash outside of quotes: an exemplar (OpenMetrics) stands behind the value.
_QUOTED_OR_HASH = re.compile(r'"(?:\\.|[^"\\])*"|(#)')
_TYPE = re.compile(r'^[ \t]*#[ \t]+TYPE[ \t]+"?([^\s"]+)"?[ \t]+(\w+)[ \t]*\r?$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Scrape:
    """One reading of a server's metrics."""

    time_ns: int  # CLOCK_MONOTONIC when the answer was there
    values: Mapping[Series, float]  # every series; of one that is given twice, the last value
    kinds: Mapping[str, str] = field(default_factory=dict)  # each metric's type, as the exposition gives it
    twice: frozenset[Series] = frozenset()  # the series that are given more than once

    @property
    def start_time_s(self) -> float | None:
        """When the server process started, in seconds since the epoch; None where it does not tell."""
        told = self.values.get(Series(START_TIME), math.nan)
        return told if math.isfinite(told) else None

    def chosen(self, selector: Selector) -> Mapping[Series, float]:
        """Return the series that a selector means."""
        return {series: value for series, value in self.values.items() if selector.matches(series)}

    def gauge(self, name: str) -> float | None:
        """Return the sum of the series that a selector means, None where there is none."""
        return summed(self.chosen(read_selector(name)))


def parse(text: str, time_ns: int) -> Scrape:
    """Read a Prometheus text exposition (format 0.0.4), or an OpenMetrics one, that arrived at ``time_ns``.

    Raise MeasurementError where it is none, or holds nothing.
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


class Found(NamedTuple):
    """A first reading of metrics, and where they are."""

    url: str  # where redirects led, if there were any
    text: str
    scrape: Scrape


def find(client: httpx.Client, url: str, *, elsewhere: bool = True) -> Found:
    """Get and parse a server's metrics for the first time, following redirects.

    ``elsewhere`` is whether a redirect may lead to another host, which is asked with the same headers. Raise
    MeasurementError, which says what to do, where there are no metrics.
    """
    try:
        return _followed(client, url, elsewhere=elsewhere)
    except MeasurementError as error:
        raise MeasurementError(
            f"{error}; --perf-metrics-path=PATH names another path, and a target without metrics is measured with "
            "--perf-metrics-path= (empty)"
        ) from error


def _followed(client: httpx.Client, url: str, *, elsewhere: bool) -> Found:
    place = url
    for _ in range(MOST_REDIRECTS + 1):
        answer = _get(client, place)
        if answer.leads_to is None:
            text = answer.metrics(place)
            return Found(place, text, parse(text, time.monotonic_ns()))
        if answer.leads_to.host != httpx.URL(url).host and not elsewhere:
            raise MeasurementError(
                f"no metrics from {place}: it redirects to {answer.leads_to}, and the headers of this target are not for "
                f"another host; --perf-metrics-path={answer.leads_to} says that they are"
            )
        place = str(answer.leads_to)
    raise MeasurementError(f"no metrics from {url}: it redirects more than {MOST_REDIRECTS} times")


def get(client: httpx.Client, url: str) -> str:
    """Get a server's metrics, word for word; raise MeasurementError for an answer other than 200, an endless one, or none."""
    return _get(client, url).metrics(url)


class _Answer(NamedTuple):
    status: int
    leads_to: httpx.URL | None  # of a redirect
    text: str

    def metrics(self, url: str) -> str:
        if self.status == httpx.codes.OK:
            return self.text
        told = f" to {self.leads_to}" if self.leads_to else ""
        hint = (
            "; --perf-header='NAME: VALUE' is sent with this question too"
            if self.status in {401, 403}
            else ""
        )
        raise MeasurementError(f"no metrics from {url}: status {self.status}{told}, expected 200{hint}")


def _get(client: httpx.Client, url: str) -> _Answer:
    deadline_s, content = time.monotonic() + LONGEST_S, bytearray()
    try:
        with client.stream("GET", url, headers={"Accept": "text/plain; version=0.0.4"}) as response:
            # A client's own timeout is for each piece.
            for piece in response.iter_bytes():
                content += piece
                if len(content) > LARGEST_BYTES or time.monotonic() > deadline_s:
                    raise MeasurementError(
                        f"no metrics from {url}: its answer does not end; {len(content):,} bytes so far"
                    )
    except httpx.HTTPError as error:
        raise MeasurementError(f"no metrics from {url}: {error!r}") from error
    leads_to = None if response.next_request is None else response.next_request.url
    return _Answer(response.status_code, leads_to, content.decode(errors="replace"))


def _without_exemplar(line: str) -> str:
    if "#" not in line or line.lstrip().startswith("#"):
        return line
    mark = next((found for found in _QUOTED_OR_HASH.finditer(line) if found[1]), None)
    return line if mark is None else line[: mark.start()]


def summed(values: Mapping[Series, float]) -> float | None:
    """Return the sum of some series; None for none."""
    return math.fsum(values.values()) if values else None
