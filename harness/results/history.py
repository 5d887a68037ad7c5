"""The history: one line of JSON per run, so that a report can show how the same load went before.

Lines are appended as those of the ledger, and never rewritten; one that is cut off, or of another version, is passed over.
A number of another machine, target or profile says nothing about this one: :func:`alike` leaves it out.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import orjson

from tailgate.harness.results.file import to_json
from tailgate.harness.results.ledger import append_line, short
from tailgate.harness.results.run import Code, RunResult, Scalar, ScenarioResult
from tailgate.harness.results.verdict import Better, Verdict
from tailgate.harness.units import Unit

HISTORY = "history.jsonl"
# Settings that say what was measured; all others say how it was judged, or where things lie.
_LOAD = ("target", "env", "request", "payloads", "requests", "against")


@dataclass(frozen=True, slots=True)
class Point:
    """One criterion, or one lens of a comparison, in one run.

    Attributes:
        value: of a lens, the change for head as a share of base.
    """

    unit: Unit
    better: Better
    verdict: Verdict
    value: float | None = None
    low: float | None = None
    high: float | None = None
    limit: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One run: one line of the history.

    Attributes:
        date: when it began, ISO 8601, in UTC.
        machine: short fingerprint.
        load: settings that say what was measured.
        points: by scenario, and there by criterion or lens.
    """

    run: str
    date: str
    verdict: Verdict
    machine: str
    profile: str
    tailgate: str
    code: Code | None = None
    yardstick_s: float | None = None
    duration_s: float | None = None
    load: Mapping[str, Scalar] = field(default_factory=dict)
    points: Mapping[str, Mapping[str, Point]] = field(default_factory=dict)


def entry_of(result: RunResult) -> Entry:
    """Return the line of a run."""
    return Entry(
        run=result.run_id,
        date=result.started_at,
        verdict=result.verdict,
        machine=short(result.machine),
        profile=result.profile.name,
        tailgate=result.tailgate_version,
        code=result.code,
        yardstick_s=None if result.yardstick_before is None else result.yardstick_before.seconds,
        duration_s=result.duration_s,
        load={name: value for name in _LOAD if (value := result.settings.get(name)) not in {None, ""}},
        points={one.name: dict(_points(one)) for one in result.scenarios},
    )


def _points(scenario: ScenarioResult) -> Iterator[tuple[str, Point]]:
    for one in scenario.criteria:
        limit = one.limit
        yield one.name, Point(one.unit, one.better, one.verdict, one.value, one.low, one.high, limit)
    if scenario.comparison is None:
        return
    for result in scenario.comparison.decision.results:
        lens = result.lens
        value, low, high = map(lens.as_share, (result.change, result.low, result.high))
        tolerance = lens.tolerance if lens.better is Better.LOWER else -lens.tolerance
        yield lens.name, Point(Unit.SHARE, lens.better, result.verdict, value, low, high, tolerance)


def record(result: RunResult, path: Path) -> None:
    """Append the line of a run; raise MeasurementError where the file cannot be written."""
    append_line(orjson.dumps(to_json(entry_of(result))), path)


def read(path: Path) -> tuple[Entry, ...]:
    """Return the runs of a file in the order of its lines; none where there is no such file."""
    try:
        lines = path.read_bytes().splitlines()
    except OSError:
        return ()
    entries = []
    for line in lines:
        with contextlib.suppress(msgspec.MsgspecError):
            entries.append(msgspec.json.decode(line, type=Entry))
    return tuple(entries)


def alike(entries: Sequence[Entry], entry: Entry) -> tuple[Entry, ...]:
    """Return the runs of the same load on the same machine that began no later, this one last."""
    same = {
        one.run: one
        for one in entries
        if (one.machine, one.profile, one.load) == (entry.machine, entry.profile, entry.load)
        and one.date <= entry.date
        and one.run != entry.run
    }
    return (*sorted(same.values(), key=lambda one: (one.date, one.run)), entry)
