"""A comparison in the terminal: verdict, one row a lens, what to know. Part of :mod:`tailgate.harness.report.terminal`."""

from collections.abc import Mapping

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tailgate.harness.report import comparison, summary
from tailgate.harness.results import ScenarioResult
from tailgate.harness.verdict import Verdict

LEFT = ("lens", "verdict")


def render(
    scenario: ScenarioResult, console: Console, styles: Mapping[Verdict, str], indent: int
) -> list[str]:
    """Print the verdict and the table; return the sentences that follow."""
    assert scenario.comparison is not None
    console.print()
    console.print(
        Text.assemble(
            (scenario.name, "bold"),
            ": ",
            (scenario.verdict.value, styles[scenario.verdict]),
            f"  {comparison.title(scenario)}",
        ),
        soft_wrap=True,
    )
    # A space between columns, or eight of them would not fit 80.
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    for column in comparison.COLUMNS:
        table.add_column(column, justify="left" if column in LEFT else "right", no_wrap=True)
    for result in scenario.comparison.decision.results:
        *cells, verdict = comparison.row(result)
        style = styles[result.verdict] if result.lens.gates else "dim"
        table.add_row(*map(Text, cells), Text(verdict, style=style))
    console.print(Padding(table, (0, 0, 0, indent), expand=False))
    return [*summary.remarks(scenario), *comparison.remarks(scenario.comparison)]
