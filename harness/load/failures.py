"""What the generator remembers of requests without a good answer: a count for each kind, and the first one's words."""

import httptools

from tailgate.harness.behaviour import Behaviour
from tailgate.harness.failures import Failure
from tailgate.harness.load.flight import Flight
from tailgate.harness.samples import Outcome

MOST_CHARACTERS = 200
# Far more kinds than a service has; what is beyond them is counted by its outcome alone.
MOST_KINDS = 100


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
    if outcome is Outcome.MALFORMED:
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
    """Tell whether a disturber's request ended as its client wanted it to (:data:`tailgate.harness.behaviour.DUE`)."""
    refused = outcome in {Outcome.CLIENT_ERROR, Outcome.SHED}
    return outcome is Outcome.LEFT or (behaviour == Behaviour.CORRUPT and refused)


class _Answer:
    """Takes from a parser what is told of an answer."""

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
