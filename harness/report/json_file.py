"""The reporter ``json``: the result itself, from which every other report can be made again."""

from dataclasses import dataclass
from pathlib import Path

from tailgate.harness import results_file
from tailgate.harness.results import RunResult


@dataclass(frozen=True, slots=True)
class JsonReporter:
    """Writes ``results.json``, held to the schema."""

    name: str = "json"

    def write(self, result: RunResult, directory: Path) -> Path:
        """Write the file and return its path."""
        path = directory / results_file.RESULTS
        results_file.write(result, path)
        return path
