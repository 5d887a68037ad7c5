"""Texts of others, shown as text: one function per output, applied where a report leaves the harness.

The code of a pull request decides labels of metrics, logs, answers and results files. None of these may move
a cursor, forge a line, load an image, link or mention.
"""

import dataclasses
import enum
import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from tailgate.harness.results.fault import Fault

T = TypeVar("T")

# Characters that Python calls printable and that show nothing (Unicode, Default_Ignorable_Code_Point, and a
# blank).
_SHOWS_NOTHING = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
# What runners of CI take for a command: ::error::, ##[error] (GitHub Actions), ##vso[…] (Azure),
# ##teamcity[…]. Their names count within a word too: where a long word is folded, its rest begins a line.
_COMMANDS = (
    "add-mask|add-matcher|add-path|debug|echo|endgroup|error|group|notice|remove-matcher|save-state|set-env|set-output|"
    "stop-commands|warning"
)
_WORKFLOW_COMMAND = re.compile(rf"(?<!\S):(?=:[A-Za-z])|:(?=:(?:{_COMMANDS})\b)|#(?=#\w*\[)")
# What Markdown, or GitHub behind it, takes for more than text: marks, tags, links, mentions, references,
# emoji, hashes.
_MORE_THAN_TEXT = re.compile(
    r"[\[\]`*_@#<>&~\\|$^]|://|www\.|:[\w+-]+:|\bGH-\d|\b(?=[0-9a-f]*[a-f])[0-9a-f]{7,}", re.IGNORECASE
)
# What begins a list, a quotation, a heading or a rule where it is the first word of a line.
_BEGINS_A_BLOCK = re.compile(r"[-+=]+|\d+[.)]")


def visible(text: str, keep: str = "") -> str:
    """Return the text, but for ``keep`` with every character escaped that shows nothing or does something."""
    if text.isprintable() and not _SHOWS_NOTHING.search(text):
        return text
    return "".join(char if char in keep else _visible(char) for char in text)


def _visible(char: str) -> str:
    shows = char.isprintable() and not _SHOWS_NOTHING.match(char)
    return char if shows else char.encode("unicode_escape").decode("ascii")


def terminal(text: str, keep: str = "\n\t") -> str:
    """Return what can be printed: no control characters but ``keep``, and no command of a CI runner."""
    return _WORKFLOW_COMMAND.sub(r"\g<0>\\", visible(text, keep))


def xml(text: str) -> str:
    """Return what XML 1.0 can hold (section 2.2)."""
    return visible(text, "\n\t")


def shown(value: T) -> T:
    """Return a result with all texts fit for a terminal, in one line each but for a fault's log."""
    changed: T = _shown(value)
    return changed


def _shown(value: Any) -> Any:
    match value:
        case Fault():
            return dataclasses.replace(value, text=terminal(value.text))
        case str() if not isinstance(value, enum.Enum):
            return terminal(value, "")
        case Mapping():
            return {terminal(str(name), ""): _shown(one) for name, one in value.items()}
        case tuple():
            return tuple(map(_shown, value))
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    changed = {name: _shown(one) for name, one in fields.items()}
    # Most are numbers, or texts that are fit already.
    return value if changed == fields else dataclasses.replace(value, **changed)


def markdown(text: str) -> str:
    """Return Markdown that renders as this text, in one line; words that mean more stand in code spans."""
    words = enumerate(visible(" ".join(text.split())).split())
    marked = [
        (bool(_MORE_THAN_TEXT.search(word) or (place == 0 and _BEGINS_A_BLOCK.fullmatch(word))), word)
        for place, word in words
    ]
    pieces = []
    for more_than_text, run in itertools.groupby(marked, key=lambda pair: pair[0]):
        line = " ".join(word for _, word in run)
        pieces.append(code(line) if more_than_text else line)
    return " ".join(pieces)


def cell(text: str) -> str:
    """Return the same for a cell of a table, which a pipe would end even in a code span."""
    return "&#124;".join(markdown(part) for part in text.split("|"))


def code(text: str) -> str:
    """Return a code span, between more backticks than stand together in it."""
    line = visible(" ".join(text.split()))
    if not line:
        return ""
    mark = "`" * (_longest_run(line) + 1)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{mark}{pad}{line}{pad}{mark}"


def fenced(text: str, language: str = "") -> Iterator[str]:
    """Yield the lines of a code block, between more backticks than stand together in it."""
    mark = "`" * max(3, _longest_run(text) + 1)
    yield from (f"{mark}{language}", visible(text, "\n"), mark)


def _longest_run(text: str) -> int:
    return max(map(len, re.findall("`+", text)), default=0)
