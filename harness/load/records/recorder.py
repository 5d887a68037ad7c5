"""What the generator keeps of requests as they end: a record of each, and a count of the failures by kind."""

import struct
from pathlib import Path

import httptools
import numpy as np

from tailgate.harness.load.records.answers import ANSWERS, Answers
from tailgate.harness.load.records.events import EVENT, EVENT_FILE, EVENTS
from tailgate.harness.load.records.record_file import WrittenFile
from tailgate.harness.load.records.samples import SAMPLE, SAMPLE_FILE, Outcome
from tailgate.harness.load.wire.connection import Flight
from tailgate.harness.load.wire.stream import EventStream
from tailgate.harness.results.failure import Failure
from tailgate.harness.scenario.behaviour import Behaviour

# numpy's names of SAMPLE's types, and struct's.
_CODES = {"i8": "q", "u4": "I", "u2": "H", "u1": "B", "f4": "f"}
_RECORD = struct.Struct("<" + "".join(_CODES[SAMPLE[field].str[1:]] for field in SAMPLE.names or ()))
_PACK_INTO = _RECORD.pack_into
_CHUNK_RECORDS = 256
_CHUNK_BYTES = 65_536
_U1_MAX, _U4_MAX = 2**8 - 1, 2**32 - 1
MOST_CHARACTERS = 200
# Far more kinds than a service has; what is beyond them is counted by its outcome alone.
MOST_KINDS = 100


class Recorder:
    """Appends records to a file in chunks; a chunk at the most is lost with the process.

    All but the constructor raise LoadError where the disk takes no more.
    """

    def __init__(self, path: Path) -> None:
        self._samples = WrittenFile(path, SAMPLE_FILE)
        self._buffer = bytearray(_CHUNK_RECORDS * _RECORD.size)
        self._filled = 0
        # Opened with the first stream: most runs have none.
        self._events: WrittenFile | None = None
        self._events_path = path.with_name(EVENTS)
        self._events_path.unlink(missing_ok=True)
        self._unwritten_events = bytearray()
        self.answers = Answers(path.with_name(ANSWERS))

    def append(self, phase: int, flight: Flight, outcome: Outcome, done_ns: int) -> None:
        """Record how a request ended, and the events of its stream."""
        stream, whole = flight.stream, flight.whole
        read_ns = () if stream is None else stream.read_ns
        queue_s, decode_s, compute_s, encode_s, server_s, batch_size = flight.stages
        _PACK_INTO(
            self._buffer,
            self._filled,
            flight.intended_ns,
            flight.dispatched_ns,
            flight.sent_ns,
            flight.first_byte_ns,
            done_ns,
            read_ns[0] if read_ns else 0,
            read_ns[-1] if read_ns else 0,
            flight.request,
            min(flight.bytes_received, _U4_MAX),
            flight.connection,
            0 if whole is None else self.answers.number(flight.payload, flight.status, whole),
            len(read_ns),
            phase,
            flight.payload,
            flight.status,
            batch_size,
            outcome,
            min(flight.stale_retries, _U1_MAX),
            flight.behaviour,
            queue_s,
            decode_s,
            compute_s,
            encode_s,
            server_s,
            flight.retry_after_s,
        )
        self._filled += _RECORD.size
        if stream is not None and read_ns:
            self._unwritten_events += _event_records(phase, flight.request, stream)
        if self._filled == len(self._buffer) or len(self._unwritten_events) > _CHUNK_BYTES:
            self.flush()

    def flush(self) -> None:
        """Hand all records to the kernel."""
        if self._filled:
            self._samples.write(memoryview(self._buffer)[: self._filled])
            self._filled = 0
        if self._unwritten_events:
            self._events = self._events or WrittenFile(self._events_path, EVENT_FILE)
            self._events.write(memoryview(bytes(self._unwritten_events)))
            self._unwritten_events.clear()

    def close(self) -> None:
        """Flush and close the files."""
        try:
            self.flush()
            self.answers.flush()
        finally:
            self._samples.close()
            if self._events is not None:
                self._events.close()


def _event_records(phase: int, request: int, stream: EventStream) -> bytes:
    records = np.zeros(len(stream.read_ns), EVENT)
    records["read_ns"], records["lag_ns"] = stream.read_ns, stream.lags_ns
    records["phase"], records["request"] = phase, request
    return records.tobytes()


class Failures:
    """Counts failures of one phase, in memory that does not grow with their number."""

    def __init__(self) -> None:
        self._counts: dict[tuple[Outcome, int, str], int] = {}
        self._said: dict[tuple[Outcome, int, str], str] = {}

    def note(self, flight: Flight, outcome: Outcome) -> None:
        """Count a request that has just ended without a good answer; one that was planned to counts for nothing."""
        if _as_planned(flight.behaviour, outcome):
            return
        key = (outcome, flight.status, flight.why)
        if key not in self._counts:
            if len(self._counts) >= MOST_KINDS:
                key = (outcome, 0, "")
            self._said.setdefault(key, flight.why or words(flight.kept, outcome))
        self._counts[key] = self._counts.get(key, 0) + 1

    def by_kind(self) -> tuple[Failure, ...]:
        """Return what was counted, the most frequent first."""
        found = [
            Failure(outcome.name.lower(), status or None, count, self._said[outcome, status, why])
            for (outcome, status, why), count in self._counts.items()
        ]
        return tuple(sorted(found, key=lambda failure: -failure.count))


def words(kept: bytes, outcome: Outcome) -> str:
    """Return what an answer said: where a redirect leads, otherwise the first characters of its body."""
    if outcome in {Outcome.MALFORMED, Outcome.ERROR_EVENT}:
        return _text(kept)
    answer = _Answer()
    try:
        httptools.HttpResponseParser(answer).feed_data(kept)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        # The beginning of its head came in a piece of its own.
        answer.body = kept.partition(b"\r\n\r\n")[2]
    if answer.location:
        return answer.location.decode("latin-1")[:MOST_CHARACTERS]
    told = _text(answer.body)
    # A report says "307 to" before it.
    astray = told and outcome is Outcome.REDIRECT
    return f"nowhere, as it has no Location: {told}"[:MOST_CHARACTERS] if astray else told


def _as_planned(behaviour: int, outcome: Outcome) -> bool:
    """Tell whether a disturber's request ended as its client wanted it to (:data:`tailgate.harness.scenario.behaviour.DUE`)."""
    refused = outcome in {Outcome.CLIENT_ERROR, Outcome.SHED}
    return outcome is Outcome.LEFT or (behaviour == Behaviour.CORRUPT and refused)


class _Answer:
    def __init__(self) -> None:
        self.location = b""
        self.body = b""

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"location":
            self.location = value

    def on_body(self, piece: bytes) -> None:
        self.body += piece


def _text(data: bytes) -> str:
    text = data[: 4 * MOST_CHARACTERS].decode("utf-8", errors="replace")
    # In one line, as every report shows it.
    return " ".join(text.split())[:MOST_CHARACTERS]
