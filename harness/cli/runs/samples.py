"""``tailgate samples``: the raw records of a run, for another program."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import orjson

from tailgate import __version__
from tailgate.harness.cli.runs.newest import find_run
from tailgate.harness.errors import HarnessError, MeasurementError, UsageError
from tailgate.harness.load.records.samples import SAMPLES, export_csv, read_samples, rows
from tailgate.harness.load.settings import read_id_prefix
from tailgate.harness.named import listed
from tailgate.harness.results.folder import reading

MOST_NAMED = 12


def samples(asked: Path | None, slot: str | None, csv: Path | None, *, as_json: bool) -> None:
    """Write the records of a run's one slot, or the named one, to a file or to standard output."""
    run = find_run(asked)
    with reading(run if run.is_dir() else run.parent):
        file = _file(run, slot)
        records, id_prefix = read_samples(file), read_id_prefix(file.parent)
    with _written_to(csv) as stream:
        if not as_json:
            export_csv(records, stream, id_prefix)
            return
        # A record per line, since a run may have a million of them.
        stream.write(f'{{"tailgate_version":"{__version__}","slot":')
        stream.write(f'{orjson.dumps(file.parent.name).decode()},"samples":[')
        for place, row in enumerate(rows(records, id_prefix)):
            stream.write((",\n" if place else "\n") + orjson.dumps(row).decode())
        stream.write("\n]}\n")


def _file(run: Path, slot: str | None) -> Path:
    """Return a file of records: the run itself may be one, or the folder of one."""
    if run.is_file():
        if run.name != SAMPLES:
            return _file(run.parent, slot)
        return run
    if (run / SAMPLES).is_file():
        return run / SAMPLES
    found = {path.parent.name: path for path in sorted(run.glob(f"*/{SAMPLES}"))}
    if not found:
        raise MeasurementError(f"the run {run} holds no raw records ({SAMPLES})")
    names = listed(list(found), MOST_NAMED)
    if slot is None and len(found) > 1:
        raise UsageError(f"the run {run} holds {len(found)} slots; say which with --slot=NAME: {names}")
    if slot is not None and slot not in found:
        raise UsageError(f"the run {run} holds no slot {slot!r}; there are {names}")
    return found[slot] if slot is not None else next(iter(found.values()))


@contextlib.contextmanager
def _written_to(path: Path | None) -> Iterator[TextIO]:
    if path is None:
        yield sys.stdout
        return
    try:
        with path.open("w", encoding="utf-8", newline="") as stream:
            yield stream
    except OSError as error:
        raise HarnessError(f"cannot write {path}: {error.strerror}") from error
