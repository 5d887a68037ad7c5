"""Reports of a run: the last step of the flow, each made from a :class:`tailgate.harness.results.run.RunResult` alone.

A reporter is any object of the shape :class:`Reporter`; reporters come in through the hook ``tailgate_reporters``.
The terminal (:mod:`tailgate.harness.report.terminal`) and JUnit (:mod:`tailgate.harness.report.junit`) are no files, and are printed and
filled in by whoever owns the console and the test case. All say the verdict first. None measures, judges or changes
anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tailgate.harness.report.markdown import MarkdownReporter
from tailgate.harness.results import file as results_file
from tailgate.harness.results.run import RunResult

__all__ = ["Reporter", "built_in_reporters"]


class Reporter(Protocol):
    """What writes a run's result somewhere.

    Attributes:
        name: unique among all plugins.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 - see above

    def write(self, result: RunResult, directory: Path) -> Path | None:
        """Write the report into ``directory``, which exists; return the file, or None where there is none."""
        ...


def built_in_reporters() -> Sequence[Reporter]:
    """Return the reporters that write files: JSON first, since the others can be made again from it."""
    return (JsonReporter(), MarkdownReporter())


@dataclass(frozen=True, slots=True)
class JsonReporter:
    """Writes ``results.json``, held to the schema."""

    name: str = "json"

    def write(self, result: RunResult, directory: Path) -> Path:
        """Write the file and return its path."""
        path = directory / results_file.RESULTS
        results_file.write(result, path)
        return path
