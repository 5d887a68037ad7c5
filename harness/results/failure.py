"""Requests without a good answer, by kind: how many, and what the first of each kind said.

The load generator counts them (:mod:`tailgate.harness.load.records.recorder`); every report prints :func:`sentences`.
"""

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated

from msgspec import Meta

# A report shows so many kinds; the file of the results has all.
SHOWN = 5

# Of outcomes without a whole answer; the others are told by their status.
_KINDS = {
    "refused": "no connection",
    "reset": "connection lost before the answer's end",
    "timeout": "timeout",
    "malformed": "not an HTTP answer",
    "left": "left by the client",
    "error_event": "stream with an event that tells of a failure",
    "wrong": "wrong answer",
}


@dataclass(frozen=True, slots=True)
class Failure:
    """Requests that ended in one way, which was no good answer."""

    outcome: Annotated[str, "how they ended, as in a phase's outcomes"]
    status: Annotated[int | None, "of the answer; null without one"]
    count: Annotated[int, Meta(ge=1), "how many requests"]
    said: Annotated[
        str, "the first answer's first 200 characters, or where a redirect leads, or why there was no answer"
    ] = ""

    def __str__(self) -> str:
        """Return one line: ``1,000 × 404 Not Found: {"detail": "Not Found"}``."""
        if self.outcome == "redirect" and self.said:
            return f"{self.count:,} × {self.status} to {self.said}"
        said = f": {self.said}" if self.said else ""
        return f"{self.count:,} × {kind(self.outcome, self.status)}{said}"


def kind(outcome: str, status: int | None) -> str:
    """Return the field's name for a way to fail: ``404 Not Found``, ``timeout``."""
    if outcome in _KINDS or not status:
        return _KINDS.get(outcome, outcome)
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:  # no status of any RFC
        return str(status)


def pooled(failures: Iterable[Failure]) -> tuple[Failure, ...]:
    """Add failures by kind, the most frequent first; of each kind the first one's words stay."""
    found: dict[tuple[str, int | None, str], Failure] = {}
    for one in failures:
        # What an answer says differs from request to request; why there was none is a kind of its own.
        key = (one.outcome, one.status, "" if one.status is not None else one.said)
        known = found.get(key)
        found[key] = one if known is None else dataclasses.replace(known, count=known.count + one.count)
    return tuple(sorted(found.values(), key=lambda one: -one.count))


def sentences(failures: Iterable[Failure]) -> Iterator[str]:
    """Yield a line for each kind, the most frequent first; beyond :data:`SHOWN`, one line for the rest."""
    every = tuple(failures)
    for one in every[:SHOWN]:
        yield f"failed: {one}"
    if rest := every[SHOWN:]:
        count = sum(one.count for one in rest)
        yield f"failed: {count:,} in {len(rest)} further ways, which are in the file of the results"
