"""Traces of requests: what the event loop, a thread and OpenTelemetry's SDK each do.

The event loop only notes which requests and batches have ended, after their answers. A thread makes spans of the times that
they have (:mod:`tailgate.service.batching.requests.spans`), and a thread of the SDK sends these. Between them stand bounded
queues. So a collector that is dead or slow costs spans, and no request waits for it. A request that finds no room is not
traced, and counted.
"""

import importlib.util
import queue
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import structlog

from tailgate.service.batching.requests.journal import Later, call_later
from tailgate.service.batching.requests.row import Row
from tailgate.service.errors import ConfigurationError, Outcome

if TYPE_CHECKING:
    from tailgate.service.batching.requests.infer import Waiting
    from tailgate.service.batching.requests.request import Request
    from tailgate.service.batching.requests.spans import Spans

# Requests that wait to be made spans of.
MOST_WAITING = 4096
# Handed over together: waking the thread for each turn of the event loop cost a request 5 to 10 µs.
PERIOD_S = 0.05
# At the end of the service, for what has not been sent.
STOP_S = 2.0
_PACKAGES = ("opentelemetry.sdk.trace", "opentelemetry.exporter.otlp.proto.http.trace_exporter")
# The values that are offered, by variable; those of traces alone come first, and win.
_OFFERED = {
    "OTEL_TRACES_EXPORTER": "otlp",
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
    "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
}
_ADDRESSES = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


class Ended(NamedTuple):
    """A request that has ended."""

    request: "Request"  # with its times
    outcome: Outcome
    total_s: float  # how long it took
    status: int | None  # of its answer, None for one that was not answered


class Batch(NamedTuple):
    """A batch that has ended."""

    requests: Sequence["Request"]  # those that had inputs in it
    size: int  # how many inputs it had
    bound_s: float  # when it had the executor to itself, on the clock of time.perf_counter
    computed_s: float  # how long it took


class Traces:
    """Notes what has ended. All methods but ``stop`` are called on the event loop.

    Args:
        spans: made and sent by one thread.
        later: calls a function on the event loop after so many seconds.
    """

    def __init__(self, spans: "Spans", later: Later = call_later) -> None:
        self.dropped = 0  # requests that found no room
        self._spans = spans
        self._later = later
        self._batches: list[Batch] = []
        self._ended: list[Ended] = []
        self._given: queue.SimpleQueue[tuple[list[Batch], list[Ended]] | None] = queue.SimpleQueue()
        # Each is written by one side only: the event loop, the thread.
        self._noted = self._made = 0
        self._failed = False
        self._thread = threading.Thread(target=self._work, name="tailgate-traces", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def note(self, request: "Request", outcome: Outcome, total_s: float, status: int | None = None) -> None:
        """Note a request that has ended."""
        if self._full:
            self.dropped += 1
            return
        self._noted += 1
        self._ended.append(Ended(request, outcome, total_s, status))
        self._wind()

    def note_batch(self, batch: Sequence["Waiting"]) -> None:
        """Note a batch that has ended."""
        first = batch[0]
        if self._full or first.bound_s is None or first.computed_s is None:
            return
        requests = dict.fromkeys(_request_of(each) for each in batch)
        self._batches.append(Batch(tuple(requests), len(batch), first.bound_s, first.computed_s))
        self._wind()

    def stop(self) -> None:
        """Make and send what is left, for a bounded time; called when nothing else ends."""
        self._hand_over()
        self._given.put(None)
        self._thread.join(STOP_S)
        if self._thread.is_alive():
            structlog.get_logger("tailgate.traces").warning("not all spans were sent", waited_s=STOP_S)

    @property
    def _full(self) -> bool:
        return self._noted - self._made >= MOST_WAITING

    def _wind(self) -> None:
        """See to it that what has ended is handed over."""
        if len(self._batches) + len(self._ended) == 1:
            self._later(PERIOD_S, self._hand_over)

    def _hand_over(self) -> None:
        if self._batches or self._ended:
            self._given.put((self._batches, self._ended))
            self._batches, self._ended = [], []

    def _work(self) -> None:
        """Make spans until there are no more to be made; in the thread."""
        while (given := self._given.get()) is not None:
            batches, ended = given
            try:
                self._spans.make(batches, ended)
            except Exception:  # noqa: BLE001 - of the SDK, or our own; the next requests are tried
                if not self._failed:
                    structlog.get_logger("tailgate.traces").exception(
                        "requests cannot be traced; this is said once"
                    )
                self._failed = True
            self._made += len(ended)
            del given, batches, ended  # an idle thread keeps no request
        self._spans.close()


def _request_of(waiting: "Waiting") -> "Request":
    return waiting.owner if isinstance(waiting, Row) else waiting


def start_traces() -> Traces:
    """Return traces that are sent as the ``OTEL_`` variables say; ConfigurationError where one means nothing."""
    from tailgate.service.batching.requests.spans import sent_spans  # noqa: PLC0415 - an extra, which takes long

    try:
        traces = Traces(sent_spans())
    except ValueError as error:
        raise ConfigurationError(
            f"TAILGATE_TRACES: OpenTelemetry refuses its OTEL_ variables: {error}"
        ) from None
    traces.start()
    return traces


def require_traces(environment: Mapping[str, str]) -> None:
    """Raise ConfigurationError where OpenTelemetry is not installed, or a variable names what is not offered."""
    try:
        missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    except ModuleNotFoundError as error:
        missing = [str(error.name)]
    if missing:
        raise ConfigurationError(
            f"TAILGATE_TRACES: there is no {missing[0]}; pip install 'tailgate[otel]' brings it"
        )
    for name, offered in _OFFERED.items():
        if environment.get(name, offered).strip() not in ("", offered):
            raise ConfigurationError(
                f"{name}: expected {offered}, got {environment[name]!r}; spans are sent by OTLP over HTTP, "
                "and TAILGATE_TRACES=false sends none"
            )
    for name in _ADDRESSES:
        url = environment.get(name, "").strip()
        if url and not _is_http(url):
            raise ConfigurationError(f"{name}: expected a URL such as http://localhost:4318, got {url!r}")


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:  # brackets that hold no address
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)
