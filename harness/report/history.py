"""The history of runs: which can be held beside each other, how each criterion went, and where its level changed.

Two runs are beside each other only where machine, profile, load and branch are the same: any of these moves a latency by
more than a change of code does.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tailgate.harness.measures import levels
from tailgate.harness.report.escape import shown
from tailgate.harness.report.terminal import STYLES
from tailgate.harness.results.history import Entry
from tailgate.harness.results.run import Scalar
from tailgate.harness.results.verdict import Better, Verdict
from tailgate.harness.units import MISSING, Unit, percent, quantity

COMMIT_DIGITS = 10
_BARS = "▁▂▃▄▅▆▇█"
_WIDEST = 24
LOOKED_FOR = f"level changes are looked for from {levels.FEWEST} runs on"
NO_PACKAGE = "level changes are not looked for: pip install ruptures, which needs Python 3.13 or older"


@dataclass(frozen=True, slots=True)
class Change:
    """A run from which on a criterion is at another level."""

    run: str
    date: str
    commit: str | None
    before: float  # median of the runs at the level before
    after: float
    worse: bool

    @property
    def share(self) -> float | None:
        """The change as a share of the level before; None where that was zero."""
        return _share(self.before, self.after)


def _share(before: float, after: float) -> float | None:
    return None if before == 0 else (after - before) / abs(before)


@dataclass(frozen=True, slots=True)
class Trend:
    """How one criterion, or one lens of a comparison, went; the oldest run first."""

    scenario: str
    criterion: str
    unit: Unit
    better: Better
    runs: tuple[str, ...]
    values: tuple[float, ...]
    changes: tuple[Change, ...] | None  # None where nobody looked for any, for want of runs or of the package


@dataclass(frozen=True, slots=True)
class Group:
    """Runs beside each other, the oldest first."""

    machine: str
    profile: str
    branch: str | None  # None where the project has none
    load: Mapping[str, Scalar]
    runs: tuple[Entry, ...]
    trends: tuple[Trend, ...]


def grouped(
    entries: Iterable[Entry], scenario: str | None = None, branch: str | None = None
) -> tuple[Group, ...]:
    """Return the groups, that of the newest run last; of one scenario or branch alone where it is given."""
    groups: dict[object, list[Entry]] = {}
    by_run = {entry.run: entry for entry in entries}
    for entry in sorted(by_run.values(), key=lambda one: (one.date, one.run)):
        its = branch_of(entry)
        if (branch is None or its == branch) and (scenario is None or scenario in entry.points):
            place = entry.machine, entry.profile, its, tuple(sorted(entry.load.items()))
            groups.setdefault(place, []).append(entry)
    ordered = sorted(groups.values(), key=lambda runs: (runs[-1].date, runs[-1].run))
    return tuple(_group(runs, scenario) for runs in ordered)


def branch_of(entry: Entry) -> str | None:
    """Return the branch of a run's project; None where none was checked out, or where nobody knows."""
    return None if entry.code is None else entry.code.branch


def _group(runs: Sequence[Entry], scenario: str | None) -> Group:
    newest = runs[-1]
    names = [
        (one, criterion)
        for one, points in newest.points.items()
        if scenario in {None, one}
        for criterion in points
    ]
    trends = tuple(one for name in names if (one := trend(runs, *name)) is not None)
    return Group(newest.machine, newest.profile, branch_of(newest), newest.load, tuple(runs), trends)


def trend(runs: Sequence[Entry], scenario: str, criterion: str) -> Trend | None:
    """Return how a criterion went in these runs, the oldest first; None where no run has a value of it."""
    points = [(run, run.points.get(scenario, {}).get(criterion)) for run in runs[-levels.MOST :]]
    sound = [(run, point) for run, point in points if point and point.verdict is not Verdict.INVALID]
    told = [(run, point, point.value) for run, point in sound if point.value is not None]
    if not told:
        return None
    newest = told[-1][1]
    values = tuple(value for *_, value in told)
    changes = None
    if len(values) >= levels.FEWEST and levels.available():
        found = levels.levels(values)
        changes = tuple(
            _change(told[after.start][0], before.median, after.median, newest.better)
            for before, after in itertools.pairwise(found)
        )
    return Trend(
        scenario, criterion, newest.unit, newest.better, tuple(run.run for run, *_ in told), values, changes
    )


