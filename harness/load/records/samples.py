"""Raw records, one per request, as the load generator writes them: fixed little-endian numpy records.

Times are nanoseconds of CLOCK_MONOTONIC; 0 means never. Latency counts from ``intended_ns``, so that a stalled server
cannot slow down the clock that judges it (coordinated omission).

A file is a 16-byte header (the magic ``TGSAMPLE``, then the format's version and the size of a record, each ``<u4``) and
then records in the order in which requests ended. The reader leaves out a record that was cut short at the end, so the
file can be read while it grows.
"""

import csv
import enum
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from tailgate.harness.load.records.record_file import RecordFile
from tailgate.harness.load.wire.request_id import request_id
from tailgate.harness.results.failure import kind
from tailgate.harness.scenario.behaviour import Behaviour

SAMPLE = np.dtype(
    [
        ("intended_ns", "<i8"),  # when the schedule wanted it sent
        ("dispatched_ns", "<i8"),  # when the generator took it up: its own lag is this less intended_ns
        # After dispatched_ns by the wait for a connection.
        ("sent_ns", "<i8"),  # when its first byte was handed to the kernel
        ("first_byte_ns", "<i8"),  # first byte of the answer
        ("done_ns", "<i8"),  # last byte of the answer, or the moment of failure
        ("first_event_ns", "<i8"),  # of a streamed answer: when its first event was read
        ("last_event_ns", "<i8"),
        ("request", "<u4"),  # index within its phase: the same plan gives the same request the same index
        ("bytes_received", "<u4"),  # of the whole answer
        ("connection", "<u4"),  # which connection carried it
        ("answer", "<u4"),  # which of the kept answers it got, 0 where none was kept
        ("events", "<u4"),  # of a streamed answer
        ("phase", "<u2"),  # index into the scenario's phases
        ("payload", "<u2"),  # index into the plan's payloads
        ("status", "<u2"),  # HTTP status, 0 when there was none
        ("batch_size", "<u2"),  # from Server-Timing, 0 when not told
        ("outcome", "u1"),  # an Outcome
        ("stale_retries", "u1"),  # times that a dead keep-alive connection was met before anything was sent
        ("behaviour", "u1"),  # a Behaviour: what its client did
        ("queue_s", "<f4"),  # stages from Server-Timing, NaN when not told
        ("decode_s", "<f4"),
        ("compute_s", "<f4"),
        ("encode_s", "<f4"),
        ("server_s", "<f4"),
        ("retry_after_s", "<f4"),  # from Retry-After, NaN when not told
    ]
)
SAMPLES = "samples.bin"
_ZERO_IS_NONE = {
    "sent_ns",
    "first_byte_ns",
    "first_event_ns",
    "last_event_ns",
    "answer",
    "events",
    "status",
    "batch_size",
}


class Outcome(enum.IntEnum):
    """How a request ended."""

    OK = 0  # 2xx
    CLIENT_ERROR = 1  # 4xx but 429
    SERVER_ERROR = 2  # 5xx but 503
    SHED = 3  # 429 or 503: refused under load
    REFUSED = 4  # the connection was refused
    RESET = 5  # the connection ended before the answer did
    TIMEOUT = 6  # no complete answer in time
    MALFORMED = 7  # the answer was not HTTP
    LEFT = 8  # the client left before the answer, as planned
    REDIRECT = 9  # 3xx: the answer is elsewhere, and the generator does not follow
    WRONG = 10  # a whole answer, and not what was expected
    ERROR_EVENT = 11  # a stream that said in one of its events that it failed


Samples = NDArray[np.void]

SAMPLE_FILE = RecordFile("samples", b"TGSAMPLE", 3, SAMPLE)


def read_samples(path: Path) -> Samples:
    """Return the samples of a file, shape (n,), ordered by phase and request; raise MeasurementError where it is none."""
    samples = SAMPLE_FILE.read(path)
    return samples[np.lexsort((samples["request"], samples["phase"]))]


def export_csv(samples: Samples, stream: TextIO, id_prefix: str = "") -> None:
    """Write samples as CSV: the fields' names first, outcomes by name, nothing where not told, each request's id last.

    Times stay nanoseconds of CLOCK_MONOTONIC, which are exact. The ids begin with ``id_prefix``; empty: there are none.
    """
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([*(SAMPLE.names or ()), "request_id"])
    for row in rows(samples, id_prefix):
        writer.writerow(map(_cell, row.values()))


def rows(samples: Samples, id_prefix: str = "") -> Iterator[dict[str, Any]]:
    """Yield samples by field: outcomes by name, None where not told, each request's id last; None where ids are not known."""
    names = SAMPLE.names or ()
    for row in samples:
        values = {name: _told(name, value) for name, value in zip(names, row.tolist(), strict=True)}
        values["request_id"] = request_id(id_prefix, int(row["phase"]), int(row["request"])) or None
        yield values


def _told(name: str, value: Any) -> Any:
    if name == "outcome":
        return Outcome(value).name
    if name == "behaviour":
        return Behaviour(value).name
    missing = (name in _ZERO_IS_NONE and value == 0) or (isinstance(value, float) and np.isnan(value))
    return None if missing else value


def _cell(value: Any) -> Any:
    # Nine digits give a 4-byte float back exactly.
    return f"{value:.9g}" if isinstance(value, float) else value


def kinds(samples: Samples) -> str:
    """Return the kinds of some failed requests, the most frequent first: ``404 Not Found, timeout``; three at most."""
    counts = Counter(zip(samples["outcome"].tolist(), samples["status"].tolist(), strict=True))
    named = dict.fromkeys(
        kind(Outcome(outcome).name.lower(), status) for (outcome, status), _ in counts.most_common()
    )
    shown = list(named)[:3]
    return ", ".join(shown if len(shown) == len(named) else [*shown, "…"])
