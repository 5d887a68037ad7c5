"""``tailgate samples export``: the raw records of a run as text."""

import sys
from pathlib import Path

from tailgate.harness.errors import HarnessError
from tailgate.harness.load.samples import export_csv, read_samples


def export(file: Path, csv: Path | None) -> None:
    """Write raw records as CSV, to standard output where no file is named."""
    records = read_samples(file)
    if csv is None:
        export_csv(records, sys.stdout)
        return
    try:
        with csv.open("w", encoding="utf-8", newline="") as stream:
            export_csv(records, stream)
    except OSError as error:
        raise HarnessError(f"cannot write {csv}: {error.strerror}") from error