def _change(run: Entry, before: float, after: float, better: Better) -> Change:
    worse = after > before if better is Better.LOWER else after < before
    return Change(run.run, run.date, None if run.code is None else run.code.commit, before, after, worse)


def render(groups: Sequence[Group], console: Console, last: int) -> None:
    """Print the groups with so many of their newest runs; text that is not the harness's own is escaped."""
    for place, group in enumerate(shown(groups)):
        if place:
            console.print()
        console.print(Text(_title(group), style="bold"), soft_wrap=True)
        console.print(_runs(group.runs[-last:]))
        if len(group.runs) > 1:
            console.print(_trends(group.trends))
        for line in _findings(group):
            console.print(Text(line), soft_wrap=True)


def _title(group: Group) -> str:
    load = ", ".join(f"{name} {value}" for name, value in group.load.items())
    branch = "no branch" if group.branch is None else f"branch {group.branch}"
    count = f"{len(group.runs)} run{'s' if len(group.runs) > 1 else ''}"
    return "; ".join(
        filter(None, [f"{branch}: {count}", f"profile {group.profile}", load, f"machine {group.machine}"])
    )


def _runs(runs: Sequence[Entry]) -> Table:
    table = _table("run", "commit", "yardstick", "verdict")
    for run in runs:
        verdict = Text(run.verdict.value, style=STYLES[run.verdict])
        table.add_row(run.run, commit_of(run), quantity(run.yardstick_s, Unit.SECONDS), verdict)
    return table


def commit_of(run: Entry) -> str:
    """Return the commit of a run in few digits; with a plus where files differed from it."""
    return MISSING if run.code is None else run.code.commit[:COMMIT_DIGITS] + "+" * run.code.dirty


def _trends(trends: Sequence[Trend]) -> Table:
    table = _table("scenario", "criterion", "first", "newest", "change", "trend")
    for one in trends:
        first, newest = one.values[0], one.values[-1]
        change = None if one.unit is Unit.SHARE else _share(first, newest)
        values = quantity(first, one.unit), quantity(newest, one.unit), percent(change, signed=True)
        table.add_row(one.scenario, one.criterion, *values, sparkline(one.values[-_WIDEST:]))
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for column in columns:
        right = column in {"yardstick", "first", "newest", "change"}
        table.add_column(
            column, justify="right" if right else "left", no_wrap=column not in {"scenario", "criterion"}
        )
    return table


def sparkline(values: Sequence[float]) -> str:
    """Return the values as bars, the least of them the lowest; all in the middle where they are the same."""
    low, high = min(values), max(values)
    if low == high:
        return _BARS[len(_BARS) // 2 - 1] * len(values)
    return "".join(_BARS[round((value - low) / (high - low) * (len(_BARS) - 1))] for value in values)


def _findings(group: Group) -> Iterable[str]:
    changed = [(one, change) for one in group.trends for change in one.changes or ()]
    for one, change in changed:
        yield f"→ {one.scenario}, {one.criterion}: {told(change, one.unit)}"
    looked = any(one.changes is not None for one in group.trends)
    if looked and not changed:
        yield f"no level changed in {len(group.runs)} runs"
    elif not looked and len(group.runs) > 1:
        why = LOOKED_FOR if levels.available() else NO_PACKAGE
        yield f"{why}; this group has {len(group.runs)}"


def told(change: Change, unit: Unit) -> str:
    """Return a change in words."""
    share = change.share if unit is not Unit.SHARE else None
    by = "" if share is None else f" {percent(share, signed=True)},"
    at = "" if change.commit is None else f", commit {change.commit[:COMMIT_DIGITS]}"
    return (
        f"{'worse' if change.worse else 'better'} since {change.date[:10]}{at}, run {change.run}:{by} from "
        f"{quantity(change.before, unit)} to {quantity(change.after, unit)}"
    )
