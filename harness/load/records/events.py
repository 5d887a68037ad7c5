"""Raw records of streamed answers, one per event, beside the samples; only runs whose answers are streams have the file.

Events of one request stand in the order in which they were read, and requests in the order in which they ended.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tailgate.harness.load.records.record_file import RecordFile

EVENT = np.dtype(
    [
        ("read_ns", "<i8"),  # CLOCK_MONOTONIC when the generator read the event's end
        ("request", "<u4"),  # index within its phase, as in the samples
        (
            "lag_ns",
            "<u4",
        ),  # how long the kernel had held what was read by then; UNKNOWN_LAG where it did not tell
        ("phase", "<u2"),  # index into the scenario's phases
    ]
)
EVENTS = "events.bin"
EVENT_FILE = RecordFile("events", b"TGEVENTS", 1, EVENT)

Events = NDArray[np.void]


def read_events(directory: Path) -> Events:
    """Return the events of a slot, shape (n,), ordered by phase and request; none where no answer was a stream."""
    path = directory / EVENTS
    if not path.is_file():
        return np.zeros(0, EVENT)
    events = EVENT_FILE.read(path)
    return events[np.lexsort((events["request"], events["phase"]))]


def gaps_ns(events: Events) -> NDArray[np.int64]:
    """Return the times between each event and the next of its request; shape (n - requests,)."""
    same = (np.diff(events["request"]) == 0) & (np.diff(events["phase"]) == 0)
    gaps: NDArray[np.int64] = np.diff(events["read_ns"])[same]
    return gaps
