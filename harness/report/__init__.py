"""Reports of a run, the last step of the flow: each is made from a result, and says the verdict first.

The HTML report reads the raw records in the run's folder, too; all others need the result alone.

Reporters that write files come in through the hook ``tailgate_reporters``. The gate prints the terminal
report and fills in JUnit properties.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tailgate.harness.report.html import HtmlReporter
from tailgate.harness.report.markdown import MarkdownReporter
from tailgate.harness.results import file as results_file
from tailgate.harness.results.run import RunResult

__all__ = ["Reporter", "built_in_reporters"]


class Reporter(Protocol):
    """What writes a run's result somewhere."""

    @property
    def name(self) -> str:
        """The reporter's name, unique among all plugins."""
        ...

    def write(self, result: RunResult, directory: Path) -> Path | None:
        """Write the report into ``directory``, which exists; return the file, or None where there is none."""
        ...


def built_in_reporters() -> Sequence[Reporter]:
    """Return the reporters that write files: JSON first, since the others can be made again from it."""
    return (JsonReporter(), MarkdownReporter(), HtmlReporter())


@dataclass(frozen=True, slots=True)
class JsonReporter:
    """Writes ``results.json``, held to the schema."""

    name: str = "json"

    def write(self, result: RunResult, directory: Path) -> Path:
        """Write the file and return its path."""
        path = directory / results_file.RESULTS
        results_file.write(result, path)
        return path
