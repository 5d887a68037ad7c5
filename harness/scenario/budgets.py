"""Budgets: the numbers of a scenario's limits and rates for one machine, device and precision.

One line per scenario, device and precision, in ``budgets.toml`` or ``[tool.tailgate.budgets]`` of ``pyproject.toml``::

    "*"                = { error_rate = 0.0 }
    "steady:cpu:bf16"  = { rate = "0.30 /yd", p99 = "220 ms" }

A key is ``scenario[:device[:precision]]``, where ``*`` or nothing stands for all. All lines that fit are merged, key by
key; a line that names the scenario beats one that does not, then one that names the device, then the precision.
"""

import dataclasses
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tailgate.harness.errors import BudgetError
from tailgate.harness.results.slot import Loop
from tailgate.harness.scenario.ref import Ref, T, refs, resolve
from tailgate.harness.scenario.scenario import Criterion, Scenario
from tailgate.harness.units import Quantity, Unit, parse_quantity

ANY = "*"
FILE_NAME = "budgets.toml"
_KEY_PARTS = ("scenario", "device", "precision")


@dataclass(frozen=True, slots=True)
class Budgets:
    """All lines of one budget file."""

    # (scenario, device, precision), each possibly ``*``, to the line's quantities.
    lines: Mapping[tuple[str, str, str], Mapping[str, Quantity]]
    source: Path | None = None  # the file, None where there is none

    def quantities(self, scenario: str, device: str, precision: str) -> Mapping[str, Quantity]:
        """Return the merged line for one scenario on one device in one precision."""
        wanted = (scenario, device, precision)
        merged: dict[str, Quantity] = {}
        # Ascending in how specific they are: False sorts before True, the scenario counts first.
        for key in sorted(self.lines, key=lambda key: tuple(part != ANY for part in key)):
            if all(part in {ANY, want} for part, want in zip(key, wanted, strict=True)):
                merged.update(self.lines[key])
        return merged

    def unused(self, used: Mapping[str, Iterable[str]]) -> list[str]:
        """Return what no scenario asks for, as ``line.key``, by the keys that each scenario uses; for a warning."""
        everything = {key for keys in used.values() for key in keys}
        found = []
        for parts, line in self.lines.items():
            wanted = everything if parts[0] == ANY else set(used.get(parts[0], ()))
            found += [f"{_join(parts)}.{key}" for key in line if key not in wanted]
        return sorted(found)


def parse_budgets(table: Mapping[str, Any], source: Path | None = None) -> Budgets:
    """Read budgets from the table of a TOML file; raise BudgetError with file, line and key where one is wrong."""
    lines: dict[tuple[str, str, str], dict[str, Quantity]] = {}
    where = f"{source}: " if source else ""
    for name, line in table.items():
        parts = [part.strip() for part in name.split(":")]
        if len(parts) > len(_KEY_PARTS) or not all(parts):
            raise BudgetError(f"{where}budget {name!r}: expected a key scenario[:device[:precision]]")
        scenario, device, precision = (*parts, ANY, ANY)[: len(_KEY_PARTS)]
        key = (scenario, device, precision)
        if key in lines:
            raise BudgetError(f"{where}budget {name!r} is there twice, as {_join(key)!r}; keep one")
        if not isinstance(line, Mapping):
            raise BudgetError(
                f'{where}budget {name!r}: got {line!r}, expected a table such as {{ p95 = "250 ms" }}'
            )
        lines[key] = {}
        for item, value in line.items():
            try:
                lines[key][item] = parse_quantity(value)
            except BudgetError as error:
                raise BudgetError(f"{where}budget {name!r}, {item}: {error}") from None
    return Budgets(lines, source)


def find_budgets(path: Path | None, rootdir: Path, said: Iterable[str] = ()) -> Budgets:
    """Read the budgets of a project; none where ``path`` is None and the project has no budgets.

    Those of ``said``, each as ``--perf-budget`` takes it, stand in the place of what is written.
    ``path`` is a file: a ``pyproject.toml`` is read by its table, any other by its top level. None looks for
    ``budgets.toml`` or that table of ``pyproject.toml`` in ``rootdir``. Raise BudgetError for a file that is missing or no
    TOML, budgets in both places, or a wrong line.
    """
    return _with_said(_written(path, rootdir), said)


