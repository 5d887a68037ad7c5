"""What was lost, and what was sent twice, while a fleet's replicas were replaced or killed: a ledger of three books.

Each planned request has one record of the client, one line in the gateway's log if the gateway got it, and is counted by the
replica that the line names. The books of a phase close where

- each request that the client got an answer to stands in the gateway's log, with the same status;
- the log names no request that was not planned;
- each replica has counted, by its last reading, at least the requests that it had answered before that reading, and at most those
  that had been sent to it by then.

What is beyond the last line was computed twice, or is of another client: it counts as duplicated. Where anything else does not
close, there is no result.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tailgate.harness.errors import MeasurementError
from tailgate.harness.load.records.samples import Outcome, Samples
from tailgate.harness.load.settings import read_id_prefix
from tailgate.harness.load.wire.request_id import request_of
from tailgate.harness.measures.measure import Estimate
from tailgate.harness.observe.window import PhaseRecord, Window
from tailgate.harness.scenario.scenario import Criterion
from tailgate.harness.target.fleet import books
from tailgate.harness.target.fleet.books import FleetBook, ReplicaBook

# One line of the gateway's log, of a request of the phase.
PASSED = np.dtype([("request", "<i8"), ("status", "<i4"), ("place", "<i4"), ("answered", "?")])
# From an answer's last byte to the moment at which a server that counts afterwards has counted it.
COUNTING_NS = 100_000_000
_UNANSWERED = (Outcome.REFUSED, Outcome.RESET, Outcome.TIMEOUT, Outcome.MALFORMED, Outcome.LEFT)
Each = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Closed:
    """The closed books of a phase; arrays are by request, in the order of their numbers."""

    act: str
    seconds: float  # that the act took
    lost: Each  # no whole answer, or one of 5xx that the gateway made
    refused: Each  # by a replica, with 429 or 503
    in_flight: Each  # at a replica while it was killed
    repeated: int  # requests that stand in the gateway's log more than once
    uncalled: int  # what replicas counted, and nobody had sent them
    replicas: int
    untold: int  # replicas that tell no counts

    @property
    def text(self) -> str:
        """What a reader must know of it."""
        told = f"to {self.act} took {self.seconds:.0f} s; {int(self.refused.sum()):,} of {len(self.lost):,} refused by replicas"
        books_ = f"the books of client, gateway and {self.replicas} replicas agree"
        if self.untold:
            books_ = f"{self.untold} of {self.replicas} replicas have no counts; the books of client and gateway agree"
        return f"{told}; {books_}"


def lost(window: Window, criterion: Criterion) -> Estimate:  # noqa: ARG001 - every measure's signature
    """Count the requests that got no answer, a reset, or a 5xx of the gateway; a replica's own refusal is none."""
    every = [closed_books(record) for record in window.phases]
    return _counted(sum(int(one.lost.sum()) for one in every), every, window)


def lost_elsewhere(window: Window, criterion: Criterion) -> Estimate:  # noqa: ARG001 - every measure's signature
    """Count the lost requests that were not in flight at a replica when it was killed."""
    every = [closed_books(record) for record in window.phases]
    elsewhere = sum(int((one.lost & ~one.in_flight).sum()) for one in every)
    lost_there = sum(int((one.lost & one.in_flight).sum()) for one in every)
    there = sum(int(one.in_flight.sum()) for one in every)
    return _counted(elsewhere, every, window, f"{lost_there} lost of {there} in flight at what was killed")


def duplicated(window: Window, criterion: Criterion) -> Estimate:  # noqa: ARG001 - every measure's signature
    """Count the requests that the gateway got more than once, or that replicas counted beyond those sent to them."""
    every = [closed_books(record) for record in window.phases]
    uncalled = sum(one.uncalled for one in every)
    note = ""
    if uncalled:
        note = (
            f"{uncalled} beyond those that the gateway sent: does the counter count other requests, too? "
            "--perf-metric=requests_total=NAME{LABEL=…} names those that count"
        )
    return _counted(uncalled + sum(one.repeated for one in every), every, window, note)


def _counted(count: int, every: list[Closed], window: Window, note: str = "") -> Estimate:
    n = sum(len(one.lost) for one in every)
    notes = filter(None, (note, *(one.text for one in every)))
    return Estimate(count, count, count, n, window.confidence, "; ".join(notes))


