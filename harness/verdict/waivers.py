"""Waivers: intended regressions that a reviewed file accepts. Pure, but for reading the file.

``waivers.toml`` stands in the project's top folder::

    [[waiver]]
    scenario = "steady"
    criterion = "p95 (client)"   # or lens = "cpu", in a comparison
    limit = "95 ms"              # of a lens the change for the worse: "10 %"
    reason = "every answer is signed now"
    who = "Ada Lovelace"
    expires = 2027-01-31         # the last day

A waiver never changes a verdict. It lets the test of a scenario pass whose only failing or undecided criteria are waived, as
long as each measured value is within the waiver's limit; where too few requests speak of a value, the whole interval is. A
waiver that has expired, or that a run did not need, is an error.
"""

import dataclasses
import datetime as dt
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tailgate.harness.errors import BudgetError, UsageError
from tailgate.harness.results.comparison import Lens
from tailgate.harness.results.criterion import CriterionResult, Waiver
from tailgate.harness.results.run import RunResult, ScenarioResult
from tailgate.harness.results.verdict import Better, Verdict
from tailgate.harness.units import Unit, known, parse_quantity

FILE_NAME = "waivers.toml"
WAIVED = "PASS with waiver"
_TEXTS = ("scenario", "limit", "reason", "who")
_KEYS = {*_TEXTS, "criterion", "lens", "expires"}


def read_waivers(root: Path, today: dt.date) -> tuple[Waiver, ...]:
    """Return the waivers of a project; none without a file. Raise UsageError for a wrong one, and for one that has expired."""
    path = root / FILE_NAME
    if not path.is_file():
        return ()
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not TOML: {error}") from error
    return parse_waivers(table, today, str(path))


def parse_waivers(table: Mapping[str, Any], today: dt.date, source: str = FILE_NAME) -> tuple[Waiver, ...]:
    """Read waivers from the table of a TOML file; raise UsageError with file, number and key where one is wrong."""
    entries = table.get("waiver", [])
    if table.keys() - {"waiver"} or not isinstance(entries, list):
        raise UsageError(f"{source}: expected entries [[waiver]] and nothing else, got {', '.join(table)}")
    found = [_parsed(one, f"{source}: waiver {number}") for number, one in enumerate(entries, start=1)]
    for number, one in enumerate(found, start=1):
        if dt.date.fromisoformat(one.expires) < today:
            raise UsageError(
                f"{source}: waiver {number} ({one.scenario}, {one.name}) expired on {one.expires}: remove it, or let it be "
                "reviewed again and given another date"
            )
        if any((one.scenario, one.name) == (other.scenario, other.name) for other in found[: number - 1]):
            raise UsageError(
                f"{source}: waiver {number} is a second one of {one.scenario}, {one.name}; keep one"
            )
    return tuple(found)


def _parsed(entry: Any, where: str) -> Waiver:
    if not isinstance(entry, Mapping):
        raise UsageError(f"{where}: expected a table [[waiver]], got {entry!r}")
    if unknown := sorted(entry.keys() - _KEYS):
        raise UsageError(f"{where}: there is no key {unknown[0]!r}; expected {', '.join(sorted(_KEYS))}")
    named = [key for key in ("criterion", "lens") if key in entry]
    if len(named) != 1:
        raise UsageError(
            f"{where}: expected one of the keys criterion and lens, got {' and '.join(named) or 'none'}"
        )
    texts: dict[str, Any] = {}
    for key in (*_TEXTS, *named):
        value = entry.get(key)
        if not isinstance(value, str) or not value.strip():
            raise UsageError(
                f'{where}: expected {key} = "…", got {"nothing" if value is None else repr(value)}'
            )
        texts[key] = value.strip()
    expires = entry.get("expires")
    if not isinstance(expires, dt.date) or isinstance(expires, dt.datetime):
        raise UsageError(
            f"{where}: expected expires = a day such as 2027-01-31, without quotes, got {expires!r}"
        )
    try:
        limit = parse_quantity(texts["limit"])
    except BudgetError as error:
        raise UsageError(f"{where}: limit: {error}") from None
    if "lens" in texts and not limit.fits(Unit.SHARE):
        raise UsageError(
            f'{where}: limit: got {limit.text!r}, expected how much worse than base it may be, such as "10 %"'
        )
    return Waiver(**texts, expires=expires.isoformat())


def settled(waivers: Iterable[Waiver], yardstick_s: float | None) -> tuple[Waiver, ...]:
    """Return waivers with their limits as numbers; ``yardstick_s`` is what 1 yd is."""
    return tuple(
        dataclasses.replace(one, value=parse_quantity(one.limit).resolve(yardstick_s)) for one in waivers
    )


def of_scenario(waivers: Iterable[Waiver], scenario: str, *, compared: bool) -> tuple[Waiver, ...]:
    """Return those that a run of this scenario can need."""
    return tuple(one for one in waivers if one.scenario == scenario and bool(one.lens) == compared)


