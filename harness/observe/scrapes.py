"""The server's metrics before and after each phase of a slot: read, kept word for word, and waited for where need be."""

import time
from collections.abc import Callable, Mapping

import httpx

from tailgate.harness.errors import MeasurementError
from tailgate.harness.load.records.samples import Samples
from tailgate.harness.observe.delta import ServerDelta, difference
from tailgate.harness.observe.window import PhaseRecord, counted_requests
from tailgate.harness.scenario.scenario import Phase
from tailgate.harness.target.asking.exposition import Scrape, find, get, parse
from tailgate.harness.target.asking.metric_names import MetricNames
from tailgate.harness.target.target import RunningTarget

SCRAPES = "scrapes.jsonl"
SCRAPE_TIMEOUT_S = 30.0
# From the last client's going to the end of the batch that has its request.
DRAIN_S = 10.0
DRAIN_POLL_S = 0.1
# From an answer's last byte to the moment at which a server that counts afterwards has counted it.
COUNTING_S = 2.0
COUNTING_POLL_S = 0.1


class Metrics:
    """The metrics of one running target, each reading kept as it came."""

    def __init__(
        self, running: RunningTarget, client: httpx.Client, keep: Callable[[Mapping[str, object]], None]
    ) -> None:
        self._running = running
        self._client = client
        self._keep = keep
        self._readings = 0
        self.url: str | None = None  # where they are; None before the first reading, or where there are none

    def read(self, index: int) -> Scrape | None:
        """Read the metrics before a phase; None for a target that has none."""
        self._readings = 0
        return self._scrape(index)

    def settled(
        self, index: int, phase: Phase, before: Scrape | None, samples: Samples
    ) -> tuple[ServerDelta | None, int]:
        """Read the metrics after a phase, once the server has counted what it answered and holds nothing any more.

        Many servers count a request when its answer has left. Returned are what changed, None without metrics, and how often
        the harness asked for them between the two readings that it changed between, the first of these included.
        """
        deadline_s = time.monotonic() + COUNTING_S
        while True:
            after = self._drained(index, phase)
            if before is None or after is None:
                return None, 0
            delta = difference(before, after)
            record = PhaseRecord(phase, samples, delta)
            if time.monotonic() >= deadline_s or not _short(record, self._running.settings.metric_names):
                return delta, self._readings - 1
            time.sleep(COUNTING_POLL_S)

    def _drained(self, index: int, phase: Phase) -> Scrape | None:
        """Read the metrics; after clients that left, once the server holds none of their requests any more."""
        scrape = self._scrape(index)
        gauge = self._running.settings.metric_names.in_flight
        if not phase.disturbers or gauge is None:
            return scrape
        deadline_s = time.monotonic() + DRAIN_S
        while scrape is not None and (held := scrape.gauge(gauge)):
            if time.monotonic() >= deadline_s:
                raise MeasurementError(
                    f"phase {phase.name!r}: {DRAIN_S:g} s after its last client had gone, the server still held {held:g} "
                    f"requests, by its {gauge}"
                )
            time.sleep(DRAIN_POLL_S)
            scrape = self._scrape(index)
        return scrape

    def _scrape(self, index: int) -> Scrape | None:
        asked = self._running.metrics_url
        if asked is None:
            return None
        if self.url is None:
            found = find(self._client, asked, elsewhere=not self._running.headers)
            self.url, text = found.url, found.text
        else:
            text = get(self._client, self.url)
        self._readings += 1
        time_ns = time.monotonic_ns()
        self._keep({"phase": index, "time_ns": time_ns, "text": text})
        return parse(text, time_ns)


def _short(record: PhaseRecord, names: MetricNames) -> bool:
    try:
        counts = counted_requests(record, names)
    except MeasurementError:  # the check of the counts says so
        return False
    return any(count < record.sent.good for count in counts.values())