def _with_said(budgets: Budgets, said: Iterable[str]) -> Budgets:
    table: dict[str, dict[str, str]] = {}
    for one in said:
        name, _, quantity = one.partition("=")
        place, _, key = name.rpartition(":")
        table.setdefault(place or ANY, {})[key.strip()] = quantity
    lines = {parts: dict(line) for parts, line in budgets.lines.items()}
    for parts, own in parse_budgets(table).lines.items():
        for others, line in lines.items():
            # A written line that says more of where it holds would win.
            if all(part in {ANY, its} for part, its in zip(parts, others, strict=True)):
                line.update({key: quantity for key, quantity in own.items() if key in line})
        lines[parts] = {**lines.get(parts, {}), **own}
    return dataclasses.replace(budgets, lines=lines)


def _written(path: Path | None, rootdir: Path) -> Budgets:
    if path is not None:
        table = _read(path)
        if table is None:
            raise BudgetError(f"{path}: no table [tool.tailgate.budgets] in it")
        return parse_budgets(table, path)
    places = [place for place in (rootdir / FILE_NAME, rootdir / "pyproject.toml") if place.is_file()]
    found = [(place, table) for place in places if (table := _read(place)) is not None]
    if len(found) > 1:
        raise BudgetError(
            f"budgets are in {found[0][0]} and in {found[1][0]}: keep one, or say which to read"
        )
    return parse_budgets(found[0][1], found[0][0]) if found else Budgets({})


def numbers(quantities: Mapping[str, Quantity], yardstick_s: float | None) -> dict[str, float]:
    """Return quantities in seconds, requests/s, shares and counts; raise BudgetError for yards without a yardstick."""
    return {key: quantity.resolve(yardstick_s) for key, quantity in quantities.items()}


def check_units(scenario: Scenario, quantities: Mapping[str, Quantity], units: Mapping[str, Unit]) -> None:
    """Raise BudgetError for a budget of another unit than the scenario uses it as, such as a rate where a latency is meant.

    The unit is the measure's for a criterion's limit, and elsewhere told by the field's name: ``_per_s`` is a rate, ``_s``
    seconds. Keys without a budget are left to :func:`tailgate.harness.scenario.ref.resolve`.
    """
    for ref, unit in uses(scenario, units):
        quantity = quantities.get(ref.key)
        if quantity is not None and not quantity.fits(unit):
            raise BudgetError(
                f"scenario {scenario.name!r}, budget {ref.key!r}: got {quantity.text!r}, expected a number of unit "
                f"{unit.value!r}"
            )


@dataclass(frozen=True, slots=True)
class Resolved:
    """A scenario whose load is settled, and the budgets that its limits are still to be read from."""

    scenario: Scenario  # its phases in numbers; of its criteria those numbers that set the load, too
    # The budgets that it asks for, by key; what its line has for other profiles is left out.
    quantities: Mapping[str, Quantity]


def settle_load(scenario: Scenario, quantities: Mapping[str, Quantity], yardstick_s: float) -> Resolved:
    """Return a scenario with its load in numbers, as the yardstick is now.

    Limits stay open until what they judge is over and the yardstick has been read again (:func:`asked_at`). A number that
    sets the load is settled now, in a criterion too: nothing else was sent.
    """
    known = numbers(quantities, yardstick_s)
    of_load = refs(tuple((phase.arrivals, phase.duration_s) for phase in scenario.phases))
    settled = {key: known[key] for key in of_load}
    resolved = dataclasses.replace(
        scenario,
        phases=resolve(scenario.phases, known),
        criteria=tuple(_settled(criterion, settled) for criterion in scenario.criteria),
    )
    return Resolved(resolved, {key: quantities[key] for key in refs(scenario) if key in quantities})