def with_waivers(lenses: Iterable[Lens], waivers: Iterable[Waiver]) -> tuple[Lens, ...]:
    """Return the lenses, each with the change that a waiver accepts."""
    accepted = {one.lens: one.value for one in waivers}
    return tuple(dataclasses.replace(lens, waived=accepted.get(lens.name)) for lens in lenses)


def in_effect(scenario: ScenarioResult) -> tuple[Waiver, ...]:
    """Return the waivers that accept what a scenario came to; each accepts all criteria of its name."""
    bad = [item for item in _items(scenario) if item.verdict is not Verdict.PASS]
    of_each = [(one, [item for item in bad if item.name == one.name]) for one in scenario.waivers]
    return tuple(one for one, items in of_each if items and all(item.accepted(one) for item in items))


def lets_pass(scenario: ScenarioResult) -> bool:
    """Tell whether waivers accept all that keeps a scenario from PASS."""
    compared = scenario.comparison
    answers = None if compared is None else compared.answers
    if scenario.faults or scenario.refused or (answers is not None and answers.fails):
        return False
    bad = {item.name for item in _items(scenario) if item.verdict is not Verdict.PASS}
    return bool(bad) and bad <= {one.name for one in in_effect(scenario)}


def idle(scenario: ScenarioResult) -> Iterator[str]:
    """Yield a sentence for each waiver that this scenario did not need, or that can accept nothing in it."""
    items = _items(scenario)
    if scenario.faults or scenario.refused or scenario.verdict is Verdict.INVALID:
        return
    for one in scenario.waivers:
        same = [item for item in items if item.name == one.name]
        kind = "lens that gates" if one.lens else "criterion"
        if not same:
            names = ", ".join(dict.fromkeys(item.name for item in items)) or "none"
            yield f"the waiver of {one.name!r} names no {kind} of {scenario.name}; there are {names}"
        elif wrong := next((item for item in same if not item.fits(one)), None):
            yield (
                f"the waiver of {one.name} in {scenario.name} has the limit {one.limit!r}, and expected is a number of unit "
                f"{wrong.unit.value!r}"
            )
        elif all(item.verdict is Verdict.PASS for item in same):
            yield (
                f"{one.name} of {scenario.name} PASSes without its waiver ({one.reason}): remove it from {FILE_NAME}"
            )


@dataclasses.dataclass(frozen=True, slots=True)
class _Item:
    """A criterion, or a lens that gates: what a waiver can accept."""

    name: str
    verdict: Verdict
    unit: Unit
    better: Better
    value: float | None  # of a lens the change for the worse

    def fits(self, waiver: Waiver) -> bool:
        return parse_quantity(waiver.limit).fits(self.unit)

    def accepted(self, waiver: Waiver) -> bool:
        """Tell whether what was measured is within the waiver's limit."""
        if (
            self.verdict is Verdict.INVALID
            or self.value is None
            or waiver.value is None
            or not self.fits(waiver)
        ):
            return False
        return self.value <= waiver.value if self.better is Better.LOWER else self.value >= waiver.value


def _items(scenario: ScenarioResult) -> Sequence[_Item]:
    if scenario.comparison is None:
        return [_of_criterion(one) for one in scenario.criteria]
    return [
        _Item(one.lens.name, one.verdict, Unit.SHARE, Better.LOWER, one.lens.worse(one.change))
        for one in scenario.comparison.decision.results
        if one.lens.gates
    ]


def _of_criterion(one: CriterionResult) -> _Item:
    # Of few requests there is an interval and no estimate: then its worse end is what has to be within the limit.
    worse = one.high if one.better is Better.LOWER else one.low
    value = worse if one.value is None else one.value
    return _Item(one.name, one.verdict, one.unit, one.better, known(value))


def verdict_word(result: RunResult) -> str:
    """Return the verdict as people read it: a waiver lets a run pass, and is said in the same breath."""
    return WAIVED if is_waived(result) else result.verdict.value


def is_waived(result: RunResult) -> bool:
    """Tell whether waivers accept all that keeps a run from PASS."""
    bad = [one for one in result.scenarios if one.verdict is not Verdict.PASS]
    return bool(bad) and all(map(lets_pass, bad))


def waived(scenario: ScenarioResult) -> tuple[str, ...]:
    """Return a sentence for each waiver that accepts what a scenario came to."""
    verdicts = {one.name: one.verdict.value for one in _items(scenario) if one.verdict is not Verdict.PASS}
    return tuple(
        f"{one.name} is {verdicts[one.name]}, accepted up to {one.limit} until {one.expires} by {one.who}: {one.reason}"
        for one in in_effect(scenario)
    )


def accepted(result: RunResult) -> Iterator[str]:
    """Yield the same for all scenarios of a run, each with the scenario's name."""
    yield from (f"{one.name}: {told}" for one in result.scenarios for told in waived(one))
