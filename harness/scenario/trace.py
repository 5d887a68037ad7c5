"""Recorded arrivals, and their file: CSV with a header line, or JSON lines, as the file's suffix says.

``time_s`` is seconds from the phase's start; ``payload`` names a payload, in all lines or in none::

    time_s,payload                     {"time_s": 0.0, "payload": "cat"}
    0.0,cat                            {"time_s": 0.25, "payload": "dog"}
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from tailgate.harness.errors import UsageError
from tailgate.harness.scenario.arrivals import Law, Times


@dataclass(frozen=True, slots=True)
class Trace(Law):
    """Recorded times, replayed as they are."""

    times_s: tuple[float, ...]  # seconds from the phase's start, ascending
    payloads: tuple[str, ...] = ()  # for each time the name of its payload; empty to draw payloads by weight

    def _times(self, _: np.random.Generator, requests: int | None, extent_s: float) -> Times:
        times = np.array(self.times_s, dtype=np.float64)
        if times.size == 0 or not np.isfinite(times).all() or times[0] < 0 or (np.diff(times) < 0).any():
            raise self._refusal("times_s must be finite seconds that ascend from 0 or later, at least one")
        if self.payloads and len(self.payloads) != len(self.times_s):
            raise self._refusal(f"{len(self.times_s)} times but {len(self.payloads)} payload names")
        if requests is None:
            return times[times < extent_s]
        if requests > times.size:
            raise self._refusal(f"the phase asks for {requests} requests, the trace holds {times.size}")
        return times[:requests]


def read_trace(path: Path) -> Trace:
    """Return the trace of a ``.csv`` or ``.jsonl`` file; raise UsageError with file and line where it is none."""
    try:
        rows = list(_rows(path))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"trace {path}: {error}") from error
    times_s: list[float] = []
    payloads: list[str] = []
    for line, row in rows:
        try:
            times_s.append(float(row["time_s"]))
        except (TypeError, KeyError, ValueError) as error:
            raise UsageError(
                f"trace {path}, line {line}: expected time_s as a number, got {row!r}"
            ) from error
        if row.get("payload"):
            payloads.append(str(row["payload"]))
        if len(payloads) not in {0, len(times_s)}:
            raise UsageError(f"trace {path}, line {line}: payload must be given in every line or in none")
    return Trace(tuple(times_s), tuple(payloads))


def _rows(path: Path) -> Iterator[tuple[int, Any]]:
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            for row in reader:
                yield reader.line_num, row
    elif path.suffix == ".jsonl":
        for line, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            try:
                yield line, orjson.loads(text)
            except orjson.JSONDecodeError as error:
                raise UsageError(f"trace {path}, line {line}: {error}") from error
    else:
        raise UsageError(f"trace {path}: the name must end in .csv or .jsonl")