def find_quantities(
    scenario: Scenario,
    budgets: Budgets,
    facts: Mapping[str, str],
    units: Mapping[str, Unit],
    root: Path,
) -> Mapping[str, Quantity]:
    """Return the budgets of a scenario on the target's device in its precision.

    ``facts`` is how the target describes itself, ``units`` that of each measure, ``root`` the project's folder. Raise
    BudgetError for one that is missing or of another unit than it is used as.
    """
    device, precision = place_of(facts)
    quantities = budgets.quantities(scenario.name, device, precision)
    if missing := sorted(refs(scenario) - set(quantities)):
        where = budgets.source or root / FILE_NAME
        line = ", ".join(f"{key} = …" for key in missing)
        raise BudgetError(
            f"scenario {scenario.name!r} lacks budgets for {device} in {precision}; "
            f'write into {where}: "{scenario.name}" = {{ {line} }}'
        )
    check_units(scenario, quantities, units)
    return quantities


def place_of(facts: Mapping[str, str]) -> tuple[str, str]:
    """Return the device and precision that budgets are looked up by."""
    device = "cpu" if facts.get("device", "cpu") == "cpu" else "cuda"
    return device, facts.get("precision", "fp32")


def with_budgeted(scenario: Scenario, keys: Iterable[str], measures: Iterable[str]) -> Scenario:
    """Return the scenario with a criterion for each of these measures that has a budget and no criterion yet.

    They are judged over all measured phases in open loop; a scenario without any stays as it is.
    """
    phases = tuple(phase.name for phase in scenario.phases if phase.measured and phase.loop is Loop.OPEN)
    asked = {criterion.measure for criterion in scenario.criteria} | refs(scenario)
    wanted = sorted((set(measures) & set(keys)) - asked) if phases else []
    added = tuple(Criterion(measure, Ref(measure), phases) for measure in wanted)
    return dataclasses.replace(scenario, criteria=(*scenario.criteria, *added))


def asked_at(
    criterion: Criterion, quantities: Mapping[str, Quantity], yardsticks_s: Sequence[float]
) -> tuple[Criterion, Criterion]:
    """Return a criterion in numbers: at the least of these readings, and at the greatest.

    Raise BudgetError where a number is in yardsticks and there is no reading.
    """
    needed = {key: quantities[key] for key in refs(criterion) if key in quantities}

    def at(yardstick_s: float | None) -> Criterion:
        return resolve(criterion, numbers(needed, yardstick_s))

    return at(min(yardsticks_s, default=None)), at(max(yardsticks_s, default=None))


def _settled(criterion: Criterion, known: Mapping[str, float]) -> Criterion:
    def number(value: T) -> T:
        return resolve(value, known) if refs(value) <= known.keys() else value

    return dataclasses.replace(
        criterion, limit=number(criterion.limit), objective_s=number(criterion.objective_s)
    )


def uses(value: Any, units: Mapping[str, Unit]) -> Iterable[tuple[Ref, Unit]]:
    """Yield each open number of a scenario, or of a part of one, with the unit that it is used as."""
    if isinstance(value, (tuple, list)):
        for part in value:
            yield from uses(part, units)
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            inside = getattr(value, field.name)
            unit = _unit_of_field(value, field.name, units)
            for number in inside if isinstance(inside, (tuple, list)) else (inside,):
                if isinstance(number, Ref):
                    if unit is not None:
                        yield number, unit
                else:
                    yield from uses(number, units)


def _unit_of_field(owner: Any, name: str, units: Mapping[str, Unit]) -> Unit | None:
    if isinstance(owner, Criterion) and name == "limit":
        return units.get(owner.measure)
    if name.endswith("_per_s"):
        return Unit.PER_SECOND
    return Unit.SECONDS if name.endswith("_s") else None


def _read(path: Path) -> Mapping[str, Any] | None:
    """Return the table of budgets in a file, None where a ``pyproject.toml`` has none."""
    try:
        table: Any = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BudgetError(f"no budgets to read at {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BudgetError(f"{path} is not TOML: {error}") from error
    if path.name == "pyproject.toml":
        for part in ("tool", "tailgate", "budgets"):
            table = table.get(part) if isinstance(table, Mapping) else None
    if table is not None and not isinstance(table, Mapping):
        raise BudgetError(f"{path}: [tool.tailgate.budgets] is not a table, got {table!r}")
    return table


def _join(parts: tuple[str, str, str]) -> str:
    text = ":".join(parts)
    while text.endswith(f":{ANY}"):
        text = text.removesuffix(f":{ANY}")
    return text
