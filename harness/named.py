"""Look something up by the name that a user wrote; a wrong name is refused with the nearest one."""

import difflib
from collections.abc import Iterable
from typing import Protocol, TypeVar

from tailgate.harness.errors import UsageError


class Named(Protocol):
    """Anything with a name."""

    @property
    def name(self) -> str: ...  # noqa: D102 - see above


T = TypeVar("T", bound=Named)


def find(kind: str, name: str, things: Iterable[T], by: str = "") -> T:
    """Return the one of this name.

    Args:
        kind: what they are called in the message, such as ``measure``.
        name: as the user wrote it.
        things: to choose from.
        by: what asks for it, such as "--perf-scenario: ".

    Raises:
        UsageError: there is none; the message names the nearest, and all.
    """
    known = {thing.name: thing for thing in things}
    if name in known:
        return known[name]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else "no name is like it."
    raise UsageError(
        f"{by}there is no {kind} {name!r}; {hint} There are {', '.join(map(repr, known)) or 'none'}"
    )
