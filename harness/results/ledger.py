"""The ledger: one line of JSON per comparison, so that error rates can be counted.

A line is written by one call, is on the disk when the call returns, and is never rewritten. No verdict is
taken from the ledger; a comparison of code that FAILed before gets a note (:func:`recall`), since a gate that
is repeated until it passes is none.
"""

import dataclasses
import fcntl
import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import orjson

from tailgate.harness.errors import MeasurementError
from tailgate.harness.results.comparison import ComparisonResult
from tailgate.harness.results.file import to_json
from tailgate.harness.results.run import ArmResult, Fingerprint, RunResult, Scalar, ScenarioResult
from tailgate.harness.results.verdict import Verdict

LEDGER = "ledger.jsonl"
# How a side says which code it was: a commit by itself, or behind the name that the user gave it.
_COMMIT = re.compile(r"(?P<target>.*) at (?:(?P<alone>[0-9a-f]{7,40})|\S+ \((?P<named>[0-9a-f]{7,40})\))")


@dataclass(frozen=True, slots=True)
class LensEntry:
    """What one lens came to."""

    verdict: Verdict
    gates: bool
    # Ratio head/base, or difference; None where unknown or infinite. Others as in the results.
    change: float | None = None
    low: float | None = None
    high: float | None = None
    mde: float | None = None
    stage: str | None = None  # the stage that moved; None where none did or none were told


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One comparison: one line of the ledger. Numbers are those of the results."""

    run: str
    date: str  # when the run began, ISO 8601, in UTC
    machine: str  # short fingerprint (:func:`short`)
    tailgate: str
    base: str  # target, and revision where it has one
    head: str  # likewise
    scenario: str
    case: str  # a known case, ``unchanged`` or ``more-5``; "" where nobody knows
    seed: int
    verdict: Verdict
    reason: str
    load_s: float
    wall_s: float
    blocks: int  # good ones
    voided: int
    steal_share: float | None = None
    cpu_pressure_share: float | None = None
    # By name; none where the run ended before it could judge.
    lenses: Mapping[str, LensEntry] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BrokenLine:
    """A line that is no entry, with its number from 1: the last one of a run that was cut off, for example."""

    number: int
    reason: str


@dataclass(frozen=True, slots=True)
class Ledger:
    """A file, read, in the order of its lines."""

    entries: tuple[Entry, ...]
    broken: tuple[BrokenLine, ...] = ()


def short(machine: Mapping[str, Scalar]) -> str:
    """Return a fingerprint in few words, with eight digits of a digest of all its facts."""
    facts = {name: machine.get(name) for name in sorted(Fingerprint.__slots__)}
    digest = hashlib.sha256(orjson.dumps(facts)).hexdigest()[:8]
    return f"{facts['processor'] or 'unknown processor'}, {facts['processors'] or '?'} processors, {digest}"


def entries_of(result: RunResult, case: str = "") -> tuple[Entry, ...]:
    """Return an entry for each scenario of a run that compared; without lenses for one that broke."""
    return tuple(_entry(result, scenario, case) for scenario in result.scenarios)


def _entry(result: RunResult, scenario: ScenarioResult, case: str) -> Entry:
    found = scenario.comparison
    decision = None if found is None else found.decision
    return Entry(
        run=result.run_id,
        date=result.started_at,
        machine=short(result.machine),
        tailgate=result.tailgate_version,
        base=_side(result.arms, "base"),
        head=_side(result.arms, "head"),
        scenario=scenario.name,
        case=case,
        seed=scenario.seed,
        verdict=scenario.verdict,
        reason=scenario.reason,
        load_s=0.0 if decision is None else decision.load_s,
        wall_s=0.0 if decision is None else decision.wall_s,
        blocks=0 if found is None or decision is None else len(found.order) - decision.voided,
        voided=0 if decision is None else decision.voided,
        steal_share=None if found is None else found.steal_share,
        cpu_pressure_share=None if found is None else found.cpu_pressure_share,
        lenses={} if found is None else _lenses(found),
    )


def _lenses(found: ComparisonResult) -> dict[str, LensEntry]:
    moved = {attribution.lens.name: attribution.moved for attribution in found.attributions}
    return {
        result.lens.name: LensEntry(
            verdict=result.verdict,
            gates=result.lens.gates,
            change=result.change,
            low=result.low,
            high=result.high,
            mde=result.mde,
            stage=moved.get(result.lens.name),
        )
        for result in found.decision.results
    }


def recall(scenario: ScenarioResult, arms: Iterable[ArmResult], path: Path) -> ScenarioResult:
    """Return a comparison with a note if the same base and head FAILed before under this scenario.

    Only committed code is recognised: a working tree may have had other changes then. A ledger that cannot be
    read becomes a note, too.
    """
    if scenario.comparison is None:
        return scenario
    base, head = _side(arms, "base"), _side(arms, "head")
    try:
        entries = [entry for entry in read(path).entries if entry.scenario == scenario.name]
    except MeasurementError as error:
        note = f"whether this was compared before is not known: {error}"
    else:
        same = [one for one in entries if _same_code(one.base, base) and _same_code(one.head, head)]
        failed = dict.fromkeys(entry.date[:10] for entry in same if entry.verdict is Verdict.FAIL)
        if not failed:
            return scenario
        note = (
            f"compared before: FAIL on {', '.join(failed)}, with the same load (other settings and tolerances are not told "
            "apart); a gate is not repeated until it passes"
        )
    comparison = dataclasses.replace(scenario.comparison, notes=(note, *scenario.comparison.notes))
    return dataclasses.replace(scenario, comparison=comparison)


def _same_code(before: str, now: str) -> bool:
    """Tell whether two sides are surely the same target at the same commit."""
    first, second = _COMMIT.fullmatch(before), _COMMIT.fullmatch(now)
    if first is None or second is None or first["target"] != second["target"]:
        return False
    one, other = (found["alone"] or found["named"] for found in (first, second))
    return one.startswith(other) or other.startswith(one)


def _side(arms: Iterable[ArmResult], name: str) -> str:
    """Return target and revision of an arm; "" if the run ended before it was known."""
    arm = next((arm for arm in arms if arm.name == name), None)
    if arm is None:
        return ""
    revision = arm.facts.get("revision")
    return arm.target if revision is None else f"{arm.target} at {revision}"


def record(entries: Iterable[Entry], path: Path) -> None:
    """Append a line for each entry, as :func:`append_line` does."""
    for entry in entries:
        append_line(orjson.dumps(to_json(entry)), path)


def append_line(line: bytes, path: Path) -> None:
    """Append a line, given without its end, by one write, and sync it; several processes may do so.

    A new line begins even where the last one was cut off.

    Raises:
        MeasurementError: the file cannot be written, or only a part of the line could.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            # Without the lock, a line that another process is writing looks like one that was cut off.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            size = os.fstat(descriptor).st_size
            cut_off = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            whole = (b"\n" if cut_off else b"") + line + b"\n"
            written = os.write(descriptor, whole)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise MeasurementError(f"cannot append to {path}: {error.strerror}") from error
    if written != len(whole):
        raise MeasurementError(f"only {written} of {len(whole)} bytes went to {path}: is the disk full?")


def read(path: Path) -> Ledger:
    """Read a ledger; a file that is not there is empty.

    Raises:
        MeasurementError: the file cannot be read.
    """
    try:
        lines = path.read_bytes().splitlines() if path.exists() else []
    except OSError as error:
        raise MeasurementError(f"cannot read the ledger {path}: {error.strerror}") from error
    entries: list[Entry] = []
    broken: list[BrokenLine] = []
    for number, line in enumerate(lines, start=1):
        try:
            entries.append(msgspec.json.decode(line, type=Entry))
        except msgspec.MsgspecError as error:
            broken.append(BrokenLine(number, str(error)))
    return Ledger(tuple(entries), tuple(broken))
