"""A calibration on a terminal: what was measured, what can be seen in how long, and what to do."""

from collections.abc import Iterable

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tailgate.harness.compare.calibration.calibration import Calibration, Range
from tailgate.harness.compare.calibration.proposal import advice
from tailgate.harness.compare.calibration.sight import CHANGES, MINUTES, Sight
from tailgate.harness.report.escape import shown
from tailgate.harness.units import MISSING, percent, significant


def render(found: Calibration, console: Console) -> None:
    """Print it; what of it is not the harness's own is shown as text."""
    found = shown(found)
    total = found.blocks + sum(found.voided.values())
    console.print(
        f"calibration: {found.blocks} good blocks of {total}, {significant(found.block_wall_s)} s each, "
        f"{significant(found.block_load_s)} s of it load at {significant(found.rate_per_s)} requests/s",
        soft_wrap=True,
        markup=False,
    )
    console.print(noise_table(found.sights))
    console.print(sight_table(found.sights))
    console.print(tolerance_table(found.sights))
    console.print(
        f"machine: steal {_range(found.steal_share)}, CPU pressure {_range(found.cpu_pressure_share)}"
    )
    for reason, count in found.voided.items():
        console.print(f"void: {count} × {reason}", soft_wrap=True, markup=False)
    for line in advice(found):
        console.print(line, soft_wrap=True, markup=False)


def noise_table(sights: Iterable[Sight]) -> Table:
    """Return where the noise of each lens comes from."""
    table = _table(
        "noise of ln(head/base), unchanged code", "lens", "one block", "two starts", "one pair", "drift"
    )
    for sight in sights:
        noise = sight.noise
        _row(
            table,
            noise.lens.name,
            f"{percent(noise.sigma)} [{percent(noise.low)}, {percent(noise.high)}]",
            percent(noise.start),
            percent(noise.pair),
            percent(noise.drift),
        )
    return table


def sight_table(sights: Iterable[Sight]) -> Table:
    """Return what can be seen in how long, with probability 0.95 and within the error allowed."""
    table = _table(
        "smallest change that FAILs within so many minutes, and minutes until a change FAILs (95 times in 100)",
        "lens",
        *(f"{minutes:g} min" for minutes in MINUTES),
        *(f"{100 * change:+g} %" for change in CHANGES),
    )
    for sight in sights:
        _row(
            table,
            sight.noise.lens.name,
            *(percent(sight.smallest[f"{minutes:g}"], signed=True) for minutes in MINUTES),
            *(_minutes(sight.minutes[f"{change:g}"]) for change in CHANGES),
        )
    return table


def tolerance_table(sights: Iterable[Sight]) -> Table:
    """Return how often unchanged code passes, and with which tolerance it nearly always would."""
    table = _table("unchanged code, by the last look", "lens", "tolerance", "passes", "95 times in 100 with")
    for sight in sights:
        tolerance = percent(sight.noise.lens.tolerance)
        _row(table, sight.noise.lens.name, tolerance, f"{100 * sight.passes:.0f} %", percent(sight.tolerance))
    return table


def _row(table: Table, *cells: str) -> None:
    # As Text, in which brackets are no markup.
    table.add_row(*map(Text, cells))


def _minutes(minutes: float | None) -> str:
    return MISSING if minutes is None else significant(minutes)


def _table(title: str, first: str, *headings: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(first)
    for heading in headings:
        table.add_column(heading, justify="right")
    return table


def _range(found: Range | None) -> str:
    return MISSING if found is None else f"{percent(found.middle)} (up to {percent(found.high)})"
