"""A reporter: ``criteria.csv``, a line per criterion, for a spreadsheet."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tailgate import Reporter, RunResult, hookimpl


@dataclass(frozen=True, slots=True)
class CsvReporter:
    """Writes the file into the run's folder."""

    name: str = "criteria-csv"

    def write(self, result: RunResult, directory: Path) -> Path:
        """Write what each criterion came to; an empty cell where a number is missing."""
        path = directory / "criteria.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["scenario", "criterion", "value", "low", "high", "limit", "unit", "verdict"])
            for scenario in result.scenarios:
                for one in scenario.criteria:
                    numbers = [one.value, one.low, one.high, one.limit]
                    writer.writerow([scenario.name, one.name, *numbers, one.unit.value, one.verdict.value])
        return path


@hookimpl
def tailgate_reporters() -> Sequence[Reporter]:
    """Bring the reporter."""
    return [CsvReporter()]
