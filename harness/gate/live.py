"""What a run says while it goes on: lines about what it does, one line that is redrawn, and each verdict at once.

On a terminal the line is redrawn twice per second. In a pipe there is a new one every ten seconds, because a log that
stands still looks like a job that hangs. ``-q`` says nothing of all that, ``-v`` each step.
"""

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from tailgate.harness.compare.blocks.standing import Standing
from tailgate.harness.observe.beside.periodic import periodically
from tailgate.harness.observe.beside.under_way import Following, PhaseLoad
from tailgate.harness.options.secret import secrets_of
from tailgate.harness.options.settings import GateSettings
from tailgate.harness.report import progress
from tailgate.harness.report.escape import terminal
from tailgate.harness.report.progress import Line
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
        self._speaks = self._reporter is not None and verbosity >= 0
        isatty = getattr(self._reporter, "isatty", False)
        self._redraws = self._speaks and isatty and os.environ.get("TERM") != "dumb"
        self._steps = self._speaks and (steps or self._redraws or verbosity > 0)
        self._of = of
        self._told = 0
        # The last step with its time, and what gives the line while more than a step is known; a lock is held over both
        # while a line is written.
        self._step: tuple[str, float] | None = None
        self._now: Callable[[], Line] | None = None
        self._drawn_on: int | None = None
        self._writing = threading.Lock()

    @contextlib.contextmanager
    def speaking(self) -> Iterator[None]:
        """Say within a ``with`` block from time to time what is done."""
        if not self._speaks:
            yield
            return
        self._begin_line()
        with self._uncaptured():
            # Capturing puts a file in the place of standard output for the time of a test.
            descriptor = os.dup(1)
        try:
            say = partial(self._say, descriptor, time.monotonic())
            with periodically(say, REDRAWN_S if self._redraws else PLAIN_S):
                yield
        finally:
            os.close(descriptor)

    def tell(self, line: str) -> None:
        """Note what is being done now; print it where somebody watches or has asked for each step."""
        self._step = line, time.monotonic()
        if self._steps:
            self._print(line)
        else:
            self._begin_line()

    def tell_verdict(self, result: RunResult) -> None:
        """Print what the last scenario of a result came to, and why."""
        self._told = len(result.scenarios)
        self._step = None
        if self._speaks:
            last = result.scenarios[-1]
            self._print(f"{last.name}: {last.verdict.value}: {why_of_scenario(last)}")

    def watching(self, load: PhaseLoad) -> contextlib.AbstractContextManager[None]:
        """Say within a ``with`` block how a phase goes on that is sent meanwhile."""
        following = Following(load, time.monotonic_ns())
        return self._following(lambda: progress.of_phase(load, following.seen(time.monotonic_ns())))

    def comparing(self, standing: Standing) -> contextlib.AbstractContextManager[None]:
        """Say within a ``with`` block how a comparison goes on."""
        return self._following(lambda: progress.of_comparison(standing, time.monotonic()))

    @contextlib.contextmanager
    def _following(self, now: Callable[[], Line]) -> Iterator[None]:
        self._begin_line()
        self._now = now
        try:
            yield
        finally:
            with self._writing:
                self._now = self._step = None
                self._erase()

    def _say(self, descriptor: int, began_s: float) -> None:
        with self._writing:
            line, place = self._line(), (self._told + 1, max(self._of, self._told + 1))
            if line is None:
                return
            if self._redraws:
                # The last column stays free: some terminals go on to the next line when it is written.
                text = progress.live(line, place, _columns(descriptor) - 1)
                _write(descriptor, _ERASE + self._fit(text))
                self._drawn_on = descriptor
            elif time.monotonic() - began_s >= PLAIN_S / 2:
                _write(descriptor, self._fit(progress.plain(line, place)) + "\n")

    def _line(self) -> Line | None:
        """Return what is known now; on a terminal a step stands there already, and pytest may write behind it."""
        if self._now is not None:
            return self._now()
        if self._step is None or self._redraws:
            return None
        return progress.of_step(*self._step, time.monotonic())

    def _erase(self) -> None:
        if self._drawn_on is not None:
            _write(self._drawn_on, _ERASE)
        self._drawn_on = None

    def _fit(self, line: str) -> str:
        return terminal(self._secrets.hide(line), "")

    def _print(self, line: str) -> None:
        with self._writing:
            self._erase()
            self._begin_line(terminal(self._secrets.hide(line)))

    def _begin_line(self, *lines: str) -> None:
        """Print lines, and let whatever follows begin one."""
        if self._speaks:
            with self._uncaptured():
                self._reporter.ensure_newline()
                for line in lines:
                    self._reporter.write_line(line)
                self._reporter.flush()

    def _uncaptured(self) -> contextlib.AbstractContextManager[None]:
        capture: contextlib.AbstractContextManager[None] = (
            self._capture.global_and_fixture_disabled() if self._capture else contextlib.nullcontext()
        )
        return capture


def _columns(descriptor: int) -> int:
    """Return the width of the terminal: what ``COLUMNS`` says, or what the terminal itself does."""
    columns = shutil.get_terminal_size((0, 0)).columns
    if not columns:
        # Standard output is a file while a test runs, whose terminal is behind the descriptor.
        with contextlib.suppress(OSError):
            columns = os.get_terminal_size(descriptor).columns
    return columns or 80


def _write(descriptor: int, text: str) -> None:
    # A reader that has gone, or a full pipe, is no reason to stop measuring.
    with contextlib.suppress(OSError):
        os.write(descriptor, text.encode("utf-8", "replace"))