def closed_books(record: PhaseRecord) -> Closed:
    """Read the books of a phase and close them; raise MeasurementError where there are none, or they do not close."""
    name, samples, folder = record.phase.name, record.every_sample, record.folder
    book = None if folder is None else books.read(folder, name)
    if book is None or folder is None:
        raise MeasurementError(
            f"the phase {name!r} has no books of a fleet; they are kept only while replicas are replaced or killed"
        )
    prefix = read_id_prefix(folder)
    if not len(samples) or not prefix:
        raise MeasurementError(f"the requests of phase {name!r} have no ids, so no books can be compared")
    index = int(samples["phase"][0])
    rows = [
        (number, one.status, one.place, one.answered)
        for one in books.passed(folder, book)
        if (number := request_of(one.request_id, prefix, index)) is not None
    ]
    return closed(samples, np.array(rows, PASSED), book)


def closed(samples: Samples, passed: NDArray[np.void], book: FleetBook) -> Closed:
    """Close the books of a phase by the client's samples, the gateway's lines and the fleet's book."""
    samples = samples[np.argsort(samples["request"])]
    planned = len(samples)
    known = passed["request"] < planned
    lines = passed[known]
    times = np.bincount(lines["request"], minlength=planned)
    line = np.full(planned, -1)
    line[lines["request"]] = np.arange(len(lines))  # the last one
    got = line >= 0
    own = lines[line] if len(lines) else np.zeros(planned, PASSED)
    answered = got & own["answered"]
    whole = (samples["status"] > 0) & ~np.isin(samples["outcome"], _UNANSWERED)
    other = whole & got & (samples["status"] != own["status"])
    wrong = [
        (np.sum(~known), "are in the gateway's log, but were not planned"),
        (np.sum(whole & ~got), "were answered, but are not in the gateway's log"),
        (np.sum(other), "have another status in the gateway's log"),
    ]
    place = np.where(got, own["place"], -1)
    uncalled, short = 0, 0
    for replica in book.replicas:
        theirs = (place == replica.place) & _within(samples, replica)
        less, more = _miscounted(samples, theirs, answered, got, replica)
        short, uncalled = short + less, uncalled + more
    wrong.append((short, "were answered by a replica, but are not in its own counts"))
    if faults := [f"{count:,} requests {text}" for count, text in wrong if count]:
        raise MeasurementError(f"phase {book.phase!r}: the books do not agree: {'; '.join(faults)}")
    return Closed(
        book.act,
        (book.ended_ns - book.began_ns) / 1e9,
        lost=~whole | ((samples["status"] >= 500) & ~answered),
        refused=answered & (samples["outcome"] == Outcome.SHED),
        in_flight=_in_flight(samples, place, got, book),
        repeated=int(np.sum(times > 1)),
        uncalled=uncalled,
        replicas=len(book.replicas),
        untold=sum(replica.counted is None for replica in book.replicas),
    )


def _within(samples: Samples, replica: ReplicaBook) -> Each:
    """Tell which requests a place got while this replica was in it, and not one before or after."""
    sent = samples["sent_ns"]
    after: Each = sent >= (replica.since_ns or 0)
    return after if replica.until_ns is None else after & (sent < replica.until_ns)


def _miscounted(
    samples: Samples, theirs: Each, answered: Each, got: Each, replica: ReplicaBook
) -> tuple[int, int]:
    """Return how many requests a replica counted too few, and too many."""
    if replica.counted is None or replica.read_ns is None:
        return 0, 0
    began_ns, ended_ns = replica.read_ns
    over = samples["done_ns"] <= began_ns - COUNTING_NS
    least = int(np.sum(theirs & answered & over))
    # Of a request that the gateway never finished, nobody knows where it was.
    unknown = ~got & (samples["sent_ns"] > 0)
    most = int(np.sum((theirs | unknown) & (samples["sent_ns"] <= ended_ns)))
    count = round(replica.counted)
    return max(0, least - count), max(0, count - most)


def _in_flight(samples: Samples, place: NDArray[np.int64], got: Each, book: FleetBook) -> Each:
    """Tell which requests were under way at a replica while it was killed.

    HAProxy writes no line where a reused connection to a replica breaks before the answer, and closes the client's. So a request
    without a line that ended at that time was there.
    """
    there = np.zeros(len(samples), bool)
    for replica in book.replicas:
        if not replica.killed:
            continue
        assert replica.told_ns is not None
        assert replica.until_ns is not None
        under_way = (samples["sent_ns"] <= replica.until_ns) & (samples["done_ns"] >= replica.told_ns)
        ended_then = samples["done_ns"] <= replica.until_ns + COUNTING_NS
        there |= under_way & ((place == replica.place) | (~got & ended_then))
    return there
