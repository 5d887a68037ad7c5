"""Readiness: look at a server until it takes load. Nothing here is measured.

What must hold is a check: that a path answers 2xx (:mod:`tailgate.harness.target.launching.ready_path`), that a connection is
accepted, or that a line of the log matches. Where there are several, all must hold.
"""

import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from tailgate.harness.errors import TargetError

FIRST_PAUSE_S = 0.01
LONGEST_PAUSE_S = 0.25
PROBE_TIMEOUT_S = 5.0
# Of a line of a log: what is longer is matched by its beginning.
LONGEST_LINE = 16_384
LOG_PIECE = 1 << 20


class Check(Protocol):
    """What must hold of a server that takes load."""

    @property
    def unmet(self) -> str:
        """What did not happen, for the message of a wait that was in vain."""
        ...

    def look(self, now_s: float) -> str:
        """Look once; return what was seen instead, or nothing where it holds. Raise TargetError where waiting is in vain."""
        ...


def wait_until_ready(
    checks: Sequence[Check],
    timeout_s: float,
    check_alive: Callable[[], None],
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Look until each check has held once; raise TargetError, with what was seen last, where they do not in time.

    ``check_alive`` raises when waiting further is pointless.
    """
    deadline_s = clock() + timeout_s
    pause_s = FIRST_PAUSE_S
    left = list(checks)
    while True:
        check_alive()
        seen = {check.unmet: check.look(clock()) for check in left}
        left = [check for check in left if seen[check.unmet]]
        if not left:
            # Another process may have answered: one that a program left behind, when it went into the background.
            check_alive()
            return
        if clock() >= deadline_s:
            told = "; ".join(f"{check.unmet} within {timeout_s:g} s: {seen[check.unmet]}" for check in left)
            raise TargetError(told)
        sleep(pause_s)
        pause_s = min(pause_s * 1.5, LONGEST_PAUSE_S)


class Accepts:
    """A connection is accepted."""

    def __init__(self, url: str, connect: Callable[[], str]) -> None:
        self.unmet = f"{url} accepted no connection"
        self._connect = connect  # returns why not

    def look(self, now_s: float) -> str:  # noqa: ARG002 - every check's signature
        """Open a connection, and close it."""
        return self._connect()


class LogLine:
    """A line of a log matches; only whole lines are looked at, each once, from ``offset`` on."""

    def __init__(self, log: Path, pattern: str, offset: int = 0) -> None:
        self.unmet = f"no line of its log matched {pattern!r} (--perf-ready-log)"
        self._log = log
        self._pattern = re.compile(pattern)
        self._offset = offset
        self._begun = b""  # the line that has no end yet, as far as it is matched
        self._lines = 0

    def look(self, now_s: float) -> str:  # noqa: ARG002 - every check's signature
        """Read on to the end of the log."""
        try:
            with self._log.open("rb") as file:
                file.seek(self._offset)
                while piece := file.read(LOG_PIECE):
                    self._offset += len(piece)
                    if self._matches(piece):
                        return ""
        except FileNotFoundError:
            return "there is no log yet"
        return f"it has {self._lines} lines so far"

    def _matches(self, piece: bytes) -> bool:
        first, *others = piece.split(b"\n")
        lines = [self._begun + first[: LONGEST_LINE - len(self._begun)], *others]
        self._begun = lines.pop()[:LONGEST_LINE]
        self._lines += len(lines)
        texts = (line[:LONGEST_LINE].decode(errors="replace").rstrip("\r") for line in lines)
        return any(self._pattern.search(text) for text in texts)
