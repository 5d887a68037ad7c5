"""How sentences, lists and tables stand on a terminal of any width: nothing is cut, and no number breaks."""

from collections.abc import Collection, Sequence

from rich.cells import cell_len
from rich.console import Console, JustifyMethod
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tailgate.harness.units import MISSING

INDENT = 2
# The space between two columns, and whether headings break into lines of a word: as wide as there is room for.
_FORMS = ((2, False), (1, False), (1, True))


def sentence(console: Console, text: str | Text, indent: int = INDENT) -> None:
    """Print a text, indented and wrapped at words."""
    whole_text = Text(text) if isinstance(text, str) else text
    for line in whole_text.wrap(console, max(console.width - indent, 1)):
        line.rstrip()
        console.print(Text(" " * indent).append_text(line), soft_wrap=True)


def parts(console: Console, title: str, every: Sequence[str]) -> None:
    """Print parts after a title, wrapped between parts only; nothing without any."""
    if not every:
        return
    lines = [f"{' ' * INDENT}{title}:"]
    for part in (*(f"{one}," for one in every[:-1]), every[-1]):
        longer = f"{lines[-1]} {part}"
        if cell_len(longer) <= console.width:
            lines[-1] = longer
        else:
            lines.append(f"{' ' * 2 * INDENT}{part}")
    for line in lines:
        text = line.lstrip()
        sentence(console, text, indent=len(line) - len(text))


def whole(console: Console, text: str) -> None:
    """Print what is copied, such as a command: the terminal wraps it, and no line end gets into it."""
    console.print(Text(text), soft_wrap=True)


def table(
    console: Console, header: Sequence[str], rows: Sequence[Sequence[Text]], left: Collection[str]
) -> None:
    """Print rows whose first cell is a name; where they do not fit, each as a list after its first and last cell.

    ``left`` are the columns of words; all others are of numbers.
    """
    for gap, breaks in _FORMS:
        heads = [name.replace(" ", "\n") if breaks else name for name in header]
        widths = [
            max(*map(cell_len, head.splitlines()), *(row[at].cell_len for row in rows))
            for at, head in enumerate(heads)
        ]
        if INDENT + sum(widths) + gap * (len(widths) - 1) <= console.width:
            made = Table(box=None, padding=(0, gap, 0, 0), pad_edge=False, header_style="dim")
            for name, head in zip(header, heads, strict=True):
                justify: JustifyMethod = "left" if name in left else "right"
                made.add_column(Text(head), justify=justify, no_wrap=True, vertical="bottom")
            for row in rows:
                made.add_row(*row)
            console.print(Padding(made, (0, 0, 0, INDENT), expand=False))
            return
    for row in rows:
        told = [(column, cell.plain) for column, cell in zip(header, row, strict=True)]
        listed = [f"{column} {cell}" for column, cell in told[1:-1] if cell != MISSING]
        parts(console, f"{told[0][1]}: {told[-1][1]}", listed or [MISSING])
