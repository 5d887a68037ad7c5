"""A calibration on a terminal: what was measured, what can be seen in how long, and what to do."""

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tailgate.harness.compare.calibration.calibration import CHANGES, MINUTES, Calibration, Range, Sight
from tailgate.harness.compare.calibration.proposal import advice
from tailgate.harness.report.escape import shown
from tailgate.harness.units import MISSING, percent, significant


def render(found: Calibration, console: Console) -> None:
    """Print a calibration; text that is not the harness's own is escaped."""
    found = shown(found)
    total = found.blocks + sum(found.voided.values())
    console.print(
        f"calibration: {found.blocks} good blocks of {total}, {significant(found.block_wall_s)} s each, "
        f"{significant(found.block_load_s)} s of it load at {significant(found.rate_per_s)} requests/s",
        soft_wrap=True,
        markup=False,
    )
    for table in (_noise_table, _sight_table, _tolerance_table):
        console.print(table(found.sights))
    console.print(
        f"machine: steal {_range(found.steal_share)}, CPU pressure {_range(found.cpu_pressure_share)}"
    )
    for reason, count in found.voided.items():
        console.print(f"void: {count} × {reason}", soft_wrap=True, markup=False)
    for line in advice(found):
        console.print(line, soft_wrap=True, markup=False)


def _noise_table(sights: Iterable[Sight]) -> Table:
    headings = ("one block", "two starts", "one pair", "drift")
    rows = [
        (
            noise.lens.name,
            f"{percent(noise.sigma)} [{percent(noise.low)}, {percent(noise.high)}]",
            *map(percent, (noise.start, noise.pair, noise.drift)),
        )
        for noise in (sight.noise for sight in sights)
    ]
    return _table("noise of ln(head/base), unchanged code", headings, rows)


def _sight_table(sights: Iterable[Sight]) -> Table:
    headings = [*(f"{minutes:g} min" for minutes in MINUTES), *(f"{100 * change:+g} %" for change in CHANGES)]
    rows = [
        (
            sight.noise.lens.name,
            *(percent(sight.smallest[f"{minutes:g}"], signed=True) for minutes in MINUTES),
            *(_minutes(sight.minutes[f"{change:g}"]) for change in CHANGES),
        )
        for sight in sights
    ]
    title = "smallest change that FAILs within so many minutes, and minutes until a change FAILs (95 times in 100)"
    return _table(title, headings, rows)


def _tolerance_table(sights: Iterable[Sight]) -> Table:
    headings = ("tolerance", "passes", "95 times in 100 with")
    rows = [
        (lens.name, percent(lens.tolerance), f"{100 * sight.passes:.0f} %", percent(sight.tolerance))
        for sight in sights
        for lens in [sight.noise.lens]
    ]
    return _table("unchanged code, by the last look", headings, rows)


def _minutes(minutes: float | None) -> str:
    return MISSING if minutes is None else significant(minutes)


def _table(title: str, headings: Iterable[str], rows: Iterable[Iterable[str]]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("lens")
    for heading in headings:
        table.add_column(heading, justify="right")
    for cells in rows:
        # As Text, in which brackets are no markup.
        table.add_row(*map(Text, cells))
    return table


def _range(found: Range | None) -> str:
    return MISSING if found is None else f"{percent(found.middle)} (up to {percent(found.high)})"
