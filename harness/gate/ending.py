"""What stands at the end of pytest's output: the gate's block, and what it makes of pytest's own words on a failure."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tailgate.harness.report.html import REPORT
from tailgate.harness.report.terminal import Detail, render, screen_of
from tailgate.harness.results.run import RunResult


def shorten(report: Any, *, shown: bool) -> None:
    """Leave one line of a failure that the block explains; ``shown``: the block is all that is shown of it beside that."""
    if (crash := getattr(report.longrepr, "reprcrash", None)) is not None:
        crash.message = crash.message.partition("\n")[0].removeprefix("Failed: ")
    if shown:
        # pytest leaves out of its FAILURES what a debugger has shown already.
        report._pdbshown = True  # noqa: SLF001 - pytest offers no other way


def write(
    reporter: pytest.TerminalReporter,
    verbosity: int,
    result: RunResult,
    directory: Path,
    notes: Iterable[str],
) -> None:
    """Print the verdict first, then what it takes to understand it, then where all of it lies."""
    writer = reporter._tw  # noqa: SLF001 - pytest offers no other way to its width
    detail = Detail.of(verbosity)
    if detail is Detail.VERDICTS:
        reporter.ensure_newline()
    else:
        reporter.section("performance gate")
    screen = screen_of(writer.fullwidth, colours=writer.hasmarkup)
    with screen.capture() as captured:
        render(result, screen, detail)
    writer.write(captured.get())
    if detail is Detail.VERDICTS:
        return
    for note in notes:
        reporter.write_line(note)
    page = directory / REPORT
    reporter.write_line(f"report: {_short(page)}" if page.is_file() else f"results: {_short(directory)}")


def _short(path: Path) -> str:
    return min(os.path.relpath(path), str(path), key=len)
