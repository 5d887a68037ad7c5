"""The reporter ``html``: ``report.html``, one file that shows a run in pictures and needs nothing beside it.

Drawn here as SVG, from the result and the raw records in the run's folder. It runs no script and loads nothing.
"""

from dataclasses import dataclass
from pathlib import Path

from tailgate.harness.results.run import RunResult

REPORT = "report.html"


@dataclass(frozen=True, slots=True)
class HtmlReporter:
    """Writes ``report.html``."""

    name: str = "html"

    def write(self, result: RunResult, directory: Path) -> Path:
        """Write the file and return its path."""
        from tailgate.harness.report.html.page import render  # noqa: PLC0415 - what only this report needs

        path = directory / REPORT
        path.write_text(render(result, directory), encoding="utf-8")
        return path
