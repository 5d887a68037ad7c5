"""What a run says while it goes on: lines about what it does, one line that is redrawn, and each verdict at once.

On a terminal the line is redrawn twice a second. In a pipe there is a new one every ten seconds, since a log that stands
still looks like a job that hangs. ``-q`` says nothing of all that, ``-v`` each step.
"""

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from tailgate.harness.observe.beside.periodic import periodically
from tailgate.harness.observe.beside.under_way import Following, PhaseLoad
from tailgate.harness.options.secret import secrets_of
from tailgate.harness.options.settings import GateSettings
from tailgate.harness.report import progress
from tailgate.harness.report.escape import terminal
from tailgate.harness.report.why import why_of_scenario
from tailgate.harness.results.run import RunResult

REDRAWN_S = 0.5
PLAIN_S = 10.0
# Back to the first column, and everything from there erased (ECMA-48, CR and EL).
_ERASE = "\r\x1b[K"


class Voice:
    """Speaks through pytest's terminal, around its capturing; ``of`` is how many scenarios there will be."""

    def __init__(self, config: pytest.Config, settings: GateSettings, *, steps: bool, of: int) -> None:
        self._reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
        self._capture: Any = config.pluginmanager.get_plugin("capturemanager")
        self._secrets = secrets_of(settings)
        verbosity = config.get_verbosity()
        watched = self._reporter is not None and self._reporter.isatty and os.environ.get("TERM") != "dumb"
        self._redraws = watched and verbosity >= 0
        self._speaks = self._reporter is not None and verbosity >= 0
        self._steps = steps or watched or verbosity > 0
        self._of = of
        self._told = 0

    def tell(self, line: str) -> None:
        """Print what is being done now, where somebody watches or has asked for each step."""
        if self._steps:
            self._print(line)

    def tell_verdict(self, result: RunResult) -> None:
        """Print what the last scenario of a result came to, and why."""
        self._told = len(result.scenarios)
        if self._speaks:
            last = result.scenarios[-1]
            self._print(f"{last.name}: {last.verdict.value}: {why_of_scenario(result, last)}")

    @contextlib.contextmanager
    def watching(self, load: PhaseLoad) -> Iterator[None]:
        """Say within a ``with`` block how a phase goes on that is sent meanwhile."""
        if not self._speaks:
            yield
            return
        following = Following(load, time.monotonic_ns())
        with self._uncaptured():
            self._reporter.ensure_newline()
            # Capturing puts a file in the place of standard output for the time of a test.
            descriptor = os.dup(1)
        try:
            say = partial(self._say, following, load, descriptor)
            with periodically(say, REDRAWN_S if self._redraws else PLAIN_S):
                yield
        finally:
            if self._redraws:
                _write(descriptor, _ERASE)
            os.close(descriptor)

    def _say(self, following: Following, load: PhaseLoad, descriptor: int) -> None:
        seen, place = following.seen(time.monotonic_ns()), (self._told + 1, max(self._of, self._told + 1))
        if self._redraws:
            # The last column stays free: some terminals go on to the next line when it is written.
            width = shutil.get_terminal_size().columns - 1
            _write(descriptor, _ERASE + terminal(progress.live(load, seen, place, width), ""))
        elif seen.elapsed_s >= PLAIN_S / 2:
            _write(descriptor, terminal(progress.plain(load, seen, place), "") + "\n")

    def _print(self, line: str) -> None:
        if self._reporter is None:
            return
        with self._uncaptured():
            self._reporter.ensure_newline()
            self._reporter.write_line(terminal(self._secrets.hide(line)))

    def _uncaptured(self) -> contextlib.AbstractContextManager[None]:
        capture: contextlib.AbstractContextManager[None] = (
            self._capture.global_and_fixture_disabled() if self._capture else contextlib.nullcontext()
        )
        return capture


def _write(descriptor: int, text: str) -> None:
    # A reader that has gone, or a full pipe, is no reason to stop measuring.
    with contextlib.suppress(OSError):
        os.write(descriptor, text.encode("utf-8", "replace"))
