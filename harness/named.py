"""Names in messages: what a user wrote is looked up, a wrong name refused with the nearest one, and many are listed."""

import difflib
from collections.abc import Mapping, Sequence
from typing import TypeVar

from tailgate.harness.errors import UsageError

T = TypeVar("T")


def find(kind: str, name: str, known: Mapping[str, T], by: str = "") -> T:
    """Return the thing of this name; ``kind`` and ``by`` are words of the message, such as ``by`` "--perf-scenario: ".

    Raises:
        UsageError: there is none; the message names the nearest, and all.
    """
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else "no name is like it."
    raise UsageError(
        f"{by}there is no {kind} {name!r}; {hint} There are {', '.join(map(repr, known)) or 'none'}"
    )


def listed(names: Sequence[str], most: int) -> str:
    """Return the first names, and how many more there are: ``a, b and 3 more``."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
